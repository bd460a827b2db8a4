//! Identifiers: time-ordered row ids, order numbers that cannot be walked, random secrets.

use jiff::Timestamp;
use rand::Rng;
use uuid::{NoContext, Uuid};

use super::clock::seoul;

/// A time-ordered id, so that new rows land at the end of their index.
pub fn row_id(now: Timestamp) -> Uuid {
    Uuid::new_v7(uuid::Timestamp::from_unix(
        NoContext,
        now.as_second().max(0) as u64,
        now.subsec_nanosecond().max(0) as u32,
    ))
}

/// Below every id of that instant, and above every one of the millisecond before.
pub fn row_id_floor(at: Timestamp) -> Uuid {
    let ms = at.as_millisecond().clamp(0, (1 << 48) - 1).unsigned_abs();
    Uuid::from_u128(u128::from(ms) << 80)
}

/// Crockford's base 32: no I, L, O, U, so that a number can be read over the phone.
pub const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What a character of it stands for, as people write them.
pub fn crockford_value(typed: u8) -> Option<u64> {
    let meant = match typed.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    CROCKFORD.iter().position(|c| *c == meant).map(|at| at as u64)
}

/// `ORD20250725-` and 10 random characters: 50 bits, which cannot be walked.
pub fn order_number(now: Timestamp) -> String {
    let day = now.to_zoned(seoul()).date();
    let mut number = format!("ORD{:04}{:02}{:02}-", day.year(), day.month(), day.day());
    let mut bits: u64 = rand::rng().random();
    for _ in 0..10 {
        number.push(CROCKFORD[(bits & 31) as usize] as char);
        bits >>= 5;
    }
    number
}

/// True for what `order_number` can produce; everything else is not worth a query.
pub fn is_order_number(text: &str) -> bool {
    text.len() == 22
        && text.starts_with("ORD")
        && text.as_bytes()[3..11].iter().all(u8::is_ascii_digit)
        && text.as_bytes()[11] == b'-'
        && text.as_bytes()[12..].iter().all(|b| CROCKFORD.contains(b))
}

/// `ORD20250725-0123456789-1`: what an attempt to pay is called outside.
pub fn is_attempt_id(text: &str) -> bool {
    text.rsplit_once('-').is_some_and(|(number, n)| {
        is_order_number(number) && (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit())
    })
}

/// The shape of a payment provider's key.
pub fn is_payment_key(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'='))
}

pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    rand::rng().fill(&mut bytes[..]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_numbers_carry_the_day_in_seoul_and_are_recognised() {
        let late_evening_utc: Timestamp = "2025-07-24T20:00:00Z".parse().unwrap();
        let number = order_number(late_evening_utc);
        assert!(number.starts_with("ORD20250725-"), "{number}");
        assert!(is_order_number(&number));
        assert!(!is_order_number("ORD20250725-ILOUILOUIL"));
        assert!(!is_order_number("ORD2025072é-0123456789"));
        assert_ne!(number, order_number(late_evening_utc));
    }
}
