//! What can be set about an exhibition, and what of it makes sense.

use std::collections::HashSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fields::Fields;
use super::sales::REASON_CHARS_MAX;
use crate::app::App;
use crate::catalogue::model::Stage;
use crate::error::{Error, Result};
use crate::orders::refunds::rules::Rule;
use crate::payments::Provider;

const NAME_CHARS_MAX: usize = 100;
const VENUE_CHARS_MAX: usize = 200;
const DESCRIPTION_CHARS_MAX: usize = 4_000;
/// Days that one lasts.
const DAYS_MAX: i32 = 2_000;
const REFUND_RULES_MAX: usize = 20;
const REFUND_DAYS_MAX: i32 = 365;
const CODE_CHARS: std::ops::RangeInclusive<usize> = 2..=31;
/// Pages of the control room that belong to no exhibition, which would hide one of that code there.
const PAGES: &[&str] = &["account", "exhibitions", "log", "people", "start"];
/// Addresses of our own; the database has the same list (a test compares them).
pub const RESERVED: &[&str] = &[
    "api", "admin", "orders", "order", "entrance", "assets", "docs", "health", "livez", "readyz", "metrics", "pay",
    "payment", "complete", "queue", "static", "login", "logout", "tickets", "favicon", "robots", "sw", "terms",
    "privacy", "sitemap", "offline", "ticket", "pictures",
];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExhibitionSettings {
    /// draft, published or archived. Begins as a draft, and is never one again.
    #[serde(default = "draft")]
    pub stage: Stage,
    /// 1 to 100 characters.
    pub name_ko: String,
    pub name_en: String,
    /// At most 4,000 characters.
    #[serde(default)]
    pub description_ko: String,
    #[serde(default)]
    pub description_en: String,
    /// At most 200 characters.
    #[serde(default)]
    pub venue_ko: String,
    #[serde(default)]
    pub venue_en: String,
    /// First and last day in Asia/Seoul.
    #[schema(value_type = String, format = Date)]
    pub starts_on: Date,
    #[schema(value_type = String, format = Date)]
    pub ends_on: Date,
    #[schema(value_type = String, format = DateTime)]
    pub sale_start: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub sale_end: Timestamp,
    /// No new orders; those that hold places can still be paid.
    #[serde(default)]
    pub paused: bool,
    /// Why, for visitors: at most 300 characters. A pause needs it in both languages.
    #[serde(default)]
    pub pause_reason_ko: String,
    #[serde(default)]
    pub pause_reason_en: String,
    /// How long places are kept for somebody who has not paid. 60 to 3,600. [seconds]
    #[serde(default = "hold_ttl_s")]
    pub hold_ttl_s: i32,
    /// Places one phone number may hold or own, 1 to 1,000; null: no limit.
    #[serde(default)]
    pub person_limit: Option<i32>,
    /// Unpaid orders of one phone number at a time, 1 to 100.
    #[serde(default = "open_holds_max")]
    pub open_holds_max: i32,
    /// What is kept of a ticket that is given back so many days before the visit or earlier; nearer than the last it cannot be
    /// given back. At most 20.
    #[serde(default = "refund_rules")]
    pub refund_rules: Vec<Rule>,
    /// So long after paying nothing is kept, 0 to 720. [hours]
    #[serde(default = "a_day_h")]
    pub refund_free_h: i32,
    /// toss or stripe.
    #[serde(default = "toss")]
    pub payment_provider: String,
    /// Takes a share of new payments for trial; null: nobody.
    #[serde(default)]
    pub canary_provider: Option<String>,
    /// 0 to 100 [%]
    #[serde(default)]
    pub canary_pct: i32,
    /// Tickets count as culture expense in the buyer's tax return.
    #[serde(default)]
    pub culture_expense: bool,
    /// Time to pay into a virtual account, 1 to 720. [hours]
    #[serde(default = "a_day_h")]
    pub deposit_h: i32,
}

fn draft() -> Stage {
    Stage::Draft
}
fn hold_ttl_s() -> i32 {
    600
}
fn open_holds_max() -> i32 {
    1
}
fn refund_rules() -> Vec<Rule> {
    [(10, 0), (7, 10), (3, 20), (1, 30)].map(|(days_before, fee_pct)| Rule { days_before, fee_pct }).to_vec()
}
fn a_day_h() -> i32 {
    24
}
fn toss() -> String {
    Provider::Toss.as_str().to_owned()
}

impl ExhibitionSettings {
    /// The same so many days later. [days]
    pub fn shifted(mut self, days: i32) -> Result<ExhibitionSettings> {
        self.starts_on = shifted_day(self.starts_on, days)?;
        self.ends_on = shifted_day(self.ends_on, days)?;
        self.sale_start = shifted_instant(self.sale_start, days)?;
        self.sale_end = shifted_instant(self.sale_end, days)?;
        Ok(self)
    }

