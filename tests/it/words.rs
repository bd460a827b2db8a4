//! What the server writes in codes, people read in words: whatever the control room looks up in a family of words is written in
//! both languages, for each code that there can be. Codes are read from where they are closed: types, the schema, and the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use admit::admin::Role;
use admit::notifications::outbox::MessageKind;
use admit::orders::inbox::outcome::Outcome;
use admit::orders::model::{AttemptState, EventKind, OrderState};
use admit::orders::worker::WORKERS;
use admit::orders::writer::RefundKind;
use admit::platform::http::codes::STATUSES;
use admit::waiting_room::model::Phase;
use serde_json::Value;

use crate::support::db::Database;

/// Families whose codes are the pages' own, or those of one page beside whose source they stand.
const OF_PAGES: [&str; 22] = [
    "beacon",
    // What has none gets a sentence with its code.
    "bulk.refused",
    "contact",
    "family",
    "field",
    "kind",
    "live.breaker",
    "method",
    "money.kind",
    "month",
    "privacy_kept",
    "refund.because",
    "room.means",
    "room.to",
    "stage",
    "stock.cause",
    "stock.done",
    "stock.reason",
    "stock.redis_state",
    "waiting",
    "weekday",
    "why",
];
/// What an action of the audit log begins with.
const ACTS_ON: [&str; 14] = [
    "audit",
    "device",
    "entry",
    "exhibition",
    "order",
    "outbox",
    "privacy",
    "product",
    "room",
    "sales",
    "slot",
    "ticket",
    "user",
    "webhook",
];
/// Families whose codes the schema closes.
const OF_CONSTRAINTS: [(&str, &str); 13] = [
    ("order_state", "order_state"),
    ("attempt", "attempt_state"),
    ("ticket_state", "ticket_state"),
    ("refund_state", "refund_state"),
    ("refund_kind", "refund_kind"),
    ("provider", "attempt_provider"),
    ("inbox.state", "inbox_state"),
    ("mail_state", "outbox_state"),
    ("conflicts.kind", "entry_conflict_kind"),
    ("conflicts.decision", "entry_conflict_decision"),
    ("privacy_kind", "privacy_request_kind"),
    ("privacy_verified", "privacy_request_verified"),
    ("privacy_state", "privacy_request_state"),
];

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn files(dir: &str, ending: &str) -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push((name(&path), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap().to_owned()
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.')
}

/// What stands between two of these marks and is a code.
fn quoted(text: &str, mark: char) -> Vec<&str> {
    text.split(mark).skip(1).step_by(2).filter(|one| is_code(one)).collect()
}

/// What stands between the first of the one and the next of the other.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).unwrap_or_else(|| panic!("no {from}")).1;
    rest.split_once(to).unwrap_or_else(|| panic!("no {to} behind {from}")).0
}

