//! Who was seen, one bit each, in Redis's bit order: bit `i` is in byte `i / 8` under the mask `0x80 >> (i % 8)`, so
//! that what is written here is what GETBIT and BITCOUNT read. Pure.
//!
//! Three shapes: [`Bits`] to reckon with, [`AtomicBits`] to mark from many threads without a lock, and [`Slots`], the
//! marks of one instance by quarter minutes. At 1,000,000 people one slot is 125 KB.

use std::iter;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

/// Highest number or rank that is kept track of. Marks beyond it are dropped, so joins must end here as well.
pub const RANK_MAX: u32 = 20_000_000;
/// Liveness is known by slots of this length.
pub const SLOT_MS: i64 = 15_000;
/// Slots an instance keeps: the running one and the six before it, which is as far back as anybody looks.
pub const SLOTS_KEPT: usize = 7;

const WORD_BITS: u32 = u64::BITS;
const WORDS_MAX: usize = (RANK_MAX / WORD_BITS) as usize + 1;
/// 65,536 bits: 8 KB at a time.
const CHUNK_WORDS: usize = 1_024;
const CHUNKS: usize = WORDS_MAX.div_ceil(CHUNK_WORDS);

/// Word and mask of a bit. Words are read big-endian, which makes the order of bits Redis's.
fn place(bit: u32) -> (usize, u64) {
    ((bit / WORD_BITS) as usize, 1 << (WORD_BITS - 1 - bit % WORD_BITS))
}

/// Which slot an instant belongs to.
pub fn slot_of(now_ms: i64) -> i64 {
    now_ms.div_euclid(SLOT_MS)
}

/// A plain bitmap that grows as it is set.
#[derive(Clone, Debug, Default)]
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// What lies beyond `RANK_MAX` is dropped.
    pub fn from_bytes(bytes: &[u8]) -> Bits {
        let mut bits = Bits::default();
        bits.or_with(bytes);
        bits
    }

    /// Without trailing zero bytes: Redis reads what is missing as zero.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.truncate((self.len() as usize).div_ceil(8));
        bytes
    }

    pub fn get(&self, bit: u32) -> bool {
        let (at, mask) = place(bit);
        self.words.get(at).is_some_and(|word| word & mask != 0)
    }

    pub fn set(&mut self, bit: u32) {
        if bit > RANK_MAX {
            return;
        }
        let (at, mask) = place(bit);
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        self.words[at] |= mask;
    }

    pub fn clear(&mut self, bit: u32) {
        let (at, mask) = place(bit);
        if let Some(word) = self.words.get_mut(at) {
            *word &= !mask;
        }
    }

    pub fn or_with(&mut self, bytes: &[u8]) {
        let words = bytes.chunks(8).take(WORDS_MAX).map(|part| {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            u64::from_be_bytes(word)
        });
        self.or_words(0, words);
    }

    pub fn or(&mut self, other: &Bits) {
        self.or_words(0, other.words.iter().copied());
    }

    /// Takes over only what lies behind `rank`.
    pub fn or_behind(&mut self, other: &Bits, rank: u32) {
        let (at, mask) = place(rank);
        let behind = other.words.get(at..).unwrap_or_default();
        let first = behind.first().map(|word| word & (mask - 1));
        self.or_words(at, first.into_iter().chain(behind.iter().skip(1).copied()));
    }

    fn or_words(&mut self, from: usize, words: impl Iterator<Item = u64>) {
        for (at, word) in (from..).zip(words) {
            if self.words.len() <= at {
                self.words.resize(at + 1, 0);
            }
            self.words[at] |= word;
        }
    }

    /// Takes out all bits of another, as those who claimed out of those who were called.
    pub fn without(&mut self, other: &Bits) {
        for (word, out) in self.words.iter_mut().zip(&other.words) {
            *word &= !out;
        }
    }

    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    pub fn iter_ones(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().zip(0u32..).flat_map(|(word, at)| {
            let mut left = *word;
            iter::from_fn(move || {
                let bit = left.leading_zeros();
                (bit < WORD_BITS).then(|| {
                    left &= !(1 << (WORD_BITS - 1 - bit));
                    at * WORD_BITS + bit
                })
            })
        })
    }

    /// One past the last bit that is set.
    pub fn len(&self) -> u32 {
        let last = self.words.iter().rposition(|word| *word != 0);
        last.map_or(0, |at| (at as u32 + 1) * WORD_BITS - self.words[at].trailing_zeros())
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }
}

