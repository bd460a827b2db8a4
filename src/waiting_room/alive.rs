//! Who is alive, and how many of them stand before a rank. Pure.
//!
//! Bit `r` is rank `r`; ranks start at 1. The index is built anew whenever the leader's bitmap is, which takes under a
//! millisecond per 10 million ranks, and is only read after that.

use super::bits::{Bits, SLOT_MS};

/// 512 bits: what is left to count is one cache line.
const BLOCK_WORDS: usize = 8;
/// The spread of `eta::poll_after_ms`: the longest pause between two polls is the longest asked for, times this.
const POLL_STRETCH: f64 = 1.15;
/// From a poll to the leader's knowledge of it: the instance's flush, the leader's look, with room to spare. [ms]
const FLUSH_MS: f64 = 5_000.0;
/// Within ten minutes of the front polls are a tenth of the wait apart, so at most this. [ms]
pub const NEAR_POLL_MS: i64 = 60_000;

/// How far back a sign of life counts, in complete slots: the running one counts on top, since it may have only begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Near the front, where the departed must not hold up the line: one poll is surely in it.
    pub near: u32,
    /// Further back, where nothing hangs on it yet: two polls are in it.
    pub far: u32,
}

impl Windows {
    /// Three and six slots for polls at most 30 s apart; wider when load makes them rarer.
    pub fn for_pauses(near_ms: i64, far_ms: i64) -> Windows {
        let slots = |pause_ms: i64| {
            let pause_ms = pause_ms.clamp(30_000, 3_600_000);
            ((pause_ms as f64 * POLL_STRETCH + FLUSH_MS) / SLOT_MS as f64).ceil() as u32
        };
        Windows { near: slots(near_ms), far: 2 * slots(far_ms.max(near_ms)) }
    }
}

/// The longest pause that anybody may still be in: when the crowd shrinks, shorter ones are asked for, but who was asked
/// for a longer one before is not gone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pause {
    longest_ms: i64,
    until_ms: i64,
}

impl Pause {
    /// So long a pause is asked for now.
    pub fn longest_ms(&mut self, asked_ms: i64, now_ms: i64) -> i64 {
        if asked_ms >= self.longest_ms || now_ms >= self.until_ms {
            // An instance asks by a picture that may be some seconds old.
            let lasts_ms = (asked_ms as f64 * POLL_STRETCH + 2.0 * FLUSH_MS) as i64;
            *self = Pause { longest_ms: asked_ms, until_ms: now_ms + lasts_ms };
        }
        self.longest_ms
    }
}

/// Who is alive: ranks up to `near_upto` seen within the near window, those behind within the far one, and all who
/// are pinned. Slots of all instances, by age: 0 is the running one.
pub fn merge(slots: &[(u32, Bits)], near_upto: u32, windows: Windows, pinned: &Bits) -> Bits {
    let mut alive = pinned.clone();
    for (age, seen) in slots {
        if *age <= windows.near {
            alive.or(seen);
        } else if *age <= windows.far {
            alive.or_behind(seen, near_upto);
        }
    }
    alive
}

#[derive(Clone, Debug, Default)]
pub struct AliveIndex {
    bits: Bits,
    /// How many are alive before each block; at the end, in all.
    before: Vec<u32>,
}

impl AliveIndex {
    pub fn new(mut bits: Bits) -> AliveIndex {
        bits.clear(0);
        let mut total = 0;
        let mut before = vec![0];
        for block in bits.words().chunks(BLOCK_WORDS) {
            total += block.iter().map(|word| word.count_ones()).sum::<u32>();
            before.push(total);
        }
        AliveIndex { bits, before }
    }

    pub fn is_alive(&self, rank: u32) -> bool {
        self.bits.get(rank)
    }

    pub fn bits(&self) -> &Bits {
        &self.bits
    }

    pub fn total(&self) -> u32 {
        self.before.last().copied().unwrap_or_default()
    }

    /// Alive ranks in `1..=rank`.
    pub fn count_to(&self, rank: u32) -> u32 {
        let at = (rank / u64::BITS) as usize;
        let Some(word) = self.bits.words().get(at) else { return self.total() };
        let block = at / BLOCK_WORDS;
        let words = &self.bits.words()[block * BLOCK_WORDS..at];
        let upto = word >> (u64::BITS - 1 - rank % u64::BITS);
        self.before[block] + words.iter().map(|word| word.count_ones()).sum::<u32>() + upto.count_ones()
    }

    /// Alive ranks in `a+1..=b`.
    pub fn between(&self, a: u32, b: u32) -> u32 {
        self.count_to(b).saturating_sub(self.count_to(a))
    }

    /// The rank of the `k`-th alive one behind `from`, or `max` when fewer are alive up to there: the dead are passed
    /// for free. Never less than `from`.
    pub fn advance(&self, from: u32, k: u32, max: u32) -> u32 {
        if k == 0 || max <= from {
            return from;
        }
        let target = self.count_to(from).saturating_add(k);
        if target > self.total() {
            return max;
        }
        // The last block that has fewer before it than are looked for.
        let block = self.before.partition_point(|before| *before < target) - 1;
        let mut left = target - self.before[block];
        for (at, word) in self.bits.words().iter().enumerate().skip(block * BLOCK_WORDS) {
            if word.count_ones() >= left {
                let rank = at as u32 * u64::BITS + position(*word, left);
                return rank.min(max);
            }
            left -= word.count_ones();
        }
        max
    }

