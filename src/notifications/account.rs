//! Mails to the staff about their accounts: a link to set a password, and what happened.

use lettre::{Address, Message};

use super::letter::{Letter, seal};
use super::pg::Claimed;
use crate::admin::pg::UserRow;
use crate::admin::{mailbox, pg as accounts, reset};
use crate::app::App;
use crate::error::Result;
use crate::orders::pages::words;
use crate::platform::texts::{Language, filled};

fn letter(
    app: &App,
    row: &Claimed,
    user: &UserRow,
    (language, what): (Language, &str),
    (values, button, note): (&[(&str, String)], (&'static str, String), &'static str),
    also: Option<(String, [&'static str; 2])>,
) -> Result<Option<Message>> {
    let address = mailbox::open(app, user)?.and_then(|email| email.parse::<Address>().ok());
    let Some(address) = address else { return Ok(None) };
    let text = |key| words::text(language, key);
    let mut letter = Letter {
        language: language.tag(),
        subject: filled(language, &format!("mail.account.{what}.subject"), values),
        greeting: text("mail.account.greeting").to_owned(),
        lead: filled(language, &format!("mail.account.{what}.lead"), values),
        rows: vec![(text("mail.account.username"), user.username.clone())],
        tickets: Vec::new(),
        button: (text(button.0), button.1),
        notes: vec![text(note), text("mail.automatic")],
    };
    if let Some((subject, notes)) = also {
        letter.subject = format!("{} · {subject}", letter.subject);
        letter.notes.splice(1..1, notes);
    }
    seal(app, row, letter, None, address).map(Some)
}

/// Late, the link would be of no use.
pub async fn password_reset(app: &App, row: &Claimed) -> Result<Option<Message>> {
    let client = app.pg.get().await?;
    let Some(wish) = reset::wish(app, &client, row.order_id).await? else { return Ok(None) };
    drop(client);
    let until = [("time", words::clock_time(wish.until))];
    let button = ("mail.account.reset_link.button", wish.link);
    let what = (wish.language, "reset_link");
    letter(app, row, &wish.user, what, (&until, button, "mail.account.reset_link.not_me"), None)
}

/// What happened, by what the outbox calls it.
fn lead(what: &str) -> &'static str {
    match what {
        "password_reset" => "mail.account.password_reset.lead",
        "recovery_code" => "mail.account.recovery_code.lead",
        _ => "mail.account.codes_tried.lead",
    }
}

/// In both languages: the one in which it happened is that of whoever did it, who may not be the owner.
pub async fn notice(app: &App, row: &Claimed) -> Result<Option<Message>> {
    let client = app.pg.get().await?;
    let Some(notice) = mailbox::pg::notice(&client, row.order_id).await? else { return Ok(None) };
    let Some(user) = accounts::by_id(&client, notice.user_id).await? else { return Ok(None) };
    drop(client);
    let button = ("mail.account.open", format!("{}/admin#/account", app.settings.base_url));
    let language = Language::from_tag(&notice.language);
    let other = match language {
        Language::Ko => Language::En,
        Language::En => Language::Ko,
    };
    let subject = filled(other, &format!("mail.account.{}.subject", notice.what), &[]);
    let also = (subject, [lead(&notice.what), "mail.account.not_me"].map(|key| words::text(other, key)));
    let what = (language, notice.what.as_str());
    letter(app, row, &user, what, (&[], button, "mail.account.not_me"), Some(also))
}