/// By what is set, however much room was made for it.
impl PartialEq for Bits {
    fn eq(&self, other: &Bits) -> bool {
        let (short, long) = if self.words.len() < other.words.len() {
            (&self.words, &other.words)
        } else {
            (&other.words, &self.words)
        };
        let (same, more) = long.split_at(short.len());
        same == short.as_slice() && more.iter().all(|word| *word == 0)
    }
}

impl Eq for Bits {}

impl FromIterator<u32> for Bits {
    fn from_iter<T: IntoIterator<Item = u32>>(ones: T) -> Bits {
        let mut bits = Bits::default();
        ones.into_iter().for_each(|bit| bits.set(bit));
        bits
    }
}

/// A bitmap that many threads mark at once. Room is made chunk by chunk, where somebody marks.
pub struct AtomicBits {
    chunks: Box<[OnceLock<Box<[AtomicU64]>>]>,
}

impl Default for AtomicBits {
    fn default() -> AtomicBits {
        AtomicBits { chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect() }
    }
}

impl AtomicBits {
    /// Beyond `RANK_MAX`: ignored.
    pub fn mark(&self, bit: u32) {
        if bit > RANK_MAX {
            return;
        }
        let (at, mask) = place(bit);
        let chunk = self.chunks[at / CHUNK_WORDS].get_or_init(|| (0..CHUNK_WORDS).map(|_| AtomicU64::new(0)).collect());
        let word = &chunk[at % CHUNK_WORDS];
        // Reading first: those near the front poll many times in a slot, and a line that is only read stays shared.
        if word.load(Relaxed) & mask == 0 {
            word.fetch_or(mask, Relaxed);
        }
    }

    pub fn unmark(&self, bit: u32) {
        let (at, mask) = place(bit);
        if let Some(chunk) = self.chunks.get(at / CHUNK_WORDS).and_then(OnceLock::get) {
            chunk[at % CHUNK_WORDS].fetch_and(!mask, Relaxed);
        }
    }

    /// A picture of now. Marks set meanwhile may be in it or not.
    pub fn to_bits(&self) -> Bits {
        let mut bits = Bits::default();
        for (index, chunk) in self.chunks.iter().enumerate() {
            if let Some(chunk) = chunk.get() {
                bits.or_words(index * CHUNK_WORDS, chunk.iter().map(|word| word.load(Relaxed)));
            }
        }
        bits
    }

    /// The same people under other numbers.
    pub fn permute(&self, renumber: impl Fn(u32) -> u32) -> AtomicBits {
        let moved = AtomicBits::default();
        self.to_bits().iter_ones().for_each(|bit| moved.mark(renumber(bit)));
        moved
    }
}

struct Slot {
    number: i64,
    seen: AtomicBits,
}

/// Whom one instance has seen lately, slot by slot.
pub struct Slots {
    ring: [ArcSwap<Slot>; SLOTS_KEPT],
}

impl Default for Slots {
    fn default() -> Slots {
        Slots { ring: std::array::from_fn(|_| fresh(i64::MIN)) }
    }
}

fn fresh(number: i64) -> ArcSwap<Slot> {
    ArcSwap::from_pointee(Slot { number, seen: AtomicBits::default() })
}

impl Slots {
    fn cell(&self, number: i64) -> &ArcSwap<Slot> {
        &self.ring[number.rem_euclid(SLOTS_KEPT as i64) as usize]
    }

