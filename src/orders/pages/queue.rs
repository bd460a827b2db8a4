//! The page people wait on. Every button is a form that works without JavaScript; the script sends the same to the API.

use axum::body::Body;
use axum::extract::{Request, State as AppState};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Deserialize;

use super::form::pairs;
use super::frame::{PageLanguage, go, page};
use super::queue_line::Seen as Shown;
use super::queue_view::{Around, Mail, Notice, QueuePage, shows_line};
use super::words;
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Kind, Result};
use crate::platform::http::extract::{cookie, same_site};
use crate::platform::http::{ClientAddress, Path, Query};
use crate::platform::texts::{Language, filled};
use crate::waiting_room::proofs::{self, Seen};
use crate::waiting_room::reply::Standing;
use crate::waiting_room::{claim, join, park, state, status};

/// What has been shown is remembered for as long as a room may last. [s]
const SHOWN_KEEP_S: u32 = 24 * 3600;
const INVITE_CHARS_MAX: usize = 512;

#[derive(Deserialize, Default)]
pub struct Asked {
    /// A signed link of the organiser's leads here.
    invite: Option<String>,
    /// Without JavaScript: no reloading.
    still: Option<String>,
    /// What has just happened.
    told: Option<String>,
}

pub async fn show(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    Path(code): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response<Body>> {
    let e = app.catalogue.current().by_code(&code)?;
    if let Some(invite) = asked.invite {
        // Out of the address, which is shown and shared.
        let keep_s = if is_invite(&invite) { i64::from(SHOWN_KEEP_S) } else { 0 };
        return Ok(go(&here(&code), Some(own_cookie(&app, &code, "i", &invite, keep_s, true))));
    }
    if !status::needs_pass(&app, &code) {
        return Ok(go(&format!("/{code}"), None));
    }
    let mut around = Around { still: asked.still.is_some(), ..Around::default() };
    let told = asked.told.as_deref();
    if told == Some("back") {
        around.notices.push(notice(language, true, "page.queue.back"));
    }
    if told == Some("over") {
        around.notices.push(notice(language, false, "page.queue.over"));
    }
    if told == Some("late") {
        around.notices.push(notice(language, false, "page.queue.late.done"));
    }
    if told == Some("parked") {
        around.notices.push(notice(language, false, "page.queue.mail.done"));
    }
    match status::look(&app, &e, &headers, language) {
        Ok(seen) => {
            if told == Some("joined") && seen.status.state == Standing::Outside {
                around.notices.push(notice(language, true, "page.queue.no_cookie"));
            }
            shown(&app, language, &e, &headers, seen, around, StatusCode::OK)
        }
        Err(error) if error.kind == Kind::Unavailable => {
            page(&QueuePage::trouble(language, &e, around.notices), error.kind.status())
        }
        Err(error) => Err(error),
    }
}

/// Whoever reloads, or comes back to, the address of a form is led to the page.
pub async fn back(Path((code, _)): Path<(String, String)>) -> Response<Body> {
    go(&here(&code), None)
}

pub async fn act(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    client: ClientAddress,
    Path((code, verb)): Path<(String, String)>,
    request: Request,
) -> Result<Response<Body>> {
    let e = app.catalogue.current().by_code(&code)?;
    same_site(request.headers(), &app.settings.base_url)?;
    let headers = request.headers().clone();
    let fields = pairs(request).await?;
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let here = here(&code);
    let done = match verb.as_str() {
        "join" => {
            let invite = field("invite").filter(|invite| is_invite(invite));
            join::join(&app, &e, &headers, client, invite, language)
                .await
                .map(|seen| (seen, format!("{here}?told=joined")))
        }
        "claim" => claim::claim(&app, &e, &headers, false, language).await.map(|seen| {
            let next = match seen.status.state {
                Standing::Admitted => format!("/{code}/order"),
                Standing::Late => format!("{here}?told=late"),
                Standing::Over => format!("{here}?told=over"),
                _ => here.clone(),
            };
            (seen, next)
        }),
        "extend" => claim::claim(&app, &e, &headers, true, language).await.map(|seen| (seen, here.clone())),
        "leave" => claim::leave(&app, &e, &headers, language).await.map(|seen| (seen, "/".to_owned())),
        "park" => {
            let email = field("email").unwrap_or_default();
            park::park(&app, &e, &headers, email, language).await.map(|seen| (seen, format!("{here}?told=parked")))
        }
        _ => return Err(Error::not_found("request.not_found")),
    };
    match done {
        Ok((seen, next)) => Ok(with_cookies(go(&next, None), &seen.cookies)),
        Err(error) if error.kind == Kind::Bug => Err(error),
        Err(error) => refused(&app, language, &e, &headers, &error, field("email")),
    }
}

/// The page as it is now, with what was refused and why.
fn refused(
    app: &App,
    language: Language,
    e: &Exhibition,
    headers: &HeaderMap,
    error: &Error,
    email: Option<&str>,
) -> Result<Response<Body>> {
    let mut around = Around::default();
    let mail_error = error.fields.iter().find(|field| field.field == "email");
    match mail_error {
        Some(_) => {
            around.mail =
                Mail { email: email.unwrap_or_default().to_owned(), error: Some(words::text(language, "field.email")) };
        }
        None => {
            let text = filled(language, &format!("problem.{}", error.code), &error.values);
            around.notices.push(Notice { bad: true, text });
        }
    }
    let mut response = match status::look(app, e, headers, language) {
        Ok(seen) => shown(app, language, e, headers, seen, around, error.kind.status())?,
        Err(_) => page(&QueuePage::trouble(language, e, around.notices), error.kind.status())?,
    };
    if let Some(after) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    Ok(response)
}

fn shown(
    app: &App,
    language: Language,
    e: &Exhibition,
    headers: &HeaderMap,
    seen: Seen,
    mut around: Around,
    code: StatusCode,
) -> Result<Response<Body>> {
    let status = seen.status;
    let mut cookies = seen.cookies;
    if let (true, Some(rank), Some(ahead)) = (shows_line(&status), status.rank, status.ahead) {
        let before = cookie(headers, &own_cookie_name("w", &e.code)).and_then(Shown::parse);
        let now = Shown::with(before, rank, ahead, status.ahead_because.is_some());
        // The script writes it, too.
        cookies.push(own_cookie(app, &e.code, "w", &now.write(), SHOWN_KEEP_S.into(), false));
        around.seen = Some(now);
    }
    if status.state == Standing::Outside {
        let invite = cookie(headers, &own_cookie_name("i", &e.code)).filter(|invite| is_invite(invite));
        around.invite = invite.map(str::to_owned);
    }
    let public = state::public(app, e);
    let response = page(&QueuePage::new(language, e, &status, &public, around), code)?;
    Ok(with_cookies(response, &cookies))
}

fn here(code: &str) -> String {
    format!("/{code}/queue")
}

fn notice(language: Language, bad: bool, key: &'static str) -> Notice {
    Notice { bad, text: words::text(language, key).to_owned() }
}

fn is_invite(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    (1..=INVITE_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain)
}

fn own_cookie_name(letter: &str, code: &str) -> String {
    format!("admit_{letter}_{code}")
}

/// A cookie that only this page gets.
fn own_cookie(app: &App, code: &str, letter: &str, value: &str, keep_s: i64, hidden: bool) -> String {
    let value = if keep_s > 0 { value } else { "" };
    let (secure, hidden) =
        (if app.settings.secure_cookies() { "; Secure" } else { "" }, if hidden { "; HttpOnly" } else { "" });
    format!(
        "{}={value}; Path={}; Max-Age={keep_s}; SameSite=Lax{hidden}{secure}",
        own_cookie_name(letter, code),
        here(code)
    )
}

fn with_cookies(mut response: Response<Body>, cookies: &[String]) -> Response<Body> {
    for cookie in cookies {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

/// An order that needs a pass and came without a good one: on to the queue, and without the pass that is none.
pub fn sent_back(app: &App, code: &str) -> Response<Body> {
    let forget = proofs::set_cookie(app, &proofs::pass_cookie(code), "", 0);
    go(&format!("{}?told=back", here(code)), Some(forget))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_invitation_can_be_is_kept() {
        assert!(is_invite("v1.ab_C-9"));
        for bad in ["", "a b", "a;b", "a\r\nb", "<x>", &"a".repeat(513)] {
            assert!(!is_invite(bad), "{bad}");
        }
    }
}
