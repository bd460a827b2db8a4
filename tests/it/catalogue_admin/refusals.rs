//! Who may not, what is refused, and what stays on record.

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::{By, EXHIBITIONS, PRODUCTS, SALES, SLOTS, adult, field, id, is};
use crate::support::given::places;
use crate::support::{Kind, TestApp};

#[tokio::test]
async fn wrong_input_names_the_field_and_changes_nothing() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(20) }).await;
    let owner = app.owner().await;
    let exhibition = format!("{EXHIBITIONS}/xyz");
    let product = format!("{PRODUCTS}/{}", adult.product_id);
    let slot = format!("{SLOTS}/{}", adult.slot_id.unwrap());
    let rule = |days: i32, pct: i32| json!({ "days_before": days, "fee_pct": pct });
    let before = app.catalogue_rows().await;
    for (path, change, name, code) in [
        (&exhibition, json!({ "name_ko": "  " }), "name_ko", "required"),
        (&exhibition, json!({ "name_en": "x".repeat(101) }), "name_en", "too_long"),
        (&exhibition, json!({ "venue_ko": "a\u{202e}b" }), "venue_ko", "control_characters"),
        (&exhibition, json!({ "description_ko": "x".repeat(4_001) }), "description_ko", "too_long"),
        (&exhibition, json!({ "ends_on": app.day(-5) }), "ends_on", "before_start"),
        (&exhibition, json!({ "ends_on": app.day(3) }), "ends_on", "slots_outside"),
        (&exhibition, json!({ "ends_on": "2199-01-01" }), "ends_on", "out_of_range"),
        (&exhibition, json!({ "ends_on": "soon" }), "ends_on", "malformed"),
        (&exhibition, json!({ "sale_end": app.instant(-90) }), "sale_end", "before_start"),
        (&exhibition, json!({ "hold_ttl_s": 59 }), "hold_ttl_s", "out_of_range"),
        (&exhibition, json!({ "person_limit": 0 }), "person_limit", "out_of_range"),
        (&exhibition, json!({ "open_holds_max": 101 }), "open_holds_max", "out_of_range"),
        (&exhibition, json!({ "refund_free_h": -1 }), "refund_free_h", "out_of_range"),
        (&exhibition, json!({ "deposit_h": 0 }), "deposit_h", "out_of_range"),
        (&exhibition, json!({ "refund_rules": [rule(1, 101)] }), "refund_rules[0]", "out_of_range"),
        (&exhibition, json!({ "refund_rules": [rule(1, 0), rule(-1, 0)] }), "refund_rules[1]", "out_of_range"),
        (
            &exhibition,
            json!({ "refund_rules": [rule(1, 0), rule(1, 5)] }),
            "refund_rules[1].days_before",
            "named_twice",
        ),
        (&exhibition, json!({ "refund_rules": vec![rule(1, 0); 21] }), "refund_rules", "too_many"),
        (&exhibition, json!({ "refund_rules": "none" }), "refund_rules", "malformed"),
        (&exhibition, json!({ "payment_provider": "cash" }), "payment_provider", "malformed"),
        (&exhibition, json!({ "payment_provider": "stripe" }), "payment_provider", "not_set_up"),
        (&exhibition, json!({ "canary_pct": 5 }), "canary_provider", "required"),
        (&exhibition, json!({ "stage": "gone" }), "stage", "malformed"),
        (&product, json!({ "kind": "Adult!" }), "kind", "malformed"),
        (&product, json!({ "name_ko": "" }), "name_ko", "required"),
        (&product, json!({ "price_won": -1 }), "price_won", "out_of_range"),
        (&product, json!({ "price_won": 10_000_001 }), "price_won", "out_of_range"),
        (&product, json!({ "per_order_max": 0 }), "per_order_max", "out_of_range"),
        (&product, json!({ "per_person_max": 0 }), "per_person_max", "out_of_range"),
        (&product, json!({ "per_person_max": 101 }), "per_person_max", "out_of_range"),
        (&product, json!({ "position": -1 }), "position", "out_of_range"),
        (&product, json!({ "sale_start": app.instant(2), "sale_end": app.instant(1) }), "sale_end", "before_start"),
        (&product, json!({ "total": 10_000_001 }), "total", "out_of_range"),
        (&product, json!({ "offered": -1 }), "offered", "out_of_range"),
        (&product, json!({ "offered": 1.5 }), "offered", "malformed"),
        (&slot, json!({ "date": app.day(99) }), "date", "outside_dates"),
        (&slot, json!({ "start_time": "10:00" }), "end_time", "required"),
        (&slot, json!({ "start_time": "10:00", "end_time": "09:00" }), "end_time", "before_start"),
        (&slot, json!({ "start_time": "ten", "end_time": "11:00" }), "start_time", "malformed"),
        (&slot, json!({ "total": -1, "offered": 0 }), "total", "out_of_range"),
    ] {
        assert_eq!(field(owner.put(path, 1, change).await), is(name, code), "{path}");
    }
    let new = |change: Value| {
        let mut ask = app.new_exhibition("spring");
        ask.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        ask
    };
    for (path, ask, name, code) in [
        (EXHIBITIONS, new(json!({ "code": "Spring" })), "code", "malformed"),
        (EXHIBITIONS, new(json!({ "code": "-a" })), "code", "malformed"),
        (EXHIBITIONS, new(json!({ "code": "a".repeat(32) })), "code", "malformed"),
        (EXHIBITIONS, new(json!({ "code": "admin" })), "code", "taken"),
        (EXHIBITIONS, new(json!({ "code": "xyz" })), "code", "taken"),
        (EXHIBITIONS, new(json!({ "stage": "published" })), "stage", "illegal_move"),
        (EXHIBITIONS, json!({ "code": "spring" }), "name_ko", "required"),
        (PRODUCTS, json!({ "exhibition": "xyz", "kind": "a" }), "name_ko", "required"),
        (SLOTS, json!({ "exhibition": "xyz", "date": app.day(1) }), "total", "required"),
        (SLOTS, json!({ "exhibition": "xyz", "date": adult.date, "total": 4 }), "start_time", "taken"),
        (SLOTS, json!({ "exhibition": "xyz", "date": app.day(90), "total": 4 }), "date", "outside_dates"),
    ] {
        assert_eq!(field(owner.post(path, ask).await), is(name, code), "{path}");
    }
    owner.post(PRODUCTS, self::adult("nowhere", 1)).await.refused(404, "catalogue.unknown_exhibition");
    assert_eq!(app.catalogue_rows().await, before);

    // The database keeps the same list of addresses that are our own.
    let rule: String = app
        .db
        .one("select pg_get_constraintdef(oid) from pg_constraint where conname = 'exhibition_code_reserved'")
        .await;
    let kept: Vec<&str> = rule.split('\'').skip(1).step_by(2).collect();
    for code in &kept {
        assert_eq!(field(owner.post(EXHIBITIONS, new(json!({ "code": code }))).await), is("code", "taken"), "{code}");
    }
    assert!(kept.len() >= 28, "{rule}");
    app.finish().await;
}

