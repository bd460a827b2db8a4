//! What is on offer changes while it is sold.

use std::sync::atomic::{AtomicBool, Ordering};

use admit::admin::Role;
use reqwest::Method;
use serde_json::json;

use super::{EXHIBITIONS, PRODUCTS, SALES, SLOTS, field, is, revision};
use crate::support::given::places;
use crate::support::servers::OwnRedis;
use crate::support::visitor::Held;
use crate::support::{Answer, Kind, Options, TestApp, race};

#[tokio::test]
async fn a_change_of_what_the_caller_has_not_seen_is_refused() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(7), ..places(40) }).await;
    let owner = app.owner().await;
    let reply = app.http.get(app.url(&format!("{EXHIBITIONS}/xyz"))).bearer_auth(&owner.token).send().await.unwrap();
    assert_eq!(
        (&reply.headers()["etag"], &reply.headers()["cache-control"]),
        (&"\"1\"".parse().unwrap(), &"no-store".parse().unwrap())
    );

    let product = format!("{PRODUCTS}/{}", adult.product_id);
    let slot = format!("{SLOTS}/{}", adult.slot_id.unwrap());
    let changes = [
        (format!("{EXHIBITIONS}/xyz"), "venue_ko"),
        (product.clone(), "name_ko"),
        (slot.clone(), "total"),
        (SALES.to_owned(), "reason_ko"),
    ];
    for (path, name) in &changes {
        let value =
            |n: usize| if *name == "total" { json!({ *name: 50 + n }) } else { json!({ *name: format!("곳 {n}") }) };
        let before = app.catalogue_rows().await;
        owner.call(Method::PUT, path, None, Some(value(0))).await.refused(428, "request.if_match_required");
        owner.put(path, 7, value(0)).await.refused(412, "request.changed_meanwhile");
        for tag in ["*", "", "x", "\"1\", \"2\""] {
            let call = app.http.put(app.url(path)).bearer_auth(&owner.token).header("if-match", tag).json(&value(0));
            Answer::of(call).await.refused(412, "request.changed_meanwhile");
        }
        assert_eq!(app.catalogue_rows().await, before, "{path}");
        // Of several who have seen the same, one is first.
        let answers = race(6, |n| owner.put(path, 1, value(n))).await;
        let won = answers.iter().filter(|a| a.status == 200).count();
        let stale = answers.iter().filter(|a| a.code() == "request.changed_meanwhile").count();
        assert_eq!((won, stale), (1, 5), "{path}");
        // As nginx writes it.
        let call = app.http.put(app.url(path)).bearer_auth(&owner.token).header("if-match", "W/\"2\"").json(&value(9));
        Answer::of(call).await.expect(200);
    }
    for path in [&changes[0].0, &product, &slot] {
        owner.call(Method::DELETE, path, None, None).await.refused(428, "request.if_match_required");
        owner.delete(path, 1).await.refused(412, "request.changed_meanwhile");
    }
    // The same again changes nothing, and is no change.
    let answer = owner.put(&product, 3, json!({ "name_ko": "곳 9" })).await.expect(200);
    assert_eq!(revision(&answer), 3);
    app.finish().await;
}

/// At every write of a place: no more than was on offer at that moment.
const WATCH: &str = "
    create table oversold (held int, sold int, offered int, total int);
    create function watch_stock() returns trigger language plpgsql as $$
    begin
        if new.held + new.sold > old.held + old.sold and new.held + new.sold > least(new.total, new.offered) then
            insert into oversold values (new.held, new.sold, new.offered, new.total);
        end if;
        return new;
    end $$;";