    pub fn mark(&self, bit: u32, now_ms: i64) {
        let number = slot_of(now_ms);
        let cell = self.cell(number);
        let mut slot = cell.load();
        if slot.number != number {
            // A fresh one is swapped in and the old one is never used again: a writer who still holds it marks
            // something that nobody reads. An even later one is replaced as well, since the clock was set back then.
            // Of several who swap at once one wins; the others mark the winner's.
            let new = Arc::new(Slot { number, seen: AtomicBits::default() });
            cell.compare_and_swap(&slot, new);
            slot = cell.load();
        }
        if slot.number == number {
            slot.seen.mark(bit);
        }
    }

    /// Somebody left: not alive any more, as far as this instance has seen.
    pub fn unmark(&self, bit: u32) {
        self.ring.iter().for_each(|cell| cell.load().seen.unmark(bit));
    }

    /// Slot numbers and who was seen in them, newest first.
    pub fn slots(&self, now_ms: i64) -> Vec<(i64, Bits)> {
        let running = slot_of(now_ms);
        let kept = (0..SLOTS_KEPT as i64).map(|age| (running - age, self.cell(running - age).load()));
        kept.filter(|(number, slot)| slot.number == *number)
            .map(|(number, slot)| (number, slot.seen.to_bits()))
            .collect()
    }