#[tokio::test]
async fn whoever_belongs_to_another_exhibition_or_helps_visitors_changes_nothing() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(20) }).await;
    app.given(Kind { code: "other", ..places(5) }).await;
    let owner = app.owner().await;
    owner.post(EXHIBITIONS, app.new_exhibition("spring")).await.expect(201);
    let foreign = app.by("foreign", Role::Admin, &["other"]).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let support = app.by("helps", Role::Support, &["xyz"]).await;
    let staff = app.by("gates", Role::Staff, &["xyz"]).await;
    let before = app.catalogue_rows().await;
    let day = app.day(2);
    let writes = [
        (Method::PUT, format!("{EXHIBITIONS}/xyz"), json!({ "paused": true })),
        (Method::DELETE, format!("{EXHIBITIONS}/xyz"), Value::Null),
        (Method::POST, PRODUCTS.to_owned(), self::adult("xyz", 3)),
        (Method::PUT, format!("{PRODUCTS}/{}", adult.product_id), json!({ "offered": 1 })),
        (Method::DELETE, format!("{PRODUCTS}/{}", adult.product_id), Value::Null),
        (Method::POST, SLOTS.to_owned(), json!({ "exhibition": "xyz", "date": day, "total": 4 })),
        (Method::PUT, format!("{SLOTS}/{}", adult.slot_id.unwrap()), json!({ "offered": 1 })),
        (Method::DELETE, format!("{SLOTS}/{}", adult.slot_id.unwrap()), Value::Null),
        (
            Method::POST,
            format!("{SLOTS}/pattern"),
            json!({ "exhibition": "xyz", "from": day, "until": day, "total": 4 }),
        ),
        (
            Method::POST,
            format!("{SLOTS}/bulk"),
            json!({ "exhibition": "xyz", "filter": {}, "set": { "closed": true } }),
        ),
    ];
    for (method, path, body) in &writes {
        for by in [&support, &staff] {
            by.call(method.clone(), path, Some(1), Some(body.clone())).await.refused(403, "auth.forbidden");
        }
        // By their ids another exhibition's are as good as not there.
        let refused = foreign.call(method.clone(), path, Some(1), Some(body.clone())).await;
        match path.rsplit('/').next().is_some_and(|last| last.parse::<i32>().is_ok()) {
            false => refused.refused(403, "auth.forbidden"),
            true if path.starts_with(PRODUCTS) => refused.refused(404, "catalogue.unknown_product"),
            true => refused.refused(404, "catalogue.unknown_slot"),
        };
    }
    for by in [&admin, &foreign, &support, &staff] {
        by.post(EXHIBITIONS, app.new_exhibition("more")).await.refused(403, "auth.forbidden");
        by.put(SALES, 1, json!({ "paused": false })).await.refused(403, "auth.forbidden");
        by.get(&format!("{EXHIBITIONS}/spring")).await.refused(403, "auth.forbidden");
    }
    assert_eq!(app.catalogue_rows().await, before);

    let codes = async |by: &By<'_>| -> Vec<String> {
        let list = by.get(EXHIBITIONS).await.expect(200);
        list.body["exhibitions"].as_array().unwrap().iter().map(|e| e["code"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(codes(&owner).await, ["other", "spring", "xyz"]);
    assert_eq!((codes(&admin).await, codes(&support).await), (vec!["xyz".to_owned()], vec!["xyz".to_owned()]));
    support.exhibition("xyz").await;
    support.product("xyz", adult.product_id).await;
    support.slot("xyz", adult.slot_id.unwrap()).await;
    for path in [PRODUCTS, SLOTS] {
        foreign.get(&format!("{path}?exhibition=xyz")).await.refused(403, "auth.forbidden");
        staff.get(&format!("{path}?exhibition=xyz")).await.refused(403, "auth.forbidden");
    }
    app.finish().await;
}

#[tokio::test]
async fn every_write_is_on_record_with_what_changed() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let said = async |action: &str, before: Value, after: Value| {
        let (was, is) = (action.to_owned(), app.recorded().await);
        assert_eq!((is.0, is.1, is.2), (was, before, after));
    };
    owner.post(EXHIBITIONS, app.new_exhibition("spring")).await.expect(201);
    let spring: i32 = app.db.one("select id from exhibitions").await;
    let (action, before, after) = app.recorded().await;
    assert_eq!(
        (action.as_str(), before, &after["settings"]["name_en"]),
        ("exhibition.create", Value::Null, &json!("New one"))
    );
    owner.set("spring", json!({ "stage": "published", "venue_ko": "한강" })).await.expect(200);
    said(
        "exhibition.change",
        json!({ "exhibition": spring, "stage": "draft", "venue_ko": "" }),
        json!({ "exhibition": spring, "stage": "published", "venue_ko": "한강" }),
    )
    .await;

    let product = id(&owner.post(PRODUCTS, adult("spring", 10)).await.expect(201));
    let path = format!("{PRODUCTS}/{product}");
    assert_eq!(app.recorded().await.0, "product.create");
    owner.put(&path, 1, json!({ "total": 12, "active": false })).await.expect(200);
    said(
        "product.change",
        json!({ "product": product, "total": 10, "offered": 10, "active": true }),
        json!({ "product": product, "total": 12, "offered": 12, "active": false }),
    )
    .await;
    let slot =
        id(&owner.post(SLOTS, json!({ "exhibition": "spring", "date": app.day(1), "total": 4 })).await.expect(201));
    assert_eq!(app.recorded().await.0, "slot.create");
    owner.put(&format!("{SLOTS}/{slot}"), 1, json!({ "closed": true })).await.expect(200);
    said("slot.change", json!({ "slot": slot, "closed": false }), json!({ "slot": slot, "closed": true })).await;
    owner.delete(&format!("{SLOTS}/{slot}"), 2).await.expect(200);
    assert_eq!(app.recorded().await.0, "slot.delete");
    owner.delete(&path, 2).await.expect(200);
    assert_eq!(app.recorded().await.0, "product.delete");
    owner.delete(&format!("{EXHIBITIONS}/spring"), 2).await.expect(200);
    said(
        "exhibition.archive",
        json!({ "exhibition": spring, "stage": "published" }),
        json!({ "exhibition": spring, "stage": "archived" }),
    )
    .await;
    // Nothing that changed nothing, and who it was.
    owner.delete(&format!("{EXHIBITIONS}/spring"), 3).await.expect(200);
    assert_eq!(app.db.one::<i64>("select count(*) from admin_audit where action <> 'user.sign_in'").await, 9);
    let named = "select count(*) from admin_audit where user_name = 'owner' and action <> 'user.sign_in' and request_id <> '' and address is not null";
    assert_eq!(app.db.one::<i64>(named).await, 9);
    app.finish().await;
}
