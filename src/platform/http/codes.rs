//! Every problem code with its status, for the page that lists them: ours, and those that nginx answers without us
//! (`edge.*`). Tests compare them with the code, with nginx's configuration and with `docs/problems.md`.

pub const STATUSES: &[(&str, u16)] = &[
    ("auth.busy", 503),
    ("auth.code_required", 401),
    ("auth.expired_token", 401),
    ("auth.forbidden", 403),
    ("auth.invalid_code", 401),
    ("auth.invalid_credentials", 401),
    ("auth.invalid_token", 401),
    ("auth.locked", 429),
    ("auth.no_second_factor", 409),
    ("auth.not_from_here", 403),
    ("auth.required", 401),
    ("auth.reset_over", 410),
    ("auth.second_factor_needed", 403),
    ("auth.second_factor_set", 409),
    ("auth.too_many", 429),
    ("auth.unknown_sign_in", 404),
    ("bulk_refund.slot_open", 409),
    ("bulk_refund.unknown", 404),
    ("catalogue.slot_ordered", 409),
    ("catalogue.unknown_exhibition", 404),
    ("catalogue.unknown_product", 404),
    ("catalogue.unknown_slot", 404),
    ("device.invalid_enrolment", 403),
    ("device.none", 404),
    ("device.off_shift", 403),
    ("device.pin_locked", 403),
    ("device.revoked", 403),
    ("device.too_many", 409),
    ("device.unknown", 401),
    ("edge.away", 502),
    ("edge.late", 504),
    ("edge.malformed", 400),
    ("edge.nothing_here", 404),
    ("edge.too_large", 413),
    ("edge.too_many", 429),
    ("entrance.busy", 503),
    ("entrance.cannot_be_forced", 409),
    ("entrance.decided", 409),
    ("entrance.no_conflict", 404),
    ("entrance.nonce_reused", 422),
    ("entrance.nothing_to_force", 404),
    ("entrance.nothing_to_undo", 404),
    ("entrance.search_length", 422),
    ("entrance.too_late_to_force", 409),
    ("entrance.too_late_to_undo", 409),
    ("entrance.too_many_searches", 429),
    ("export.unknown", 404),
    ("idempotency.in_progress", 409),
    ("idempotency.key_required", 400),
    ("idempotency.key_reused", 422),
    ("idempotency.malformed_key", 400),
    ("order.closed", 410),
    ("order.code_over", 410),
    ("order.erasure_asked", 409),
    ("order.expired", 410),
    ("order.forgotten", 410),
    ("order.illegal_move", 409),
    ("order.no_address", 409),
    ("order.nothing_to_send", 409),
    ("order.open_holds", 409),
    ("order.paid", 409),
    ("order.token_required", 401),
    ("order.too_many", 429),
    ("order.too_many_codes", 429),
    ("order.too_many_lookups", 429),
    ("order.too_many_mails", 429),
    ("order.too_many_reveals", 429),
    ("order.unknown", 404),
    ("order.unknown_outcome", 503),
    ("order.wrong_code", 403),
    ("order.wrong_token", 403),
    ("payment.already_paid", 409),
    ("payment.amount_mismatch", 422),
    ("payment.declined", 409),
    ("payment.in_progress", 409),
    ("payment.key_reused", 409),
    ("payment.nothing_to_pay", 409),
    ("payment.provider_away", 503),
    ("payment.refunding", 409),
    ("payment.too_many_attempts", 409),
    ("payment.unknown_key", 404),
    ("payment.unknown_order", 404),
    ("payment.unknown_provider", 404),
    ("payment.unsettled", 503),
    ("picture.out_of_bounds", 422),
    ("picture.unreadable", 422),
    ("privacy.nobody", 404),
    ("privacy.over", 409),
    ("privacy.unknown", 404),
    ("queue.busy", 503),
    ("queue.checking", 503),
    ("queue.closed", 409),
    ("queue.invalid_invite", 403),
    ("queue.invalid_token", 401),
    ("queue.invite_used", 409),
    ("queue.malformed_header", 400),
    ("queue.no_joins_now", 503),
    ("queue.no_proof", 404),
    ("queue.not_closed_yet", 409),
    ("queue.not_drawn_yet", 409),
    ("queue.not_in_draw", 404),
    ("queue.not_needed", 409),
    ("queue.other_device", 403),
    ("queue.other_run", 410),
    ("queue.paying", 409),
    ("queue.token_required", 401),
    ("queue.too_many_joins", 429),
    ("refund.amount_changed", 409),
    ("refund.at_the_desk", 409),
    ("refund.no_account_wanted", 409),
    ("refund.not_failed", 409),
    ("refund.not_paid", 409),
    ("refund.nothing_back", 409),
    ("refund.ticket_gone", 409),
    ("refund.ticket_used", 409),
    ("refund.too_late", 409),
    ("refund.unknown", 404),
    ("refund.unknown_ticket", 404),
    ("refund.wrong_amount", 409),
    ("request.changed_meanwhile", 412),
    ("request.content_type", 415),
    ("request.cross_site", 403),
    ("request.if_match_required", 428),
    ("request.invalid", 422),
    ("request.malformed_form", 400),
    ("request.malformed_json", 400),
    ("request.malformed_query", 400),
    ("request.method_not_allowed", 405),
    ("request.not_found", 404),
    ("request.too_large", 413),
    ("room.beacon_differs", 409),
    ("room.beacon_not_wanted", 409),
    ("room.illegal_move", 409),
    ("room.in_use", 409),
    ("room.no_rehearsal", 409),
    ("room.sale_is_near", 409),
    ("room.too_late", 409),
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
    ("stock.product_limit", 409),
    ("stock.sold_out", 409),
    ("stock.unready", 503),
    ("ticket.keys_used_up", 409),
    ("ticket.link_expired", 410),
    ("ticket.not_reissued", 409),
    ("ticket.proof_required", 401),
    ("ticket.unknown", 404),
    ("ticket.void", 410),
    ("ticket.wrong_proof", 403),
    ("transfer.no_room", 409),
    ("transfer.slot_closed", 409),
    ("transfer.slot_over", 409),
    ("user.exists", 409),
    ("user.last_owner", 409),
    ("user.oneself", 409),
    ("user.unknown", 404),
    ("waiting_room.invalid_pass", 403),
    ("waiting_room.pass_ended", 403),
    ("waiting_room.pass_in_use", 409),
    ("waiting_room.pass_required", 403),
    ("walk_in.amount_changed", 409),
    ("walk_in.not_allowed", 403),
    ("walk_in.not_now", 409),
    ("walk_in.not_open", 409),
    ("walk_in.too_many", 429),
    ("webhook.forged", 403),
    ("webhook.unknown", 404),
    ("webhook.waiting", 409),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::platform::texts::{self, Language};

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
                "stale",
                "unseen",
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
    /// The text between two others.
    fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
        text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).map(|(found, _)| found).unwrap()
    }

    #[test]
    fn what_nginx_answers_itself_is_listed_in_its_own_words() {
        let read = |name: &str| std::fs::read_to_string(format!("nginx/snippets/{name}.conf")).unwrap();
        let (problems, words) = (read("problems"), read("texts"));
        let mut edge = BTreeSet::new();
        for answer in problems.split("    return ").skip(1).filter(|answer| answer.contains("\"code\"")) {
            let (status, code) = (&answer[..3], between(answer, "\"code\":\"", "\""));
            assert!(answer.contains(&format!("\"type\":\"/docs/problems#{code}\"")), "{code}");
            assert!(answer.contains(&format!("\"status\":{status},")), "{code}");
            edge.insert((code.to_owned(), status.parse::<u16>().unwrap()));
            let says = between(&words, &format!("${} {{", between(answer, "\"detail\":\"$", "\"")), "}");
            let key = format!("problem.{code}");
            assert_eq!(between(says, "default \"", "\""), texts::text(Language::Ko, &key));
            assert_eq!(between(says, "\"~*^en\" \"", "\""), texts::text(Language::En, &key));
        }
        let listed = STATUSES.iter().filter(|(code, _)| code.starts_with("edge."));
        assert_eq!(edge, listed.map(|(code, status)| ((*code).to_owned(), *status)).collect());
    }

    #[test]
    fn the_list_for_people_has_the_same_codes_and_statuses() {
        let list = std::fs::read_to_string("docs/problems.md").unwrap();
        // A star after the code says that the call may have been carried out.
        let rows = list.lines().filter_map(|line| {
            let (code, rest) = line.strip_prefix("| `")?.split_once('`')?;
            let status = rest.trim_start_matches([' ', '*', '|']).split(' ').next()?.parse::<u16>().ok()?;
            Some((code, status))
        });
        assert_eq!(rows.collect::<BTreeSet<_>>(), STATUSES.iter().copied().collect());
    }
}
