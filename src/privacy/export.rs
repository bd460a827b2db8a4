//! Everything that we have of one person as one JSON document, written order by order: neither memory nor a connection grows
//! with how much there is.

use axum::body::{Body, Bytes};
use axum::extract::State as AppState;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio_postgres::IsolationLevel;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::pg::{export as pg, requests as requests_pg};
use super::requests::{self, Kind};
use crate::admin::access::Owner;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::api::private;
use crate::orders::care::history::pg as history;
use crate::orders::model::Order;
use crate::orders::settle::about_account;
use crate::orders::{pg as orders_pg, read, refunds};
use crate::platform::http::Path;

/// More than anybody has ordered.
const ORDERS_MAX: i64 = 10_000;
/// Of the document, so that whoever reads it by a program knows what it is.
const FORMAT: &str = "admit.personal_data.1";
/// Other people's names: of those who helped, and of their devices.
const OTHERS: [&str; 3] = ["staff", "device", "asked_by"];

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export))
}

/// Everything that we have of whoever has asked for it, in the clear. Goes into the audit log.
///
/// Possible until it was taken once, and for ten days after they asked in any case.
#[utoipa::path(get, path = "/api/admin/privacy/requests/{request_id}/export", tag = "admin", security(("staff" = [])),
    params(("request_id" = Uuid, Path,)),
    responses((status = 200, body = String, content_type = "application/json"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "privacy.unknown"),
        (status = 409, description = "privacy.over"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn export(AppState(app): AppState<App>, by: Owner, Path(id): Path<Uuid>) -> Result<Response> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let request = requests_pg::lock(&transaction, id).await?.ok_or_else(requests::unknown)?;
    let Some(who) = request.who.filter(|_| request.kind == Kind::Export) else {
        return Err(Error::conflict("privacy.over"));
    };
    let years = app.settings.retention.payments_years;
    let until = app.clock.now();
    let orders = requests_pg::orders(&transaction, (&who, until), Uuid::nil(), ORDERS_MAX, years).await?;
    requests_pg::given_out(&transaction, id).await?;
    let entry = Entry {
        by: &Actor::from(&by),
        action: "privacy.export",
        exhibition_id: None,
        before: Value::Null,
        after: json!({ "request": id, "orders": orders.len() }),
    };
    audit::record(&transaction, &entry).await?;
    transaction.commit().await?;
    drop(client);

    let head = format!("{{\"format\":\"{FORMAT}\",\"made_at\":\"{until}\",\"orders\":[");
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    // An order that fails cuts the connection, so that no half document looks like a whole one.
    let lines = stream::try_unfold((ids.into_iter(), ""), move |(mut ids, comma)| {
        let (app, who) = (app.clone(), who.clone());
        async move {
            for id in ids.by_ref() {
                if let Some(order) = one(&app, id, &who).await? {
                    return Ok::<_, Error>(Some((Bytes::from(format!("{comma}{order}")), (ids, ","))));
                }
            }
            Ok(None)
        }
    });
    let end = stream::once(async { Ok(Bytes::from_static(b"]}\n")) });
    let body = stream::once(async move { Ok(Bytes::from(head)) }).chain(lines).chain(end);
    let file = format!("attachment; filename=\"personal-data-{id}.json\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&file).map_err(Error::bug)?),
    ];
    Ok(private((headers, Body::from_stream(body)).into_response()))
}

/// All of one order, as it is at one instant. None: it is not theirs any more; it was corrected since the list was read, or they
/// are forgotten.
async fn one(app: &App, id: Uuid, who: &[u8]) -> Result<Option<Value>> {
    let mut connection = app.pg.get().await?;
    let snapshot = connection.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let client = snapshot.start().await?;
    if orders_pg::phone_digest(&client, id).await?.as_deref() != Some(who) {
        return Ok(None);
    }
    let order = orders_pg::by_id(app, &client, id).await?.ok_or_else(|| Error::bug("an order that is not there"))?;
    let contact = orders_pg::contact(app, &client, id).await?;
    let (version, marketing) = pg::consent(&client, id).await?;
    let mut refunds = Vec::new();
    for said in pg::said(&client, id).await? {
        let account = said.account.map(|(key, sealed)| opened(app, &key, &about_account(said.refund_id), &sealed));
        refunds.push(json!({ "refund_id": said.refund_id, "reason": said.reason, "account": account.transpose()? }));
    }
    let mut document = about(app, &order)?;
    let parts = [
        ("contact", json!(contact)),
        ("consents", json!({ "terms_and_privacy": version, "news": marketing })),
        ("tickets", json!(history::tickets(&client, id).await?)),
        ("scans", json!(history::scans(&client, id).await?)),
        ("attempts", json!(history::attempts(&client, id).await?)),
        ("provider_answers", json!(pg::answers(&client, id).await?)),
        ("provider_events", json!(history::webhooks(&client, id).await?)),
        ("deposit", json!(read::deposit(app, &client, id).await?)),
        ("refunds", json!(refunds::pg::of_order(&client, id).await?)),
        ("refunds_said", json!(refunds)),
        ("messages", json!(history::messages(&client, id).await?)),
        ("events", json!(history::events(&client, id, &order.facts.number).await?)),
    ];
    client.rollback().await?;
    document.extend(parts.into_iter().map(|(name, part)| (name.to_owned(), part)));
    let mut document = Value::Object(document);
    leave_out_others(&mut document);
    Ok(Some(document))
}

fn opened(app: &App, key_id: &str, about: &[u8], sealed: &[u8]) -> Result<Value> {
    serde_json::from_slice(&app.secrets.open(key_id, about, sealed)?).map_err(Error::bug)
}

/// The order as its owner sees it, without the way to pay it.
fn about(app: &App, order: &Order) -> Result<serde_json::Map<String, Value>> {
    let view = read::view(app, order)?;
    let Value::Object(mut view) = serde_json::to_value(view).map_err(Error::bug)? else {
        return Err(Error::bug("an order that is no object"));
    };
    view.remove("payment_url");
    view.insert("language".into(), json!(order.facts.language));
    Ok(view)
}

fn leave_out_others(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, _| !OTHERS.contains(&name.as_str()));
            map.values_mut().for_each(leave_out_others);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_others),
        _ => {}
    }
}
