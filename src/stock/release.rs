//! Tell Redis what a commit changed, once, as best it can; the audit repairs the rest.

use std::time::Duration;

use super::redis::{self, Freed, Release};
use crate::app::App;
use crate::error::Result;
use crate::stock::rebuild;

const PAUSE: Duration = Duration::from_millis(50);
/// A rebuild sets Redis within milliseconds of its commit.
const TRIES: usize = 20;
/// What one call of the script takes.
const PAIRS_MAX: usize = 512;

/// To be called after the commit, by the one who committed.
pub async fn tell(app: &App, exhibition_id: i32, code: &str, freed: &Freed) {
    for part in parts(freed) {
        match release(app, code, &part).await {
            // A rebuild under a newer epoch has counted this commit.
            Ok(Release::Released | Release::OtherEpoch(_)) => {}
            Ok(Release::Unready) => rebuild::request(app, exhibition_id, code, "unready"),
            Err(error) => tracing::warn!(%error, "what a commit changed was not told to Redis; the audit will"),
        }
    }
}

/// A commit of a newer epoch than Redis has belongs to a rebuild that is just about to set Redis: it waits for that.
async fn release(app: &App, code: &str, freed: &Freed) -> Result<Release> {
    let mut outcome = redis::release(&app.redis, code, freed).await?;
    for _ in 0..TRIES {
        match outcome {
            Release::OtherEpoch(epoch) if epoch < freed.epoch => tokio::time::sleep(PAUSE).await,
            _ => break,
        }
        outcome = redis::release(&app.redis, code, freed).await?;
    }
    Ok(outcome)
}

fn parts(freed: &Freed) -> Vec<Freed> {
    let mut parts: Vec<Freed> = freed.stocks.chunks(PAIRS_MAX).map(|stocks| part(freed, stocks)).collect();
    if !freed.people.is_empty() {
        if parts.is_empty() {
            parts.push(part(freed, &[]));
        }
        parts[0].people.clone_from(&freed.people);
    }
    parts
}

fn part(freed: &Freed, stocks: &[(i32, i32)]) -> Freed {
    Freed { epoch: freed.epoch, stocks: stocks.to_vec(), people: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_twice_and_nothing_left_out() {
        assert!(parts(&Freed::default()).is_empty());
        let person = ([1; 16], -1, -1);
        let only_person = Freed { epoch: 3, stocks: vec![], people: vec![person] };
        assert_eq!(parts(&only_person), std::slice::from_ref(&only_person));
        let many: Vec<(i32, i32)> = (0..1_300).map(|id| (id, -id)).collect();
        let told = parts(&Freed { epoch: 3, stocks: many.clone(), people: vec![person] });
        assert_eq!(told.iter().map(|part| part.stocks.len()).collect::<Vec<_>>(), [512, 512, 276]);
        assert_eq!(told.iter().map(|part| part.people.len()).sum::<usize>(), 1);
        assert_eq!(told.iter().flat_map(|part| part.stocks.clone()).collect::<Vec<_>>(), many);
    }
}
