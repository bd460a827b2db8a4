//! Who calls: a secret key as a bearer token or as the user of Basic authentication; browsers use their own key.

use crate::refusal::Refusal;
use crate::settings::Settings;
use base64::{Engine, engine::general_purpose::STANDARD};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Server,
    /// May look at one intent whose client secret it has, and nothing else.
    Browser,
}

/// `query_key` is how the browser's script sends its key, to stay clear of preflight requests.
pub fn who(settings: &Settings, authorization: Option<&str>, query_key: Option<&str>) -> Result<Who, Refusal> {
    let Some(key) = authorization.map(key_of).or(query_key.map(|key| Some(key.to_owned()))) else {
        return Err(unauthorised(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using \
             Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See \
             https://stripe.com/docs/api#authentication for details.",
        ));
    };
    match key.as_deref() {
        Some(key) if key == settings.secret_key => Ok(Who::Server),
        Some(key) if key == settings.publishable_key => Ok(Who::Browser),
        Some(key) => Err(unauthorised(format!("Invalid API Key provided: {}", veiled(key)))),
        None => Err(unauthorised("Invalid Authorization header: use Bearer or Basic auth.")),
    }
}

fn key_of(authorization: &str) -> Option<String> {
    let (scheme, rest) = authorization.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    Some(text.split(':').next().unwrap_or_default().to_owned())
}

/// First eight and last four characters, as Stripe shows a key that it does not know.
fn veiled(key: &str) -> String {
    let chars: Vec<char> = key.chars().take(200).collect();
    if chars.len() <= 12 {
        return "*".repeat(chars.len());
    }
    let (head, tail) = (&chars[..8], &chars[chars.len() - 4..]);
    head.iter().chain(&vec!['*'; chars.len() - 12]).chain(tail).collect()
}

fn unauthorised(message: impl Into<String>) -> Refusal {
    Refusal::new(401, "invalid_request_error", message).early()
}

pub fn secret_key_required() -> Refusal {
    unauthorised("This API call cannot be made with a publishable API key. Please use a secret API key.")
        .code("secret_key_required")
}
