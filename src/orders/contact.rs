//! Personal data of an order: checked, normalised, sealed. In the clear only in memory.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use super::consent::Consent;
use super::writer::SealedContact;
use crate::app::App;
use crate::error::{Error, FieldError, Result};
use crate::platform::secrets::Purpose;
pub use crate::platform::texts::has_control;
use crate::stock::PersonKey;

pub const NAME_CHARS_MAX: usize = 50;
pub const EMAIL_CHARS_MAX: usize = 254;

#[derive(Clone, Serialize, Deserialize)]
pub struct Contact {
    pub name: String,
    /// E.164.
    pub phone: String,
    pub email: Option<String>,
}

pub fn check(name: &str, phone: &str, email: Option<&str>, errors: &mut Vec<FieldError>) -> Option<Contact> {
    let mut refuse = |field: &str, code: &'static str| errors.push(FieldError { field: field.into(), code });
    if name.trim().is_empty() {
        refuse("customer_name", "required");
    }
    let e164 = phone_e164(phone);
    if e164.is_none() {
        refuse("customer_phone", if phone.trim().is_empty() { "required" } else { "phone" });
    }
    let (name, email) = (check_name(name, errors), check_email(email, errors));
    if !errors.is_empty() {
        return None;
    }
    Some(Contact { name, phone: e164?, email })
}

/// Of somebody whose number is not known.
pub fn check_without_phone(name: &str, email: Option<&str>, errors: &mut Vec<FieldError>) -> Option<Contact> {
    let (name, email) = (check_name(name, errors), check_email(email, errors));
    errors.is_empty().then(|| Contact { name, phone: String::new(), email })
}

/// Empty: nobody is named.
pub fn check_name(name: &str, errors: &mut Vec<FieldError>) -> String {
    let name = name.trim();
    let mut refuse = |code: &'static str| errors.push(FieldError { field: "customer_name".into(), code });
    if has_control(name) {
        refuse("control_characters");
    } else if name.chars().count() > NAME_CHARS_MAX {
        refuse("too_long");
    }
    name.to_owned()
}

pub fn check_email(email: Option<&str>, errors: &mut Vec<FieldError>) -> Option<String> {
    let email = email.map(str::trim).filter(|e| !e.is_empty())?;
    if email.len() > EMAIL_CHARS_MAX || has_control(email) || email.parse::<lettre::Address>().is_err() {
        errors.push(FieldError { field: "customer_email".into(), code: "email" });
    }
    Some(email.to_owned())
}

/// Korean mobile numbers, with or without hyphens or country code, as E.164.
pub fn phone_e164(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() > 20 || !text.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | ' ' | '+')) {
        return None;
    }
    let plus = text.starts_with('+');
    if text.chars().skip(1).any(|c| c == '+') {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let national = if plus { digits.strip_prefix("82")?.trim_start_matches('0') } else { digits.strip_prefix('0')? };
    let fits = match national.get(..2)? {
        "10" => national.len() == 10,
        "11" | "16" | "17" | "18" | "19" => matches!(national.len(), 9 | 10),
        _ => false,
    };
    fits.then(|| format!("+82{national}"))
}

pub fn phone_digest(app: &App, e164: &str) -> [u8; 32] {
    app.secrets.mac(Purpose::Phone, &[e164.as_bytes()])
}

/// The person, for counting: the phone's digest, cut.
pub fn person_key(digest: &[u8; 32]) -> PersonKey {
    let mut key = [0u8; 16];
    key.copy_from_slice(&digest[..16]);
    key
}

/// Of the order with this id, of that exhibition.
pub fn seal(
    app: &App,
    (exhibition_id, order_id): (i32, Uuid),
    contact: &Contact,
    digest: &[u8; 32],
    consent: Consent,
) -> Result<SealedContact> {
    let plain = serde_json::to_vec(contact).map_err(Error::bug)?;
    let (key_id, sealed) = app.secrets.seal(order_id.as_bytes(), &plain)?;
    let index = ContactIndex::of(app, exhibition_id, contact);
    Ok(SealedContact { phone_digest: digest.to_vec(), index, key_id, sealed, consent })
}

/// How a [`ContactIndex`] is made; another way is another version, and the `contact_index` tick makes those of before anew.
pub const INDEX_VERSION: i16 = 1;
pub const TAIL_DIGITS: usize = 4;

/// What a sealed contact is found by, besides the whole phone number. None: it does not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContactIndex {
    pub name: Option<i64>,
    /// The last digits of the phone.
    pub tail: Option<i64>,
}

impl ContactIndex {
    pub fn of(app: &App, exhibition_id: i32, contact: &Contact) -> ContactIndex {
        let tail = contact.phone.len().checked_sub(TAIL_DIGITS).and_then(|from| contact.phone.get(from..));
        ContactIndex {
            name: name_index(app, exhibition_id, &contact.name),
            tail: tail.map(|tail| tail_index(app, exhibition_id, tail)),
        }
    }
}