    /// Refuses what makes no sense; `before`: as it is now.
    pub fn check(&mut self, app: &App, before: Option<&ExhibitionSettings>) -> Result<()> {
        for text in [
            &mut self.name_ko,
            &mut self.name_en,
            &mut self.description_ko,
            &mut self.description_en,
            &mut self.venue_ko,
            &mut self.venue_en,
            &mut self.pause_reason_ko,
            &mut self.pause_reason_en,
        ] {
            *text = text.replace("\r\n", "\n").trim().to_owned();
        }
        let mut fields = Fields::default();
        let stage = before.map_or(self.stage == Stage::Draft, |before| before.stage.may_become(self.stage));
        if !stage {
            fields.refuse("stage", "illegal_move");
        }
        fields.line("name_ko", &self.name_ko, 1..=NAME_CHARS_MAX);
        fields.line("name_en", &self.name_en, 1..=NAME_CHARS_MAX);
        fields.text("description_ko", &self.description_ko, 0..=DESCRIPTION_CHARS_MAX);
        fields.text("description_en", &self.description_en, 0..=DESCRIPTION_CHARS_MAX);
        fields.line("venue_ko", &self.venue_ko, 0..=VENUE_CHARS_MAX);
        fields.line("venue_en", &self.venue_en, 0..=VENUE_CHARS_MAX);
        // A pause that began without one may go on while something else is changed.
        let needed = self.paused && before.is_none_or(|before| !before.paused || !before.pause_reason_ko.is_empty());
        for (field, text) in [("pause_reason_ko", &self.pause_reason_ko), ("pause_reason_en", &self.pause_reason_en)] {
            fields.line(field, text, usize::from(needed)..=REASON_CHARS_MAX);
        }
        let days = self.ends_on.since(self.starts_on).map_or(i32::MAX, |span| span.get_days());
        if days < 0 {
            fields.refuse("ends_on", "before_start");
        }
        if days > DAYS_MAX || !(2000..=2200).contains(&self.starts_on.year()) {
            fields.refuse("ends_on", "out_of_range");
        }
        fields.window(Some(self.sale_start), Some(self.sale_end));
        fields.number("hold_ttl_s", self.hold_ttl_s, 60..=3_600);
        fields.number("person_limit", self.person_limit.unwrap_or(1), 1..=1_000);
        fields.number("open_holds_max", self.open_holds_max, 1..=100);
        fields.number("refund_free_h", self.refund_free_h, 0..=720);
        fields.number("deposit_h", self.deposit_h, 1..=720);
        fields.number("canary_pct", self.canary_pct, 0..=100);
        self.check_refund_rules(&mut fields);
        let was = before.map(|before| before.payment_provider.as_str());
        check_provider(app, "payment_provider", &self.payment_provider, was, &mut fields);
        if let Some(canary) = &self.canary_provider {
            let was = before.and_then(|before| before.canary_provider.as_deref());
            check_provider(app, "canary_provider", canary, was, &mut fields);
        } else if self.canary_pct > 0 {
            fields.refuse("canary_provider", "required");
        }
        fields.done()
    }

    /// Whatever the reader of these rules would leave out is a mistake.
    fn check_refund_rules(&mut self, fields: &mut Fields) {
        if self.refund_rules.len() > REFUND_RULES_MAX {
            return fields.refuse("refund_rules", "too_many");
        }
        let mut days = HashSet::new();
        for (at, rule) in self.refund_rules.iter().enumerate() {
            if !rule.is_good() || rule.days_before > REFUND_DAYS_MAX {
                fields.refuse(format!("refund_rules[{at}]"), "out_of_range");
            } else if !days.insert(rule.days_before) {
                fields.refuse(format!("refund_rules[{at}].days_before"), "named_twice");
            }
        }
        // As they are read.
        self.refund_rules.sort_by_key(|rule| std::cmp::Reverse(rule.days_before));
    }
}

/// One without keys takes no money; what was set before its keys went may stay.
fn check_provider(app: &App, field: &str, name: &str, was: Option<&str>, fields: &mut Fields) {
    match Provider::parse(name).filter(|provider| *provider != Provider::Cash) {
        None => fields.refuse(field, "malformed"),
        Some(provider) if !app.gateways.has(provider) && was != Some(name) => fields.refuse(field, "not_set_up"),
        Some(_) => {}
    }
}

/// As it stands in addresses, for good.
pub fn check_code(code: &str) -> Result<()> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let shaped = CODE_CHARS.contains(&code.len())
        && code.bytes().all(|b| plain(b) || b == b'-')
        && code.bytes().next().is_some_and(plain);
    if !shaped {
        return Err(Error::field("code", "malformed"));
    }
    if RESERVED.contains(&code) || PAGES.contains(&code) { Err(Error::field("code", "taken")) } else { Ok(()) }
}

pub fn shifted_day(day: Date, days: i32) -> Result<Date> {
    day.checked_add(days.days()).map_err(|_| Error::field("first_day", "out_of_range"))
}

/// Seoul keeps no summer time: a day has 24 hours.
pub fn shifted_instant(at: Timestamp, days: i32) -> Result<Timestamp> {
    at.checked_add(SignedDuration::from_hours(24 * i64::from(days)))
        .map_err(|_| Error::field("first_day", "out_of_range"))
}
