//! Addresses that callers hand in, and queries that redirects add to them.

/// Absolute, http or https, with a host and without spaces or control characters.
pub fn is_http_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let clean = !url.chars().any(|c| c.is_control() || c.is_whitespace());
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or("");
    clean
        && url.len() <= 2_000
        && !host.is_empty()
        && axum::http::Uri::try_from(url.split('#').next().unwrap_or("")).is_ok()
}

/// Adds pairs to an address; what it already carries stays, and a fragment stays last.
pub fn with_query(url: &str, pairs: &[(&str, &str)]) -> String {
    let (url, fragment) = url.split_once('#').map_or((url, None), |(url, fragment)| (url, Some(fragment)));
    let mut out = url.to_owned();
    for (name, value) in pairs {
        out.push(if out.contains('?') { '&' } else { '?' });
        out.push_str(name);
        out.push('=');
        encode(value, &mut out);
    }
    if let Some(fragment) = fragment {
        out.push('#');
        out.push_str(fragment);
    }
    out
}

fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::with_query;

    #[test]
    fn an_address_keeps_what_it_carries() {
        let pairs = [("orderId", "a=b"), ("message", "취소 1")];
        assert_eq!(
            with_query("http://x/back?seat=1#top", &pairs),
            "http://x/back?seat=1&orderId=a%3Db&message=%EC%B7%A8%EC%86%8C%201#top"
        );
        assert_eq!(with_query("http://x/back", &pairs[..1]), "http://x/back?orderId=a%3Db");
    }
}
