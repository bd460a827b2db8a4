//! What a mail says: composed from the order as it stands, in its language, with a picture of every ticket inside.

use askama::Template;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart, header};
use lettre::{Address, Message};

use super::account;
use super::pg::{self, Claimed};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::orders::contact::{Contact, has_control};
use crate::orders::mine;
use crate::orders::model::{Order, OrderState};
use crate::orders::pages::words;
use crate::orders::read;
use crate::platform::texts::{Language, filled};
use crate::tickets::{self, TicketView};
use crate::waiting_room;

/// How long the link of a mail opens its order; the tickets themselves are in the mail. [s]
const LINK_S: i64 = 180 * 24 * 3600;

/// None: there is nobody to write to (any more).
pub async fn write(app: &App, row: &Claimed) -> Result<Option<Message>> {
    if row.kind == super::QUEUE_TURN {
        return queue_turn(app, row).await;
    }
    if row.kind == super::ONE_TIME_CODE {
        return one_time_code(app, row).await;
    }
    if row.kind == super::PASSWORD_RESET {
        return account::password_reset(app, row).await;
    }
    if row.kind == super::ACCOUNT_NOTICE {
        return account::notice(app, row).await;
    }
    let client = app.pg.get().await?;
    let refund = if row.kind == "refund" { pg::refund(&client, row.order_id).await? } else { None };
    let resent = if row.kind == super::RESEND { pg::resend(&client, row.order_id).await? } else { None };
    let order_id = refund.as_ref().map(|refund| refund.order_id).or(resent).unwrap_or(row.order_id);
    let Some(order) = crate::orders::pg::by_id(app, &client, order_id).await? else {
        return Err(Error::bug("a message about an order that is not there"));
    };
    let Some(contact) = crate::orders::pg::contact(app, &client, order_id).await? else { return Ok(None) };
    let Some(address) = contact.email.as_deref().and_then(|email| email.parse::<Address>().ok()) else {
        return Ok(None);
    };
    let exhibition = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let about =
        About { app, order: &order, exhibition: &exhibition, language: Language::from_tag(order.facts.language) };
    let kind = match resent {
        Some(_) => again(order.state),
        None => Some(row.kind.as_str()),
    };
    // What was to be sent again is out of date by now.
    let Some(kind) = kind else { return Ok(None) };
    let letter = match kind {
        "order_paid" => {
            let tickets = tickets::of_order(app, &client, order.facts.id, &exhibition).await?;
            drop(client);
            about.order_paid(&contact, &tickets)?
        }
        "money_returned" => {
            let returned_won = pg::returned_won(&client, order.facts.id).await?;
            drop(client);
            about.money_returned(&contact, returned_won)
        }
        "deposit_asked" => match read::deposit(app, &client, order_id).await? {
            Some(deposit) => about.deposit_asked(&contact, &deposit),
            // Paid in or given up before anybody could be told.
            None => return Ok(None),
        },
        "refund" => {
            let refund = refund.ok_or_else(|| Error::bug("a message about a refund that is not there"))?;
            about.refund(&contact, &refund)
        }
        other => return Err(Error::bug(format!("an outbox row of kind '{other}'"))),
    };
    seal(app, row, letter, Some(contact.name.as_str()).filter(|name| !name.is_empty()), address).map(Some)
}

/// The mail that an order has in its state, which can be sent again.
pub fn again(state: OrderState) -> Option<&'static str> {
    match state {
        OrderState::Paid | OrderState::PartiallyRefunded => Some("order_paid"),
        OrderState::AwaitingDeposit => Some("deposit_asked"),
        _ => None,
    }
}

/// To somebody in a waiting room: the address came with the wish to be told, and goes with this letter.
async fn queue_turn(app: &App, row: &Claimed) -> Result<Option<Message>> {
    let client = app.pg.get().await?;
    let Some(notice) = waiting_room::pg::notice(&client, row.order_id).await? else { return Ok(None) };
    drop(client);
    let wish = waiting_room::notice::open(app, &notice)?;
    let Ok(address) = wish.email.parse::<Address>() else { return Ok(None) };
    let exhibition = app.catalogue.current().by_id(notice.exhibition_id)?;
    let language = wish.language();
    let name = language.pick(&exhibition.name_ko, &exhibition.name_en).to_owned();
    let with_name = |key: &str| filled(language, key, &[("exhibition", name.clone())]);
    let letter = Letter {
        language: language.tag(),
        subject: with_name("mail.queue_turn.subject"),
        greeting: words::text(language, "mail.queue_turn.greeting").to_owned(),
        lead: with_name("mail.queue_turn.lead"),
        rows: vec![(words::text(language, "mail.exhibition"), name.clone())],
        tickets: Vec::new(),
        button: (
            words::text(language, "mail.queue_turn.button"),
            format!("{}/{}/queue", app.settings.base_url, notice.code),
        ),
        notes: ["mail.queue_turn.late", "mail.queue_turn.erased", "mail.automatic"]
            .map(|key| words::text(language, key))
            .to_vec(),
    };
    seal(app, row, letter, None, address).map(Some)
}

