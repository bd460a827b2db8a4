//! Corrects what a visitor said of themselves, and gives up an order that is not paid.
//!
//! A phone number is a person, whose places are counted. With the number the places change hands, under the locks of the
//! stock writer; what the other person may not have is refused. Whoever had read the order before is told to read it again
//! (`writer::decide`).

pub mod pg;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::pg::Locked;
use super::{history, order_of};
use crate::admin::Role;
use crate::admin::access::Support;
use crate::admin::audit::{self, Act, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::cancel::cancel;
use crate::orders::consent::Consent;
use crate::orders::contact;
use crate::orders::model::{EventKind, Order, OrderState, Origin};
use crate::orders::{pg as orders_pg, place, writer};
use crate::platform::http::{IfMatch, Json, Path};
use crate::stock::{self, PersonKey, redis};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(change))
}

/// What is left out stays as it is.
#[derive(Deserialize, ToSchema)]
struct ChangeAsk {
    customer_name: Option<String>,
    customer_phone: Option<String>,
    /// Empty: none any more.
    customer_email: Option<String>,
    /// cancelled, for an order that is held or awaits its deposit; alone, and by an admin.
    state: Option<String>,
}

impl ChangeAsk {
    fn names_contact(&self) -> bool {
        self.customer_name.is_some() || self.customer_phone.is_some() || self.customer_email.is_some()
    }
}

/// Corrects the visitor's data, or cancels what is not paid.
///
/// A new phone number takes the order's places to another person: their limits are asked. While a payment is under way the
/// number stays. An order without a number gets none while its person waits to be forgotten.
#[utoipa::path(patch, path = "/api/admin/orders/{order_number}", tag = "admin", security(("staff" = [])),
    params(("order_number" = String, Path,), ("If-Match" = String, Header, description = "The `ETag` of the order as it was read.")),
    request_body = ChangeAsk,
    responses((status = 200, body = history::OrderShown),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "order.unknown"),
        (status = 409, description = "order.illegal_move, payment.in_progress, stock.person_limit, stock.product_limit, order.open_holds, order.paid, order.erasure_asked"),
        (status = 410, description = "order.forgotten, order.expired, order.closed"),
        (status = 412, description = "request.changed_meanwhile"), (status = 428, description = "request.if_match_required"),
        (status = 422, description = "request.invalid"),
        (status = 503, description = "stock.busy, server.busy, server.starting, server.database_away, order.unknown_outcome")))]
async fn change(
    State(app): State<App>,
    by: Support,
    seen: IfMatch,
    Path(number): Path<String>,
    Json(ask): Json<ChangeAsk>,
) -> Result<Response> {
    let order = order_of(&app, &by.user, &number).await?;
    match &ask.state {
        Some(_) if ask.names_contact() => return Err(Error::field("state", "alone")),
        Some(state) => {
            by.must_be(Role::Admin)?;
            give_up(&app, &by, &order, &seen, state).await?;
        }
        None if ask.names_contact() => correct(&app, &by, &order, &seen, &ask).await?,
        None => return Err(Error::field("customer_name", "required")),
    }
    let order = order_of(&app, &by.user, &number).await?;
    history::shown(&app, &order).await
}

async fn give_up(app: &App, by: &Support, order: &Order, seen: &IfMatch, to: &str) -> Result<()> {
    // Early, so that a stale move is called stale and not illegal; the writer looks again under the order's lock.
    seen.expect(history::pg::revision(&app.pg.get().await?, order.facts.id).await?)?;
    match order.state {
        OrderState::Held | OrderState::AwaitingDeposit if to == OrderState::Cancelled.as_str() => {}
        OrderState::Confirming if to == OrderState::Cancelled.as_str() => {
            return Err(Error::conflict("payment.in_progress"));
        }
        from => return Err(Error::conflict("order.illegal_move").with("from", from.as_str())),
    }
    let what = |state: OrderState| json!({ "order": order.facts.number, "state": state.as_str() });
    let origin = Origin::new(by.user.role.as_str(), "cancel", by.request_id.clone()).recorded(Act {
        by: Actor::from(by),
        action: "order.cancel",
        exhibition_id: order.facts.exhibition_id,
        before: what(order.state),
        after: what(OrderState::Cancelled),
    });
    cancel(app, order, origin, Some(seen)).await
}

