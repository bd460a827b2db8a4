//! The verifiable draw "wr-draw-v1": who stands where, from values that are public afterwards. Pure.
//!
//! Anybody who has the draw's seed and the size `m` of the cohort gets every rank, so nothing about people is
//! published. `web/assets/verify_draw.py` and `web/assets/draw.js` do the same in other languages, and
//! `tests/vectors/draw.json` keeps the three together. The layout can never change once a commitment names it.
//!
//! Layout: `‖` joins bytes; `be16`, `be32` are unsigned and big-endian; texts are ASCII without a terminator.
//!
//! ```text
//! account_digest = SHA-256(device:be32 ‖ salt:16)              device 0xffffffff: a number without an owner
//! leaf(n)        = SHA-256("leaf" ‖ len(code):be16 ‖ code ‖ n:be32 ‖ account_digest:32)
//! node           = SHA-256("node" ‖ left:32 ‖ right:32)        an odd last node moves up as it is
//! root           = the last node left over leaf(1) … leaf(m); SHA-256("empty") if m = 0
//! seed_hash      = SHA-256(server_seed:32)
//! seed           = SHA-256("wr-draw-v1" ‖ len(code):be16 ‖ code ‖ len(beacon):be16 ‖ beacon
//!                          ‖ server_seed:32 ‖ root:32 ‖ m:be32)    no beacon came: its length is 0
//! key(n)         = SHA-256(seed:32 ‖ n:be32)                   n = 1 … m
//! rank(n)        = 1 + how many keys are smaller than key(n) as 256-bit numbers; n itself if n > m
//! ```
//!
//! Leaves, nodes and the empty root start differently, so none can pass for another.

use aws_lc_rs::digest;

pub const ALGORITHM: &str = "wr-draw-v1";

/// The device of a number that belongs to nobody, e.g. one of a block that was lost with its instance.
pub const NOBODY: u32 = u32::MAX;

pub type Hash = [u8; 32];

/// Leaves are kept in chunks of so many. A power of two: the root of a chunk is a node of the whole tree. [leaves]
pub const CHUNK: usize = 1_024;

pub fn account_digest(device: u32, salt: &[u8; 16]) -> Hash {
    let mut text = [0u8; 20];
    text[..4].copy_from_slice(&device.to_be_bytes());
    text[4..].copy_from_slice(salt);
    sha256(&text)
}

pub fn leaf(code: &str, number: u32, account_digest: &Hash) -> Hash {
    let mut text = Vec::with_capacity(4 + 2 + code.len() + 4 + 32);
    text.extend_from_slice(b"leaf");
    push_field(&mut text, code.as_bytes());
    text.extend_from_slice(&number.to_be_bytes());
    text.extend_from_slice(account_digest);
    sha256(&text)
}

pub fn seed_hash(server_seed: &[u8; 32]) -> Hash {
    sha256(server_seed)
}

/// An empty `beacon_value` is the weaker draw, when the beacon did not come.
pub fn draw_seed(code: &str, beacon_value: &[u8], server_seed: &[u8; 32], root: &Hash, m: u32) -> Hash {
    let mut text = Vec::with_capacity(10 + 4 + code.len() + beacon_value.len() + 32 + 32 + 4);
    text.extend_from_slice(ALGORITHM.as_bytes());
    push_field(&mut text, code.as_bytes());
    push_field(&mut text, beacon_value);
    text.extend_from_slice(server_seed);
    text.extend_from_slice(root);
    text.extend_from_slice(&m.to_be_bytes());
    sha256(&text)
}

/// A cohort's Merkle tree, built leaf by leaf: one node per level is kept, so a million leaves need 1 KB.
#[derive(Default)]
pub struct Tree {
    /// Roots of the full subtrees so far, one per set bit of `len`, largest first.
    full: Vec<Hash>,
    len: u32,
}

impl Tree {
    /// Leaves come in the order of their numbers.
    pub fn push(&mut self, leaf: Hash) {
        // As in a binary counter: every carry joins two subtrees of one size.
        let joined = self.full.len() - self.len.trailing_ones() as usize;
        let node = self.full.drain(joined..).rev().fold(leaf, |right, left| inner(&left, &right));
        self.full.push(node);
        self.len += 1;
    }

