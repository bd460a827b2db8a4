//! The terms of sale and the privacy notice, which an order agrees to, and who sells.

use std::sync::OnceLock;

use axum::body::Body;
use axum::http::Response;

use super::frame::{Frame, PageLanguage, public_page};
use super::words;
use crate::config::SellerSettings;
use crate::error::Result;
use crate::orders::consent::VERSION;
use crate::platform::texts::{Language, beginning_with, filled};

#[derive(askama::Template)]
#[template(path = "legal.html")]
struct LegalPage {
    frame: Frame,
    since: String,
    /// Heading and text of each article.
    articles: Vec<(&'static str, String)>,
}

pub async fn terms(PageLanguage(language): PageLanguage) -> Result<Response<Body>> {
    public_page(&shown(language, "legal.terms.", "page.terms.title", "/terms"))
}

pub async fn privacy(PageLanguage(language): PageLanguage) -> Result<Response<Body>> {
    public_page(&shown(language, "legal.privacy.", "page.privacy.title", "/privacy"))
}

fn shown(language: Language, family: &str, title: &'static str, here: &str) -> LegalPage {
    let frame = Frame::new(language, words::text(language, title), here);
    // Each article is a heading, `…01.title`, behind its text, `…01.text`.
    let texts = beginning_with(language, family);
    let seller = seller().map_or_else(|| frame.t("page.seller.unnamed").to_owned(), |seller| seller.name.clone());
    let articles = texts.chunks(2).filter_map(|pair| match pair {
        [(_, text), (_, title)] => Some((*title, text.replace("{seller}", &seller))),
        _ => None,
    });
    LegalPage {
        since: filled(language, "page.legal.since", &[("date", VERSION.to_owned())]),
        articles: articles.collect(),
        frame,
    }
}

static SELLER: OnceLock<SellerSettings> = OnceLock::new();

/// Once, when the process starts: every page's foot says who sells.
pub fn sold_by(seller: &SellerSettings) {
    let _ = SELLER.set(seller.clone());
}

fn seller() -> Option<&'static SellerSettings> {
    SELLER.get().filter(|seller| !seller.name.is_empty())
}

/// Label and value, as the e-commerce act wants them in the foot of every page.
pub fn seller_lines(language: Language) -> Vec<(&'static str, &'static str)> {
    let Some(seller) = seller() else { return Vec::new() };
    let lines = [
        ("page.seller.name", &seller.name),
        ("page.seller.representative", &seller.representative),
        ("page.seller.registration", &seller.registration),
        ("page.seller.mail_order", &seller.mail_order),
        ("page.seller.address", &seller.address),
        ("page.seller.phone", &seller.phone),
        ("page.seller.email", &seller.email),
        ("page.seller.hosting", &seller.hosting),
    ];
    lines
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (words::text(language, key), value.as_str()))
        .collect()
}
