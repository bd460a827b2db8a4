//! Finds orders, newest first, a page at a time.

pub mod meant;
pub mod pg;

use std::collections::VecDeque;

use axum::Json as Reply;
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deadpool_postgres::GenericClient;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::meant::{CHARS_MAX, Meant};
use self::pg::{Filter, OrderRow};
use crate::admin::access::Support;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, FieldError, Result};
use crate::orders::api::private;
use crate::orders::contact::{self, Contact, has_control};
use crate::orders::model::OrderState;
use crate::platform::clock::seoul_day;
use crate::platform::http::{Json, Query, RequestLanguage};
use crate::platform::ids::row_id_floor;
use crate::platform::texts::Language;

const PAGE: i64 = 50;
const PAGE_MAX: i64 = 100;
/// An id is made before its order is committed: by this much at most, and the clocks may differ.
const ID_SLACK: SignedDuration = SignedDuration::from_secs(60);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(search))
}

#[derive(Clone, Default, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Code of an exhibition; absent: all that the caller may enter.
    pub exhibition: Option<String>,
    /// held, confirming, awaiting_deposit, paid, partially_refunded, refunded, expired or cancelled.
    pub state: Option<String>,
    /// Days in Asia/Seoul on which orders were placed, both included.
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>, format = Date)]
    pub from: Option<String>,
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>, format = Date)]
    pub until: Option<String>,
    /// The day of the visit; what is good on any day has none.
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>, format = Date)]
    pub visit_date: Option<String>,
    /// A slot of an exhibition that the caller may enter.
    pub slot_id: Option<i32>,
    /// An order number or its beginning (at least 4 characters), a payment key, a whole phone number, the last 4 digits of
    /// one, or a whole name, however it is spaced. In a body alone.
    #[param(ignore)]
    pub q: Option<String>,
    /// `next` of the page before; absent: from the newest on.
    pub before: Option<String>,
    /// 1 to 100; 50 if absent.
    pub limit: Option<i64>,
}

/// What is asked for, read and allowed.
#[derive(Debug)]
pub struct Wanted {
    filter: Filter,
    meant: Option<Meant>,
    limit: i64,
    later: Later,
}

/// Slots that come after those of the filter.
#[derive(Debug)]
struct Later {
    slots: VecDeque<i32>,
    /// What each is read from.
    high: Uuid,
    /// What is placed from now on is left out already.
    bounded: bool,
}

impl Asked {
    pub fn wanted(&self, app: &App, may_enter: impl Fn(i32) -> bool) -> Result<Wanted> {
        let mut errors: Vec<FieldError> = Vec::new();
        let mut refuse = |field: &str, code: &'static str| errors.push(FieldError { field: field.into(), code });
        let text = |text: &Option<String>| text.as_deref().map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned);
        let snapshot = app.catalogue.current();
        snapshot.ready()?;
        let code = text(&self.exhibition);
        let meant_too = |e: &Exhibition| may_enter(e.id) && code.as_ref().is_none_or(|code| e.code == *code);
        let mine: Vec<_> = snapshot.exhibitions().iter().filter(|e| meant_too(e)).collect();
        let exhibitions: Vec<i32> = mine.iter().map(|e| e.id).collect();
        if code.is_some() && exhibitions.is_empty() {
            refuse("exhibition", "unknown_exhibition");
        }
        let state = text(&self.state).map(|state| OrderState::parse(&state));
        if state == Some(None) {
            refuse("state", "malformed");
        }
        let mut day = |field: &str, value: &Option<String>| {
            let parsed = text(value).map(|t| t.parse::<Date>().ok().filter(|_| t.len() == 10));
            if parsed == Some(None) {
                refuse(field, "date");
            }
            parsed.flatten()
        };
        let (from, until) = (day("from", &self.from), day("until", &self.until));
        let visit = day("visit_date", &self.visit_date);
        let all = || mine.iter().flat_map(|e| &e.slots);
        if self.slot_id.is_some_and(|id| all().all(|slot| slot.id != id)) {
            refuse("slot_id", "unknown_slot");
        }
        // By its slots, which every order keeps: a slot that has orders stays on its day.
        let slots = (visit.is_some() || self.slot_id.is_some()).then(|| {
            let of_day = all().filter(|slot| visit.is_none_or(|date| slot.date == date));
            of_day.map(|slot| slot.id).filter(|id| self.slot_id.is_none_or(|asked| asked == *id)).collect()
        });
        let q = text(&self.q);
        if q.as_deref().is_some_and(|q| q.chars().count() > CHARS_MAX || has_control(q)) {
            refuse("q", "malformed");
        }
        let before = text(&self.before).map(|cursor| id_of(&cursor));
        if before == Some(None) {
            refuse("before", "malformed");
        }
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=PAGE_MAX).contains(&limit) {
            refuse("limit", "out_of_range");
        }
        if !errors.is_empty() {
            return Err(Error::fields(errors));
        }
        let meant = q.map(|q| meant::meant(app, &q, &exhibitions));
        let (mut first, mut last) = (from, until);
        if let Some(Meant::Days(a, b)) = meant {
            first = Some(first.map_or(a, |day| day.max(a)));
            last = Some(last.map_or(b, |day| day.min(b)));
        }
        let from = first.map(seoul_day).transpose()?.map_or(Timestamp::UNIX_EPOCH, |(begins, _)| begins);
        // Everything that was ever placed: nothing is newer than an hour from now.
        let latest = app.clock.now() + SignedDuration::from_hours(1);
        let until = last.map(seoul_day).transpose()?.map_or(latest, |(_, ends)| ends.min(latest));
        let from = from.max(Timestamp::UNIX_EPOCH);
        let high = row_id_floor(until.saturating_add(ID_SLACK).map_err(Error::bug)?);
        let low = row_id_floor(from.saturating_sub(ID_SLACK).map_err(Error::bug)?);
        let ids = (low, before.flatten().map_or(high, |before| before.min(high)));
        let filter = Filter { exhibitions, state: state.flatten(), slots, from, until, ids };
        let later = Later { slots: VecDeque::new(), high: ids.1, bounded: false };
        Ok(Wanted { filter, meant, limit, later })
    }
}

