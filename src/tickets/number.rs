//! The number of a ticket that people read and type where the QR cannot be read: eight Crockford characters from a digest
//! of its id and version. A re-issued ticket has a new one. Pure.

use uuid::Uuid;

use crate::platform::ids::{CROCKFORD, crockford_value};
use crate::platform::secrets::plain_sha256;

/// Bytes of a digest that finds a ticket for whoever has its id, and does not lead back to it.
pub const KEY_BYTES: usize = 8;
/// The first of them, which the number spells: 40 bits.
pub const NUMBER_BYTES: usize = 5;
const CHARS: usize = 8;

/// Postgres and the devices compute it as well.
pub fn key(ticket_id: Uuid, version: u16) -> [u8; KEY_BYTES] {
    let mut named = [0; 18];
    named[..16].copy_from_slice(ticket_id.as_bytes());
    named[16..].copy_from_slice(&version.to_be_bytes());
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(&plain_sha256(&named)[..KEY_BYTES]);
    key
}

/// `K7QM-2X9P`.
pub fn of(ticket_id: Uuid, version: i16) -> String {
    let key = key(ticket_id, version.unsigned_abs());
    let bits = key[..NUMBER_BYTES].iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    let mut number = String::with_capacity(CHARS + 1);
    for n in (0..CHARS).rev() {
        number.push(CROCKFORD[(bits >> (5 * n)) as usize & 31] as char);
        if n == CHARS / 2 {
            number.push('-');
        }
    }
    number
}

/// What somebody typed. Case, hyphens, blanks, O for 0 and I or L for 1 are forgiven.
pub fn read(text: &str) -> Option<[u8; NUMBER_BYTES]> {
    // Much longer than any way of writing it.
    if text.len() > 4 * CHARS {
        return None;
    }
    let mut values = text.bytes().filter(|b| !matches!(b, b' ' | b'-')).map(crockford_value);
    let mut bits = 0u64;
    for _ in 0..CHARS {
        bits = bits << 5 | values.next()??;
    }
    if values.next().is_some() {
        return None;
    }
    let mut number = [0; NUMBER_BYTES];
    number.copy_from_slice(&bits.to_be_bytes()[8 - NUMBER_BYTES..]);
    Some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_reads_back_as_the_first_bytes_of_the_key(id: u128, version in 0i16..) {
            let id = Uuid::from_u128(id);
            let key = key(id, version.unsigned_abs());
            prop_assert_eq!(&read(&of(id, version)).unwrap()[..], &key[..NUMBER_BYTES]);
        }

        #[test]
        fn whatever_is_typed_is_read_or_refused(text in ".{0,40}") {
            let _ = read(&text);
        }
    }

    #[test]
    fn slips_of_the_hand_are_forgiven() {
        let number = read("0123-4567");
        assert!(number.is_some());
        for same in ["01234567", " o1 23-45-67 ", "OL234567", "oi23 4567"] {
            assert_eq!(read(same), number, "{same}");
        }
        assert_eq!(read("abcdefgh"), read("ABCD-EFGH"));
        for wrong in ["", "0123456", "012345678", "0123456U", "0123456!", "홍길동일이삼사", &"0".repeat(1000)] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
