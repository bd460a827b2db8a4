//! What somebody who waits is told.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::model::{DrawShown, Lane};

/// Where somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// No room is active: nobody has to wait.
    Open,
    /// A room is active and this caller has no place yet.
    Outside,
    /// Gathered before the opening; the order is not drawn yet.
    Prequeue,
    Waiting,
    /// Called: claim the pass.
    YourTurn,
    /// Called, but not claimed in time: claiming again gives a place in the lane of the late, by rank.
    Late,
    /// Holds a pass.
    Admitted,
    /// Was inside with this place, and is not any more: joining again gives a new one, at the end.
    Over,
    Paused,
    Stopped,
    Ended,
}

/// A span instead of a point: nobody knows the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Band {
    /// [seconds]
    pub from_s: i64,
    /// [seconds]
    pub to_s: i64,
    /// Why it is wider, or later, than it was: paused, braked, rejoined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    Plenty,
    Few,
    /// Nothing is free, but unpaid holds may come back.
    Held,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Chance {
    High,
    Medium,
    Low,
    None,
}

/// The answer to join, status, claim and leave; fields that say nothing at the moment are left out.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    pub state: Standing,
    /// When to ask again. [ms]
    pub poll_after_ms: i64,
    /// This instance's picture is older than three seconds: figures are the last known ones.
    pub stale: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
    /// The number as it was given at the join.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// Place in line after the draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// People really ahead: those seen lately. Exact up to the last 15 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u32>,
    /// Why `ahead` is higher than it was: rejoined, late_lane, invited_lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead_because: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<Band>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stock: Option<Left>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chance: Option<Chance>,
    /// Time left to claim. [ms]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_left_ms: Option<i64>,
    /// Whether the time to claim can still be extended, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extendable: Option<bool>,
    /// Why the room is paused or stopped, in the caller's language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// True while the room is being rehearsed: most of those in line are simulated, and no place in it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub opens_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub server_time: Timestamp,
    /// Present when it is new or was sealed anew: keep the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_token: Option<String>,
    /// Proof of the place, signed; only in the reply to the join.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// Send as `X-Queue-Pass` with orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub pass_expires_at: Option<Timestamp>,
}

/// The same for everybody: `GET …/queue/state`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PublicState {
    pub exhibition_code: String,
    pub phase: &'static str,
    pub run: u32,
    /// This run is a rehearsal with simulated visitors.
    pub rehearsal: bool,
    pub stale: bool,
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub opens_at: Option<Timestamp>,
    pub reason_ko: String,
    pub reason_en: String,
    pub lanes: Vec<LaneState>,
    pub capacity: i32,
    pub active: i32,
    pub late: i32,
    /// People called per second at most at the moment.
    pub rate_per_s: f64,
    /// Below 1: the sale is slow, so fewer are called.
    pub brake: f64,
    pub products: Vec<ProductLeft>,
    pub draw: DrawShown,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LaneState {
    pub lane: Lane,
    /// Numbers given out.
    pub joined: u32,
    /// Ranks up to this one have been called.
    pub serving: u32,
    /// People seen lately who wait.
    pub waiting: u32,
    /// Fixed share of admissions. [%]
    pub share_pct: i32,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProductLeft {
    pub product_id: i32,
    pub name: String,
    pub name_en: String,
    pub left: Left,
}
