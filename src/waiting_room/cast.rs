//! What the simulated visitors of a rehearsal are like: who arrives when, loses patience, or stays how long. It follows
//! from the run and the visitor alone, so whoever asks later gets the same answer. Pure.

use super::model::Rehearsal;
use super::redis::Account;

/// From a call to the claim, well within the shortest time to claim. [ms]
const CLAIMS_FIRST_MS: f64 = 1_000.0;
const CLAIMS_LAST_MS: f64 = 15_000.0;
/// Patience is at least up to this long. [s]
const PATIENCE_S: i32 = 60;

/// What is drawn for each visitor.
#[derive(Clone, Copy)]
enum Trait {
    Comes = 1,
    Patience,
    Delay,
    Stay,
}

/// What the visitors of one rehearsal are like.
pub struct Cast {
    pub run: u32,
    pub asked: Rehearsal,
    pub began_ms: i64,
    /// The device of the first; the others' follow.
    pub first: Account,
}

impl Cast {
    /// From 0 to 1, always the same for the same visitor.
    fn share(&self, person: u32, what: Trait) -> f64 {
        // SplitMix64.
        let seed = (u64::from(self.run) << 32 | u64::from(person)).wrapping_mul(4).wrapping_add(what as u64);
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) as f64 / u64::MAX as f64
    }

    /// How many have arrived by now.
    pub fn arrived(&self, now_ms: i64) -> u32 {
        let people = i64::from(self.asked.people);
        let arrived = (now_ms - self.began_ms) * people / (i64::from(self.asked.arrive_s) * 1000);
        arrived.clamp(0, people) as u32
    }

    fn arrives_ms(&self, person: u32) -> i64 {
        let share = f64::from(person + 1) / f64::from(self.asked.people);
        self.began_ms + (share * f64::from(self.asked.arrive_s) * 1_000.0) as i64
    }

    /// Whoever does not come has gone by then, and ignores a call before it.
    pub fn patient_until_ms(&self, person: u32) -> i64 {
        let patience_s = f64::from(self.asked.arrive_s.max(PATIENCE_S)) * self.share(person, Trait::Patience);
        self.arrives_ms(person) + (patience_s * 1_000.0) as i64
    }

    pub fn comes(&self, person: u32) -> bool {
        self.share(person, Trait::Comes) * 100.0 >= f64::from(self.asked.abandon_pct)
    }

    pub fn delay_ms(&self, person: u32) -> i64 {
        let span_ms = CLAIMS_LAST_MS - CLAIMS_FIRST_MS;
        (CLAIMS_FIRST_MS + self.share(person, Trait::Delay) * span_ms) as i64
    }

    pub fn stay_ms(&self, person: u32) -> i64 {
        ((0.5 + self.share(person, Trait::Stay)) * f64::from(self.asked.stay_s) * 1_000.0) as i64
    }

    pub fn account(&self, person: u32) -> Account {
        Account { index: self.first.index + person, ..self.first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(asked: Rehearsal) -> Cast {
        Cast { run: 3, asked, began_ms: 1_000, first: Account { epoch: 1, index: 1_024 } }
    }

    #[test]
    fn people_arrive_evenly_and_each_is_always_the_same() {
        let asked = Rehearsal { people: 1_000, arrive_s: 100, abandon_pct: 30, stay_s: 60 };
        let (one, again) = (cast(asked), cast(asked));
        assert_eq!([-5, 1_000, 51_000, 101_000, 900_000].map(|ms| one.arrived(ms)), [0, 0, 500, 1_000, 1_000]);
        for person in 0..1_000 {
            let at_ms = one.arrives_ms(person);
            assert!((person..=person + 1).contains(&one.arrived(at_ms)), "{person}");
            assert_eq!(one.stay_ms(person), again.stay_ms(person));
            assert!((30_000..=90_000).contains(&one.stay_ms(person)));
            assert!((1_000..=15_000).contains(&one.delay_ms(person)));
            assert!((at_ms..=at_ms + 100_000).contains(&one.patient_until_ms(person)));
        }
        let come = (0..1_000).filter(|person| one.comes(*person)).count();
        assert!((650..=750).contains(&come), "{come}");
        let mean = (0..1_000).map(|person| one.stay_ms(person)).sum::<i64>() / 1_000;
        assert!((57_000..=63_000).contains(&mean), "{mean}");
    }

    #[test]
    fn everybody_comes_where_nobody_is_to_abandon() {
        let one = cast(Rehearsal { people: 100_000, arrive_s: 3_600, abandon_pct: 0, stay_s: 10 });
        assert!((0..100_000).all(|person| one.comes(person)));
        assert_eq!(one.arrived(i64::from(i32::MAX)), 100_000);
    }
}
