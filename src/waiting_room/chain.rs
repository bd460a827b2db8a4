//! The public log of a run as a hash chain: whoever keeps one hash can tell later whether anything before it was changed.
//! Pure.
//!
//! Layout: `‖` joins bytes; numbers are unsigned and big-endian (`at_ms`: signed, two's complement), `be32` has 4 bytes,
//! `be64` has 8; texts are ASCII behind their length.
//!
//! ```text
//! genesis = SHA-256("wr-log-v1" ‖ len(code):be16 ‖ code ‖ run:be32)        prev_hash of seq 1
//! hash    = SHA-256("wr-log-v1" ‖ prev_hash:32 ‖ run:be32 ‖ seq:be64 ‖ at_ms:be64 ‖ len(phase):be16 ‖ phase
//!                   ‖ serving_general:be32 ‖ serving_invited:be32 ‖ active:be32 ‖ waiting:be32)
//! ```

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;

use super::model::{LANES, Phase};

const LABEL: &[u8] = b"wr-log-v1";

pub type Hash = [u8; 32];

/// What a row tells; its place in the chain comes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// In a row: whole milliseconds.
    pub at: Timestamp,
    pub phase: Phase,
    pub serving: [u32; LANES],
    pub active: u32,
    pub waiting: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub seq: i64,
    pub facts: Facts,
    pub prev_hash: Hash,
    pub hash: Hash,
}

pub fn genesis(code: &str, run: u32) -> Hash {
    let mut text = LABEL.to_vec();
    push_text(&mut text, code);
    text.extend_from_slice(&run.to_be_bytes());
    sha256(&text)
}

/// The row after `prev_hash`. What is stored and shown is cut to what is hashed.
pub fn next(prev_hash: Hash, run: u32, seq: i64, facts: Facts) -> Row {
    let at = Timestamp::from_millisecond(facts.at.as_millisecond()).unwrap_or(facts.at);
    let facts = Facts { at, ..facts };
    let hash = hash(&prev_hash, run, seq, &facts);
    Row { seq, facts, prev_hash, hash }
}

/// `first_prev` is the genesis for rows from seq 1, else the hash before the first row that was given. `Err` is the
/// seq of the first row that does not fit.
pub fn verify(first_prev: Hash, run: u32, rows: &[Row]) -> Result<Hash, i64> {
    let mut prev = first_prev;
    let mut expected = rows.first().map_or(1, |row| row.seq);
    for row in rows {
        if row.seq != expected || row.prev_hash != prev || row.hash != hash(&prev, run, row.seq, &row.facts) {
            return Err(row.seq);
        }
        (prev, expected) = (row.hash, expected + 1);
    }
    Ok(prev)
}

fn hash(prev_hash: &Hash, run: u32, seq: i64, facts: &Facts) -> Hash {
    let mut text = LABEL.to_vec();
    text.extend_from_slice(prev_hash);
    text.extend_from_slice(&run.to_be_bytes());
    text.extend_from_slice(&seq.to_be_bytes());
    text.extend_from_slice(&facts.at.as_millisecond().to_be_bytes());
    push_text(&mut text, facts.phase.as_str());
    for number in [facts.serving[0], facts.serving[1], facts.active, facts.waiting] {
        text.extend_from_slice(&number.to_be_bytes());
    }
    sha256(&text)
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    // Codes and phases are far shorter than 64 KB.
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn sha256(bytes: &[u8]) -> Hash {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::secrets::hex;

    fn rows(run: u32, count: i64) -> Vec<Row> {
        let mut prev = genesis("aaa", run);
        (1..=count)
            .map(|seq| {
                let n = seq as u32;
                let at = Timestamp::from_millisecond(1_764_000_000_000 + seq).unwrap();
                let facts = Facts { at, phase: Phase::Open, serving: [n * 3, n], active: 5, waiting: 100 - n };
                let row = next(prev, run, seq, facts);
                prev = row.hash;
                row
            })
            .collect()
    }

    #[test]
    fn the_layout_stays_as_it_is() {
        // Computed with Python's hashlib from the layout above.
        assert_eq!(hex(&genesis("aaa", 7)), "76b66f6e00e144d6d2af343b1727ab4eee9e55634b4f981a2afe578bf7c02f38");
        assert_eq!(hex(&rows(7, 1)[0].hash), "f24c86bde376df46aa8a2077eef649f3a661165aef3c3d93198332d81be8812c");
    }

    #[test]
    fn whatever_is_changed_is_seen() {
        let start = genesis("aaa", 1);
        let good = rows(1, 5);
        assert_eq!(verify(start, 1, &good), Ok(good[4].hash));
        assert_eq!(verify(good[1].hash, 1, &good[2..]), Ok(good[4].hash));
        assert_eq!(verify(start, 1, &[]), Ok(start));
        assert!(verify(genesis("bbb", 1), 1, &good).is_err());
        assert!(verify(start, 2, &good).is_err());
        type Change = fn(&mut Row);
        let changes: [Change; 9] = [
            |row| row.facts.at = Timestamp::from_millisecond(row.facts.at.as_millisecond() + 1).unwrap(),
            |row| row.facts.phase = Phase::Drain,
            |row| row.facts.serving[0] += 1,
            |row| row.facts.serving[1] += 1,
            |row| row.facts.active += 1,
            |row| row.facts.waiting += 1,
            |row| row.seq += 1,
            |row| row.hash[0] ^= 1,
            |row| row.prev_hash[31] ^= 1,
        ];
        for change in changes {
            let mut bad = good.clone();
            change(&mut bad[2]);
            let seq = verify(start, 1, &bad).unwrap_err();
            assert!((3..=4).contains(&seq), "{seq}");
        }
        // A row that was changed and hashed anew breaks the next one; one that is missing, too.
        let mut bad = good.clone();
        bad[2] = next(bad[1].hash, 1, 3, Facts { active: 6, ..bad[2].facts.clone() });
        assert_eq!(verify(start, 1, &bad), Err(4));
        let mut gap = good;
        gap.remove(2);
        assert_eq!(verify(start, 1, &gap), Err(4));
    }
}
