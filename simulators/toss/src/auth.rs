//! Who calls: Basic authentication with the secret key, a colon and an empty password.

use crate::refusal::{Refusal, refuse};
use crate::settings::Settings;
use base64::{Engine, engine::general_purpose::STANDARD};

/// The key pair that belongs to a secret key: 0 individual, 1 widget.
pub fn pair_of_secret(settings: &Settings, authorization: Option<&str>) -> Result<usize, Refusal> {
    let Some(authorization) = authorization else {
        return Err(refuse("UNAUTHORIZED_KEY"));
    };
    let encoded = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let decoded = encoded.and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok());
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    // No colon is the classic slip, and a password is its mirror image.
    let key = text.as_deref().and_then(|text| text.strip_suffix(':')).filter(|key| !key.contains(':'));
    let Some(key) = key else {
        return Err(refuse("INCORRECT_BASIC_AUTH_FORMAT"));
    };
    if key == settings.secret_key {
        Ok(0)
    } else if key == settings.widget_secret_key {
        Ok(1)
    } else if pair_of_client(settings, key).is_some() {
        // A client key where a secret key belongs.
        Err(refuse("INVALID_API_KEY"))
    } else {
        Err(refuse("UNAUTHORIZED_KEY"))
    }
}

pub fn pair_of_client(settings: &Settings, client_key: &str) -> Option<usize> {
    [&settings.client_key, &settings.widget_client_key].into_iter().position(|key| key == client_key)
}

/// Forced errors exist in the test environment only; with live keys the header is ignored.
pub fn is_test(settings: &Settings, pair: usize) -> bool {
    let key = if pair == 0 { &settings.secret_key } else { &settings.widget_secret_key };
    key.starts_with("test_")
}
