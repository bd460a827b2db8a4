//! `Stripe-Signature: t=...,v1=...`: HMAC-SHA256 over the time, a dot and the body, one for each secret in force.

use aws_lc_rs::hmac;
use simulator_common::Text;

pub struct Secrets {
    current: Text,
    /// The one before, until this moment.
    old: Option<(Text, i64)>,
}

impl Secrets {
    pub fn new(secret: &str) -> Self {
        Self { current: secret.into(), old: None }
    }

    /// Another secret from now on; the one before stays in force until `until_ms`, if at all.
    pub fn roll(&mut self, secret: &str, until_ms: Option<i64>) {
        let before = std::mem::replace(&mut self.current, secret.into());
        self.old = until_ms.map(|until_ms| (before, until_ms));
    }

    pub fn header(&self, now_ms: i64, t: i64, body: &[u8]) -> String {
        let mut header = format!("t={t},v1={}", signature(&self.current, t, body));
        if let Some((old, _)) = self.old.as_ref().filter(|(_, until_ms)| now_ms < *until_ms) {
            header.push_str(&format!(",v1={}", signature(old, t, body)));
        }
        // Test events carry a scheme that must be ignored.
        header.push_str(&format!(",v0={}", signature("not a secret", t, body)));
        header
    }
}

fn signature(secret: &str, t: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(t.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::signature;

    #[test]
    fn a_signature_is_the_one_that_others_compute() {
        // printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
        let expected = "c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";
        assert_eq!(signature("whsec_test", 1_700_000_000, br#"{"id":"evt_1"}"#), expected);
    }
}
