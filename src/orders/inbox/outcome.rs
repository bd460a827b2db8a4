//! What became of a webhook, in one code each: nothing of an error but its code, since what an error says may carry data.

use crate::orders::settle::Settled;
use crate::platform::http::codes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its payment was settled when it was read. Written by `payments::pg::finish_known`.
    SettledBefore,
    NoOrder,
    UnknownOrder,
    /// It says more than the provider does.
    NotConfirmed,
    UnknownToProvider,
    NothingToDo,
    Paid,
    Refunding,
    Declined,
    AwaitingDeposit,
    /// Given up: the provider never said.
    StillUnknown,
    /// Given up, with the code of the last problem.
    Failed(&'static str),
}

impl Outcome {
    /// All but those that failed. Each has words in the control room, which a test compares.
    pub const NAMED: [Outcome; 11] = [
        Outcome::SettledBefore,
        Outcome::NoOrder,
        Outcome::UnknownOrder,
        Outcome::NotConfirmed,
        Outcome::UnknownToProvider,
        Outcome::NothingToDo,
        Outcome::Paid,
        Outcome::Refunding,
        Outcome::Declined,
        Outcome::AwaitingDeposit,
        Outcome::StillUnknown,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::SettledBefore => "settled_before",
            Outcome::NoOrder => "no_order",
            Outcome::UnknownOrder => "unknown_order",
            Outcome::NotConfirmed => "not_confirmed",
            Outcome::UnknownToProvider => "unknown_to_provider",
            Outcome::NothingToDo => "nothing_to_do",
            Outcome::Paid => "paid",
            Outcome::Refunding => "refunding",
            Outcome::Declined => "declined",
            Outcome::AwaitingDeposit => "awaiting_deposit",
            Outcome::StillUnknown => "still_unknown",
            Outcome::Failed(code) => code,
        }
    }

    /// As it was stored. Rows of before these codes had names of their own, and all of an error, of which only its first word is
    /// told. None: nobody knows it.
    pub fn stored(text: &str) -> Option<Outcome> {
        if let Some(named) = Outcome::NAMED.into_iter().find(|outcome| outcome.as_str() == text) {
            return Some(named);
        }
        match text {
            "not_confirmed_by_toss" => Some(Outcome::NotConfirmed),
            "unknown_to_toss" => Some(Outcome::UnknownToProvider),
            "awaitingdeposit" => Some(Outcome::AwaitingDeposit),
            "still unknown" => Some(Outcome::StillUnknown),
            _ => {
                let first = text.split(' ').next().unwrap_or_default();
                codes::STATUSES.iter().find(|(code, _)| *code == first).map(|(code, _)| Outcome::Failed(code))
            }
        }
    }
}

impl From<Settled> for Outcome {
    fn from(settled: Settled) -> Outcome {
        match settled {
            Settled::Paid => Outcome::Paid,
            Settled::Refunding => Outcome::Refunding,
            Settled::Declined => Outcome::Declined,
            Settled::AwaitingDeposit => Outcome::AwaitingDeposit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_was_stored_is_read_and_nothing_of_an_error_but_its_code() {
        for outcome in Outcome::NAMED.into_iter().chain([Outcome::Failed("server.bug")]) {
            assert_eq!(Outcome::stored(outcome.as_str()), Some(outcome));
        }
        let error = Error::unavailable("server.database_away", "53300: hong@example.org is one too many");
        assert_eq!(Outcome::stored(&error.to_string()), Some(Outcome::Failed("server.database_away")));
        assert_eq!(Outcome::stored("still unknown"), Some(Outcome::StillUnknown));
        assert_eq!(Outcome::stored("hong@example.org"), None);
    }
}