    /// How many ranks right behind `from` are alive without a gap; counts no further than `most`.
    pub fn run(&self, from: u32, most: u32) -> u32 {
        (1..=most).take_while(|step| from.checked_add(*step).is_some_and(|rank| self.bits.get(rank))).count() as u32
    }
}

/// Where the `k`-th one of a word is, counted from the most significant bit; there must be as many.
fn position(mut word: u64, k: u32) -> u32 {
    for _ in 1..k {
        word &= !(1 << (u64::BITS - 1 - word.leading_zeros()));
    }
    word.leading_zeros()
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counting_agrees_with_a_plain_list(
            alive in btree_set(0u32..3_000, 0..400), a in 0u32..3_500, b in 0u32..3_500, k in 0u32..450,
        ) {
            let index = AliveIndex::new(alive.iter().copied().collect());
            let within = |a: u32, b: u32| alive.iter().filter(|rank| **rank > a && **rank <= b).count() as u32;
            prop_assert_eq!(index.count_to(b), within(0, b));
            prop_assert_eq!(index.between(a, b), within(a, b));
            prop_assert_eq!(index.total(), within(0, u32::MAX));
            let wanted = match k {
                0 => a,
                k => alive.iter().copied().filter(|rank| *rank > a).nth(k as usize - 1).unwrap_or(u32::MAX).min(b).max(a),
            };
            prop_assert_eq!(index.advance(a, k, b), wanted);
            prop_assert_eq!(index.run(a, 20), (1..=20).take_while(|step| alive.contains(&(a + step))).count() as u32);
        }

        #[test]
        fn merging_looks_further_back_behind_the_near(
            slots in vec((0u32..10, btree_set(1u32..300, 0..40)), 0..10), near_upto in 0u32..320, pin in 1u32..300,
        ) {
            let windows = Windows { near: 3, far: 6 };
            let bitmaps: Vec<(u32, Bits)> =
                slots.iter().map(|(age, seen)| (*age, seen.iter().copied().collect())).collect();
            let alive = merge(&bitmaps, near_upto, windows, &Bits::from_iter([pin]));
            for rank in 0..330 {
                let upto = if rank <= near_upto { 3 } else { 6 };
                let seen = slots.iter().any(|(age, seen)| *age <= upto && seen.contains(&rank));
                prop_assert_eq!(alive.get(rank), seen || rank == pin, "rank {}", rank);
            }
        }

        /// However polls fall into slots, whoever polls as told is never taken for dead.
        #[test]
        fn whoever_polls_as_told_is_always_alive(poll_max_ms in 30_000i64..200_000, at_ms in 1_000_000i64..2_000_000) {
            let windows = Windows::for_pauses(poll_max_ms.min(NEAR_POLL_MS), poll_max_ms);
            let age = |pause_ms: f64| {
                // The last poll the leader can know of, seen at the worst moment.
                let polled_ms = at_ms - (pause_ms * POLL_STRETCH) as i64 - FLUSH_MS as i64;
                (at_ms.div_euclid(SLOT_MS) - polled_ms.div_euclid(SLOT_MS)) as u32
            };
            prop_assert!(age(poll_max_ms.min(NEAR_POLL_MS) as f64) <= windows.near);
            prop_assert!(age(poll_max_ms as f64) <= windows.far);
        }
    }

    #[test]
    fn windows_are_three_and_six_slots_and_follow_the_polls() {
        assert_eq!(Windows::for_pauses(30_000, 30_000), Windows { near: 3, far: 6 });
        assert_eq!(Windows::for_pauses(0, 0), Windows { near: 3, far: 6 });
        assert_eq!(Windows::for_pauses(60_000, 60_000), Windows { near: 5, far: 10 });
        assert_eq!(Windows::for_pauses(90_000, 30_000), Windows { near: 8, far: 16 }, "further back never less");
    }

    #[test]
    fn a_pause_that_was_asked_for_is_waited_out() {
        let mut pause = Pause::default();
        assert_eq!(pause.longest_ms(90_000, 1_000_000), 90_000);
        assert_eq!(pause.longest_ms(30_000, 1_050_000), 90_000);
        assert_eq!(pause.longest_ms(30_000, 1_000_000 + 113_400), 90_000);
        assert_eq!(pause.longest_ms(30_000, 1_000_000 + 113_600), 30_000);
        assert_eq!(pause.longest_ms(40_000, 1_120_000), 40_000);
    }

    #[test]
    fn ten_million_ranks_are_counted_by_blocks() {
        let index = AliveIndex::new(Bits::from_bytes(&vec![0b0101_0101; 1_250_000]));
        assert_eq!(index.total(), 5_000_000);
        assert_eq!(index.advance(1_000_000, 1_000_000, u32::MAX), 2_999_999);
        assert_eq!(index.between(1_000_000, 2_999_999), 1_000_000);
        assert_eq!(index.advance(0, 5_000_001, 20_000_000), 20_000_000);
    }
}
