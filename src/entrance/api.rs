//! The calls of a gate: scan, and the public keys for scanning without a network.

use axum::extract::State as AppState;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::devices::shift::Scanner;
use super::door::Door;
use super::group::{self, GroupAsk};
use super::judge::Asked;
use super::pg;
use super::reply::{self, ScanReply};
use super::rules::{Direction, Reason};
use crate::admin::Exhibitions;
use crate::app::App;
use crate::error::{Error, FieldError, Kind as ErrorKind, Result};
use crate::observability::pulse::What;
use crate::orders::contact::has_control;
use crate::platform::http::{Json, RequestLanguage};
use crate::platform::ids;
use crate::platform::secrets::sha256;
use crate::platform::texts::Language;
use crate::tickets::code::{self, Claims, Kind, Signed};
use crate::tickets::number;

/// Each set of routes has its own door: one queue per process.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(scan)).routes(routes!(keys)).layer(Extension(Door::default()))
}

pub const GATE_CHARS_MAX: usize = 40;
const NONCE_CHARS_MAX: usize = 64;
pub const PEOPLE_MAX: usize = 100;
const GATE: &str = "main";

pub fn is_nonce(text: &str) -> bool {
    (1..=NONCE_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[derive(Deserialize, ToSchema)]
struct ScanAsk {
    /// What the QR says, or the number of a ticket as somebody typed it. Whatever it is, it is judged and recorded.
    qr_code: String,
    /// Where the scanner stands: 1 to 40 characters; "main" when absent.
    gate: Option<String>,
    /// Names this scan, 1 to 64 visible ASCII characters: sent again after a lost answer, it gets the same one.
    nonce: Option<String>,
    #[serde(default)]
    direction: Direction,
    /// How many come in by a code for several people: 1 to 100.
    people: Option<usize>,
}

impl ScanAsk {
    fn check(&self) -> Result<()> {
        let mut errors = Vec::new();
        let mut refuse = |field: &str, code| errors.push(FieldError { field: field.into(), code });
        if let Some(gate) = &self.gate {
            if gate.trim().is_empty() {
                refuse("gate", "required");
            } else if has_control(gate) {
                refuse("gate", "control_characters");
            } else if gate.chars().count() > GATE_CHARS_MAX {
                refuse("gate", "too_long");
            }
        }
        if let Some(nonce) = &self.nonce
            && !is_nonce(nonce)
        {
            refuse("nonce", "nonce");
        }
        if self.people.is_some_and(|people| !(1..=PEOPLE_MAX).contains(&people)) {
            refuse("people", "out_of_range");
        }
        if errors.is_empty() { Ok(()) } else { Err(Error::fields(errors)) }
    }
}

/// What a code says, if it is ours, or the ticket whose number was typed.
async fn claims(app: &App, door: &Door, by: &Scanner, text: &str, now: Timestamp) -> Result<Result<Claims, Reason>> {
    let Some(signed) = code::read(text) else {
        return match number::read(text) {
            Some(number) => numbered(app, by, number).await,
            None => Ok(Err(Reason::Unknown)),
        };
    };
    let genuine = genuine(app, door, &signed, now).await?;
    Ok(if genuine { Ok(signed.claims) } else { Err(Reason::BadSignature) })
}

async fn genuine(app: &App, door: &Door, signed: &Signed, now: Timestamp) -> Result<bool> {
    if let Some(genuine) = app.keys.verify(signed, now) {
        return Ok(genuine);
    }
    // A key we have not heard of: made up, or this process could not read the ring when it should have. A process
    // without any key must not call a good ticket a forgery.
    if app.keys.current_id().is_none() || door.may_look_for_keys(now.as_millisecond()) {
        let client = app.entrance_pg.get().await?;
        app.keys.load_with(app, &client).await?;
    }
    Ok(app.keys.verify(signed, now).unwrap_or(false))
}

/// Only in the scanner's own exhibitions: a number is no proof, and says nothing elsewhere.
async fn numbered(app: &App, by: &Scanner, number: [u8; number::NUMBER_BYTES]) -> Result<Result<Claims, Reason>> {
    let exhibitions = match &by.staff.exhibitions {
        Exhibitions::All => None,
        Exhibitions::Of(ids) => Some(ids.as_slice()),
    };
    let client = app.entrance_pg.get().await?;
    let found = pg::by_number(&client, number, exhibitions).await?;
    let Some((ticket_id, version, exhibition_id)) = found else { return Ok(Err(Reason::Unknown)) };
    let (version, exhibition_id) =
        (u16::try_from(version).map_err(Error::bug)?, u32::try_from(exhibition_id).map_err(Error::bug)?);
    let (valid_from, valid_until) = (code::DAY_ZERO, code::DAY_ZERO);
    Ok(Ok(Claims { key_id: 0, kind: Kind::Single, ticket_id, version, exhibition_id, valid_from, valid_until }))
}

/// Judges a ticket at a gate, and lets it in at most once.
///
/// Every scan that is well formed is answered with 200 and recorded, whatever its code says; `entrance_status` and
/// `reason` tell the outcome. The same `nonce` again gets the same answer and no second record.
#[utoipa::path(post, path = "/api/entrance/scan", tag = "entrance", request_body = ScanAsk,
    security(("staff" = [])),
    responses((status = 200, body = ScanReply),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "device.off_shift: its shift has ended or the device was revoked"),
        (status = 422, description = "entrance.nonce_reused"),
        (status = 503, description = "entrance.busy, server.busy, server.database_away: scan offline, or again with the same nonce")))]
