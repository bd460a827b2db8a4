//! The order form as the template shows it: empty, or as it was filled in with what was wrong.

use super::browse::{is_stale, left_text, limit_text, overall, state_text};
use super::form::{Agreed, Filled};
use super::frame::Frame;
use super::picker::Picker;
use super::words;
use crate::app::App;
use crate::catalogue::model::State;
use crate::catalogue::{Exhibition, Product};
use crate::orders::consent;
use crate::platform::texts::{Language, filled};

/// Up to this many the number is chosen from a list, which a phone shows as a wheel.
const SELECT_MAX: i32 = 20;

pub struct OrderForm {
    pub key: String,
    pub refused: Option<String>,
    /// Where that can be put right: words and path.
    pub way: Option<(&'static str, String)>,
    /// None: no ticket here needs a date.
    pub picker: Option<Picker>,
    pub slot_error: Option<&'static str>,
    pub lines: Vec<Line>,
    pub items_error: Option<&'static str>,
    pub name: Input,
    pub phone: Input,
    pub email: Input,
    pub boxes: Vec<AgreeBox>,
    pub legal_version: &'static str,
    pub minutes: i32,
    /// What is said of the `{count}` tickets chosen when they are more than one person may have.
    pub person_limit: Option<(i32, String)>,
}

/// A consent of its own.
pub struct AgreeBox {
    pub name: &'static str,
    pub words: &'static str,
    pub link: Option<(&'static str, &'static str)>,
    pub required: bool,
    pub checked: bool,
    pub error: Option<&'static str>,
}

pub struct Line {
    pub id: i32,
    pub name: String,
    pub price: String,
    pub price_won: i32,
    pub left: String,
    pub dated: bool,
    /// Counts towards what one person may have.
    pub counted: bool,
    pub open: bool,
    pub max: i32,
    pub max_text: String,
    /// Said of a quantity above `max`.
    pub too_many: &'static str,
    /// What one person may have of it over all orders.
    pub per_person: Option<String>,
    pub choices: Vec<i64>,
    pub quantity: i64,
    pub error: Option<&'static str>,
}

pub struct Input {
    pub value: String,
    pub error: Option<&'static str>,
}

impl OrderForm {
    pub fn new(app: &App, e: &Exhibition, language: Language, given: &Filled) -> OrderForm {
        let error = |field: &str| {
            let fields = given.refused.as_ref().map(|r| r.fields.as_slice()).unwrap_or_default();
            fields.iter().find(|f| f.field == field).map(|f| field_text(language, f.code))
        };
        let input = |field: &str, value: &str| Input { value: value.to_owned(), error: error(field) };
        let (now, today) = (app.clock.now(), app.clock.today_in_seoul());
        OrderForm {
            key: given.key.clone(),
            refused: given.refused.as_ref().map(|r| r.detail.clone()),
            way: given
                .refused
                .as_ref()
                .and_then(|r| r.way.clone())
                .map(|(key, path)| (words::text(language, key), path)),
            picker: Picker::new(e, now, today, language, given.slot_id),
            slot_error: error("visit_date")
                .or_else(|| error("slot_id"))
                .map(|text| better(language, text, "page.order.when_needed")),
            lines: e.products.iter().filter(|p| p.active).map(|p| line(e, p, now, language, given)).collect(),
            items_error: error("items").map(|text| better(language, text, "page.order.tickets_needed")),
            name: input("customer_name", &given.name),
            phone: input("customer_phone", &given.phone),
            email: input("customer_email", &given.email),
            boxes: boxes(language, &given.agreed, error),
            legal_version: consent::VERSION,
            minutes: e.hold_ttl_s / 60,
            person_limit: e
                .person_limit
                .map(|limit| (limit, filled(language, "page.order.person_limit", &[("limit", limit.to_string())]))),
        }
    }
}

fn boxes(language: Language, agreed: &Agreed, error: impl Fn(&str) -> Option<&'static str>) -> Vec<AgreeBox> {
    let text = |key| words::text(language, key);
    let of = |name, key, checked, link: Option<(&'static str, &'static str)>| AgreeBox {
        name,
        words: text(key),
        link: link.map(|(key, path)| (text(key), path)),
        required: name != "marketing",
        checked,
        error: error(name).map(|_| text("page.consent.needed")),
    };
    vec![
        of("agree_terms", "page.consent.terms", agreed.terms, Some(("page.consent.terms_read", "/terms"))),
        of("agree_privacy", "page.consent.privacy", agreed.privacy, Some(("page.consent.privacy_read", "/privacy"))),
        of("over_14", "page.consent.over_14", agreed.over_14, None),
        of("marketing", "page.consent.marketing", agreed.marketing, None),
    ]
}

fn line(e: &Exhibition, product: &Product, now: jiff::Timestamp, language: Language, given: &Filled) -> Line {
    let state = e.product_state(product, now);
    let (max, by_person) = product.most();
    let error = given.refused.as_ref().and_then(|refused| {
        let at = refused.items.iter().position(|id| *id == product.id)?;
        let prefix = format!("items[{at}]");
        refused.fields.iter().find(|f| f.field.starts_with(&prefix)).map(|f| field_text(language, f.code))
    });
    Line {
        id: product.id,
        name: language.pick(&product.name_ko, &product.name_en).to_owned(),
        price: words::won(language, product.price_won.into()),
        price_won: product.price_won,
        left: left_text(language, state, e.free(product.stock_id)),
        dated: product.dated,
        counted: product.person_limited && e.person_limit.is_some(),
        open: state == State::OnSale,
        max,
        max_text: filled(language, "page.order.per_order", &[("count", max.to_string())]),
        too_many: field_text(language, if by_person { "per_person_limit" } else { "per_order_limit" }),
        per_person: product.per_person_max.map(|most| filled(language, "page.limit", &[("limit", most.to_string())])),
        choices: if max <= SELECT_MAX { (0..=max.into()).collect() } else { Vec::new() },
        // What is shut is not sent, so it shows that nothing of it is ordered.
        quantity: given.quantities.get(&product.id).copied().filter(|_| state == State::OnSale).unwrap_or(0),
        error,
    }
}

pub fn field_text(language: Language, code: &'static str) -> &'static str {
    // Every code has words; see the test beside the list of codes.
    let key: &'static str =
        FIELD_KEYS.iter().find(|key| key.strip_prefix("field.") == Some(code)).unwrap_or(&"field.malformed");
    words::text(language, key)
}

/// Where "required" alone would be curt: what is missing, in its own words.
fn better(language: Language, text: &'static str, key: &'static str) -> &'static str {
    if text == words::text(language, "field.required") { words::text(language, key) } else { text }
}

/// Codes that the fields of this form can be refused with.
const FIELD_KEYS: &[&str] = &[
    "field.required",
    "field.malformed",
    "field.control_characters",
    "field.too_long",
    "field.phone",
    "field.email",
    "field.past",
    "field.closed",
    "field.unknown_slot",
    "field.no_slot",
    "field.date",
    "field.other_date",
    "field.unknown_product",
    "field.duplicate",
    "field.too_few",
    "field.too_many",
    "field.per_order_limit",
    "field.per_person_limit",
    "field.out_of_range",
];

#[derive(askama::Template)]
#[template(path = "order.html")]
pub struct OrderPage {
    frame: Frame,
    code: String,
    /// The exhibition's own page, which is the one for search engines to show.
    address: String,
    summary: String,
    exhibition: String,
    limit: Option<String>,
    stale: bool,
    state: &'static str,
    /// None: nothing can be ordered now.
    form: Option<OrderForm>,
    refused: Option<String>,
}

/// The form as it was filled in; also what a refused form comes back as.
pub fn order_page(app: &App, e: &Exhibition, language: Language, given: &Filled) -> OrderPage {
    let state = overall(e, app.clock.now());
    let open = matches!(state, State::OnSale | State::HeldByOthers);
    let frame = Frame::new(language, words::text(language, "page.order.title"), format!("/{}/order", e.code));
    OrderPage {
        code: e.code.clone(),
        address: format!("{}/{}", app.settings.base_url, e.code),
        summary: format!("{} · {}", frame.title, language.pick(&e.name_ko, &e.name_en)),
        exhibition: language.pick(&e.name_ko, &e.name_en).to_owned(),
        limit: limit_text(&frame, e),
        stale: is_stale(app),
        state: state_text(language, state),
        form: open.then(|| OrderForm::new(app, e, language, given)),
        refused: given.refused.as_ref().map(|r| r.detail.clone()),
        frame,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_code_of_the_form_has_words() {
        for key in FIELD_KEYS {
            assert!(crate::platform::texts::knows(key), "{key}");
        }
        assert_ne!(field_text(Language::Ko, "required"), field_text(Language::En, "required"));
    }
}