    pub fn root(&self) -> Hash {
        let joined = self.full.iter().rev().copied().reduce(|right, left| inner(&left, &right));
        joined.unwrap_or_else(|| sha256(b"empty"))
    }
}

pub fn merkle_root(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// What `leaves[index]` is joined with on its way up: 20 hashes for a million. Hashes all leaves once.
/// Nothing for an index that is not there, which proves nothing.
pub fn proof(leaves: &[Hash], index: usize) -> Vec<Hash> {
    let mut steps = Vec::new();
    if index >= leaves.len() {
        return steps;
    }
    let (mut at, mut width) = (index, 1);
    while width < leaves.len() {
        let from = (at ^ 1) * width;
        // No neighbour: this node is the odd last one.
        if from < leaves.len() {
            steps.push(merkle_root(&leaves[from..leaves.len().min(from + width)]));
        }
        (at, width) = (at / 2, width * 2);
    }
    steps
}

/// The same from the chunk that holds `index` and the roots of all chunks: hashes 2,000 nodes for a million leaves.
pub fn proof_by_chunks(chunk: &[Hash], roots: &[Hash], index: usize) -> Vec<Hash> {
    [proof(chunk, index % CHUNK), proof(roots, index / CHUNK)].concat()
}

/// Whether `leaf` stands at `index` of the `m` leaves below `root`.
pub fn verify_proof(leaf: &Hash, index: usize, m: usize, steps: &[Hash], root: &Hash) -> bool {
    if index >= m {
        return false;
    }
    let mut steps = steps.iter();
    let (mut node, mut at, mut last) = (*leaf, index, m - 1);
    while last > 0 {
        // Sides follow from the place: the prover cannot choose them.
        if at % 2 == 1 || at < last {
            let Some(step) = steps.next() else { return false };
            node = if at % 2 == 1 { inner(step, &node) } else { inner(&node, step) };
        }
        (at, last) = (at / 2, last / 2);
    }
    steps.next().is_none() && node == *root
}

/// The ranks of a drawn cohort, four bytes per person. The default is of nobody: every number is its own rank.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RankTable {
    /// By number - 1.
    ranks: Vec<u32>,
}

impl RankTable {
    /// Hashes and sorts `m` keys: for a million a few tenths of a second and, until it returns, 16 MB more.
    pub fn draw(seed: &[u8; 32], m: u32) -> RankTable {
        let mut text = [0u8; 36];
        text[..32].copy_from_slice(seed);
        RankTable::by_keys(m, |number| {
            let mut text = text;
            text[32..].copy_from_slice(&number.to_be_bytes());
            sha256(&text)
        })
    }

    fn by_keys(m: u32, key: impl Fn(u32) -> Hash) -> RankTable {
        let mut order: Vec<(u64, u32)> = (1..=m).map(|number| (first_bits(&key(number)), number)).collect();
        // The rest of a key decides only between equal beginnings, so it is not kept. Equal keys do not happen.
        order.sort_unstable_by(|(a, one), (b, other)| {
            a.cmp(b).then_with(|| key(*one).cmp(&key(*other))).then(one.cmp(other))
        });
        let mut ranks = vec![0; order.len()];
        for (rank, (_, number)) in (1..).zip(order) {
            ranks[number as usize - 1] = rank;
        }
        RankTable { ranks }
    }

    /// The number itself for those who came after the cohort was closed.
    pub fn rank_of(&self, number: u32) -> u32 {
        let index = (number as usize).checked_sub(1);
        index.and_then(|index| self.ranks.get(index)).copied().unwrap_or(number)
    }

    pub fn is_empty(&self) -> bool {
        self.ranks.is_empty()
    }

    /// People of the cohort.
    pub fn m(&self) -> u32 {
        self.ranks.len() as u32
    }
}

