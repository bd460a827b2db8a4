//! Change how many places there are, and how many of them are on offer, during the sale.
//!
//! Under the row lock that the stock writer takes as well, in its order, so no order is decided on the numbers before. Redis
//! is told afterwards by how much what Postgres calls free has changed: takes in flight keep what they took until the
//! writer decides about them, on the new numbers.

use deadpool_postgres::GenericClient;

use super::model::Level;
use super::pg;
use super::redis::Freed;
use crate::error::Result;

/// What is to be of one stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub stock_id: i32,
    pub total: i32,
    /// May be less than what is sold: then nothing more is.
    pub offered: i32,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// To be told to Redis after the commit.
    Changed(Freed),
    /// Some total is less than the places of it that are held or sold; at most so many are. Nothing was changed.
    Taken(i32),
}

/// In a transaction.
pub async fn change(client: &impl GenericClient, offers: &[Offer]) -> Result<Outcome> {
    let ids: Vec<i32> = offers.iter().map(|offer| offer.stock_id).collect();
    let levels = pg::lock(client, &ids).await?;
    let outcome = decide(offers, |id| levels.get(&id).copied());
    if matches!(outcome, Outcome::Changed(_)) {
        pg::set_offers(client, offers).await?;
    }
    Ok(outcome)
}

fn decide(offers: &[Offer], level: impl Fn(i32) -> Option<Level>) -> Outcome {
    let mut freed = Freed::default();
    let mut most = None;
    for offer in offers {
        // One that is gone cannot be changed, and the statement will not find it either.
        let Some(before) = level(offer.stock_id) else { continue };
        let taken = before.held + before.sold;
        if offer.total < taken {
            most = most.max(Some(taken));
        }
        let after = Level { total: offer.total, offered: offer.offered, ..before };
        freed.epoch = freed.epoch.max(before.epoch);
        let more = after.free() - before.free();
        if more != 0 {
            freed.stocks.push((offer.stock_id, more));
        }
    }
    most.map_or(Outcome::Changed(freed), Outcome::Taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(total: i32, offered: i32, level: Level) -> Outcome {
        decide(&[Offer { stock_id: 7, total, offered }], |_| Some(level))
    }

    #[test]
    fn redis_is_told_what_free_becomes_more_or_less() {
        let level = Level { total: 100, offered: 100, held: 10, sold: 20, epoch: 4 };
        let told = |more: &[(i32, i32)]| Outcome::Changed(Freed { epoch: 4, stocks: more.to_vec(), people: vec![] });
        assert_eq!(decided(100, 100, level), told(&[]));
        assert_eq!(decided(100, 50, level), told(&[(7, -50)]));
        // Below what is taken nothing is free: no less than that is told.
        assert_eq!(decided(100, 5, level), told(&[(7, -70)]));
        assert_eq!(decided(120, 110, Level { offered: 5, ..level }), told(&[(7, 80)]));
        // Still nothing free.
        assert_eq!(decided(100, 30, Level { offered: 5, ..level }), told(&[]));
        assert_eq!(decided(30, 100, level), told(&[(7, -70)]));
        assert_eq!(decided(29, 100, level), Outcome::Taken(30));
    }
}
