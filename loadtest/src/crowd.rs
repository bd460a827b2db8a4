//! Everybody who has joined in a run: their tokens, kept small, and whether any number was given twice.

use serde::Deserialize;

use crate::queue::State;
use crate::tally::Outcome;

/// No run joins more; a number beyond is a fault and must not cost memory.
const NUMBER_MAX: u32 = 200_000_000;

/// Which numbers were given.
#[derive(Default)]
pub struct Numbers {
    words: Vec<u64>,
    /// Given more than once, with the first few for the report.
    pub twice: u64,
    pub examples: Vec<u32>,
}

impl Numbers {
    /// Whether it is new.
    pub fn note(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1_u64 << (number % 64));
        if self.words.len() <= word {
            self.words.resize((word + 1).next_power_of_two(), 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        if !is_new {
            self.twice += 1;
            if self.examples.len() < 5 {
                self.examples.push(number);
            }
        }
        is_new
    }
}

/// One after the other in one block: a million tokens are 83 MB here and would be twice that as strings.
#[derive(Default)]
pub struct Crowd {
    tokens: String,
    ends: Vec<usize>,
    numbers_of: Vec<u32>,
    pub numbers: Numbers,
}

impl Crowd {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn add(&mut self, number: u32, token: &str) {
        self.numbers.note(number);
        self.tokens.push_str(token);
        self.ends.push(self.tokens.len());
        self.numbers_of.push(number);
    }

    /// Token and number of the one who came as the `at`th.
    pub fn member(&self, at: usize) -> Option<(&str, u32)> {
        let from = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        Some((self.tokens.get(from..*self.ends.get(at)?)?, *self.numbers_of.get(at)?))
    }

    /// Takes in the reply to a join.
    pub fn take(&mut self, status: u16, body: &[u8]) -> Outcome {
        #[derive(Deserialize)]
        struct Joined<'a> {
            state: State,
            number: Option<u32>,
            queue_token: Option<&'a str>,
        }
        if status != 200 {
            return Outcome::of_problem(status, body);
        }
        match serde_json::from_slice::<Joined>(body) {
            Ok(Joined { number: Some(number), queue_token: Some(token), .. }) if number <= NUMBER_MAX => {
                self.add(number, token);
                Outcome::Success
            }
            Ok(Joined { state, number, .. }) => Outcome::Refused(format!("joined as {state:?} with number {number:?}")),
            Err(error) => Outcome::Refused(format!("200 of another shape: {error}")),
        }
    }
}

/// A step that leads through all of `count` places before it comes back, far from one to the next: neighbours in line do
/// not ask one after the other.
pub fn stride(count: usize) -> usize {
    let (golden, mut step) = (0.618_033_988_75, 1);
    let wished = (count as f64 * golden) as usize;
    for candidate in (1..=wished.max(1)).rev() {
        if gcd(candidate, count) == 1 {
            step = candidate;
            break;
        }
    }
    step
}

fn gcd(one: usize, other: usize) -> usize {
    if other == 0 { one } else { gcd(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_a_number_given_twice_is_seen() {
        let mut crowd = Crowd::default();
        let reply = |number: u32, token: &str| {
            format!(r#"{{"state":"waiting","poll_after_ms":1,"number":{number},"queue_token":"{token}"}}"#)
        };
        for (number, token) in [(1, "AAAA"), (70_000, "bbb"), (3, "cc"), (70_000, "d")] {
            assert_eq!(crowd.take(200, reply(number, token).as_bytes()), Outcome::Success);
        }
        assert_eq!(crowd.len(), 4);
        assert_eq!((crowd.member(0), crowd.member(1)), (Some(("AAAA", 1)), Some(("bbb", 70_000))));
        assert_eq!((crowd.member(3), crowd.member(4)), (Some(("d", 70_000)), None));
        assert_eq!((crowd.numbers.twice, crowd.numbers.examples.as_slice()), (1, [70_000].as_slice()));
        let open = crowd.take(200, br#"{"state":"open","poll_after_ms":1}"#);
        assert!(matches!(open, Outcome::Refused(why) if why.contains("Open")));
        assert!(matches!(crowd.take(200, reply(u32::MAX, "x").as_bytes()), Outcome::Refused(_)));
        assert_eq!(crowd.take(503, br#"{"code":"queue.busy"}"#), Outcome::ServerError("503 queue.busy".into()));
    }

    #[test]
    fn a_stride_visits_everybody() {
        for count in [1, 2, 3, 10, 997, 1_000, 30_030] {
            let step = stride(count);
            let mut seen = vec![false; count];
            (0..count).for_each(|turn| seen[turn * step % count] = true);
            assert!(seen.iter().all(|seen| *seen), "{count} by {step}");
        }
        assert!(stride(1_000_000) > 600_000);
    }
}
