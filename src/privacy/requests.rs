//! Somebody asks for their data, or that it is erased: entered by a super admin who has made sure that it is them.
//!
//! A person is whoever has one phone number, over all exhibitions. What of them is still needed when they ask to be forgotten
//! is erased by the `retention` tick on the first day on which it is not; what they order after they asked, and asked last, is
//! not meant.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::erase::Erasure;
use super::pg::requests::{self as pg, AT_ONCE, NewRequest, Request, Theirs};
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::contact;
use crate::orders::model::Origin;
use crate::platform::ids;
use crate::platform::secrets::Purpose;

/// Orders of one transaction.
const BITE: i64 = 500;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$of])* $variant),*
        }

        impl $name {
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text),*
                }
            }

            pub fn parse(text: &str) -> Option<$name> {
                match text {
                    $($text => Some($name::$variant),)*
                    _ => None,
                }
            }
        }
    };
}
words!(
    /// What is asked for.
    Kind { Erase = "erase", Export = "export" }
);
words!(
    /// How it was made sure that it is them: called back, a mail answered, a document seen, or an authority's word.
    Verified { Phone = "phone", Email = "email", Document = "document", Authority = "authority" }
);
words!(
    State {
        Open = "open",
        /// Carried out, but for what has to be kept until its day.
        Waiting = "waiting",
        Done = "done",
        Withdrawn = "withdrawn",
    }
);

pub fn unknown() -> Error {
    Error::not_found("privacy.unknown")
}

/// The digest of the phone number of whoever it is about, and the order that it was found by. Refused where we have nothing of them.
async fn person(app: &App, phone: Option<&str>, order_number: Option<&str>) -> Result<(Vec<u8>, Option<String>)> {
    let said = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let nobody = || Error::not_found("privacy.nobody");
    match (said(phone), said(order_number)) {
        (Some(phone), None) => {
            let e164 = contact::phone_e164(&phone).ok_or_else(|| Error::field("phone", "phone"))?;
            let digest = contact::phone_digest(app, &e164);
            if pg::known(&app.pg.get().await?, &digest).await? { Ok((digest.to_vec(), None)) } else { Err(nobody()) }
        }
        (None, Some(number)) => {
            let number = number.to_ascii_uppercase();
            if !ids::is_order_number(&number) {
                return Err(nobody());
            }
            let who = pg::who(&app.pg.get().await?, &number).await?.ok_or_else(nobody)?;
            Ok((who, Some(number)))
        }
        (None, None) => Err(Error::field("phone", "required")),
        (Some(_), Some(_)) => Err(Error::field("order_number", "one_of_both")),
    }
}

/// Enters a request; the same again gets the one that is running. Whoever asks again to be forgotten means what they ordered
/// in between as well.
pub async fn ask(
    app: &App,
    (by, asked_by): (&Actor, i32),
    kind: Kind,
    verified_by: Verified,
    (phone, order_number): (Option<&str>, Option<&str>),
) -> Result<(Uuid, bool)> {
    let busy = |why: &'static str| move || Error::unavailable("server.busy", why);
    let (who, by_order) = person(app, phone, order_number).await?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let id = ids::row_id(app.clock.now());
    let new = pg::ask(&transaction, &NewRequest { id, kind, who: &who, verified_by, asked_by }).await?;
    let running = if new { Some(id) } else { pg::running(&transaction, kind, &who).await? };
    let id = running.ok_or_else(busy("it has just ended"))?;
    // Corrected at this moment, the order is somebody else's, and the request would be nobody's. After the request's own lock, as
    // whoever carries it out has them; a correction that comes later sees the request.
    if let Some(number) = &by_order
        && pg::who_stays(&transaction, number).await?.as_ref() != Some(&who)
    {
        return Err(busy("the order is being corrected")());
    }
    if !new && kind == Kind::Export {
        transaction.rollback().await?;
        return Ok((id, false));
    }
    if !new {
        pg::ask_again(&transaction, id, verified_by, asked_by).await?;
    }
    let asked = json!({ "request": id, "kind": kind, "verified_by": verified_by, "again": !new });
    record(&transaction, by, "privacy.request", asked).await?;
    transaction.commit().await?;
    Ok((id, new))
}