fn first_bits(key: &Hash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *key;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn inner(left: &Hash, right: &Hash) -> Hash {
    let mut text = [0u8; 68];
    text[..4].copy_from_slice(b"node");
    text[4..36].copy_from_slice(left);
    text[36..].copy_from_slice(right);
    sha256(&text)
}

/// Codes have 31 bytes at most and beacon values a few dozen; longer than two bytes can tell is a bug.
fn push_field(text: &mut Vec<u8>, field: &[u8]) {
    debug_assert!(field.len() <= usize::from(u16::MAX), "a field of {} bytes", field.len());
    text.extend_from_slice(&(field.len() as u16).to_be_bytes());
    text.extend_from_slice(field);
}

/// Plain: `secrets::sha256` puts lengths of four bytes between its parts.
fn sha256(text: &[u8]) -> Hash {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, text).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(m: u32) -> Vec<Hash> {
        (1..=m).map(|number| leaf("xyz", number, &account_digest(number * 7, &[number as u8; 16]))).collect()
    }

    /// As the layout says it, level by level.
    fn plain_root(leaves: &[Hash]) -> Hash {
        let mut level = leaves.to_vec();
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| pair.get(1).map_or(pair[0], |right| inner(&pair[0], right))).collect();
        }
        level.first().copied().unwrap_or_else(|| sha256(b"empty"))
    }

    fn seed(n: u64) -> [u8; 32] {
        sha256(&n.to_be_bytes())
    }

    fn ranks(table: &RankTable) -> impl Iterator<Item = (u32, u32)> {
        (1..=table.m()).map(|number| (number, table.rank_of(number)))
    }

    #[test]
    fn every_place_of_a_cohort_is_proved_and_nothing_else_is() {
        for m in 0..=40usize {
            let leaves = leaves(m as u32);
            let root = merkle_root(&leaves);
            assert_eq!(root, plain_root(&leaves), "{m} leaves");
            assert!(!verify_proof(&root, 0, 0, &[], &root), "nobody stands in an empty cohort");
            for (index, leaf) in leaves.iter().enumerate() {
                let steps = proof(&leaves, index);
                let holds = |leaf, index, m, steps: &[Hash]| verify_proof(leaf, index, m, steps, &root);
                assert!(holds(leaf, index, m, &steps), "{index} of {m}");
                assert!(steps.len() <= 6);
                for other in (0..m + 2).filter(|other| *other != index) {
                    assert!(!holds(leaf, other, m, &steps), "{index} of {m} passed for {other}");
                }
                let mut forged = *leaf;
                forged[31] ^= 1;
                assert!(!holds(&forged, index, m, &steps));
                for (at, byte) in (0..steps.len()).flat_map(|at| [(at, 0), (at, 31)]) {
                    let mut forged = steps.clone();
                    forged[at][byte] ^= 0x80;
                    assert!(!holds(leaf, index, m, &forged));
                }
                let longer = [steps.as_slice(), &[*leaf]].concat();
                assert!(!holds(leaf, index, m, &longer));
                assert!(steps.is_empty() || !holds(leaf, index, m, &steps[1..]));
                assert!(!verify_proof(leaf, index, m, &steps, &seed(1)));
            }
            assert!(proof(&leaves, m).is_empty());
        }
    }

    #[test]
    fn proofs_by_chunks_are_those_of_the_whole_tree() {
        for m in [1, 2, 1_023, 1_024, 1_025, 2_048, 2_049, 3_000, 5_000] {
            let leaves = leaves(m as u32);
            let roots: Vec<Hash> = leaves.chunks(CHUNK).map(merkle_root).collect();
            let root = merkle_root(&leaves);
            assert_eq!(merkle_root(&roots), root, "{m} leaves");
            assert_eq!(plain_root(&leaves), root, "{m} leaves");
            // The ends of chunks and what lies beside them, and a few in between.
            let near = |at: usize| at.saturating_sub(2)..(at + 2).min(m);
            let ends = (0..=m.div_ceil(CHUNK)).flat_map(|chunk| near((chunk * CHUNK).min(m)));
            for index in ends.chain((0..m).step_by(397)) {
                let chunk = leaves.chunks(CHUNK).nth(index / CHUNK).unwrap();
                let steps = proof_by_chunks(chunk, &roots, index);
                assert_eq!(steps, proof(&leaves, index), "{index} of {m}");
                assert!(verify_proof(&leaves[index], index, m, &steps, &root), "{index} of {m}");
            }
        }
        assert_eq!(merkle_root(&[]), plain_root(&[]), "a cohort of nobody has no chunks");
    }

    #[test]
    fn a_node_does_not_pass_for_a_leaf() {
        let four = leaves(4);
        let halves = [inner(&four[0], &four[1]), inner(&four[2], &four[3])];
        // The tree of two nodes has the same root: only the committed size tells them apart.
        assert_eq!(merkle_root(&halves), merkle_root(&four));
        assert!(!verify_proof(&halves[0], 0, 4, &proof(&halves, 0), &merkle_root(&four)));
    }

    #[test]
    fn whatever_goes_into_a_seed_changes_it() {
        let base = draw_seed("xyz", b"beacon", &[1; 32], &[2; 32], 7);
        for other in [
            draw_seed("xyy", b"beacon", &[1; 32], &[2; 32], 7),
            draw_seed("xyzb", b"eacon", &[1; 32], &[2; 32], 7),
            draw_seed("xyz", b"", &[1; 32], &[2; 32], 7),
            draw_seed("xyz", b"beacon", &[3; 32], &[2; 32], 7),
            draw_seed("xyz", b"beacon", &[1; 32], &[3; 32], 7),
            draw_seed("xyz", b"beacon", &[1; 32], &[2; 32], 8),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn who_came_after_the_freeze_keeps_the_number() {
        let table = RankTable::draw(&seed(1), 3);
        assert_eq!((table.m(), table.is_empty()), (3, false));
        assert_eq!((table.rank_of(4), table.rank_of(u32::MAX), table.rank_of(0)), (4, u32::MAX, 0));
        let nobody = RankTable::draw(&seed(1), 0);
        assert!(nobody.is_empty() && nobody == RankTable::default() && nobody.rank_of(1) == 1);
    }

    #[test]
    fn the_rest_of_a_key_decides_between_equal_beginnings() {
        // All begin alike; the last byte falls, but for two keys that are the same throughout.
        let table = RankTable::by_keys(200, |number| {
            let mut key = [9; 32];
            key[31] = 255 - number.min(199) as u8;
            key
        });
        for (number, rank) in ranks(&table) {
            assert_eq!(
                rank,
                if number == 200 {
                    2
                } else if number == 199 {
                    1
                } else {
                    201 - number
                }
            );
        }
    }

    #[test]
    fn ranks_have_nothing_to_do_with_numbers() {
        const M: u32 = 50_000;
        for n in 0..4 {
            let table = RankTable::draw(&seed(n), M);
            let mut deciles = [[0f64; 10]; 10];
            let (mut together, middle) = (0f64, f64::from(M + 1) / 2.0);
            for (number, rank) in ranks(&table) {
                let decile = |place: u32| (u64::from(place - 1) * 10 / u64::from(M)) as usize;
                deciles[decile(number)][decile(rank)] += 1.0;
                together += (f64::from(number) - middle) * (f64::from(rank) - middle);
            }
            let expected = f64::from(M) / 100.0;
            let chi_square: f64 = deciles.iter().flatten().map(|seen| (seen - expected).powi(2) / expected).sum();
            // 81 degrees of freedom: a fair draw stays below this 999 times in 1,000.
            assert!(chi_square < 126.1, "seed {n}: {chi_square}");
            // ... and suspiciously even ones are above this as often.
            assert!(chi_square > 46.4, "seed {n}: {chi_square}");
            let spread = f64::from(M) * (f64::from(M).powi(2) - 1.0) / 12.0;
            let correlation = together / spread;
            assert!(correlation.abs() < 3.3 / f64::from(M).sqrt(), "seed {n}: {correlation}");
        }
    }

    proptest! {
        #[test]
        fn a_draw_is_a_permutation_in_the_order_of_the_keys(seed: [u8; 32], m in 0u32..400) {
            let table = RankTable::draw(&seed, m);
            let mut keys = vec![[0; 32]; m as usize];
            for (number, rank) in ranks(&table) {
                let place = &mut keys[rank as usize - 1];
                prop_assert_eq!(*place, [0; 32], "rank {} twice", rank);
                *place = sha256(&[seed.as_slice(), &number.to_be_bytes()].concat());
            }
            prop_assert!(keys.is_sorted());
        }

        #[test]
        fn proofs_hold_in_large_cohorts(m in 41u32..3_000, at: prop::sample::Index) {
            let leaves = leaves(m);
            let index = at.index(leaves.len());
            let root = plain_root(&leaves);
            prop_assert_eq!(merkle_root(&leaves), root);
            prop_assert!(verify_proof(&leaves[index], index, leaves.len(), &proof(&leaves, index), &root));
        }
    }
}
