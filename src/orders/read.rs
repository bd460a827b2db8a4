//! An order as its owner sees it.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::{Order, OrderState};
use super::settle::about_account;
use super::{pg, token};
use crate::app::App;
use crate::error::{Error, Result};
use crate::payments::Receipts;
use crate::tickets::{self, TicketView};

/// Shown deadlines of the payment link outlive the hold a little, for a late click that then explains itself. [s]
const LINK_GRACE_S: i64 = 3600;

#[derive(Serialize, ToSchema)]
pub struct ItemView {
    pub product_id: i32,
    pub name: String,
    pub name_en: String,
    pub quantity: i32,
    pub unit_price: i32,
    pub amount: i32,
}

#[derive(Serialize, ToSchema)]
pub struct OrderView {
    pub order_number: String,
    pub exhibition_code: String,
    pub exhibition_name: String,
    /// held, confirming, awaiting_deposit, paid, partially_refunded, refunded, expired or cancelled.
    pub status: &'static str,
    pub payment_status: &'static str,
    pub payment_method: Option<String>,
    /// The provider's receipt, the cash receipt and the culture flag; only for those who proved that the order is theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts: Option<Receipts>,
    /// Whole won.
    pub total_amount: i32,
    pub currency: &'static str,
    #[schema(value_type = Option<String>, format = Date)]
    pub visit_date: Option<jiff::civil::Date>,
    #[schema(value_type = Option<String>)]
    pub start_time: Option<jiff::civil::Time>,
    #[schema(value_type = Option<String>)]
    pub end_time: Option<jiff::civil::Time>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Until when the places are kept, while unpaid.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paid_at: Option<Timestamp>,
    /// Where to pay, while that is possible.
    pub payment_url: Option<String>,
    pub items: Vec<ItemView>,
    /// One per person, once paid; only for those who proved that the order is theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tickets: Option<Vec<TicketView>>,
    /// One code for all of them, where there are two and more: lets in as many as there are people at the door.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_qr_code: Option<String>,
    /// Where to pay in, while that is waited for; only for those who proved that the order is theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deposit: Option<DepositView>,
    /// Proof for later calls; in the reply to placing the order and to a look-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_token: Option<String>,
}

/// A virtual account.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DepositView {
    /// The bank's code.
    pub bank: String,
    pub account_number: String,
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Timestamp,
}

pub async fn deposit(app: &App, client: &impl GenericClient, order_id: Uuid) -> Result<Option<DepositView>> {
    let Some(sealed) = pg::deposit(client, order_id).await? else { return Ok(None) };
    let (key_id, bytes) = &sealed.sealed;
    let number = app.secrets.open(key_id, &about_account(sealed.attempt_id), bytes)?;
    let account_number = String::from_utf8(number).map_err(Error::bug)?;
    Ok(Some(DepositView { bank: sealed.bank, account_number, due_at: sealed.due_at }))
}

pub fn view(app: &App, order: &Order) -> Result<OrderView> {
    let facts = &order.facts;
    let exhibition = app.catalogue.current().by_id(facts.exhibition_id)?;
    let slot = facts.slot_id.and_then(|id| exhibition.slot(id));
    let items = facts
        .items
        .iter()
        .map(|item| {
            let product = exhibition.product(item.product_id);
            ItemView {
                product_id: item.product_id,
                name: product.map(|p| p.name_ko.clone()).unwrap_or_default(),
                name_en: product.map(|p| p.name_en.clone()).unwrap_or_default(),
                quantity: item.quantity,
                unit_price: item.unit_won,
                amount: item.unit_won * item.quantity,
            }
        })
        .collect();
    let unpaid = order.state.holds_places();
    Ok(OrderView {
        order_number: facts.number.clone(),
        exhibition_code: facts.code.clone(),
        exhibition_name: exhibition.name_ko.clone(),
        status: order.state.as_str(),
        payment_status: order.state.payment_status(),
        payment_method: order.payment_method.clone(),
        receipts: None,
        total_amount: facts.total_won,
        currency: "KRW",
        visit_date: slot.map(|s| s.date),
        start_time: slot.and_then(|s| s.start_time),
        end_time: slot.and_then(|s| s.end_time),
        created_at: order.created_at,
        expires_at: unpaid.then_some(order.expires_at),
        paid_at: order.paid_at,
        payment_url: (order.state == OrderState::Held && facts.total_won > 0).then(|| payment_url(app, order)),
        items,
        tickets: None,
        group_qr_code: None,
        deposit: None,
        order_token: None,
    })
}

/// Admit's own payment page, with a short proof in the link that becomes a cookie at the first visit.
pub fn payment_url(app: &App, order: &Order) -> String {
    let until_s = order.expires_at.as_second() + LINK_GRACE_S;
    format!(
        "{}/{}/payment/{}?{}",
        app.settings.base_url,
        order.facts.code,
        order.facts.number,
        token::link(app, "pay", order.facts.id, until_s)
    )
}

/// The order's own page, opened by a proof in the link for so many seconds.
pub fn order_url(app: &App, order: &Order, for_s: i64) -> String {
    let proof = token::link(app, "order", order.facts.id, app.clock.now().as_second() + for_s);
    format!("{}/{}/complete/{}?{proof}", app.settings.base_url, order.facts.code, order.facts.number)
}

/// With tickets once paid, for whoever proved that the order is theirs.
pub async fn full(app: &App, order: &Order) -> Result<OrderView> {
    let mut view = view(app, order)?;
    view.receipts = order.receipts.clone();
    if matches!(order.state, OrderState::Paid | OrderState::PartiallyRefunded | OrderState::Refunded) {
        let exhibition = app.catalogue.current().by_id(order.facts.exhibition_id)?;
        let client = app.pg.get().await?;
        let views = tickets::of_order(app, &client, order.facts.id, &exhibition).await?;
        view.group_qr_code = tickets::group_code(app, order.facts.id, &exhibition, &views)?;
        view.tickets = Some(views);
    }
    if order.state == OrderState::AwaitingDeposit {
        view.deposit = deposit(app, &app.pg.get().await?, order.facts.id).await?;
    }
    Ok(view)
}
