//! Promises that no compiler checks: every statement prepares, every script has its contract, every code has words,
//! every route is documented, and features import only what they may.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::given::places;
use crate::support::{Answer, TestApp, db};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path, ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn every_statement_prepares_against_the_migrated_schema() {
    let all: Vec<&[&admit::platform::pg::Statement]> = vec![
        admit::orders::writer::STATEMENTS,
        admit::orders::pg::STATEMENTS,
        admit::orders::pg::attempts::STATEMENTS,
        admit::orders::pg::refunds::STATEMENTS,
        admit::orders::refunds::pg::STATEMENTS,
        admit::entrance::board::pg::STATEMENTS,
        admit::entrance::rulebook::pg::STATEMENTS,
        admit::entrance::conflicts::pg::STATEMENTS,
        admit::entrance::devices::pg::STATEMENTS,
        admit::entrance::ledger::pg::STATEMENTS,
        admit::entrance::search::pg::STATEMENTS,
        admit::entrance::sync::pg::STATEMENTS,
        admit::entrance::uploads::pg::STATEMENTS,
        admit::entrance::walk_ins::pg::STATEMENTS,
        admit::orders::inbox::pg::STATEMENTS,
        admit::orders::care::bulk::pg::STATEMENTS,
        admit::orders::care::change::pg::STATEMENTS,
        admit::orders::care::history::pg::STATEMENTS,
        admit::orders::care::index::STATEMENTS,
        admit::orders::care::search::pg::STATEMENTS,
        admit::orders::mine::pg::STATEMENTS,
        admit::orders::gauges::STATEMENTS,
        admit::orders::outcome::STATEMENTS,
        admit::orders::purge::STATEMENTS,
        admit::orders::books::pg::STATEMENTS,
        admit::stock::pg::STATEMENTS,
        admit::catalogue::pg::STATEMENTS,
        admit::payments::pg::STATEMENTS,
        admit::tickets::pg::STATEMENTS,
        admit::entrance::pg::STATEMENTS,
        admit::admin::pg::STATEMENTS,
        admit::admin::audit::pg::STATEMENTS,
        admit::admin::mailbox::pg::STATEMENTS,
        admit::admin::recovery::pg::STATEMENTS,
        admit::admin::reset::pg::STATEMENTS,
        admit::admin::rules::pg::STATEMENTS,
        admit::admin::tries::pg::STATEMENTS,
        admit::notifications::STATEMENTS,
        admit::notifications::outbox::pg::STATEMENTS,
        admit::operations::stock::pg::STATEMENTS,
        admit::operations::online::pg::STATEMENTS,
        admit::dashboard::pg::STATEMENTS,
        admit::privacy::pg::STATEMENTS,
        admit::privacy::pg::export::STATEMENTS,
        admit::privacy::pg::requests::STATEMENTS,
        admit::privacy::pg::retention::STATEMENTS,
        admit::commands::seed_demo::pg::STATEMENTS,
    ];
    let rooms = admit::waiting_room::pg::statements();
    let run_by_admins = admit::admin::catalogue::pg::statements();
    let database = db::Database::create().await;
    let client = database.client().await;
    let mut names = BTreeSet::new();
    for statement in all.into_iter().flatten().chain(&rooms).chain(&run_by_admins) {
        client.prepare(statement.sql).await.unwrap_or_else(|e| panic!("{}: {e:?}", statement.name));
        assert!(names.insert(statement.name), "{} is there twice", statement.name);
    }
    // None is forgotten in those lists.
    let written: usize = files(&root().join("src"), "rs")
        .iter()
        .map(|(_, text)| text.matches("Statement::new(\n").count() + text.matches("Statement::new(\"").count())
        .sum();
    assert!(names.len() + 5 >= written, "{} statements listed, {written} written", names.len());
    database.drop().await;
}

#[tokio::test]
async fn every_invariant_is_a_query_that_runs() {
    let database = db::Database::create().await;
    let all = admit::platform::invariants::all();
    assert!(all.len() >= 14, "{}", all.len());
    assert!(admit::platform::invariants::sweep(&database.url).await.unwrap().is_empty());
    database.drop().await;
}