fn id_of(cursor: &str) -> Option<Uuid> {
    Uuid::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

fn cursor_of(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

impl Wanted {
    /// By what of somebody it is asked for, in a word each: never what was typed.
    pub fn about(&self) -> Vec<&'static str> {
        match &self.meant {
            Some(Meant::Known(known)) => known.kinds(),
            _ => Vec::new(),
        }
    }

    /// Some number of them at a time, for whoever reads on to the end of what there is now. Several slots come one after the other: side
    /// by side each page would read a page of every one of them.
    pub fn in_pages_of(mut self, limit: i64) -> Wanted {
        self.limit = limit;
        if matches!(self.meant, None | Some(Meant::Days(..)))
            && let Some(slots) = self.filter.slots.as_mut().filter(|slots| slots.len() > 1)
        {
            self.later.slots = slots.split_off(1).into();
        }
        self
    }

    /// The next page, and whether there may be another.
    pub async fn page(&mut self, client: &impl GenericClient) -> Result<(Vec<OrderRow>, bool)> {
        // What is placed meanwhile would else be in a slot that comes later.
        if !self.later.slots.is_empty() && !std::mem::replace(&mut self.later.bounded, true) {
            self.filter.until = self.filter.until.min(pg::just_after_now(client).await?);
        }
        loop {
            let (rows, more) = self.page_of_these(client).await?;
            if more {
                return Ok((rows, true));
            }
            let Some(slot) = self.later.slots.pop_front() else { return Ok((rows, false)) };
            (self.filter.slots, self.filter.ids.1) = (Some(vec![slot]), self.later.high);
            if !rows.is_empty() {
                return Ok((rows, true));
            }
        }
    }

    async fn page_of_these(&mut self, client: &impl GenericClient) -> Result<(Vec<OrderRow>, bool)> {
        let asked = self.limit + 1;
        let by = &self.filter;
        let mut ids = match &self.meant {
            None | Some(Meant::Days(..)) => pg::newest(client, by, asked).await?,
            Some(Meant::Numbers(first, last)) => pg::numbered(client, by, (first, last), asked).await?,
            Some(Meant::Known(known)) => pg::known(client, by, known, asked).await?,
            Some(Meant::Nothing) => Vec::new(),
        };
        let more = ids.len() as i64 == asked;
        ids.truncate(usize::try_from(self.limit).map_err(Error::bug)?);
        if let Some(last) = ids.last() {
            self.filter.ids.1 = *last;
        }
        Ok((pg::rows(client, &ids).await?, more))
    }
}

#[derive(Serialize, ToSchema)]
struct OrderList {
    /// Newest first.
    orders: Vec<OrderFound>,
    /// Send as `before` for the next page; null: this was the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct OrderFound {
    order_number: String,
    exhibition_code: String,
    /// held, confirming, awaiting_deposit, paid, partially_refunded, refunded, expired or cancelled.
    state: &'static str,
    /// Whole won.
    total_amount: i32,
    currency: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    paid_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = Date)]
    visit_date: Option<Date>,
    /// Masked: 홍*동. Null: nobody is named, or they are forgotten.
    customer_name: Option<String>,
    /// Masked: 010-****-5678.
    customer_phone: Option<String>,
    /// In the language of the call: 성인 2, 어린이 1.
    products: String,
    /// How it was paid, in the provider's word; cash and transfer for what came by no provider.
    payment_method: Option<String>,
}