async fn record(
    client: &impl deadpool_postgres::GenericClient,
    by: &Actor,
    action: &'static str,
    after: Value,
) -> Result<()> {
    audit::record(client, &Entry { by, action, exhibition_id: None, before: Value::Null, after }).await
}

/// The first orders of whoever asks, and what would become of each now.
pub async fn theirs(app: &App, request: &Request, limit: i64) -> Result<Vec<Theirs>> {
    let Some(who) = &request.who else { return Ok(Vec::new()) };
    let until = match request.kind {
        Kind::Erase => request.asked_at,
        Kind::Export => app.clock.now(),
    };
    let years = app.settings.retention.payments_years;
    pg::orders(&app.pg.get().await?, (who, until), Uuid::nil(), limit, years).await
}

/// Erases what may be erased now; the rest waits. `by`: None for the tick. How many contacts were erased. Carried out twice, or
/// gone on with after a crash, it does the rest.
pub async fn carry(app: &App, id: Uuid, by: Option<&Actor>) -> Result<usize> {
    let system = Actor::system("retention");
    let actor = by.unwrap_or(&system);
    let origin = Origin::new(if by.is_some() { "super_admin" } else { "worker" }, "request", "");
    let salt = app.secrets.mac(Purpose::PrivacyRequest, &[id.as_bytes()]);
    let years = app.settings.retention.payments_years;
    let (mut after, mut erased, mut kept) = (Uuid::nil(), 0, 0);
    loop {
        let mut client = app.pg.get().await?;
        let transaction = client.transaction().await?;
        let request = pg::lock(&transaction, id).await?.ok_or_else(unknown)?;
        let Some(who) = request.who.filter(|_| request.kind == Kind::Erase) else {
            // Done is what its caller wants, and the tick wants nothing of what has ended meanwhile.
            let over = request.kind == Kind::Erase && (request.state == State::Done || by.is_none());
            return if over { Ok(erased) } else { Err(Error::conflict("privacy.over")) };
        };
        let found = pg::orders(&transaction, (&who, request.asked_at), after, BITE, years).await?;
        let ids: Vec<Uuid> = found.iter().filter(|order| order.kept.is_none()).map(|order| order.id).collect();
        let erasure =
            Erasure { spans: AT_ONCE, phone_digest: Some(&who), origin: origin.clone(), salt: Some(&salt), wait: true };
        let now = erasure.carry(&transaction, &ids).await?;
        (erased, kept) = (erased + now, kept + found.len() - now);
        pg::count(&transaction, id, i32::try_from(now).map_err(Error::bug)?).await?;
        match found.last() {
            Some(last) if found.len() as i64 == BITE => after = last.id,
            _ => {
                pg::no_more(&transaction, &salt, (&who, request.asked_at), origin.actor).await?;
                if kept == 0 {
                    pg::end(&transaction, id, State::Done).await?;
                } else {
                    pg::wait(&transaction, id).await?;
                }
                // A day on which nothing could be done is no news.
                if by.is_some() || erased > 0 || kept == 0 {
                    let after = json!({ "request": id, "erased": erased, "kept": kept });
                    record(&transaction, actor, "privacy.erase", after).await?;
                }
                transaction.commit().await?;
                return Ok(erased);
            }
        }
        transaction.commit().await?;
    }
}

/// Whoever asked has thought better of it. What was erased stays so.
pub async fn withdraw(app: &App, id: Uuid, by: &Actor) -> Result<()> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let request = pg::lock(&transaction, id).await?.ok_or_else(unknown)?;
    match request.state {
        State::Withdrawn => return Ok(()),
        State::Done => return Err(Error::conflict("privacy.over")),
        State::Open | State::Waiting => {}
    }
    pg::end(&transaction, id, State::Withdrawn).await?;
    record(&transaction, by, "privacy.withdraw", json!({ "request": id })).await?;
    transaction.commit().await?;
    Ok(())
}