/// The arguments of a call, of which this is all behind its opening bracket.
fn arguments(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found, mut in_text) = (0, 0, Vec::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => in_text = !in_text,
            _ if in_text => {}
            ')' if depth == 0 => {
                found.push(&text[from..at]);
                return found;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    panic!("a call without an end: {}", &text[..60.min(text.len())]);
}

#[derive(Default)]
struct Codes(BTreeMap<&'static str, BTreeSet<String>>);

impl Codes {
    fn add(&mut self, family: &'static str, codes: impl IntoIterator<Item = impl Into<String>>) {
        let found: Vec<String> = codes.into_iter().map(Into::into).collect();
        assert!(!found.is_empty(), "no code of {family} was found where it was looked for");
        self.0.entry(family).or_default().extend(found);
    }

    fn of_types(&mut self) {
        self.add("event", EventKind::ALL.iter().map(|kind| kind.as_str()));
        self.add("order_state", OrderState::ALL.iter().map(|state| state.as_str()));
        self.add("attempt", AttemptState::ALL.iter().map(|state| state.as_str()));
        self.add("webhook_outcome", Outcome::NAMED.into_iter().map(Outcome::as_str));
        self.add("mail", MessageKind::ALL.map(MessageKind::as_str));
        self.add("worker", WORKERS.iter().map(|worker| worker.name));
        self.add("live.outcome", ["busy", "silent"]);
        self.add("role", Role::ALL.map(Role::as_str));
        self.add("actor", Role::ALL.map(Role::as_str));
        self.add("room.phase", Phase::ALL.map(Phase::as_str));
        // Money that went back says why it was owed, or who wanted it (`Refund::cause`).
        self.add(
            "cause",
            [EventKind::LateAndFull, EventKind::PaidTwice, EventKind::OrderClosed].map(EventKind::as_str),
        );
        self.add("cause", [RefundKind::Visitor, RefundKind::Admin, RefundKind::Provider].map(RefundKind::as_str));
    }

    async fn of_schema(&mut self) {
        let database = Database::create().await;
        for (family, constraint) in OF_CONSTRAINTS {
            let sql = format!("select pg_get_constraintdef(oid) from pg_constraint where conname = '{constraint}'");
            let closed: String = database.one(&sql).await;
            self.add(family, quoted(&closed, '\''));
        }
        database.drop().await;
    }

    /// Whatever the audit log is told: a name of this form that is no problem's.
    fn of_actions(&mut self, source: &[(String, String)]) {
        let is_action = |code: &&str| {
            let family = code
                .split_once('.')
                .filter(|(family, act)| ACTS_ON.contains(family) && !act.is_empty() && *act != "html");
            family.is_some() && !STATUSES.iter().any(|(problem, _)| problem == code)
        };
        for (path, text) in source {
            // Statements have names of the same form, and nothing else is in these files.
            if !path.ends_with("pg.rs") && !path.contains("/pg/") {
                let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let found: Vec<&str> = lines.flat_map(|line| quoted(line, '"')).filter(is_action).collect();
                self.0.entry("action").or_default().extend(found.into_iter().map(str::to_owned));
            }
        }
    }

    /// Who and why, of each event of an order.
    fn of_origins(&mut self, source: &[(String, String)]) {
        for (path, text) in source {
            let text = text.split("#[cfg(test)]").next().unwrap();
            for call in text.split("Origin::new(").skip(1) {
                let given = arguments(call);
                let (actors, causes) = (quoted(given[0], '"'), quoted(given[1], '"'));
                // A role, and the fields of a contact, which have families of their own.
                assert!(!actors.is_empty() || given[0].contains("role.as_str()"), "{path}: {}", given[0]);
                assert!(!causes.is_empty() || given[1].contains("fields.join"), "{path}: {}", given[1]);
                self.0.entry("actor").or_default().extend(actors.into_iter().map(str::to_owned));
                self.0.entry("cause").or_default().extend(causes.into_iter().map(str::to_owned));
            }
        }
    }

    fn of_workers_and_mails(&mut self) {
        let text = read("src/orders/worker.rs");
        self.add(
            "live.outcome",
            quoted(between(&text, "let outcome = match", "app.metrics.worker("), '"')
                .into_iter()
                .filter(|code| code.len() > 3),
        );
        let bulk = read("src/orders/care/bulk/mod.rs");
        self.add("bulk.state", quoted(between(&bulk, "state: if", "slot_ids"), '"'));
        let devices = read("src/entrance/devices/admin.rs");
        self.add("devices.state", quoted(between(&devices, "let state = match", "};"), '"'));
        let mail = read("src/notifications/mail.rs");
        self.add("mail_outcome", quoted(between(&mail, "fn smtp_failure", "fn transport"), '"'));
        self.add("mail_outcome", mail.split("Failure(\"").skip(1).map(|rest| rest.split('"').next().unwrap()));
        let told = read("src/notifications/mod.rs");
        self.add("mail_outcome", told.split("Told::Not(\"").skip(1).map(|rest| rest.split('"').next().unwrap()));
        let ends = told.split("pg::finish(").skip(1).flat_map(|call| quoted(arguments(call)[3], '"'));
        self.add("mail_outcome", ends);
        self.add("mail_outcome", written_by_sql("src/notifications/pg.rs"));
        self.add("webhook_outcome", written_by_sql("src/payments/pg.rs"));
    }
}

fn written_by_sql(path: &str) -> Vec<String> {
    let text = read(path);
    text.split("outcome = '").skip(1).map(|rest| rest.split('\'').next().unwrap().to_owned()).collect()
}

/// The families that scripts look words up in.
fn asked_for() -> BTreeSet<String> {
    let mut families = BTreeSet::new();
    for (_, text) in files("web/assets", "js") {
        for rest in text.split("word(\"").skip(1) {
            families.insert(rest.split('"').next().unwrap().to_owned());
        }
    }
    families
}

#[tokio::test]
async fn every_code_that_people_see_has_words_in_both_languages() {
    let source = files("src", "rs");
    let mut codes = Codes::default();
    codes.of_types();
    codes.of_schema().await;
    codes.of_actions(&source);
    codes.of_origins(&source);
    codes.of_workers_and_mails();
    let mut missing = Vec::new();
    for language in ["ko", "en"] {
        let texts: Value = serde_json::from_str(&read(format!("web/locales/{language}.json"))).unwrap();
        for (family, codes) in &codes.0 {
            let keys = codes.iter().map(|code| format!("page.admin.{family}.{code}"));
            missing.extend(keys.filter(|key| texts[key].is_null()).map(|key| format!("{language}: {key}")));
        }
    }
    assert!(missing.is_empty(), "no words: {missing:#?}");
    let looked_at = |family: &String| codes.0.contains_key(family.as_str()) || OF_PAGES.contains(&family.as_str());
    let unknown: Vec<String> = asked_for().into_iter().filter(|family| !looked_at(family)).collect();
    assert!(unknown.is_empty(), "families that nobody compares: {unknown:?}");
}

/// What is written into an order's history beside the writer is of the same kinds, by somebody and for something that has words.
#[test]
fn what_sql_writes_into_a_history_has_words_too() {
    let texts: Value = serde_json::from_str(&read("web/locales/en.json")).unwrap();
    let has_words = |code: &str| {
        let written = |family: &str| texts[format!("page.admin.{family}.{code}")].is_string();
        EventKind::parse(code).is_some() || written("actor") || written("cause")
    };
    let mut found = 0;
    for (path, text) in files("src", "rs") {
        for insert in text.split("insert into order_events").skip(1) {
            let list = insert.split(" from ").next().unwrap();
            for code in quoted(list, '\'') {
                assert!(has_words(code), "{path}: {code}");
                found += 1;
            }
        }
        for latest in text.split("latest_refund!(").skip(1) {
            let kind = arguments(latest)[4].trim().trim_matches('"').to_owned();
            assert!(EventKind::parse(&kind).is_some(), "{path}: {kind}");
        }
    }
    assert!(found > 10, "{found}");
}
