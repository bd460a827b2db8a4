//! Ticket codes: what a QR says. Pure.
//!
//! `AD1.` and base64url (no padding) of 93 bytes, big-endian:
//!
//! | Bytes | Field |
//! |---|---|
//! | 0 | layout version, 1 |
//! | 1 | signing key id |
//! | 2 | kind: 1 one person, 2 all people of an order |
//! | 3..19 | ticket id; of a group the order id |
//! | 19..21 | ticket version: re-issuing a ticket raises it, and every older code is void |
//! | 21..25 | exhibition id |
//! | 25..27 | first valid day, in days since 2020-01-01 |
//! | 27..29 | last valid day |
//! | 29..93 | Ed25519 signature over bytes 0..29 |
//!
//! 128 characters fit QR version 8 at error correction M (152 bytes); a JWT of the same needs version 11, which
//! phones at a dark door read worse. A scanner without a network checks the signature and the days by itself.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::civil::{Date, date};
use uuid::Uuid;

pub const PREFIX: &str = "AD1.";
pub const LAYOUT: u8 = 1;
pub const SIGNED_BYTES: usize = 29;
pub const SIGNATURE_BYTES: usize = 64;
const CODE_BYTES: usize = SIGNED_BYTES + SIGNATURE_BYTES;
/// 93 bytes are 124 characters without remainder, so a code has exactly one spelling.
const CODE_CHARS: usize = PREFIX.len() + CODE_BYTES / 3 * 4;
/// Days are counted from here, in codes and at the gates.
pub const DAY_ZERO: Date = date(2020, 1, 1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Single,
    /// All tickets of an order under one code.
    Group,
}

/// What a code says of its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    pub key_id: u8,
    pub kind: Kind,
    pub ticket_id: Uuid,
    pub version: u16,
    pub exhibition_id: u32,
    pub valid_from: Date,
    pub valid_until: Date,
}

/// A well-formed code whose signature nobody has looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    pub claims: Claims,
    pub message: [u8; SIGNED_BYTES],
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Days since 2020-01-01. Dates outside 2020..2199 cannot be written and are held to the nearest that can.
fn day_number(day: Date) -> u16 {
    let days = (day - DAY_ZERO).get_days();
    days.clamp(0, i32::from(u16::MAX)) as u16
}

fn day_of(number: u16) -> Option<Date> {
    DAY_ZERO.checked_add(jiff::Span::new().days(i32::from(number))).ok()
}

impl Claims {
    pub fn message(&self) -> [u8; SIGNED_BYTES] {
        let mut bytes = [0u8; SIGNED_BYTES];
        bytes[0] = LAYOUT;
        bytes[1] = self.key_id;
        bytes[2] = match self.kind {
            Kind::Single => 1,
            Kind::Group => 2,
        };
        bytes[3..19].copy_from_slice(self.ticket_id.as_bytes());
        bytes[19..21].copy_from_slice(&self.version.to_be_bytes());
        bytes[21..25].copy_from_slice(&self.exhibition_id.to_be_bytes());
        bytes[25..27].copy_from_slice(&day_number(self.valid_from).to_be_bytes());
        bytes[27..29].copy_from_slice(&day_number(self.valid_until).to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8; SIGNED_BYTES]) -> Option<Claims> {
        if bytes[0] != LAYOUT {
            return None;
        }
        let kind = match bytes[2] {
            1 => Kind::Single,
            2 => Kind::Group,
            _ => return None,
        };
        let pair = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        Some(Claims {
            key_id: bytes[1],
            kind,
            ticket_id: Uuid::from_slice(&bytes[3..19]).ok()?,
            version: pair(19),
            exhibition_id: u32::from_be_bytes([bytes[21], bytes[22], bytes[23], bytes[24]]),
            valid_from: day_of(pair(25))?,
            valid_until: day_of(pair(27))?,
        })
    }
}

pub fn write(message: &[u8; SIGNED_BYTES], signature: &[u8; SIGNATURE_BYTES]) -> String {
    let mut bytes = [0u8; CODE_BYTES];
    bytes[..SIGNED_BYTES].copy_from_slice(message);
    bytes[SIGNED_BYTES..].copy_from_slice(signature);
    let mut code = String::with_capacity(CODE_CHARS);
    code.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(bytes, &mut code);
    code
}

/// None: not one of our codes at all. Hand scanners add spaces and line ends, which are forgiven.
pub fn read(text: &str) -> Option<Signed> {
    let text = text.trim();
    if text.len() != CODE_CHARS {
        return None;
    }
    let bytes: [u8; CODE_BYTES] = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?.try_into().ok()?;
    let (message, signature) = bytes.split_at(SIGNED_BYTES);
    let (message, signature) = (message.try_into().ok()?, signature.try_into().ok()?);
    Some(Signed { claims: Claims::read(&message)?, message, signature })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claims() -> impl Strategy<Value = Claims> {
        (any::<u8>(), any::<bool>(), any::<[u8; 16]>(), any::<u16>(), any::<u32>(), any::<u16>(), any::<u16>())
            .prop_map(|(key_id, single, id, version, exhibition_id, from, until)| Claims {
                key_id,
                kind: if single { Kind::Single } else { Kind::Group },
                ticket_id: Uuid::from_bytes(id),
                version,
                exhibition_id,
                valid_from: day_of(from).unwrap(),
                valid_until: day_of(until).unwrap(),
            })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(claims in claims(), signature in any::<[u8; 32]>()) {
            let signature: [u8; 64] = [signature, signature].concat().try_into().unwrap();
            let message = claims.message();
            let code = write(&message, &signature);
            prop_assert_eq!(code.len(), CODE_CHARS);
            prop_assert_eq!(read(&code), Some(Signed { claims, message, signature }));
            prop_assert_eq!(read(&format!(" {code}\r\n")), Some(Signed { claims, message, signature }));
        }

        #[test]
        fn anything_at_all_is_read_without_a_panic(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&text);
            read(&format!("{PREFIX}{text}"));
            read(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)));
        }

        #[test]
        fn a_cut_code_is_no_code(claims in claims(), keep in 0..CODE_CHARS) {
            let code = write(&claims.message(), &[7; 64]);
            prop_assert_eq!(read(&code[..keep]), None);
        }
    }

    #[test]
    fn long_garbage_is_no_code() {
        assert_eq!(read(&"A".repeat(10_240)), None);
        assert_eq!(read(&format!("{PREFIX}{}", "가".repeat(3_400))), None);
        assert_eq!(read(&"\0".repeat(CODE_CHARS)), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn days_reach_far_enough() {
        for day in [date(2020, 1, 1), date(2026, 11, 21), date(2150, 12, 31)] {
            assert_eq!(day_of(day_number(day)), Some(day));
        }
        assert_eq!(day_number(date(1999, 1, 1)), 0);
        assert_eq!(day_number(date(9999, 1, 1)), u16::MAX);
    }
}
