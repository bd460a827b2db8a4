//! Words for people, in Korean and English, from `web/locales`. Every key exists in both languages (tested below),
//! so a look-up cannot fail for a key that the code names.

use std::collections::HashMap;
use std::sync::OnceLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Language {
    #[default]
    Ko,
    En,
}

impl Language {
    /// The first of `Accept-Language` that we speak; Korean when it names none.
    pub fn accepted(header: Option<&str>) -> Language {
        let mut best = (Language::Ko, 0.0_f32);
        for part in header.unwrap_or_default().split(',').take(16) {
            let mut pieces = part.trim().split(';');
            let tag = pieces.next().unwrap_or_default().to_ascii_lowercase();
            let weight =
                pieces.find_map(|p| p.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok())).unwrap_or(1.0);
            let language = match tag.split('-').next() {
                Some("ko") => Language::Ko,
                Some("en") => Language::En,
                _ => continue,
            };
            if weight > best.1 {
                best = (language, weight);
            }
        }
        best.0
    }

    pub fn tag(self) -> &'static str {
        match self {
            Language::Ko => "ko",
            Language::En => "en",
        }
    }

    pub fn from_tag(tag: &str) -> Language {
        if tag == "en" { Language::En } else { Language::Ko }
    }

    /// The one of two texts that is in this language.
    pub fn pick<'a>(self, ko: &'a str, en: &'a str) -> &'a str {
        match self {
            Language::Ko => ko,
            Language::En => en,
        }
    }
}

type Table = HashMap<String, String>;

fn tables() -> &'static (Table, Table) {
    static TABLES: OnceLock<(Table, Table)> = OnceLock::new();
    TABLES.get_or_init(|| {
        let read = |json: &str| serde_json::from_str::<Table>(json).unwrap_or_default();
        (read(include_str!("../../web/locales/ko.json")), read(include_str!("../../web/locales/en.json")))
    })
}

/// The text under `key`, or the key itself, which a test would have caught.
pub fn text(language: Language, key: &str) -> &str {
    let (ko, en) = tables();
    let table = match language {
        Language::Ko => ko,
        Language::En => en,
    };
    table.get(key).map_or(key, String::as_str)
}

/// The text under `key` with its `{name}` places filled.
pub fn filled(language: Language, key: &str, values: &[(&str, String)]) -> String {
    let mut out = text(language, key).to_owned();
    for (name, value) in values {
        out = out.replace(&format!("{{{name}}}"), value);
    }
    out
}

/// All texts of a family, in the order of their keys.
pub fn beginning_with(language: Language, prefix: &str) -> Vec<(&'static str, &'static str)> {
    let (ko, en) = tables();
    let table = match language {
        Language::Ko => ko,
        Language::En => en,
    };
    let mut all: Vec<_> =
        table.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(k, v)| (k.as_str(), v.as_str())).collect();
    all.sort_unstable();
    all
}

pub fn knows(key: &str) -> bool {
    tables().0.contains_key(key) && tables().1.contains_key(key)
}

/// Control characters, and the invisible marks that reorder or hide text: refused wherever people enter something.
pub fn has_control(text: &str) -> bool {
    text.chars().any(|c| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    })
}

/// 12345 -> "12,345"
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        out.push('-');
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn both_languages_have_the_same_keys_and_places() {
        let (ko, en) = tables();
        let keys = |t: &Table| t.keys().cloned().collect::<BTreeSet<_>>();
        assert!(!ko.is_empty());
        assert_eq!(keys(ko), keys(en));
        let places = |text: &str| {
            text.split('{')
                .skip(1)
                // Where a word follows a number, English has two: `{n|slot|slots}`.
                .filter_map(|p| p.split_once('}').map(|(name, _)| name.split('|').next().unwrap_or(name).to_owned()))
                .collect::<BTreeSet<_>>()
        };
        for (key, text) in ko {
            assert_eq!(places(text), places(&en[key]), "{key}");
            assert!(!text.trim().is_empty() && !en[key].trim().is_empty(), "{key}");
        }
    }

    #[test]
    fn languages_are_weighed() {
        assert_eq!(Language::accepted(None), Language::Ko);
        assert_eq!(Language::accepted(Some("en-US,en;q=0.9,ko;q=0.8")), Language::En);
        assert_eq!(Language::accepted(Some("fr, ko;q=0.4, en;q=0.3")), Language::Ko);
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(-999), "-999");
    }
}