/// To somebody who wants to see all their orders. Late, the code would be of no use.
async fn one_time_code(app: &App, row: &Claimed) -> Result<Option<Message>> {
    let client = app.pg.get().await?;
    let Some(wish) = mine::wish(app, &client, row.order_id).await? else { return Ok(None) };
    drop(client);
    let Ok(address) = wish.email.parse::<Address>() else { return Ok(None) };
    let text = |key| words::text(wish.language, key);
    let until = [("time", words::clock_time(wish.until))];
    let letter = Letter {
        language: wish.language.tag(),
        subject: text("mail.one_time_code.subject").to_owned(),
        greeting: text("mail.one_time_code.greeting").to_owned(),
        lead: filled(wish.language, "mail.one_time_code.lead", &until),
        rows: vec![(text("mail.one_time_code.code"), mine::digits(app, row.order_id))],
        tickets: Vec::new(),
        button: (text("mail.one_time_code.button"), format!("{}/orders/code/{}", app.settings.base_url, row.order_id)),
        notes: ["mail.one_time_code.not_me", "mail.automatic"].map(text).to_vec(),
    };
    seal(app, row, letter, None, address).map(Some)
}

#[derive(Template)]
#[template(path = "mail/letter.html")]
struct Html<'a>(&'a Letter);

#[derive(Template)]
#[template(path = "mail/letter.txt")]
struct Text<'a>(&'a Letter);

