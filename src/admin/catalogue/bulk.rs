//! Many slots changed alike, all of them or none.

use axum::extract::State as AppState;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::fields::Fields;
use super::pattern::Weekday;
use super::pg::exhibitions;
use super::pg::slots::{self as pg, SlotRow};
use super::slots::{SlotSettings, SlotShown};
use super::{Follow, STOCKS_MAX, difference, follow, offer, record};
use crate::admin::access::Admin;
use crate::admin::audit::Actor;
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::Json;
use crate::stock::offer::Offer;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(change))
}

#[derive(Deserialize, ToSchema)]
struct BulkAsk {
    /// Code of the exhibition.
    exhibition: String,
    /// Which slots: these, or those that the filter finds.
    #[serde(default)]
    ids: Vec<i32>,
    #[serde(default)]
    filter: Option<Filter>,
    set: Set,
    /// True: say what would change, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// All of it must fit; what is left out fits all.
#[derive(Deserialize, ToSchema)]
struct Filter {
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date)]
    from: Option<Date>,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date)]
    until: Option<Date>,
    #[serde(default)]
    weekdays: Vec<Weekday>,
    /// When they begin, `HH:MM`.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    starts: Vec<Time>,
}

/// What is left out stays as it is.
#[derive(Deserialize, ToSchema)]
struct Set {
    /// Places that exist. Where all of them are on offer, all of them stay on offer.
    #[serde(default)]
    total: Option<i32>,
    #[serde(default)]
    offered: Option<i32>,
    #[serde(default)]
    closed: Option<bool>,
}

impl Set {
    fn over(&self, before: &SlotSettings) -> SlotSettings {
        let total = self.total.unwrap_or(before.total);
        let follows = self.total.filter(|_| before.offered == before.total);
        SlotSettings {
            closed: self.closed.unwrap_or(before.closed),
            total,
            offered: self.offered.or(follows).unwrap_or(before.offered),
            ..before.clone()
        }
    }
}

#[derive(Serialize, ToSchema)]
struct BulkDone {
    dry_run: bool,
    /// As they are now, or would be.
    changed: Vec<SlotShown>,
    /// Slots that were like this already.
    unchanged: usize,
}

impl BulkAsk {
    fn check(&self) -> Result<()> {
        let mut fields = Fields::default();
        if self.ids.is_empty() == self.filter.is_none() {
            fields.refuse("ids", "required");
        }
        if self.ids.len() as i64 > STOCKS_MAX {
            fields.refuse("ids", "too_many");
        }
        let Set { total, offered, closed } = &self.set;
        if total.is_none() && offered.is_none() && closed.is_none() {
            fields.refuse("set", "required");
        }
        fields.places(total.unwrap_or(0), offered.unwrap_or(0));
        fields.done()
    }

    fn means(&self, slot: &SlotRow) -> bool {
        let hours = slot.settings.hours();
        match &self.filter {
            None => self.ids.contains(&slot.id),
            Some(filter) => {
                filter.from.is_none_or(|from| hours.date >= from)
                    && filter.until.is_none_or(|until| hours.date <= until)
                    && Weekday::is_among(hours.date, &filter.weekdays)
                    && (filter.starts.is_empty() || hours.start_time.is_some_and(|at| filter.starts.contains(&at)))
            }
        }
    }
}

/// Changes many slots alike, all of them or none.
///
/// A total below the places that are held or sold of any of them refuses the whole.
#[utoipa::path(post, path = "/api/admin/slots/bulk", tag = "admin", security(("staff" = [])), request_body = BulkAsk,
    responses((status = 200, body = BulkDone),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn change(AppState(app): AppState<App>, admin: Admin, Json(ask): Json<BulkAsk>) -> Result<Response> {
    let exhibition = admin.user.enter(&app, &ask.exhibition)?;
    ask.check()?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let locked = exhibitions::lock(&transaction, exhibition.id).await?;
    let mut slots = pg::list(&transaction, locked.id, None, None).await?;
    if ask.ids.iter().any(|id| !slots.iter().any(|slot| slot.id == *id)) {
        return Err(Error::field("ids", "unknown_slot"));
    }
    slots.retain(|slot| ask.means(slot));
    let meant = slots.len();
    slots.retain(|slot| ask.set.over(&slot.settings) != slot.settings);

    let (mut before, mut after) = (Map::new(), Map::new());
    let (mut offers, mut closed) = (Vec::new(), Vec::new());
    for slot in &mut slots {
        let settings = ask.set.over(&slot.settings);
        let (was, is) = difference(("slot", slot.id), &slot.settings, &settings)?;
        before.insert(slot.id.to_string(), was);
        after.insert(slot.id.to_string(), is);
        offers.push(Offer { stock_id: slot.stock_id, total: settings.total, offered: settings.offered });
        closed.push((slot.id, settings.closed));
        slot.settings = settings;
        slot.revision += i64::from(!ask.dry_run);
    }
    let freed = offer(&transaction, &offers, "set.total").await?;
    if !ask.dry_run && !slots.is_empty() {
        pg::touch(&transaction, &closed).await?;
        let change = (json!({ "slots": before }), json!({ "slots": after }));
        record(&transaction, &Actor::from(&admin), "slot.bulk", Some(locked.id), change).await?;
        transaction.commit().await?;
        follow(&app, locked.id, &locked.code, Follow::Offer(freed)).await;
    } else {
        transaction.rollback().await?;
    }
    let unchanged = meant - slots.len();
    let changed = slots.into_iter().map(SlotShown::from).collect();
    let body = BulkDone { dry_run: ask.dry_run, changed, unchanged };
    Ok((StatusCode::OK, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}
