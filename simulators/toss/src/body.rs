//! Reading what callers send: tolerant where Toss is (numbers as strings), strict where it is strict.

use crate::refusal::{Refusal, refuse};
use serde_json::{Map, Value};

/// Far beyond any payment, far below where sums could overflow.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000;

pub struct Fields(Map<String, Value>);

impl From<Map<String, Value>> for Fields {
    fn from(fields: Map<String, Value>) -> Self {
        Self(fields)
    }
}

impl Fields {
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            _ => {
                Err(refuse("INVALID_REQUEST").because("본문이 JSON 객체가 아닙니다.", "The body is not a JSON object."))
            }
        }
    }

    /// A field that is present and not null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    pub fn need_text(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name).filter(|text| !text.is_empty()).ok_or_else(|| missing(name))
    }

    /// Text of at most `max` characters, absent allowed.
    pub fn short_text(&self, name: &str, max: usize) -> Result<Option<&str>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= max => Ok(Some(text)),
            Some(_) => Err(missing(name)),
        }
    }

    /// A whole number, absent allowed; official samples forward the query string, so `"1000"` is one too.
    pub fn whole(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => whole(value).map(Some).ok_or_else(|| missing(name)),
        }
    }

    pub fn need_whole(&self, name: &str) -> Result<i64, Refusal> {
        self.whole(name)?.ok_or_else(|| missing(name))
    }

    pub fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
}

pub fn missing(name: &str) -> Refusal {
    refuse("INVALID_REQUEST")
        .because(format!("필수 값이 없거나 잘못되었습니다: {name}"), format!("A value is missing or malformed: {name}"))
}

pub fn whole(value: &Value) -> Option<i64> {
    let number = match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole,
            None => number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= AMOUNT_MAX as f64)? as i64,
        },
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (number.abs() <= AMOUNT_MAX).then_some(number)
}

/// Letters, digits, `-`, `_` and (the SDK says) `=`; 6 to 64 characters.
pub fn is_order_id(text: &str) -> bool {
    (6..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=".contains(&b))
}
