//! Types of the catalogue and the reasons why something can or cannot be bought. Pure.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::{Date, Time};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::picture;
use crate::platform::clock::seoul;
use crate::platform::secrets::{hex, sha256};
use crate::stock::Level;

/// Who knows an exhibition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Only admins.
    Draft,
    /// Everybody.
    Published,
    /// Whoever has its address. Nothing of it is listed or sold; orders, tickets, refunds and gates go on.
    Archived,
}

impl Stage {
    pub const ALL: [Stage; 3] = [Stage::Draft, Stage::Published, Stage::Archived];

    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Draft => "draft",
            Stage::Published => "published",
            Stage::Archived => "archived",
        }
    }

    pub fn parse(text: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.as_str() == text)
    }

    /// What visitors have seen is never a draft again.
    pub fn may_become(self, next: Stage) -> bool {
        self == next || next != Stage::Draft
    }
}

/// Why sales are paused, for visitors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    pub reason_ko: String,
    pub reason_en: String,
}

#[derive(Clone, Debug)]
pub struct Exhibition {
    pub id: i32,
    pub code: String,
    pub stage: Stage,
    pub name_ko: String,
    pub name_en: String,
    pub description_ko: String,
    pub description_en: String,
    pub venue_ko: String,
    pub venue_en: String,
    pub starts_on: Date,
    pub ends_on: Date,
    pub sale_start: Timestamp,
    pub sale_end: Timestamp,
    pub paused: bool,
    /// Why, while it is.
    pub pause: Pause,
    /// All sales are, whatever this exhibition says.
    pub sales_paused: Option<Pause>,
    pub hold_ttl_s: i32,
    pub person_limit: Option<i32>,
    pub open_holds_max: i32,
    /// Who takes the money of new attempts, and who takes a share of them for trial. [%]
    pub payment_provider: String,
    pub canary: Option<(String, i32)>,
    /// As stored: what is kept of a ticket that is given back, by days before the visit.
    pub refund_rules: serde_json::Value,
    pub refund_free_h: i32,
    /// Tickets count as culture expense in the buyer's tax return.
    pub culture_expense: bool,
    /// Time to pay into a virtual account. [hours]
    pub deposit_h: i32,
    /// Gates may sell what is left, for cash.
    pub walk_ins: bool,
    pub picture: Option<Shot>,
    /// Those that are shown.
    pub products: Vec<Product>,
    /// Shown and sold nowhere any more, but somebody has an order with them.
    pub archived_products: Vec<Product>,
    pub slots: Vec<Slot>,
    pub stock: HashMap<i32, Availability>,
}

/// Where a picture is, and what it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Shot {
    /// 1280 pixels wide.
    pub url: String,
    /// 640 pixels wide.
    pub narrow_url: String,
    pub width: u32,
    pub height: u32,
    pub alt: String,
    pub alt_en: String,
}

impl Shot {
    pub fn new(digest: &str, height: u32, alt: String, alt_en: String) -> Shot {
        let (url, narrow_url) = (picture::path(digest, picture::WIDE), picture::path(digest, picture::NARROW));
        Shot { url, narrow_url, width: picture::WIDE, height, alt, alt_en }
    }

    /// Under which its file is kept.
    pub fn digest(&self) -> &str {
        let file = self.url.rsplit('/').next().unwrap_or_default();
        picture::parse(file).map_or("", |(digest, _)| digest)
    }

    /// Says of the picture of an exhibition and of its texts whether they are those that somebody has seen.
    pub fn tag(shot: Option<&Shot>) -> String {
        let tag = |shot: &Shot| {
            let parts = [shot.digest(), &shot.alt, &shot.alt_en].map(str::as_bytes);
            hex(&sha256(&parts)[..16])
        };
        shot.map_or_else(|| "none".to_owned(), tag)
    }
}

#[derive(Clone, Debug)]
pub struct Product {
    pub id: i32,
    pub stock_id: i32,
    pub kind: String,
    pub name_ko: String,
    pub name_en: String,
    pub price_won: i32,
    pub dated: bool,
    pub person_limited: bool,
    pub per_order_max: i32,
    /// Places that one person may hold or own.
    pub per_person_max: Option<i32>,
    pub active: bool,
    pub sale_start: Option<Timestamp>,
    pub sale_end: Option<Timestamp>,
}

