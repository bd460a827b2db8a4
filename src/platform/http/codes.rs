//! Every problem code with its status, for the page that lists them. A test compares it with the code.

pub const STATUSES: &[(&str, u16)] = &[
    ("auth.busy", 503),
    ("auth.expired_token", 401),
    ("auth.invalid_credentials", 401),
    ("auth.invalid_token", 401),
    ("auth.required", 401),
    ("auth.too_many", 429),
    ("catalogue.unknown_exhibition", 404),
    ("entrance.busy", 503),
    ("entrance.nonce_reused", 422),
    ("idempotency.in_progress", 409),
    ("idempotency.key_required", 400),
    ("idempotency.key_reused", 422),
    ("idempotency.malformed_key", 400),
    ("order.closed", 410),
    ("order.expired", 410),
    ("order.open_holds", 409),
    ("order.paid", 409),
    ("order.token_required", 401),
    ("order.too_many", 429),
    ("order.too_many_lookups", 429),
    ("order.unknown", 404),
    ("order.unknown_outcome", 503),
    ("order.wrong_token", 403),
    ("payment.already_paid", 409),
    ("payment.amount_mismatch", 422),
    ("payment.declined", 409),
    ("payment.in_progress", 409),
    ("payment.key_reused", 409),
    ("payment.nothing_to_pay", 409),
    ("payment.refunding", 409),
    ("payment.too_many_attempts", 409),
    ("payment.unknown_order", 404),
    ("payment.unsettled", 503),
    ("request.content_type", 415),
    ("request.cross_site", 403),
    ("request.invalid", 422),
    ("request.malformed_form", 400),
    ("request.malformed_json", 400),
    ("request.malformed_query", 400),
    ("request.method_not_allowed", 405),
    ("request.not_found", 404),
    ("request.too_large", 413),
    ("sale.ended", 409),
    ("sale.not_yet", 409),
    ("sale.paused", 409),
    ("server.bug", 500),
    ("server.busy", 503),
    ("server.database_away", 503),
    ("server.redis_away", 503),
    ("server.starting", 503),
    ("stock.busy", 503),
    ("stock.person_limit", 409),
    ("stock.sold_out", 409),
    ("stock.unready", 503),
    ("ticket.keys_used_up", 409),
    ("ticket.link_expired", 410),
    ("ticket.proof_required", 401),
    ("ticket.unknown", 404),
    ("ticket.void", 410),
    ("ticket.wrong_proof", 403),
    ("user.exists", 409),
    ("user.unknown", 404),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::platform::texts;

    fn sources(folder: &Path, out: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }

    /// The codes after a constructor, wherever its line breaks.
    fn named(source: &str, constructor: &str, out: &mut BTreeSet<String>) {
        for rest in source.split(constructor).skip(1) {
            let Some(rest) = rest.trim_start().strip_prefix('"') else { continue };
            let code = rest.split('"').next().unwrap_or_default();
            if code.contains('.') {
                out.insert(code.to_owned());
            }
        }
    }

    #[test]
    fn every_code_is_listed_and_has_words() {
        let mut files = Vec::new();
        sources(Path::new("src"), &mut files);
        let mut codes = BTreeSet::new();
        for source in &files {
            for name in [
                "malformed",
                "invalid",
                "unauthenticated",
                "forbidden",
                "not_found",
                "conflict",
                "gone",
                "too_large",
                "unsupported_media_type",
                "method_not_allowed",
                "too_many",
                "unavailable",
            ] {
                named(source, &format!("Error::{name}("), &mut codes);
            }
        }
        let listed: BTreeSet<String> = STATUSES.iter().map(|(code, _)| (*code).to_owned()).collect();
        let unlisted: Vec<_> = codes.difference(&listed).collect();
        assert!(unlisted.is_empty(), "not in STATUSES: {unlisted:?}");
        for (code, _) in STATUSES {
            assert!(texts::knows(&format!("problem.{code}")), "no words for {code}");
        }
    }
}