    /// All kept slots under other numbers, once, when a draw turns numbers into ranks. It is a new value, to be
    /// swapped in together with the table of the draw: whoever marks by number still has the old one in hand, and
    /// can never mark a rank that is somebody else's.
    #[must_use = "the slots themselves stay as they are"]
    pub fn remap(&self, rank_of: impl Fn(u32) -> u32) -> Slots {
        let moved = |cell: &ArcSwap<Slot>| {
            let slot = cell.load();
            ArcSwap::from_pointee(Slot { number: slot.number, seen: slot.seen.permute(&rank_of) })
        };
        Slots { ring: std::array::from_fn(|at| moved(&self.ring[at])) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_are_a_set_of_numbers(ones in btree_set(0u32..70_000, 0..80), more in btree_set(0u32..70_000, 0..80)) {
            let bits: Bits = ones.iter().copied().collect();
            prop_assert_eq!(bits.iter_ones().collect::<BTreeSet<_>>(), ones.clone());
            prop_assert_eq!(bits.count() as usize, ones.len());
            prop_assert_eq!(bits.len(), ones.last().map_or(0, |last| last + 1));
            prop_assert_eq!(bits.is_empty(), ones.is_empty());
            prop_assert!(more.iter().all(|bit| bits.get(*bit) == ones.contains(bit)));

            let other: Bits = more.iter().copied().collect();
            let (mut both, mut rest) = (bits.clone(), bits.clone());
            both.or_with(&other.to_bytes());
            prop_assert_eq!(both.iter_ones().collect::<BTreeSet<_>>(), &ones | &more);
            rest.without(&other);
            prop_assert_eq!(rest.iter_ones().collect::<BTreeSet<_>>(), &ones - &more);
            let mut by_words = bits.clone();
            by_words.or(&other);
            prop_assert_eq!(by_words, both);
        }

        #[test]
        fn bytes_are_redis_s(ones in btree_set(0u32..5_000, 0..60)) {
            let bits: Bits = ones.iter().copied().collect();
            let bytes = bits.to_bytes();
            let mut redis = vec![0u8; ones.last().map_or(0, |last| *last as usize / 8 + 1)];
            ones.iter().for_each(|bit| redis[*bit as usize / 8] |= 0x80 >> (bit % 8));
            prop_assert_eq!(&bytes, &redis);
            redis.extend([0; 9]);
            prop_assert_eq!(Bits::from_bytes(&redis), bits);
        }

        #[test]
        fn only_what_lies_behind_is_taken(ones in btree_set(0u32..400, 0..60), rank in 0u32..500) {
            let mut bits = Bits::default();
            bits.or_behind(&ones.iter().copied().collect(), rank);
            prop_assert_eq!(bits.iter_ones().collect::<Vec<_>>(), ones.into_iter().filter(|one| *one > rank).collect::<Vec<_>>());
        }

        #[test]
        fn renumbering_moves_every_slot(marks in vec((1u32..=5_000, 0i64..100_000), 1..60)) {
            let slots = Slots::default();
            marks.iter().for_each(|(bit, at_ms)| slots.mark(*bit, *at_ms));
            let mirrored = slots.remap(|bit| 5_001 - bit);
            slots.mark(4_999, 99_000);
            for (number, bits) in mirrored.slots(100_000) {
                let seen = marks.iter().filter(|(_, at_ms)| slot_of(*at_ms) == number);
                prop_assert_eq!(bits, seen.map(|(bit, _)| 5_001 - bit).collect::<Bits>());
            }
        }
    }

    #[test]
    fn there_is_a_limit_on_numbers() {
        let (mut bits, shared) = (Bits::default(), AtomicBits::default());
        for bit in [RANK_MAX, RANK_MAX + 1, u32::MAX] {
            bits.set(bit);
            shared.mark(bit);
            shared.unmark(bit + u32::from(bit == RANK_MAX));
        }
        assert_eq!(bits.iter_ones().collect::<Vec<_>>(), [RANK_MAX]);
        assert_eq!(shared.to_bits(), bits);
        assert!(Bits::from_bytes(&vec![0xff; RANK_MAX as usize / 8 + 100]).len() <= RANK_MAX + WORD_BITS);
    }

    #[test]
    fn a_million_people_are_125_kilobytes() {
        let shared = AtomicBits::default();
        (1..=1_000_000).for_each(|bit| shared.mark(bit));
        assert_eq!(shared.to_bits().to_bytes().len(), 125_001);
        assert_eq!(shared.chunks.iter().filter(|chunk| chunk.get().is_some()).count(), 16);
    }

    #[test]
    fn no_mark_is_lost_between_threads() {
        let slots = Slots::default();
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                let slots = &slots;
                // Everybody walks through the same rotations, so that threads race to swap.
                scope.spawn(move || {
                    (0..20_000u32).for_each(|i| slots.mark(i * 4 + thread, i64::from(i / 4_000) * SLOT_MS))
                });
            }
        });
        let seen = slots.slots(4 * SLOT_MS);
        assert_eq!(seen.iter().map(|(_, bits)| bits.count()).sum::<u32>(), 80_000);
        assert_eq!(seen.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [4, 3, 2, 1, 0]);
    }

    #[test]
    fn slots_turn_and_forget() {
        let slots = Slots::default();
        for slot in 0..20i64 {
            slots.mark(slot as u32 + 1, slot * SLOT_MS + 14_999);
        }
        let seen: Vec<_> =
            slots.slots(19 * SLOT_MS).into_iter().map(|(n, bits)| (n, bits.iter_ones().collect::<Vec<_>>())).collect();
        assert_eq!(seen, (13..20).rev().map(|slot| (slot, vec![slot as u32 + 1])).collect::<Vec<_>>());
        slots.unmark(15);
        assert!(slots.slots(19 * SLOT_MS).iter().all(|(_, bits)| !bits.get(15)));
        assert!(slots.slots(100 * SLOT_MS).is_empty());
    }

    #[test]
    fn a_late_writer_spoils_nothing_and_a_clock_set_back_recovers() {
        let slots = Slots::default();
        slots.mark(1, 0);
        let held = slots.cell(0).load_full();
        slots.mark(2, 7 * SLOT_MS);
        held.seen.mark(3);
        assert_eq!(slots.slots(7 * SLOT_MS), [(7, Bits::from_iter([2]))]);

        slots.mark(4, 0);
        assert_eq!(slots.slots(0), [(0, Bits::from_iter([4]))]);
    }
}