impl OrderRow {
    /// None: forgotten, or it does not open, which stops nobody.
    pub fn contact(&self, app: &App) -> Option<Contact> {
        let (key_id, sealed) = self.contact.as_ref()?;
        contact::open(app, self.id, key_id, sealed)
            .inspect_err(|error| tracing::error!(%error, order = self.number, "a contact does not open"))
            .ok()
    }

    pub fn products(&self, exhibition: &Exhibition, language: Language) -> String {
        let name = |id: i32| exhibition.product(id).map_or("?", |p| language.pick(&p.name_ko, &p.name_en));
        self.items.iter().map(|(id, n)| format!("{} {n}", name(*id))).collect::<Vec<_>>().join(", ")
    }

    fn found(&self, app: &App, language: Language) -> Result<OrderFound> {
        let exhibition = app.catalogue.current().by_id(self.exhibition_id)?;
        let contact = self.contact(app);
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(OrderFound {
            order_number: self.number.clone(),
            exhibition_code: exhibition.code.clone(),
            state: self.state.as_str(),
            total_amount: self.total_won,
            currency: "KRW",
            created_at: self.created_at,
            paid_at: self.paid_at,
            visit_date: self.slot_id.and_then(|id| exhibition.slot(id)).map(|slot| slot.date),
            customer_name: contact.as_ref().and_then(|c| said(contact::masked_name(&c.name))),
            customer_phone: contact.as_ref().and_then(|c| said(contact::masked_phone(&c.phone))),
            products: self.products(&exhibition, language),
            payment_method: self.method.clone(),
        })
    }
}

/// Orders of the exhibitions that the caller may enter, newest first. Names and phone numbers are masked.
///
/// What somebody types belongs into a body (`POST /api/admin/orders/search`): browsers and proxies keep addresses.
#[utoipa::path(get, path = "/api/admin/orders", tag = "admin", params(Asked), security(("staff" = [])),
    responses((status = 200, body = OrderList), (status = 400, description = "request.malformed_query: also with `q`"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 422, description = "request.invalid"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn list(
    State(app): State<App>,
    by: Support,
    RequestLanguage(language): RequestLanguage,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    if asked.q.is_some() {
        let fields = vec![FieldError { field: "q".into(), code: "body_only" }];
        return Err(Error { fields, ..Error::malformed("request.malformed_query") });
    }
    page(&app, &by, language, &asked).await
}

/// The same, asked in a body. A search for somebody (a name, a phone number, a payment key) goes into the audit log.
#[utoipa::path(post, path = "/api/admin/orders/search", tag = "admin", request_body = Asked, security(("staff" = [])),
    responses((status = 200, body = OrderList),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 422, description = "request.invalid"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn search(
    State(app): State<App>,
    by: Support,
    RequestLanguage(language): RequestLanguage,
    Json(asked): Json<Asked>,
) -> Result<Response> {
    page(&app, &by, language, &asked).await
}

async fn page(app: &App, by: &Support, language: Language, asked: &Asked) -> Result<Response> {
    let mut wanted = asked.wanted(app, |id| by.user.may_enter(id))?;
    let client = app.pg.get().await?;
    let about = wanted.about();
    if !about.is_empty() {
        let of = match wanted.filter.exhibitions[..] {
            [one] => one,
            _ => by.user.home(),
        };
        let entry = Entry {
            by: &Actor::from(by),
            action: "order.search",
            exhibition_id: Some(of).filter(|id| *id != 0),
            before: Value::Null,
            after: json!({ "by": about }),
        };
        audit::record(&client, &entry).await?;
    }
    let (rows, more) = wanted.page(&client).await?;
    drop(client);
    let next = rows.last().filter(|_| more).map(|row| cursor_of(row.id));
    let orders = rows.iter().map(|row| row.found(app, language)).collect::<Result<_>>()?;
    Ok(private(Reply(OrderList { orders, next })))
}
