//! A pattern: the same hours on many days, made at once. What is there already is left alone.

use std::collections::HashSet;

use axum::extract::State as AppState;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::civil::{self, Date, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::fields::Fields;
use super::pg::{exhibitions, slots as pg};
use super::slots::{Hours, SlotSettings, days};
use super::{Follow, expect_room, follow, record};
use crate::admin::access::Admin;
use crate::admin::audit::Actor;
use crate::app::App;
use crate::error::Result;
use crate::platform::http::Json;
use crate::stock;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(make))
}

/// Slots that one pattern may name.
const SLOTS_MAX: usize = 2_000;
/// Hours of one day: every half hour.
const TIMES_MAX: usize = 48;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    fn of(day: Date) -> Weekday {
        match day.weekday() {
            civil::Weekday::Monday => Weekday::Mon,
            civil::Weekday::Tuesday => Weekday::Tue,
            civil::Weekday::Wednesday => Weekday::Wed,
            civil::Weekday::Thursday => Weekday::Thu,
            civil::Weekday::Friday => Weekday::Fri,
            civil::Weekday::Saturday => Weekday::Sat,
            civil::Weekday::Sunday => Weekday::Sun,
        }
    }

    /// None named: every day.
    pub fn is_among(day: Date, weekdays: &[Weekday]) -> bool {
        weekdays.is_empty() || weekdays.contains(&Weekday::of(day))
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
struct Between {
    /// `HH:MM` in Asia/Seoul.
    #[schema(value_type = String)]
    start: Time,
    #[schema(value_type = String)]
    end: Time,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
struct PatternAsk {
    /// Code of the exhibition.
    exhibition: String,
    /// First and last day.
    #[schema(value_type = String, format = Date)]
    from: Date,
    #[schema(value_type = String, format = Date)]
    until: Date,
    /// Empty: every day.
    #[serde(default)]
    weekdays: Vec<Weekday>,
    /// Hours of each of these days, 48 at most; empty: one slot all day.
    #[serde(default)]
    times: Vec<Between>,
    /// Places of each.
    total: i32,
    /// Left out: all of them.
    #[serde(default)]
    offered: Option<i32>,
    /// True: say what would be made, and make nothing.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize, ToSchema)]
struct PatternMade {
    dry_run: bool,
    /// What was made, or would be.
    made: Vec<SlotNamed>,
    /// What was there already.
    existing: Vec<SlotNamed>,
}

#[derive(Serialize, ToSchema)]
struct SlotNamed {
    /// Null: not made yet.
    id: Option<i32>,
    #[serde(flatten)]
    hours: Hours,
}

impl PatternAsk {
    /// Every slot that it names.
    fn hours(&self, fields: &mut Fields) -> Vec<Hours> {
        if self.times.len() > TIMES_MAX {
            fields.refuse("times", "too_many");
            return Vec::new();
        }
        let mut starts = HashSet::new();
        for (at, between) in self.times.iter().enumerate() {
            if between.start >= between.end {
                fields.refuse(format!("times[{at}].end"), "before_start");
            }
            if !starts.insert(between.start) {
                fields.refuse(format!("times[{at}].start"), "named_twice");
            }
        }
        if self.until < self.from {
            fields.refuse("until", "before_start");
            return Vec::new();
        }
        let on_day = |date: Date| {
            let timed =
                self.times.iter().map(move |b| Hours { date, start_time: Some(b.start), end_time: Some(b.end) });
            let all_day = self.times.is_empty().then_some(Hours { date, start_time: None, end_time: None });
            timed.chain(all_day)
        };
        let days = self.from.series(jiff::Span::new().days(1)).take_while(|day| *day <= self.until);
        let named = days.filter(|day| Weekday::is_among(*day, &self.weekdays)).flat_map(on_day);
        let named: Vec<Hours> = named.take(SLOTS_MAX + 1).collect();
        if named.len() > SLOTS_MAX {
            fields.refuse("until", "too_many");
        }
        named
    }
}

/// Makes many slots at once, or none.
///
/// A slot that begins on the same day at the same time is left as it is, and listed. At most 2,000.
#[utoipa::path(post, path = "/api/admin/slots/pattern", tag = "admin", security(("staff" = [])), request_body = PatternAsk,
    responses((status = 200, body = PatternMade),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn make(AppState(app): AppState<App>, admin: Admin, Json(ask): Json<PatternAsk>) -> Result<Response> {
    let exhibition = admin.user.enter(&app, &ask.exhibition)?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let locked = exhibitions::lock(&transaction, exhibition.id).await?;
    let (total, offered) = (ask.total, ask.offered.unwrap_or(ask.total));
    let mut fields = Fields::default();
    fields.places(total, offered);
    for (field, day) in [("from", ask.from), ("until", ask.until)] {
        if !days(&locked).contains(&day) {
            fields.refuse(field, "outside_dates");
        }
    }
    let named = ask.hours(&mut fields);
    fields.done()?;

    let there = pg::list(&transaction, locked.id, Some(ask.from), Some(ask.until)).await?;
    let begins = |hours: &Hours| (hours.date, hours.start_time);
    let taken: HashSet<_> = there.iter().map(|slot| begins(&slot.settings.hours())).collect();
    let wanted: HashSet<_> = named.iter().map(begins).collect();
    let new: Vec<Hours> = named.into_iter().filter(|hours| !taken.contains(&begins(hours))).collect();
    let existing = there.into_iter().filter(|slot| wanted.contains(&begins(&slot.settings.hours())));
    let existing = existing.map(|slot| SlotNamed { id: Some(slot.id), hours: slot.settings.hours() }).collect();
    expect_room(&transaction, locked.id, new.len(), "until").await?;
    if ask.dry_run || new.is_empty() {
        let made = new.into_iter().map(|hours| SlotNamed { id: None, hours }).collect();
        return Ok(shown(PatternMade { dry_run: ask.dry_run, made, existing }));
    }
    let stock_ids = stock::pg::add(&transaction, locked.id, &vec![(total, offered); new.len()]).await?;
    let slot = |hours: &Hours| SlotSettings::new(*hours, (total, offered));
    let slots: Vec<(i32, SlotSettings)> = stock_ids.into_iter().zip(new.iter().map(slot)).collect();
    let ids = pg::insert(&transaction, locked.id, &slots).await?;
    let after = json!({ "pattern": ask, "slots": ids });
    record(&transaction, &Actor::from(&admin), "slot.pattern", Some(locked.id), (Value::Null, after)).await?;
    transaction.commit().await?;
    follow(&app, locked.id, &locked.code, Follow::NewStock).await;
    let made = ids.into_iter().zip(new).map(|(id, hours)| SlotNamed { id: Some(id), hours }).collect();
    Ok(shown(PatternMade { dry_run: false, made, existing }))
}

fn shown(body: PatternMade) -> Response {
    (StatusCode::OK, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}