#[tokio::test]
async fn what_is_on_offer_changes_during_the_sale_and_never_more_is_sold() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let adult = app.given(Kind { slot_places: Some(120), ..places(120) }).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    app.db
        .execute(&format!(
            "{WATCH} create trigger watch before update on stock for each row execute function watch_stock()"
        ))
        .await;

    let over = AtomicBool::new(false);
    let offers = [60, 20, 90, 0, 45, 10, 120, 30, 70];
    let change = async {
        let mut changed = 0;
        while !over.load(Ordering::Relaxed) || changed < offers.len() {
            let offered = offers[changed % offers.len()];
            let answer = if changed % 2 == 0 {
                admin.set_product(&adult, json!({ "offered": offered })).await
            } else {
                admin.set_slot(&adult, json!({ "offered": offered })).await
            };
            answer.expect(200);
            changed += 1;
        }
        changed
    };
    let sale = async {
        let answers = race(200, |n| {
            let (app, adult) = (&app, &adult);
            async move {
                let visitor = app.visitor(n).at(n % 2);
                let mut answer = visitor.order(adult, 1).await;
                // What is taken off may be put on again; some give up, some change their minds.
                for _ in 0..n % 4 {
                    if answer.status == 201 && n % 3 == 0 {
                        visitor.cancel(&Held::from(&answer)).await;
                    }
                    if answer.status == 201 && n % 3 != 0 {
                        break;
                    }
                    answer = visitor.order(adult, 1).await;
                }
                answer
            }
        })
        .await;
        over.store(true, Ordering::Relaxed);
        answers
    };
    let (changed, answers) = tokio::join!(change, sale);
    assert!(changed >= offers.len());
    let known = ["", "stock.sold_out", "stock.unready", "stock.busy", "order.open_holds"];
    assert!(
        answers.iter().all(|a| known.contains(&a.code())),
        "{:?}",
        answers.iter().map(Answer::code).collect::<Vec<_>>()
    );
    assert!(answers.iter().any(|a| a.status == 201) && answers.iter().any(|a| a.code() == "stock.sold_out"));
    assert_eq!(app.db.one::<i64>("select count(*) from oversold").await, 0);
    app.until("Redis and Postgres agree", async || app.stores_agree().await).await;

    // What is on offer now is what can be had, to the last place.
    let taken = app.stock(adult.stock_id).await.0;
    admin.set_slot(&adult, json!({ "offered": 120 })).await.expect(200);
    admin.set_product(&adult, json!({ "offered": taken + 2 })).await.expect(200);
    app.visitor(900).order(&adult, 3).await.refused(409, "stock.sold_out");
    app.visitor(901).order(&adult, 2).await.expect(201);
    app.visitor(902).order(&adult, 1).await.refused(409, "stock.sold_out");
    assert_eq!(app.redis_free(&adult).await, Some(0));

    assert!(careless_offer(&app).await > 0, "a careless writer must oversell, or this test proves nothing");
    app.finish().await;
}

/// What a careless server does: orders are decided on what was read before the offer was lowered.
async fn careless_offer(app: &TestApp) -> i64 {
    let table = "create table careless (held int, sold int, offered int, total int); insert into careless values (0, 0, 50, 50);
        create trigger watch before update on careless for each row execute function watch_stock()";
    app.db.execute(table).await;
    let clients = race(20, |_| app.db.client()).await;
    let gate = tokio::sync::Barrier::new(clients.len() + 1);
    let lower = async {
        // All have read by then, and nobody has written.
        gate.wait().await;
        app.db.execute("update careless set offered = 5").await;
        gate.wait().await;
    };
    let sale = race(clients.len(), |n| {
        let (client, gate) = (&clients[n], &gate);
        async move {
            let read = "select least(total, offered) - held - sold from careless";
            let free: i32 = client.query_one(read, &[]).await.unwrap().get(0);
            gate.wait().await;
            gate.wait().await;
            if free > 0 {
                client.execute("update careless set held = held + 1", &[]).await.unwrap();
            }
        }
    });
    tokio::join!(sale, lower);
    app.db.one("select count(*) from oversold").await
}