impl Product {
    /// What one order may have at most, and whether it is the person's limit that says so.
    pub fn most(&self) -> (i32, bool) {
        match self.per_person_max {
            Some(most) if most < self.per_order_max => (most, true),
            _ => (self.per_order_max, false),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Slot {
    pub id: i32,
    pub stock_id: i32,
    pub date: Date,
    pub start_time: Option<Time>,
    pub end_time: Option<Time>,
    pub closed: bool,
}

/// Places of one stock: Postgres's row and the live free count.
#[derive(Clone, Copy, Debug)]
pub struct Availability {
    pub level: Level,
    pub free: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    OnSale,
    /// Nothing is free, but unpaid holds may come back.
    HeldByOthers,
    SoldOut,
    NotYet,
    Paused,
    Ended,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::OnSale => "on_sale",
            State::HeldByOthers => "held_by_others",
            State::SoldOut => "sold_out",
            State::NotYet => "not_yet",
            State::Paused => "paused",
            State::Ended => "ended",
        }
    }
}

impl Slot {
    /// Its hours have passed; a slot without hours lasts all day.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.end_time
            .and_then(|end| self.date.to_datetime(end).to_zoned(seoul()).ok())
            .is_some_and(|ends| now >= ends.timestamp())
    }
}

impl Exhibition {
    /// Whatever an order may name, archived ones among them.
    pub fn product(&self, id: i32) -> Option<&Product> {
        self.all_products().find(|p| p.id == id)
    }

    pub fn shown_product(&self, id: i32) -> Option<&Product> {
        self.products.iter().find(|p| p.id == id)
    }

    pub fn all_products(&self) -> impl Iterator<Item = &Product> {
        self.products.iter().chain(&self.archived_products)
    }

    /// Itself, or together with everything else.
    pub fn is_paused(&self) -> bool {
        self.paused || self.sales_paused.is_some()
    }

    /// None: it is not, or nobody has said. All sales come first: when they go on, this one may not.
    pub fn pause_reason(&self) -> Option<&Pause> {
        let own = self.paused.then_some(&self.pause);
        self.sales_paused.as_ref().or(own).filter(|pause| !pause.reason_ko.is_empty())
    }

    pub fn slot(&self, id: i32) -> Option<&Slot> {
        self.slots.iter().find(|s| s.id == id)
    }

    pub fn slots_on(&self, date: Date) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |s| s.date == date)
    }

    pub fn window(&self, product: &Product) -> (Timestamp, Timestamp) {
        (product.sale_start.unwrap_or(self.sale_start), product.sale_end.unwrap_or(self.sale_end))
    }

    /// Why nothing of this product can be bought now whatever is free, if so.
    pub fn closed_for(&self, product: &Product, now: Timestamp) -> Option<State> {
        let (from, until) = self.window(product);
        if now >= until || self.stage == Stage::Archived {
            Some(State::Ended)
        } else if self.is_paused() || !product.active {
            Some(State::Paused)
        } else if now < from {
            Some(State::NotYet)
        } else {
            None
        }
    }

    pub fn free(&self, stock_id: i32) -> i64 {
        self.stock.get(&stock_id).map_or(0, |a| a.free.max(0))
    }

    fn stock_state(&self, stock_id: i32) -> State {
        match self.stock.get(&stock_id) {
            Some(a) if a.free > 0 => State::OnSale,
            Some(a) if a.level.held > 0 => State::HeldByOthers,
            _ => State::SoldOut,
        }
    }

    pub fn product_state(&self, product: &Product, now: Timestamp) -> State {
        self.closed_for(product, now).unwrap_or_else(|| self.stock_state(product.stock_id))
    }

    pub fn slot_state(&self, slot: &Slot, now: Timestamp, today: Date) -> State {
        if slot.date < today || slot.is_over(now) || now >= self.sale_end || self.stage == Stage::Archived {
            State::Ended
        } else if slot.closed || self.is_paused() {
            State::Paused
        } else if now < self.sale_start {
            State::NotYet
        } else {
            self.stock_state(slot.stock_id)
        }
    }
}