#[tokio::test]
async fn the_sweep_sees_what_is_broken() {
    let database = db::Database::create().await;
    database
        .execute(
            "insert into exhibitions (code, name_ko, name_en, starts_on, ends_on, sale_start_at, sale_end_at)
             values ('bad', 'x', 'x', '2026-01-01', '2026-01-02', now(), now() + interval '1 day');
             insert into stock (exhibition_id, total, offered, held, epoch) values (1, 10, 10, 3, 1), (1, 5, 5, 0, 2)",
        )
        .await;
    let broken = admit::platform::invariants::sweep(&database.url).await.unwrap();
    assert_eq!(broken.len(), 2, "{broken:?}");
    assert!(broken[0].starts_with("held places equal the open orders: 1 rows"), "{broken:?}");
    database.drop().await;
}

#[test]
fn every_script_opens_with_its_whole_contract() {
    let scripts = files(&root().join("lua"), "lua");
    assert!(scripts.len() >= 8);
    let readme = std::fs::read_to_string(root().join("lua/README.md")).unwrap();
    for (path, text) in scripts {
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("--")).collect();
        for part in ["KEYS", "ARGV", "REPLY", "REPEAT", "BOUND", "KEEPS"] {
            let there = header.iter().any(|line| line.starts_with(&format!("-- {part} ")));
            assert!(there, "{} has no {part}", path.display());
        }
        let name = path.strip_prefix(root().join("lua")).unwrap().display().to_string();
        assert!(readme.contains(&name), "lua/README.md does not name {name}");
        // Keys come in KEYS: no script makes one up.
        assert!(!text.contains("'admit:"), "{} builds a key", path.display());
        assert!(!text.to_lowercase().contains("redis.call('time'"), "{}: time comes in", path.display());
    }
}

/// Codes that the source hands to `Error::kind("…")`, and codes of fields.
fn codes() -> (BTreeSet<String>, BTreeSet<String>) {
    let kinds = [
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
    ];
    let (mut problems, mut fields) =
        (BTreeSet::from(["server.bug".to_owned(), "request.invalid".to_owned()]), BTreeSet::new());
    let quoted = |rest: &str| rest.trim_start().strip_prefix('"').and_then(|r| r.split('"').next()).map(str::to_owned);
    for (_, text) in files(&root().join("src"), "rs") {
        for kind in kinds {
            for rest in text.split(&format!("Error::{kind}(")).skip(1) {
                problems.extend(quoted(rest));
            }
        }
        for rest in text.split("Error::field(").skip(1) {
            let after_comma = rest.split_once(',').map_or("", |(_, r)| r);
            fields.extend(quoted(after_comma));
        }
    }
    (problems, fields)
}

#[test]
fn every_code_has_words_in_both_languages_and_a_line_in_the_list() {
    let (problems, fields) = codes();
    assert!(problems.len() > 25, "{problems:?}");
    let list = std::fs::read_to_string(root().join("docs/problems.md")).unwrap_or_default();
    for code in problems {
        assert!(admit::platform::texts::knows(&format!("problem.{code}")), "problem.{code} has no words");
        assert!(list.contains(&format!("`{code}`")), "docs/problems.md does not list {code}");
    }
    for code in fields {
        assert!(admit::platform::texts::knows(&format!("field.{code}")), "field.{code} has no words");
    }
}