async fn correct(app: &App, by: &Support, order: &Order, seen: &IfMatch, ask: &ChangeAsk) -> Result<()> {
    let facts = &order.facts;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let locked = pg::lock(&transaction, facts.id).await?;
    seen.expect(history::pg::revision(&transaction, facts.id).await?)?;
    let stored = history::pg::contact(&transaction, facts.id).await?;
    if stored.forgotten {
        return Err(Error::gone("order.forgotten"));
    }
    let before = contact::open(app, facts.id, &stored.key_id, &stored.sealed)?;
    let mut errors = Vec::new();
    let name = ask.customer_name.as_deref().unwrap_or(&before.name);
    let phone = ask.customer_phone.as_deref().unwrap_or(&before.phone);
    let email = ask.customer_email.as_deref().or(before.email.as_deref());
    // Of whom no number is known (a walk-in, a gift), none is needed to put the rest right.
    let numberless = before.phone.is_empty() && phone.trim().is_empty();
    let after = if numberless {
        contact::check_without_phone(name, email, &mut errors)
    } else {
        contact::check(name, phone, email, &mut errors)
    };
    let Some(after) = after else { return Err(Error::fields(errors)) };
    let fields: Vec<&str> = [
        ("name", before.name != after.name),
        ("phone", before.phone != after.phone),
        ("email", before.email != after.email),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect();
    if fields.is_empty() {
        return Ok(());
    }
    // An order without a number has a digest of its own, by which a request of its person finds it: it keeps that.
    let known = orders_pg::phone_digest(&transaction, facts.id).await?.unwrap_or_default();
    let digest: [u8; 32] = match numberless {
        true => known.as_slice().try_into().map_err(|_| Error::bug("a digest of another length"))?,
        false => contact::phone_digest(app, &after.phone),
    };
    // With a number it would be one of all orders of that number, of which nobody has asked anything.
    if before.phone.is_empty() && !numberless && pg::is_to_be_forgotten(&transaction, &known).await? {
        return Err(Error::conflict("order.erasure_asked"));
    }
    let mut person = locked.person_key;
    if before.phone != after.phone {
        person = contact::person_key(&digest);
        move_places(app, &transaction, order, &locked, &person).await?;
    }
    let sealed = contact::seal(app, (facts.exhibition_id, facts.id), &after, &digest, Consent::default())?;
    pg::write(&transaction, facts.id, after.email.is_some(), &person, &sealed).await?;
    let origin = Origin::new(by.user.role.as_str(), fields.join(","), by.request_id.clone());
    pg::event(&transaction, facts.id, EventKind::ContactChanged, &origin).await?;
    let entry = Entry {
        by: &Actor::from(by),
        action: "order.contact",
        exhibition_id: Some(facts.exhibition_id),
        before: Value::Null,
        after: json!({ "order": facts.number, "fields": fields }),
    };
    audit::record(&transaction, &entry).await?;
    transaction.commit().await?;
    drop(client);
    if person != locked.person_key {
        tell_redis(app, order, [&locked.person_key, &person]).await;
    }
    Ok(())
}

/// The order's places, from whoever had the old number to whoever has the new one.
async fn move_places(
    app: &App,
    transaction: &deadpool_postgres::Transaction<'_>,
    order: &Order,
    locked: &Locked,
    to: &PersonKey,
) -> Result<()> {
    if locked.state == OrderState::Confirming {
        return Err(Error::conflict("payment.in_progress"));
    }
    let counts =
        locked.state.holds_places() || matches!(locked.state, OrderState::Paid | OrderState::PartiallyRefunded);
    if !locked.person_counted || !counts || *to == locked.person_key {
        return Ok(());
    }
    let exhibition = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let (places, open) = (locked.person_places, i32::from(locked.state.holds_places()));
    let allowed = exhibition.person_limit.unwrap_or(i32::MAX);
    let people = [&locked.person_key, to];
    writer::lock_persons(transaction, people).await?;
    let [_, (used, open_holds)] = pg::lock_people(transaction, exhibition.id, people, allowed).await?;
    if let Some(limit) = exhibition.person_limit
        && places > 0
        && used + places > limit
    {
        return Err(Error::conflict("stock.person_limit").with("limit", limit));
    }
    if open > 0 && open_holds >= exhibition.open_holds_max {
        return Err(Error::conflict("order.open_holds").with("limit", exhibition.open_holds_max));
    }
    let has = writer::per_person(transaction, to, &order.facts.items).await?;
    for item in &order.facts.items {
        let used = has.get(&item.product_id).copied().unwrap_or(0);
        if item.per_person_max.is_some_and(|most| used + item.quantity > most) {
            return Err(place::product_limit(&exhibition, item.product_id));
        }
    }
    pg::move_person(transaction, (exhibition.id, &locked.person_key), (-places, -open), allowed).await?;
    pg::move_person(transaction, (exhibition.id, to), (places, open), allowed).await
}

/// As best it can: a person that Redis counts too high is asked about in Postgres, one too low is refused there.
async fn tell_redis(app: &App, order: &Order, people: [&PersonKey; 2]) {
    let facts = &order.facts;
    for person in people {
        let told = async {
            let (used, open) = stock::pg::person(&app.pg.get().await?, facts.exhibition_id, person).await?;
            redis::set_person(&app.redis, &facts.code, person, used, open).await
        };
        if let Err(error) = told.await {
            tracing::warn!(%error, "a person's places are not what Redis counts; it asks before it refuses");
        }
    }
}
