//! Tickets: one person, one QR.
//!
//! Owns the signed codes, the keys that sign them and their pictures. Promises that a code can be checked without a
//! network, that it says nothing about the person, and that a ticket which is re-issued, refunded or cancelled shows
//! no code. Refuses to issue tickets or to admit anybody: orders issue, the entrance admits.

pub mod api;
pub mod code;
pub mod keys;
pub mod link;
pub mod number;
pub mod pdf;
pub mod pg;
pub mod picture;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use code::{Claims, Kind};

/// A ticket as its owner sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TicketView {
    pub id: Uuid,
    /// What people at the door type where the QR cannot be read: K7QM-2X9P. New after every re-issue; null unless the
    /// ticket is valid.
    pub number: Option<String>,
    /// Number of this ticket within its order, from 1.
    pub ticket_no: i16,
    /// Tickets of the order.
    pub of: i16,
    pub product_id: i32,
    pub product_name: String,
    pub product_name_en: String,
    /// Day of the visit in Asia/Seoul; null: any day of the exhibition.
    #[schema(value_type = Option<String>, format = Date)]
    pub slot_date: Option<Date>,
    #[schema(value_type = Option<String>)]
    pub start_time: Option<Time>,
    #[schema(value_type = Option<String>)]
    pub end_time: Option<Time>,
    /// valid, cancelled, refunded or blocked.
    pub state: String,
    /// When it was let in first (UTC).
    #[schema(value_type = Option<String>, format = DateTime)]
    pub used_at: Option<Timestamp>,
    /// The exhibition's rules may let it in again: another time, another day, or after it went out.
    pub lets_in_again: bool,
    /// Raised by every re-issue; older codes are void.
    pub version: i16,
    /// What the QR says; null unless the ticket is valid.
    pub qr_code: Option<String>,
    /// Picture of the QR under a link that opens for 24 hours without a token; null unless the ticket is valid.
    pub qr_svg_url: Option<String>,
    pub qr_png_url: Option<String>,
}

impl TicketView {
    /// Used for good: its code is good for nothing more.
    pub fn is_spent(&self) -> bool {
        self.used_at.is_some() && !self.lets_in_again
    }
}

/// The tickets of an order by their number; none before it is paid.
pub async fn of_order(
    app: &App,
    client: &impl GenericClient,
    order_id: Uuid,
    exhibition: &Exhibition,
) -> Result<Vec<TicketView>> {
    let rows = pg::of_order(client, order_id).await?;
    rows.into_iter().map(|row| view(app, row, exhibition)).collect()
}

fn view(app: &App, row: pg::TicketRow, exhibition: &Exhibition) -> Result<TicketView> {
    let now = app.clock.now();
    let valid = row.state == "valid";
    let product = exhibition.product(row.product_id);
    let slot = row.slot_id.and_then(|id| exhibition.slot(id));
    if row.slot_id.is_some() && slot.is_none() {
        return Err(Error::bug("a ticket of a slot that is not in the catalogue"));
    }
    let qr_code = valid.then(|| {
        let days = slot.map_or((exhibition.starts_on, exhibition.ends_on), |slot| (slot.date, slot.date));
        sign(app, row.id, row.version, row.key_id, row.exhibition_id, days, now)
    });
    let link = |format: &str| {
        let query = link::query(&app.secrets, row.id, row.version, now.as_second());
        valid.then(|| format!("{}/api/tickets/{}/qr.{format}?{query}", app.settings.base_url, row.id))
    };
    Ok(TicketView {
        qr_svg_url: link("svg"),
        qr_png_url: link("png"),
        qr_code: qr_code.transpose()?,
        number: valid.then(|| number::of(row.id, row.version)),
        id: row.id,
        ticket_no: row.ticket_no,
        of: row.of_total,
        product_id: row.product_id,
        product_name: product.map(|p| p.name_ko.clone()).unwrap_or_default(),
        product_name_en: product.map(|p| p.name_en.clone()).unwrap_or_default(),
        slot_date: slot.map(|s| s.date),
        start_time: slot.and_then(|s| s.start_time),
        end_time: slot.and_then(|s| s.end_time),
        state: row.state,
        used_at: row.used_at,
        lets_in_again: row.again,
        version: row.version,
    })
}

/// The version of an order's own code: any ticket's re-issue raises it, so that a code which got around is void as well.
pub fn group_version(versions: impl Iterator<Item = i16>) -> u16 {
    versions.fold(1, |sum: u16, version| sum.saturating_add(version.saturating_sub(1).unsigned_abs()))
}

/// One code for all tickets of an order; None: there are not two that are good.
pub fn group_code(app: &App, order_id: Uuid, exhibition: &Exhibition, views: &[TicketView]) -> Result<Option<String>> {
    if views.iter().filter(|view| view.qr_code.is_some() && !view.is_spent()).count() < 2 {
        return Ok(None);
    }
    let Some(key_id) = app.keys.current_id() else { return Ok(None) };
    let days = views.iter().map(|v| v.slot_date.map_or((exhibition.starts_on, exhibition.ends_on), |day| (day, day)));
    let days = days.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or((exhibition.starts_on, exhibition.ends_on));
    let claims = Claims {
        key_id: u8::try_from(key_id).map_err(Error::bug)?,
        kind: Kind::Group,
        ticket_id: order_id,
        version: group_version(views.iter().map(|view| view.version)),
        exhibition_id: u32::try_from(exhibition.id).map_err(Error::bug)?,
        valid_from: days.0,
        valid_until: days.1,
    };
    app.keys.sign(claims, app.clock.now()).map(Some)
}

fn sign(
    app: &App,
    id: Uuid,
    version: i16,
    key_id: i16,
    exhibition_id: i32,
    (valid_from, valid_until): (Date, Date),
    now: Timestamp,
) -> Result<String> {
    let claims = Claims {
        key_id: u8::try_from(key_id).map_err(Error::bug)?,
        kind: Kind::Single,
        ticket_id: id,
        version: u16::try_from(version).map_err(Error::bug)?,
        exhibition_id: u32::try_from(exhibition_id).map_err(Error::bug)?,
        valid_from,
        valid_until,
    };
    app.keys.sign(claims, now)
}