async fn described(app: &TestApp) -> Value {
    app.http.get(app.url("/api/openapi.json")).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn every_route_of_the_api_is_documented_and_every_documented_route_answers() {
    let app = TestApp::start().await;
    let document = described(&app).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    for expected in [
        "/api/exhibitions",
        "/api/exhibitions/{code}",
        "/api/exhibitions/{code}/products",
        "/api/orders",
        "/api/orders/{order_number}",
        "/api/orders/lookup",
        "/api/orders/{order_number}/cancel",
        "/api/payments/initialize",
        "/api/payments/confirm",
        "/api/payments/outcome",
        "/api/webhooks/{provider}",
        "/api/admin/webhooks",
        "/api/admin/webhook-replay",
        "/api/admin/outbox",
        "/api/admin/outbox/replay",
        "/api/admin/outbox/set-aside",
        "/api/admin/online",
        "/api/admin/providers",
        "/api/admin/exhibitions/{code}/stock",
        "/api/admin/orders",
        "/api/admin/orders/{order_number}",
        "/api/admin/orders/{order_number}/reveal",
        "/api/admin/orders/{order_number}/resend",
        "/api/admin/orders/{order_number}/transfer",
        "/api/admin/exhibitions/{code}/complimentary",
        "/api/admin/exhibitions/{code}/exports",
        "/api/exports/{ticket}",
        "/api/admin/exhibitions/{code}/bulk-refunds",
        "/api/admin/exhibitions/{code}/bulk-refunds/{bulk_id}",
        "/api/orders/{order_number}/refund",
        "/api/orders/{order_number}/refunds/{refund_id}/account",
        "/api/admin/exhibitions/{code}/orders/{order_number}/refund",
        "/api/admin/exhibitions/{code}/settlement",
        "/api/admin/exhibitions/{code}/differences",
        "/api/tickets/{ticket_id}/qr.svg",
        "/api/tickets/{ticket_id}/qr.png",
        "/api/auth/login",
        "/api/auth/refresh",
        "/api/auth/logout",
        "/api/entrance/scan",
        "/api/entrance/keys",
        "/api/entrance/enrol",
        "/api/entrance/shift",
        "/api/entrance/device",
        "/api/admin/exhibitions/{code}/devices",
        "/api/admin/exhibitions",
        "/api/admin/exhibitions/{code}",
        "/api/admin/products",
        "/api/admin/products/{product_id}",
        "/api/admin/slots",
        "/api/admin/slots/{slot_id}",
        "/api/admin/slots/pattern",
        "/api/admin/slots/bulk",
        "/api/admin/sales",
        "/api/admin/exhibitions/{code}/room",
        "/api/admin/exhibitions/{code}/room/phase",
        "/api/admin/exhibitions/{code}/room/beacon",
        "/api/admin/exhibitions/{code}/room/invites",
        "/api/admin/exhibitions/{code}/room/audit",
        "/api/admin/exhibitions/{code}/room/rehearsal",
    ] {
        assert!(paths.contains_key(expected), "{expected} is not documented");
    }
    for (path, item) in paths {
        for method in item.as_object().unwrap().keys() {
            let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let url = app
                .url(&path.replace("{code}", "none").replace("{order_number}", "none").replace("{ticket_id}", "none"));
            let status = app.http.request(method.clone(), url).send().await.unwrap().status().as_u16();
            assert!(status != 405 && status < 500, "{method} {path}: {status}");
        }
    }
    // In the source, an API path stands only in a documented handler.
    for (path, text) in files(&root().join("src"), "rs") {
        for rest in text.split(".route(\"/api/").skip(1) {
            let name = rest.split('"').next().unwrap();
            assert!(name == "openapi.json", "{}: /api/{name} is routed without documentation", path.display());
        }
    }
    app.finish().await;
}

/// What the handlers take as proof, read from the source: method and path, and whether it is staff's or an order's.
fn handlers() -> BTreeMap<(String, String), (bool, bool)> {
    let mut handlers = BTreeMap::new();
    for (_, text) in files(&root().join("src"), "rs") {
        for rest in text.split("#[utoipa::path(").skip(1) {
            let handler = rest.split("\n}\n").next().unwrap();
            let (method, rest) = handler.split_once(',').unwrap();
            let path = rest.split('"').nth(1).unwrap();
            let takes = |what: &str| handler.contains(what);
            // An Admin or AdminOf is a StaffUser of a higher rank.
            handlers.insert(
                (method.to_owned(), path.to_owned()),
                (
                    [
                        ": StaffUser",
                        ": Scanner",
                        ": OnShift",
                        ": Owner",
                        ": Admin,",
                        ": Admin)",
                        ": AdminOf",
                        ": Support",
                    ]
                    .into_iter()
                    .any(takes),
                    takes(": HeaderMap"),
                ),
            );
        }
    }
    handlers
}

#[tokio::test]
async fn every_call_says_how_it_refuses_and_what_proof_it_wants() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    visitor.pay(&order).await.expect(200);
    let ticket: uuid::Uuid = app.db.one("select id from tickets").await;

    crate::waiting_room::open_room(&app, &adult, Default::default()).await;
    let document = described(&app).await;
    let problem = &document["components"]["schemas"]["Problem"];
    for field in ["type", "title", "status", "code", "detail", "request_id"] {
        assert!(problem["required"].as_array().unwrap().contains(&json!(field)), "{field}: {problem}");
    }
    assert!(problem["properties"]["errors"].is_object() && problem["properties"]["retry_after_s"].is_object());

    let handlers = handlers();
    let mut calls = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, call) in item.as_object().unwrap() {
            let refusals = call["responses"].as_object().unwrap().iter().filter(|(s, _)| s.starts_with(['4', '5']));
            let mut count = 0;
            for (status, refusal) in refusals {
                let schema = &refusal["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}");
                count += 1;
            }
            assert!(count > 0, "{method} {path} never refuses");

            let accepted: Vec<&Value> = call["security"].as_array().unwrap().iter().collect();
            let accepts = |scheme: &str| accepted.iter().any(|one| one.get(scheme).is_some());
            let (staff, visitor) = handlers[&(method.clone(), path.clone())];
            let of_order = accepts("order_token") && accepts("order_cookie");
            let of_queue = accepts("queue_token") && accepts("queue_cookie");
            // An order that is placed may carry a pass, which is no proof of who somebody is.
            let visitor = visitor && (method.as_str(), path.as_str()) != ("post", "/api/orders");
            assert_eq!((accepts("staff"), of_order || of_queue), (staff, visitor), "{method} {path}");
            assert_eq!(of_queue, visitor && path.contains("/queue/"), "{method} {path}");

            // What the description says is what a caller without any proof meets.
            let path = path
                .replace("{code}", adult.code)
                .replace("{order_number}", &order.number)
                .replace("{ticket_id}", &ticket.to_string())
                .replace("{refund_id}", &ticket.to_string())
                .replace("{conflict_id}", &ticket.to_string())
                .replace("{bulk_id}", &ticket.to_string())
                .replace("{request_id}", &ticket.to_string())
                .replace("{device_id}", &ticket.to_string())
                .replace("{sign_in_id}", &ticket.to_string())
                .replace("{username}", "nobody");
            let request = app.http.request(method.to_uppercase().parse().unwrap(), app.url(&path));
            let request = request.header("idempotency-key", format!("contract {calls}"));
            let body = json!({ "order_number": order.number, "amount": order.total, "qr_code": "x", "email": "a@example.org",
                "bank": "20", "account_number": "1", "holder": "h", "token": "x" });
            let answer = Answer::of(if method == "post" { request.json(&body) } else { request }).await;
            let closed = !accepted.is_empty() && !accepted.contains(&&json!({}));
            assert_eq!(answer.status == 401, closed, "{method} {path}: {}", answer.body);
            calls += 1;
        }
    }
    assert_eq!(calls, handlers.len(), "a handler is not in the description");
    app.finish().await;
}

#[test]
fn features_import_only_what_stands_to_their_left() {
    let forbidden = [
        ("platform", vec!["catalogue", "stock", "orders", "payments", "tickets", "entrance", "admin", "notifications"]),
        ("catalogue", vec!["orders", "payments", "tickets", "entrance", "admin", "notifications"]),
        ("stock", vec!["orders", "payments", "tickets", "entrance", "admin", "notifications"]),
        ("payments", vec!["catalogue", "stock", "orders", "tickets", "entrance", "admin", "notifications"]),
        ("entrance", vec!["payments", "notifications"]),
    ];
    for (feature, banned) in forbidden {
        for (path, text) in files(&root().join("src").join(feature), "rs") {
            for other in &banned {
                let found =
                    text.lines().any(|line| line.starts_with("use ") && line.contains(&format!("crate::{other}")));
                assert!(!found, "{} imports {other}", path.display());
            }
        }
    }
}
