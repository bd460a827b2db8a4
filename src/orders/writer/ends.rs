//! How payments end, for the figures of success: each attempt counts once, when it first ends at its provider.

use crate::observability::pulse::What;
use crate::orders::model::AttemptState::{self, Accepted, AwaitingDeposit, Declined, Ready, Sent, Unknown};

/// What a move of an attempt is counted as; None: it did not end, or had ended before. An account to pay into is an end: whether
/// the buyer pays is not the provider's doing. Money in hand was never at a provider: its attempt has no state before.
pub fn first_end(before: Option<AttemptState>, after: Option<AttemptState>, cause: &str) -> Option<What> {
    match (before?, after?) {
        (Sent, Unknown) => Some(What::Doubted),
        // Nobody said that it was in doubt, since whoever sent it has died: recovery asks after half a minute.
        (Sent, Accepted | Declined | AwaitingDeposit) if cause == "recovery" => Some(What::Doubted),
        (Sent, Accepted | Declined | AwaitingDeposit) | (Ready, Accepted) => Some(What::Ended),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever way an attempt goes, it is counted once at most, and in doubt or not as it was first.
    #[test]
    fn every_attempt_ends_once() {
        let ways: [(&[AttemptState], &str, Option<What>); 9] = [
            (&[Ready, Sent, Accepted], "confirm", Some(What::Ended)),
            (&[Ready, Sent, Declined], "confirm", Some(What::Ended)),
            (&[Ready, Sent, Declined, Accepted], "webhook", Some(What::Ended)),
            (&[Ready, Sent, Unknown, Accepted], "confirm", Some(What::Doubted)),
            (&[Ready, Sent, Unknown, Declined], "confirm", Some(What::Doubted)),
            (&[Ready, Sent, Accepted], "recovery", Some(What::Doubted)),
            (&[Ready, Sent, AwaitingDeposit, Accepted, AwaitingDeposit, Accepted], "webhook", Some(What::Ended)),
            (&[Ready, Accepted], "webhook", Some(What::Ended)),
            // Never sent: nobody paid.
            (&[Ready, Declined], "confirm", None),
        ];
        for (way, cause, counted) in ways {
            let ends: Vec<What> =
                way.windows(2).filter_map(|step| first_end(Some(step[0]), Some(step[1]), cause)).collect();
            assert_eq!(ends, Vec::from_iter(counted), "{way:?} by {cause}");
        }
        assert_eq!(first_end(None, Some(Accepted), "walk_in"), None, "cash");
    }
}