#[tokio::test]
async fn the_offer_is_decided_on_the_orders_that_came_first() {
    let app = TestApp::start().await;
    let adult = app.given(places(20)).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let waiting = async |n: i64| {
        let sql =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        app.until("it waits for the row", async || app.db.one::<i64>(sql).await == n).await;
    };
    let holder = app.db.client().await;
    holder.batch_execute("begin; select id from stock for update").await.unwrap();
    let order = async { app.visitor(1).order(&adult, 2).await };
    let change = async {
        waiting(1).await;
        let path = format!("{PRODUCTS}/{}", adult.product_id);
        admin.put(&path, 1, json!({ "total": 1 })).await
    };
    let release = async {
        waiting(2).await;
        holder.batch_execute("rollback").await.unwrap();
    };
    let (order, change, ()) = tokio::join!(order, change, release);
    order.expect(201);
    assert_eq!(field(change), is("total", "below_taken"));
    app.finish().await;
}

#[tokio::test]
async fn what_redis_has_lost_or_counts_otherwise_is_repaired() {
    let redis = OwnRedis::start().await;
    let app = TestApp::start_with(Options { redis_url: Some(redis.url()), ..Options::default() }).await;
    let adult = app.given(places(20)).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    app.visitor(1).order(&adult, 2).await.expect(201);
    let counted = async |free: i64| app.redis_free(&adult).await == Some(free);

    redis.cli(&["flushall"]).await;
    admin.set_product(&adult, json!({ "offered": 12 })).await.expect(200);
    app.until("counted anew", async || counted(10).await).await;

    // A rebuild that has raised the epoch, and died.
    let mut client = app.app().pg.get().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    admit::stock::pg::raise_epoch(&transaction, adult.exhibition_id).await.unwrap();
    transaction.commit().await.unwrap();
    drop(client);
    admin.set_product(&adult, json!({ "offered": 7 })).await.expect(200);
    assert!(counted(10).await, "what it counts is of another epoch");
    app.until("the audit has seen it", async || {
        app.tick("audit").await;
        counted(5).await
    })
    .await;
    app.visitor(2).order(&adult, 6).await.refused(409, "stock.sold_out");
    app.visitor(2).order(&adult, 5).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn fewer_may_be_offered_than_are_sold_but_never_fewer_exist() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(20) }).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 6).await;
    visitor.pay(&order).await.expect(200);
    let held = app.visitor(2).held(&adult, 2).await;

    admin.set_product(&adult, json!({ "offered": 3 })).await.expect(200);
    app.visitor(3).order(&adult, 1).await.refused(409, "stock.sold_out");
    // Places that come back below what is offered are not on sale.
    app.visitor(2).cancel(&held).await.expect(200);
    app.until("told", async || app.stores_agree().await).await;
    assert_eq!(app.redis_free(&adult).await, Some(0));
    app.visitor(3).order(&adult, 1).await.refused(409, "stock.sold_out");

    let before = app.catalogue_rows().await;
    let refused = admin.set_product(&adult, json!({ "total": 5 })).await.refused(422, "request.invalid");
    let error = &refused.body["errors"][0];
    assert_eq!((&error["field"], &error["code"]), (&json!("total"), &json!("below_taken")));
    assert!(error["detail"].as_str().unwrap().contains('6'), "{error}");
    assert_eq!(app.catalogue_rows().await, before);

    // As many as are sold, and then more. What is offered stays what it was, unless it was all.
    let shown = admin.set_product(&adult, json!({ "total": 6, "offered": 6 })).await.expect(200);
    assert_eq!((&shown.body["sold"], &shown.body["offered"]), (&json!(6), &json!(6)));
    let shown = admin.set_product(&adult, json!({ "total": 9 })).await.expect(200);
    assert_eq!(shown.body["offered"], 9);
    assert_eq!(app.redis_free(&adult).await, Some(3), "at once");
    app.visitor(3).order(&adult, 3).await.expect(201);
    app.finish().await;
}