async fn scan(
    AppState(app): AppState<App>,
    Extension(door): Extension<Door>,
    scanner: Scanner,
    RequestLanguage(language): RequestLanguage,
    Json(ask): Json<ScanAsk>,
) -> Result<Response> {
    ask.check()?;
    let home = scanner.staff.home();
    let reply = answer(&app, &door, scanner, language, ask).await;
    match &reply {
        Ok(_) => app.pulse.count(home, What::Scanned),
        Err(error) if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Bug) => {
            app.pulse.count(home, What::ScanFailed);
        }
        Err(_) => {}
    }
    let reply = reply?;
    app.metrics.scan(reply.reason);
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Answer(reply)).into_response())
}

async fn answer(app: &App, door: &Door, scanner: Scanner, language: Language, ask: ScanAsk) -> Result<ScanReply> {
    let now = app.clock.now();
    let text = ask.qr_code.trim();
    let mut code_digest = [0u8; 16];
    code_digest.copy_from_slice(&sha256(&[text.as_bytes()])[..16]);
    let asked = Asked {
        scan_id: ids::row_id(now),
        claims: claims(app, door, &scanner, text, now).await?,
        direction: ask.direction,
        // A device stands where its admin put it.
        gate: match &scanner.at {
            Some(at) => at.gate.clone(),
            None => ask.gate.as_deref().map_or(GATE, str::trim).to_owned(),
        },
        device: scanner.at.clone(),
        nonce: ask.nonce,
        code_digest,
        at: now,
        staff: scanner.staff.clone(),
    };
    if let Ok(claims) = asked.claims
        && claims.kind == Kind::Group
    {
        let ask = GroupAsk { claims, people: ask.people, one: asked, scanner: &scanner };
        return Ok(reply::group(app, group::scan(app, door, ask).await?, language));
    }
    Ok(reply::shown(app, door.scan(app, asked).await?, language))
}

#[derive(Serialize, ToSchema)]
struct KeyList {
    keys: Vec<KeyShown>,
    format: Format,
}

#[derive(Serialize, ToSchema)]
struct KeyShown {
    /// Byte 1 of the codes it signs.
    id: i16,
    alg: &'static str,
    /// 32 bytes, base64url without padding.
    public_key: String,
    /// From then on its codes are forgeries (UTC).
    #[schema(value_type = Option<String>, format = DateTime)]
    retired_at: Option<Timestamp>,
}

/// How to read a code without us.
#[derive(Serialize, ToSchema)]
struct Format {
    prefix: &'static str,
    encoding: &'static str,
    layout: u8,
    /// The signature is over these first bytes.
    signed_bytes: usize,
    signature_bytes: usize,
    /// Day 0 of the validity, in Asia/Seoul.
    day_zero: &'static str,
    /// Big-endian, from `at` for `bytes`.
    fields: Vec<Field>,
}

#[derive(Serialize, ToSchema)]
struct Field {
    name: &'static str,
    at: usize,
    bytes: usize,
}

fn format() -> Format {
    let field = |name, at, bytes| Field { name, at, bytes };
    Format {
        prefix: code::PREFIX,
        encoding: "base64url",
        layout: code::LAYOUT,
        signed_bytes: code::SIGNED_BYTES,
        signature_bytes: code::SIGNATURE_BYTES,
        day_zero: "2020-01-01",
        fields: vec![
            field("layout", 0, 1),
            field("key_id", 1, 1),
            field("kind", 2, 1),
            field("ticket_id", 3, 16),
            field("version", 19, 2),
            field("exhibition_id", 21, 4),
            field("valid_from_day", 25, 2),
            field("valid_until_day", 27, 2),
            field("signature", code::SIGNED_BYTES, code::SIGNATURE_BYTES),
        ],
    }
}

/// The public keys of ticket codes, and how to read a code: enough to check tickets without a network.
#[utoipa::path(get, path = "/api/entrance/keys", tag = "entrance", responses((status = 200, body = KeyList),
    (status = 503, description = "server.starting")))]
async fn keys(AppState(app): AppState<App>) -> Result<Response> {
    let keys: Vec<KeyShown> = app
        .keys
        .public_keys()
        .into_iter()
        .map(|key| KeyShown {
            id: key.id,
            alg: "Ed25519",
            public_key: URL_SAFE_NO_PAD.encode(key.public),
            retired_at: key.retired_at,
        })
        .collect();
    if keys.is_empty() {
        return Err(Error::unavailable("server.starting", "no signing keys yet"));
    }
    let cache = [(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"))];
    Ok((cache, Answer(KeyList { keys, format: format() })).into_response())
}
