//! A device hands in what it decided without a network.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State as AppState;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Decided, OfGroup, pg, take};
use crate::app::App;
use crate::entrance::api::is_nonce;
use crate::entrance::devices::{Device, HandsIn};
use crate::entrance::group::of_group;
use crate::entrance::reply::private;
use crate::entrance::rules::{Direction, Reason};
use crate::error::{Error, FieldError, Kind, Result};
use crate::platform::http::Json;
use crate::tickets::number;

/// 45 kB where all are of groups, of the 64 that a body may have.
const SCANS_MAX: usize = 100;
/// Of a device after it was revoked.
const SCANS_REVOKED_MAX: i32 = 5_000;
/// Uploads that are written at the same time, so that devices which come back leave the connections to scans.
const WRITERS_MAX: usize = 2;

#[derive(Clone)]
struct Writers(Arc<Semaphore>);

pub fn routes() -> OpenApiRouter<App> {
    let writers = Writers(Arc::new(Semaphore::new(WRITERS_MAX)));
    OpenApiRouter::new().routes(routes!(hand_in)).layer(Extension(writers))
}

#[derive(Deserialize, ToSchema)]
struct UploadAsk {
    /// 1 to 100, the oldest first.
    scans: Vec<UploadedScan>,
}

#[derive(Deserialize, ToSchema)]
struct UploadedScan {
    /// Names this scan, 1 to 64 visible ASCII characters: sent again, it is written down once.
    nonce: String,
    /// The nonce under which the server was asked before the device decided. For a group it is that of the one question,
    /// the same in the scans of all its people.
    asked: Option<String>,
    /// During which shift: its `shift_id`.
    shift: Option<Uuid>,
    /// Id and version as the code said them; null for what was no code of ours, and for a number that was typed.
    ticket: Option<Uuid>,
    #[serde(default)]
    version: u16,
    /// Whom a group's code let in; then `version` is this ticket's, as the device knows it.
    group: Option<UploadedOfGroup>,
    typed: Option<String>,
    #[serde(default)]
    direction: Direction,
    /// When, by the device's clock corrected by the server's (Unix ms).
    at: i64,
    /// When, by its clock alone (Unix ms).
    device_at: i64,
    /// What the device said: ok, or why it refused.
    reason: String,
    /// When it was taken back before it was sent (Unix ms).
    undone_at: Option<i64>,
}

#[derive(Deserialize, ToSchema)]
struct UploadedOfGroup {
    /// The order's id, as the code said it.
    order: Uuid,
    /// The ticket's number within its order, from 1.
    no: i16,
}

impl UploadedScan {
    /// The name of what is wrong with it, or a scan.
    fn read(self) -> Result<Decided, &'static str> {
        let instant = |ms: i64| Timestamp::from_millisecond(ms).map_err(|_| "instant");
        let nonce = |text: &str| if is_nonce(text) { Ok(()) } else { Err("nonce") };
        nonce(&self.nonce)?;
        self.asked.as_deref().map_or(Ok(()), nonce)?;
        let typed = match self.typed.as_deref() {
            Some(typed) => Some(number::read(typed).ok_or("number")?),
            None => None,
        };
        let group = self.group.map(|group| OfGroup { order: group.order, no: group.no });
        if group.is_some_and(|group| group.no < 1) {
            return Err("group");
        }
        Ok(Decided {
            nonce: self.nonce,
            // As the server names the scan of each of a group.
            asked: match (self.asked, group) {
                (Some(asked), Some(group)) => Some(of_group(&asked, group.no)),
                (asked, _) => asked,
            },
            shift: self.shift,
            ticket: self.ticket,
            version: self.version,
            group,
            typed,
            direction: self.direction,
            at: instant(self.at)?,
            device_at: instant(self.device_at)?,
            reason: Reason::parse(&self.reason).ok_or("reason")?,
            undone_at: self.undone_at.map(instant).transpose()?,
        })
    }
}

#[derive(Serialize, ToSchema)]
struct Taken {
    /// In the order of the scans. Each but the rejected is the server's business from now on.
    results: Vec<TakenScan>,
    /// This device was revoked: it wipes what it has.
    wipe: bool,
}

#[derive(Serialize, ToSchema)]
struct TakenScan {
    nonce: String,
    /// recorded, known (it was here before), conflict (recorded, and for somebody to decide) or rejected (it says nothing
    /// that could be written down).
    outcome: &'static str,
    /// With `rejected`: nonce, number, group, reason or instant; server.bug: try again another day.
    code: Option<&'static str>,
}

/// Writes down what a device decided without a network, in order, each scan once.
///
/// Also taken from a device that was revoked, for a day and 5,000 scans: its admissions, and those outside any shift, become
/// conflicts and touch no ticket. Broken off in the middle, what came before is written down; send all of it again.
#[utoipa::path(post, path = "/api/entrance/uploads", tag = "entrance", security(("device" = [])), request_body = UploadAsk,
    responses((status = 200, body = Taken), (status = 401, description = "device.unknown"),
        (status = 403, description = "device.revoked: and its time to hand in is over"),
        (status = 422, description = "request.invalid"),
        (status = 503, description = "server.database_away: again, all of it")))]
async fn hand_in(
    AppState(app): AppState<App>,
    Extension(writers): Extension<Writers>,
    by: HandsIn,
    Json(ask): Json<UploadAsk>,
) -> Result<Response> {
    let HandsIn { device, revoked } = by;
    if ask.scans.is_empty() || ask.scans.len() > SCANS_MAX {
        return Err(Error::fields(vec![FieldError { field: "scans".into(), code: "out_of_range" }]));
    }
    let writing = writers.0.acquire().await.map_err(Error::bug)?;
    if revoked {
        let count = i32::try_from(ask.scans.len()).map_err(Error::bug)?;
        if !pg::may_hand_in(&app.entrance_pg.get().await?, device.id, count, SCANS_REVOKED_MAX).await? {
            return Err(Error::forbidden("device.revoked"));
        }
    }
    let results = taken(&app, &device, revoked, ask.scans).await?;
    if revoked {
        let written = results.iter().filter(|one| one.outcome != "known").count();
        let written = i32::try_from(written).map_err(Error::bug)?;
        pg::handed_in(&app.entrance_pg.get().await?, device.id, written).await?;
    }
    drop(writing);
    Ok(private(Taken { results, wipe: revoked }))
}

async fn taken(app: &App, device: &Device, revoked: bool, scans: Vec<UploadedScan>) -> Result<Vec<TakenScan>> {
    let mut results = Vec::with_capacity(scans.len());
    for scan in scans {
        let nonce: String = scan.nonce.chars().take(64).collect();
        let (outcome, code) = match scan.read() {
            Ok(decided) => match take(app, device, revoked, &decided).await {
                Ok(outcome) => (outcome.as_str(), None),
                // What Postgres cannot take must not hold up what comes after it.
                Err(error) if error.kind == Kind::Bug => {
                    tracing::error!(%error, device = %device.id, "an uploaded scan could not be written down");
                    ("rejected", Some("server.bug"))
                }
                Err(error) => return Err(error),
            },
            Err(code) => ("rejected", Some(code)),
        };
        results.push(TakenScan { nonce, outcome, code });
    }
    Ok(results)
}
