//! Who left the line on purpose. Other instances have seen them too, so forgetting one's own signs of life is not
//! enough: the leader is told, and counts nothing that was seen of them up to then. The place stays theirs: with the
//! next sign of life in a later slot, or by joining again, they stand in it as before.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::bits::{Bits, SLOTS_KEPT, slot_of};
use super::model::{LANES, Lane};

/// Told of one instance at once; of more, the oldest fade as if they had fallen silent.
const LEFT_MAX: usize = 2_000;

/// Lane, rank, slot of the moment.
pub type Leaver = (u8, u32, i64);

#[derive(Default)]
pub struct Left(Mutex<VecDeque<Leaver>>);

impl Left {
    pub fn note(&self, lane: Lane, rank: u32, now_ms: i64) {
        let Ok(mut left) = self.0.lock() else { return };
        left.retain(|(l, r, _)| (*l, *r) != (lane as u8, rank));
        if left.len() == LEFT_MAX {
            left.pop_front();
        }
        left.push_back((lane as u8, rank, slot_of(now_ms)));
    }

    pub fn is_back(&self, lane: Lane, rank: u32) {
        if let Ok(mut left) = self.0.lock() {
            left.retain(|(l, r, _)| (*l, *r) != (lane as u8, rank));
        }
    }

    /// Those of whom some slot still speaks.
    pub fn told(&self, now_ms: i64) -> Vec<Leaver> {
        let Ok(mut left) = self.0.lock() else { return Vec::new() };
        left.retain(|(.., slot)| slot_of(now_ms) - slot <= 2 * SLOTS_KEPT as i64);
        left.iter().copied().collect()
    }

    pub fn forget(&self) {
        if let Ok(mut left) = self.0.lock() {
            left.clear();
        }
    }
}

/// Takes the leavers of a lane out of what was seen in a slot.
pub fn take_out(bits: &mut Bits, lane: usize, slot: i64, left: &[Leaver]) {
    debug_assert!(lane < LANES);
    for (_, rank, _) in left.iter().filter(|(l, _, until)| usize::from(*l) == lane && slot <= *until) {
        bits.clear(*rank);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_count_again_from_the_next_slot_on() {
        let left = Left::default();
        left.note(Lane::General, 7, 30_000);
        left.note(Lane::Invited, 8, 30_000);
        let told = left.told(31_000);
        let seen = |slot| {
            let mut bits = Bits::from_iter([7, 8]);
            take_out(&mut bits, 0, slot, &told);
            (bits.get(7), bits.get(8))
        };
        assert_eq!([seen(1), seen(2), seen(3)], [(false, true), (false, true), (true, true)]);
        left.is_back(Lane::General, 7);
        assert_eq!(left.told(31_000).len(), 1);
        assert!(left.told(600_000).is_empty());
    }

    #[test]
    fn more_than_can_be_told_push_the_oldest_out() {
        let left = Left::default();
        (1..=LEFT_MAX as u32 + 1).for_each(|rank| left.note(Lane::General, rank, 0));
        left.note(Lane::General, 5, 0);
        let told = left.told(0);
        assert_eq!((told.len(), told[0].1, told[LEFT_MAX - 1].1), (LEFT_MAX, 2, 5));
    }
}
