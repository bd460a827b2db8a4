//! What callers send: form-encoded pairs with brackets for nesting, `metadata[order]=x`, `expand[]=latest_charge`.

use crate::refusal::{Refusal, invalid};
use serde_json::{Map, Value};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Pairs in one call: fifty of metadata and everything else Stripe knows.
const PAIRS_MAX: usize = 200;
const DEPTH_MAX: usize = 6;
const METADATA_MAX: usize = 50;
const METADATA_KEY_MAX: usize = 40;
const METADATA_VALUE_MAX: usize = 500;

#[derive(Default)]
pub struct Params {
    tree: Map<String, Value>,
    digest: u64,
}

/// Bounds of a time in seconds, as `created[gte]=...` gives them.
#[derive(Clone, Copy)]
pub struct Range {
    from: i64,
    to: i64,
}

impl Range {
    pub fn holds(&self, ms: i64) -> bool {
        (self.from..=self.to).contains(&(ms / 1_000))
    }
}

impl Params {
    /// The query and the body together; Stripe makes no difference.
    pub fn read(query: &str, body: &[u8]) -> Result<Self, Refusal> {
        let body = std::str::from_utf8(body).map_err(|_| invalid("Invalid UTF-8 in the request body.").early())?;
        let mut pairs = Vec::new();
        for text in [query, body] {
            for pair in text.split('&').filter(|pair| !pair.is_empty()) {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                pairs.push((decode(name)?, decode(value)?));
            }
        }
        if pairs.len() > PAIRS_MAX {
            return Err(invalid(format!("More than {PAIRS_MAX} parameters.")).early());
        }
        let mut tree = Value::Object(Map::new());
        for (name, value) in &pairs {
            plant(&mut tree, &path(name), value);
        }
        // The same parameters in another order are the same request.
        pairs.sort();
        let mut hasher = DefaultHasher::new();
        pairs.hash(&mut hasher);
        let Value::Object(tree) = tree else { return Ok(Self::default()) };
        Ok(Self { tree, digest: hasher.finish() })
    }

    /// Tells one set of parameters from another.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Stripe refuses names it does not know, so a slip of the pen shows at once.
    pub fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.tree.keys().find(|name| !known.contains(&name.as_str()) && *name != "expand" && *name != "key") {
            None => Ok(()),
            Some(name) => {
                let message = format!("Received unknown parameter: {name}");
                Err(invalid(message).code("parameter_unknown").param(name).early())
            }
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.tree.get(name).and_then(Value::as_str)
    }

