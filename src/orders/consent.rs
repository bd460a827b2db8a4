//! What a buyer agrees to: the terms and the privacy notice of a date, and perhaps to hear of other exhibitions.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::FieldError;

/// Of the texts under `legal.` in the message files, which a test keeps in step. Whoever changes what they say sets the
/// day of the change here: an order keeps the date of what was agreed to.
pub const VERSION: &str = "2026-11-28";

#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ConsentAsk {
    /// Date of the terms and the privacy notice that the buyer was shown; the buyer is 14 or older.
    #[schema(example = "2026-11-28")]
    pub version: String,
    /// Wants to hear of other exhibitions.
    #[serde(default)]
    pub marketing: bool,
}

/// As it is stored.
#[derive(Clone, Debug, Default)]
pub struct Consent {
    /// None: agreed to elsewhere, by whoever calls for the buyer.
    pub version: Option<String>,
    pub marketing: bool,
}

/// An agreement to other texts than today's is none.
pub fn check(ask: Option<&ConsentAsk>, errors: &mut Vec<FieldError>) -> Consent {
    let Some(ask) = ask else { return Consent::default() };
    if ask.version != VERSION {
        errors.push(FieldError { field: "consent.version".into(), code: "other_version" });
    }
    Consent { version: Some(VERSION.to_owned()), marketing: ask.marketing }
}

#[cfg(test)]
mod tests {
    use crate::platform::secrets::{hex, sha256};
    use crate::platform::texts::{self, Language};

    /// A change of the texts is a change of their date.
    #[test]
    fn the_version_belongs_to_the_texts() {
        let mut all = String::new();
        for language in [Language::Ko, Language::En] {
            for (key, text) in texts::beginning_with(language, "legal.") {
                all.push_str(key);
                all.push_str(text);
            }
        }
        let found = (super::VERSION, &hex(&sha256(&[all.as_bytes()]))[..16]);
        assert_eq!(found, ("2026-11-28", "581b738a845e6477"), "set VERSION to today, and both here");
    }
}