pub struct Letter {
    pub(super) language: &'static str,
    pub(super) subject: String,
    pub(super) greeting: String,
    pub(super) lead: String,
    pub(super) rows: Vec<(&'static str, String)>,
    pub(super) tickets: Vec<Picture>,
    pub(super) button: (&'static str, String),
    pub(super) notes: Vec<&'static str>,
}

pub struct Picture {
    cid: String,
    file: String,
    title: String,
    product: String,
    png: Vec<u8>,
}

struct About<'a> {
    app: &'a App,
    order: &'a Order,
    exhibition: &'a Exhibition,
    language: Language,
}

impl About<'_> {
    fn text(&self, key: &'static str) -> &'static str {
        words::text(self.language, key)
    }

    fn exhibition_name(&self) -> &str {
        self.language.pick(&self.exhibition.name_ko, &self.exhibition.name_en)
    }

    fn letter(&self, contact: &Contact, kind: &str) -> Letter {
        let greeting = match contact.name.as_str() {
            "" => self.text("mail.queue_turn.greeting").to_owned(),
            name => filled(self.language, "mail.greeting", &[("name", name.to_owned())]),
        };
        let values = [("exhibition", self.exhibition_name().to_owned()), ("number", self.order.facts.number.clone())];
        Letter {
            language: self.language.tag(),
            subject: filled(self.language, &format!("mail.{kind}.subject"), &values),
            greeting,
            lead: filled(self.language, &format!("mail.{kind}.lead"), &values),
            rows: vec![
                (self.text("mail.order_number"), self.order.facts.number.clone()),
                (self.text("mail.exhibition"), self.exhibition_name().to_owned()),
            ],
            tickets: Vec::new(),
            button: (self.text("mail.see_order"), self.order_link()),
            notes: Vec::new(),
        }
    }

    fn order_link(&self) -> String {
        read::order_url(self.app, self.order, LINK_S)
    }

    fn visit(&self) -> String {
        let slot = self.order.facts.slot_id.and_then(|id| self.exhibition.slot(id));
        match slot {
            Some(slot) => words::visit(self.language, slot),
            None => filled(
                self.language,
                "mail.visit_any",
                &[
                    ("from", words::date(self.language, self.exhibition.starts_on)),
                    ("until", words::date(self.language, self.exhibition.ends_on)),
                ],
            ),
        }
    }

    fn order_paid(&self, contact: &Contact, tickets: &[TicketView]) -> Result<Letter> {
        let mut letter = self.letter(contact, "paid");
        let venue = self.language.pick(&self.exhibition.venue_ko, &self.exhibition.venue_en);
        letter.rows.push((self.text("mail.visit"), self.visit()));
        if !venue.is_empty() {
            letter.rows.push((self.text("mail.venue"), venue.to_owned()));
        }
        letter.rows.push((self.text("mail.paid_amount"), words::won(self.language, self.order.facts.total_won.into())));
        for ticket in tickets {
            let Some(code) = &ticket.qr_code else { continue };
            let title = filled(
                self.language,
                "mail.ticket",
                &[("no", ticket.ticket_no.to_string()), ("of", ticket.of.to_string())],
            );
            let day = ticket.slot_date.map(|day| words::date(self.language, day));
            let title = [Some(title), day, ticket.number.clone()].into_iter().flatten().collect::<Vec<_>>().join(" · ");
            letter.tickets.push(Picture {
                cid: format!("{}@admit", ticket.id),
                file: format!("{}-{}.png", self.order.facts.number, ticket.ticket_no),
                title,
                product: self.language.pick(&ticket.product_name, &ticket.product_name_en).to_owned(),
                png: tickets::picture::png(code)?,
            });
        }
        letter.notes = vec![self.text("mail.once"), self.text("mail.link_note"), self.text("mail.automatic")];
        Ok(letter)
    }

    fn deposit_asked(&self, contact: &Contact, deposit: &read::DepositView) -> Letter {
        let mut letter = self.letter(contact, "deposit");
        letter
            .rows
            .push((self.text("mail.deposit.amount"), words::won(self.language, self.order.facts.total_won.into())));
        letter.rows.push((self.text("mail.deposit.bank"), words::bank(self.language, &deposit.bank)));
        letter.rows.push((self.text("mail.deposit.number"), deposit.account_number.clone()));
        letter.rows.push((self.text("mail.deposit.until"), words::moment(self.language, deposit.due_at)));
        letter.notes =
            vec![self.text("mail.deposit.exactly"), self.text("mail.link_note"), self.text("mail.automatic")];
        letter
    }

    fn refund(&self, contact: &Contact, refund: &pg::RefundToTell) -> Letter {
        let mut letter = self.letter(contact, if refund.needs_account { "refund_account" } else { "refund" });
        letter.rows.push((self.text("mail.returned.amount"), words::won(self.language, refund.amount_won.into())));
        if refund.fee_won > 0 {
            letter.rows.push((self.text("mail.refund.fee"), words::won(self.language, refund.fee_won.into())));
        }
        let note = if refund.needs_account { "mail.refund_account.how" } else { "mail.refund.when" };
        letter.notes = vec![self.text(note), self.text("mail.automatic")];
        letter
    }

    fn money_returned(&self, contact: &Contact, returned_won: i64) -> Letter {
        let mut letter = self.letter(contact, "returned");
        // Somebody who paid twice keeps the tickets of the first payment, and wants to read that first.
        if matches!(self.order.state, OrderState::Paid | OrderState::PartiallyRefunded) {
            letter.lead =
                filled(self.language, "mail.returned.lead_twice", &[("exhibition", self.exhibition_name().to_owned())]);
        } else {
            let page = format!("{}/{}", self.app.settings.base_url, self.order.facts.code);
            letter.button = (self.text("mail.returned.again"), page);
        }
        letter.rows.push((self.text("mail.returned.amount"), words::won(self.language, returned_won)));
        letter.notes = vec![self.text("mail.returned.when"), self.text("mail.automatic")];
        letter
    }
}

/// Puts the letter into its envelope. Names with control characters never reach a header; everything else is encoded
/// by the builder.
pub(super) fn seal(
    app: &App,
    row: &Claimed,
    mut letter: Letter,
    name: Option<&str>,
    address: Address,
) -> Result<Message> {
    let html = Html(&letter).render().map_err(Error::bug)?;
    let plain = Text(&letter).render().map_err(Error::bug)?;
    let mut related = MultiPart::related().singlepart(SinglePart::html(html));
    let png = header::ContentType::parse("image/png").map_err(Error::bug)?;
    for picture in std::mem::take(&mut letter.tickets) {
        let attachment = Attachment::new_inline_with_name(picture.cid, picture.file);
        related = related.singlepart(attachment.body(picture.png, png.clone()));
    }
    let name = name.filter(|name| !has_control(name)).map(str::to_owned);
    let subject: String = letter.subject.chars().filter(|c| !c.is_control()).collect();
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_millis(app.clock.now_ms().max(0).unsigned_abs());
    Message::builder()
        // The same for every repeat of one row, so that a mail program shows it once.
        .message_id(Some(format!("<{}.{}@{}>", row.kind, row.order_id, host(&app.settings.base_url))))
        .date(now)
        .from(app.notifier.from().clone())
        .to(Mailbox::new(name, address))
        .subject(subject)
        .multipart(MultiPart::alternative().singlepart(SinglePart::plain(plain)).multipart(related))
        .map_err(Error::bug)
}

fn host(base_url: &str) -> String {
    reqwest::Url::parse(base_url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_else(|| "admit".to_owned())
}