    /// Text that is not empty and not longer than `max` characters, absent allowed.
    pub fn short_text(&self, name: &str, max: usize) -> Result<Option<&str>, Refusal> {
        match self.tree.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Err(empty(name)),
            Some(Value::String(text)) if text.chars().count() <= max => Ok(Some(text)),
            Some(Value::String(_)) => {
                let message = format!("Invalid string: {name} must be at most {max} characters.");
                Err(invalid(message).code("parameter_invalid_string").param(name).early())
            }
            Some(_) => Err(invalid(format!("Invalid string for {name}.")).param(name).early()),
        }
    }

    pub fn whole(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.tree.get(name) else {
            return Ok(None);
        };
        let text = value.as_str().unwrap_or("");
        if text.is_empty() {
            return Err(empty(name));
        }
        let wrong =
            || invalid(format!("Invalid integer: {text}")).code("parameter_invalid_integer").param(name).early();
        text.parse().map(Some).map_err(|_| wrong())
    }

    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(invalid(format!("Invalid boolean: {other}")).param(name).early()),
        }
    }

    /// A text inside brackets, `name[key]`.
    pub fn inner(&self, name: &str, key: &str) -> Option<&str> {
        self.tree.get(name)?.get(key)?.as_str()
    }

    pub fn has(&self, name: &str) -> bool {
        self.tree.contains_key(name)
    }

    /// A list given as `name[]` or `name[0]`.
    pub fn list(&self, name: &str) -> Vec<&str> {
        match self.tree.get(name) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(Value::Object(items)) => items.values().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    pub fn one_of<T: Copy>(&self, name: &str, known: &[(&'static str, T)]) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match known.iter().find(|(known, _)| *known == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                let message = format!("Invalid {name}: must be one of {}", names.join(", "));
                Err(invalid(message).param(name).early())
            }
        }
    }

    pub fn metadata(&self) -> Result<Map<String, Value>, Refusal> {
        let pairs = match self.tree.get("metadata") {
            None => return Ok(Map::new()),
            Some(Value::Object(pairs)) => pairs,
            Some(_) => return Err(invalid("Invalid object: metadata must be pairs.").param("metadata").early()),
        };
        let too_long = |what: &str, max: usize| {
            invalid(format!("Metadata {what} can be at most {max} characters long.")).param("metadata").early()
        };
        if pairs.len() > METADATA_MAX {
            return Err(invalid(format!("You can only have {METADATA_MAX} keys of metadata."))
                .param("metadata")
                .early());
        }
        for (key, value) in pairs {
            if key.chars().count() > METADATA_KEY_MAX {
                return Err(too_long("keys", METADATA_KEY_MAX));
            }
            if value.as_str().is_none_or(|text| text.chars().count() > METADATA_VALUE_MAX) {
                return Err(too_long("values", METADATA_VALUE_MAX));
            }
        }
        // An empty value unsets a key, and a new object has none.
        Ok(pairs.iter().filter(|(_, value)| *value != "").map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// `name=123` or `name[gt|gte|lt|lte]=123`, in seconds; everything if absent.
    pub fn range(&self, name: &str) -> Result<Range, Refusal> {
        let mut range = Range { from: i64::MIN, to: i64::MAX };
        let number = |text: &str| {
            let wrong = || invalid(format!("Invalid timestamp: {text}")).param(name).early();
            text.parse::<i64>().map_err(|_| wrong())
        };
        match self.tree.get(name) {
            None => {}
            Some(Value::String(text)) => range = Range { from: number(text)?, to: number(text)? },
            Some(Value::Object(bounds)) => {
                for (bound, text) in bounds {
                    let at = number(text.as_str().unwrap_or(""))?;
                    match bound.as_str() {
                        "gte" => range.from = range.from.max(at),
                        "gt" => range.from = range.from.max(at.saturating_add(1)),
                        "lte" => range.to = range.to.min(at),
                        "lt" => range.to = range.to.min(at.saturating_sub(1)),
                        _ => return Err(invalid(format!("Unknown bound: {bound}")).param(name).early()),
                    }
                }
            }
            Some(_) => return Err(invalid("Invalid timestamp.").param(name).early()),
        }
        Ok(range)
    }
}

pub fn required(name: &str) -> Refusal {
    invalid(format!("Missing required param: {name}.")).code("parameter_missing").param(name).early()
}

fn empty(name: &str) -> Refusal {
    let message = format!(
        "You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; however \
         '{name}' cannot be unset."
    );
    invalid(message).code("parameter_invalid_empty").param(name).early()
}

/// `a[b][]` is a, b and the next of a list.
fn path(name: &str) -> Vec<&str> {
    let (head, rest) = name.split_at(name.find('[').unwrap_or(name.len()));
    let inner = rest.split('[').skip(1).map(|part| part.strip_suffix(']').unwrap_or(part));
    std::iter::once(head).chain(inner).take(DEPTH_MAX).collect()
}

fn plant(node: &mut Value, path: &[&str], value: &str) {
    let Some((first, rest)) = path.split_first() else {
        *node = value.into();
        return;
    };
    if first.is_empty() {
        if !node.is_array() {
            *node = Value::Array(Vec::new());
        }
        if let Value::Array(items) = node {
            items.push(Value::Null);
            if let Some(last) = items.last_mut() {
                plant(last, rest, value);
            }
        }
        return;
    }
    if !node.is_object() {
        *node = Value::Object(Map::new());
    }
    if let Value::Object(fields) = node {
        plant(fields.entry(*first).or_insert(Value::Null), rest, value);
    }
}

fn decode(text: &str) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
                _ => return Err(invalid("Invalid percent-encoding in the parameters.").early()),
            },
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| invalid("Invalid UTF-8 in the parameters.").early())
}

#[cfg(test)]
mod tests {
    use super::Params;

    #[test]
    fn brackets_nest_and_order_does_not_matter() {
        let read = |text: &str| Params::read("", text.as_bytes()).expect("a form");
        let params = read("metadata[order]=a%20b+c&expand[]=x&expand[]=y&n=1&created[gte]=10&created%5Blt%5D=20");
        assert_eq!(params.metadata().expect("pairs")["order"], "a b c");
        assert_eq!(params.list("expand"), ["x", "y"]);
        assert_eq!(params.whole("n").expect("whole"), Some(1));
        let range = params.range("created").expect("a range");
        assert!(range.holds(10_000) && range.holds(19_999) && !range.holds(20_000) && !range.holds(9_999));
        assert_eq!(read("a=1&b=2").digest(), read("b=2&a=1").digest());
        assert_ne!(read("a=1&b=2").digest(), read("a=2&b=1").digest());
        assert!(Params::read("", b"a=%zz").is_err());
    }
}
