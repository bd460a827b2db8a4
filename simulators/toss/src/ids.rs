//! Identifiers in the shapes Toss gives them. Random parts come from the thread's cryptographic generator.

use crate::clock::kst_compact;
use rand::{Rng, distr::Alphanumeric, distr::SampleString};

/// `mId` of the demo merchant; its first five characters open every paymentKey.
pub const MERCHANT_ID: &str = "tgen_demo";

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `tgen_20250626194853NtWm4`. Five characters repeat within a busy second, so the store refuses a taken key.
pub fn payment_key(now_ms: i64) -> String {
    format!("{}{}{}", &MERCHANT_ID[..5], kst_compact(now_ms), alphanumeric(5))
}

/// `ps_` and 28 characters: what webhooks are checked against.
pub fn secret() -> String {
    format!("ps_{}", alphanumeric(28))
}

pub fn transmission_id() -> String {
    format!("whtrans_a01{}", crockford(23))
}

pub fn trace_id() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

/// `txrd_a01` and 26 characters that begin with the row's number, so that a page of the ledger can be found
/// from its key without a search.
pub fn transaction_key(row: u64) -> String {
    let mut number = [b'0'; 10];
    for (place, byte) in number.iter_mut().rev().enumerate() {
        *byte = CROCKFORD[(row >> (5 * place)) as usize & 31];
    }
    format!("txrd_a01{}{}", String::from_utf8_lossy(&number), crockford(16))
}

/// The row a transaction key claims to be; the caller compares the whole key.
pub fn transaction_row(key: &str) -> Option<u64> {
    let number = key.strip_prefix("txrd_a01")?.as_bytes().get(..10)?;
    number.iter().try_fold(0u64, |row, byte| {
        let digit = CROCKFORD.iter().position(|c| c == byte)?;
        Some((row << 5) | digit as u64)
    })
}

/// Test accounts begin with `X` and cannot be paid into.
pub fn account_number() -> String {
    format!("X{:013}", rand::rng().random_range(0..10_000_000_000_000u64))
}

pub fn micros() -> u16 {
    rand::rng().random_range(0..1_000)
}

fn alphanumeric(len: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), len)
}

fn crockford(len: usize) -> String {
    let mut rng = rand::rng();
    (0..len).map(|_| char::from(CROCKFORD[rng.random_range(0..32)])).collect()
}