/// The same for every way of writing a name: blanks and case do not count. None: nothing is left of it.
pub fn name_index(app: &App, exhibition_id: i32, name: &str) -> Option<i64> {
    let plain: String = name.nfkc().flat_map(char::to_lowercase).filter(|c| !c.is_whitespace()).collect();
    (!plain.is_empty()).then(|| index(app, exhibition_id, &[b"name", plain.as_bytes()]))
}

pub fn tail_index(app: &App, exhibition_id: i32, digits: &str) -> i64 {
    index(app, exhibition_id, &[b"tail", digits.as_bytes()])
}

/// Eight bytes: of a million orders no two meet by chance, and the index stays small.
fn index(app: &App, exhibition_id: i32, [what, text]: &[&[u8]; 2]) -> i64 {
    let mac = app.secrets.mac(Purpose::ContactIndex, &[what, &exhibition_id.to_be_bytes(), text]);
    let mut cut = [0u8; 8];
    cut.copy_from_slice(&mac[..8]);
    i64::from_be_bytes(cut)
}

pub fn open(app: &App, order_id: Uuid, key_id: &str, sealed: &[u8]) -> Result<Contact> {
    let plain = app.secrets.open(key_id, order_id.as_bytes(), sealed)?;
    serde_json::from_slice(&plain).map_err(Error::bug)
}

/// Enough to compare with a face that says its name, too little to learn one: of each word the first and the last
/// character, of two characters the first.
pub fn masked_name(name: &str) -> String {
    let word = |word: &str| {
        let chars: Vec<char> = word.chars().collect();
        match chars.as_slice() {
            [] => String::new(),
            [_] => "*".to_owned(),
            [first, _] => format!("{first}*"),
            [first, middle @ .., last] => format!("{first}{}{last}", "*".repeat(middle.len())),
        }
    };
    name.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// As Koreans write it: 010-1234-5678. Empty: nobody has one.
pub fn national_phone(e164: &str) -> String {
    match phone_parts(e164) {
        Some((head, middle, tail)) => format!("0{head}-{middle}-{tail}"),
        None => String::new(),
    }
}

/// The same, its middle hidden: 010-****-5678.
pub fn masked_phone(e164: &str) -> String {
    match phone_parts(e164) {
        Some((head, middle, tail)) => format!("0{head}-{}-{tail}", "*".repeat(middle.len())),
        None => String::new(),
    }
}

fn phone_parts(e164: &str) -> Option<(&str, &str, &str)> {
    let national = e164.strip_prefix("+82")?;
    let (head, rest) = national.split_at_checked(2)?;
    let (middle, tail) = rest.split_at_checked(rest.len().checked_sub(TAIL_DIGITS)?)?;
    (!middle.is_empty()).then_some((head, middle, tail))
}

/// The first character and whose mailbox it is: h***@example.org.
pub fn masked_email(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    format!("{}***@{domain}", local.chars().next().unwrap_or('*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_masked_tells_little() {
        let table = [
            ("홍길동", "홍*동"),
            ("남궁민수", "남**수"),
            ("김철", "김*"),
            ("이", "*"),
            ("John Smith", "J**n S***h"),
            ("  Jo  A ", "J* *"),
            ("", ""),
        ];
        for (name, shown) in table {
            assert_eq!(masked_name(name), shown);
        }
        assert_eq!(masked_phone("+821012345678"), "010-****-5678");
        assert_eq!(masked_phone("+82112345678"), "011-***-5678");
        assert_eq!(national_phone("+82112345678"), "011-234-5678");
        assert_eq!((masked_phone(""), masked_phone("+82105678")), (String::new(), String::new()));
        assert_eq!(masked_email("hong@example.org"), "h***@example.org");
    }

    #[test]
    fn korean_mobile_numbers_become_one_form() {
        for text in ["010-1234-5678", "01012345678", "+82 10-1234-5678", "+8201012345678", " 010 1234 5678 "] {
            assert_eq!(phone_e164(text).as_deref(), Some("+821012345678"), "{text}");
        }
        assert_eq!(phone_e164("011-234-5678").as_deref(), Some("+82112345678"));
        for text in [
            "02-123-4567",
            "010-123-4567",
            "0101234567８",
            "+1 212 555 0100",
            "010-1234-5678+",
            "",
            "x",
            "82 10 1234 5678",
        ] {
            assert_eq!(phone_e164(text), None, "{text}");
        }
    }

    #[test]
    fn what_hides_in_a_name_is_refused() {
        let mut errors = Vec::new();
        assert!(check("홍길동\u{202e}", "010-1234-5678", None, &mut errors).is_none());
        assert_eq!(errors[0].code, "control_characters");
        errors.clear();
        assert!(check(&"가".repeat(51), "010-1234-5678", Some("a@b"), &mut errors).is_none());
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.clear();
        assert!(check("홍길동", "010-1234-5678", Some("a@b\r\nBcc: x@y"), &mut errors).is_none());
        errors.clear();
        assert!(check(&"가".repeat(50), "010-1234-5678", Some(" "), &mut errors).is_some());
    }
}
