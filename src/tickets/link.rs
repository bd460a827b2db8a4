//! Signed links to a ticket: short ones to its picture, for an `<img>` and for mail, where no token can be sent along, and one
//! to a page of its own that a companion is sent.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use uuid::Uuid;

use crate::platform::secrets::{Purpose, Secrets, same};

/// Long enough for a mail read the next morning, short enough that a forwarded page grows useless. [seconds]
pub const VALID_S: i64 = 24 * 60 * 60;

/// The query of such a link; what is missing or odd opens nothing.
#[derive(Deserialize, Default)]
pub struct Link {
    /// Unix time of its end.
    pub e: Option<String>,
    pub s: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Opens,
    /// Ours, but too old.
    Expired,
    Absent,
    Forged,
}

/// What a link opens.
#[derive(Clone, Copy)]
pub enum To {
    Picture,
    /// The ticket's own page, for whoever comes along.
    Page,
}

/// Bound to the ticket's version: re-issuing a ticket ends the links to its old code.
fn mac(secrets: &Secrets, to: To, ticket_id: Uuid, version: i16, until_s: i64) -> String {
    let label: &[u8] = match to {
        To::Picture => b"ticket picture",
        To::Page => b"ticket page",
    };
    let parts: [&[u8]; 4] = [label, ticket_id.as_bytes(), &version.to_be_bytes(), &until_s.to_be_bytes()];
    // 144 bits: 24 characters without a remainder.
    URL_SAFE_NO_PAD.encode(&secrets.mac(Purpose::SignedLink, &parts)[..18])
}

pub fn query(secrets: &Secrets, ticket_id: Uuid, version: i16, now_s: i64) -> String {
    until(secrets, To::Picture, ticket_id, version, now_s + VALID_S)
}

/// A link that ends at an instant.
pub fn until(secrets: &Secrets, to: To, ticket_id: Uuid, version: i16, until_s: i64) -> String {
    format!("e={until_s}&s={}", mac(secrets, to, ticket_id, version, until_s))
}

impl Link {
    pub fn judge(&self, secrets: &Secrets, to: To, ticket_id: Uuid, version: i16, now_s: i64) -> Verdict {
        let (Some(until), Some(given)) = (&self.e, &self.s) else { return Verdict::Absent };
        let Ok(until_s) = until.parse::<i64>() else { return Verdict::Forged };
        if !same(mac(secrets, to, ticket_id, version, until_s).as_bytes(), given.as_bytes()) {
            Verdict::Forged
        } else if until_s <= now_s {
            Verdict::Expired
        } else {
            Verdict::Opens
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_one_version_of_one_ticket_for_a_day() {
        let secrets = Secrets::new("0123456789abcdef0123456789abcdef", &format!("k1:{}", "ab".repeat(32))).unwrap();
        let id = Uuid::from_u128(7);
        let link = |query: &str| {
            let (e, s) = query.split_once('&').unwrap();
            Link { e: e.strip_prefix("e=").map(str::to_owned), s: s.strip_prefix("s=").map(str::to_owned) }
        };
        let given = link(&query(&secrets, id, 1, 1_000));
        let judge = |link: &Link, id, version, now| link.judge(&secrets, To::Picture, id, version, now);
        assert_eq!(judge(&given, id, 1, 1_000 + VALID_S - 1), Verdict::Opens);
        assert_eq!(judge(&given, id, 1, 1_000 + VALID_S), Verdict::Expired);
        assert_eq!(given.judge(&secrets, To::Page, id, 1, 1_000), Verdict::Forged, "a picture is no page");
        assert_eq!(judge(&given, id, 2, 1_000), Verdict::Forged);
        assert_eq!(judge(&given, Uuid::from_u128(8), 1, 1_000), Verdict::Forged);
        let later = Link { e: Some("99999999999".into()), s: given.s.clone() };
        assert_eq!(judge(&later, id, 1, 1_000), Verdict::Forged);
        assert_eq!(judge(&Link { e: Some("x".into()), s: Some(String::new()) }, id, 1, 0), Verdict::Forged);
        assert_eq!(judge(&Link::default(), id, 1, 0), Verdict::Absent);
    }
}
