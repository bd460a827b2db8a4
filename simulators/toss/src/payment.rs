//! The Payment object exactly as it travels: inapplicable fields are null, never left out.

use crate::method::Method;
use crate::settings::{Options, SecretFor};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use simulator_common::Text;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Ready,
    InProgress,
    WaitingForDeposit,
    Done,
    Canceled,
    PartialCanceled,
    Aborted,
    Expired,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::InProgress => "IN_PROGRESS",
            Self::WaitingForDeposit => "WAITING_FOR_DEPOSIT",
            Self::Done => "DONE",
            Self::Canceled => "CANCELED",
            Self::PartialCanceled => "PARTIAL_CANCELED",
            Self::Aborted => "ABORTED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// A field this simulator never fills: always null.
type Absent = Option<()>;

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    pub m_id: &'static str,
    pub version: &'static str,
    pub r#type: &'static str,
    pub payment_key: Text,
    pub order_id: Text,
    pub order_name: String,
    pub last_transaction_key: Option<Text>,
    pub status: Status,
    pub requested_at: String,
    pub approved_at: Option<String>,
    pub method: Option<Method>,
    pub currency: &'static str,
    pub country: &'static str,
    pub total_amount: i64,
    pub balance_amount: i64,
    pub supplied_amount: i64,
    pub vat: i64,
    pub tax_free_amount: i64,
    pub tax_exemption_amount: i64,
    pub use_escrow: Option<bool>,
    pub culture_expense: bool,
    pub is_partial_cancelable: bool,
    pub card: Option<Card>,
    pub virtual_account: Option<Box<VirtualAccount>>,
    pub transfer: Option<Transfer>,
    pub mobile_phone: Option<MobilePhone>,
    pub gift_certificate: Option<GiftCertificate>,
    pub easy_pay: Option<EasyPay>,
    pub cash_receipt: Option<CashReceipt>,
    pub cash_receipts: Absent,
    pub discount: Absent,
    pub cancels: Option<Vec<Cancel>>,
    pub secret: Option<String>,
    pub failure: Option<Failure>,
    pub metadata: Option<Value>,
    pub receipt: Option<Link>,
    pub checkout: Option<Link>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CashReceipt {
    pub r#type: &'static str,
    pub receipt_key: String,
    pub issue_number: String,
    pub receipt_url: String,
    pub amount: i64,
    pub tax_free_amount: i64,
}

#[derive(Clone, Serialize)]
pub struct Link {
    pub url: String,
}

#[derive(Clone, Serialize)]
pub struct Failure {
    pub code: String,
    pub message: String,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Card {
    pub amount: i64,
    pub issuer_code: &'static str,
    pub acquirer_code: Option<&'static str>,
    pub number: &'static str,
    pub installment_plan_months: u8,
    pub is_interest_free: bool,
    pub interest_payer: Absent,
    pub approve_no: &'static str,
    pub use_card_point: bool,
    pub card_type: &'static str,
    pub owner_type: &'static str,
    pub acquire_status: &'static str,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualAccount {
    pub account_type: &'static str,
    pub account_number: String,
    pub bank_code: &'static str,
    pub customer_name: String,
    pub depositor_name: Option<String>,
    pub due_date: String,
    pub refund_status: &'static str,
    pub expired: bool,
    pub settlement_status: &'static str,
    pub refund_receive_account: Absent,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transfer {
    pub bank_code: &'static str,
    pub settlement_status: &'static str,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MobilePhone {
    pub customer_mobile_phone: String,
    pub settlement_status: &'static str,
    pub receipt_url: String,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GiftCertificate {
    pub approve_no: &'static str,
    pub settlement_status: &'static str,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EasyPay {
    pub provider: &'static str,
    pub amount: i64,
    pub discount_amount: i64,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cancel {
    pub transaction_key: Text,
    pub cancel_amount: i64,
    pub cancel_reason: String,
    pub canceled_at: String,
    pub tax_free_amount: i64,
    pub tax_exemption_amount: i64,
    pub refundable_amount: i64,
    pub card_discount_amount: i64,
    pub transfer_discount_amount: i64,
    pub easy_pay_discount_amount: i64,
    pub receipt_key: Absent,
    pub cancel_status: &'static str,
    pub cancel_request_id: Absent,
}

impl Payment {
    /// vat = round((what is left - tax free) / 11); the rest is the supply.
    pub fn reckon_tax(&mut self) {
        let taxed = (self.balance_amount - self.tax_free_amount - self.tax_exemption_amount).max(0);
        self.vat = (taxed * 2 + 11) / 22;
        self.supplied_amount = taxed - self.vat;
    }

    /// Once the money is there, if one was asked for.
    pub fn issue_cash_receipt(&mut self, kind: Option<&'static str>) {
        self.cash_receipt = kind.map(|kind| CashReceipt {
            r#type: kind,
            receipt_key: self.payment_key.to_string(),
            issue_number: "000000001".into(),
            receipt_url: format!("https://dashboard.tosspayments.com/receipt/mids/si_0/cash/{}", self.payment_key),
            amount: self.total_amount,
            tax_free_amount: self.tax_free_amount,
        });
    }

    /// Fills the object of the method chosen, once it is approved.
    pub fn fill_method(&mut self, method: Method) {
        let amount = self.total_amount;
        match method {
            Method::Card => self.card = Some(Card::demo(amount)),
            Method::EasyPay => {
                self.easy_pay = Some(EasyPay { provider: "토스페이", amount, discount_amount: 0 });
            }
            Method::Transfer => {
                self.transfer = Some(Transfer { bank_code: "88", settlement_status: "INCOMPLETED" });
            }
            Method::MobilePhone => {
                let receipt_url = self.receipt.as_ref().map_or_else(String::new, |link| link.url.clone());
                self.mobile_phone = Some(MobilePhone {
                    customer_mobile_phone: "01000000000".into(),
                    settlement_status: "INCOMPLETED",
                    receipt_url,
                });
            }
            gift if gift.is_gift() => {
                self.gift_certificate =
                    Some(GiftCertificate { approve_no: "00000000", settlement_status: "INCOMPLETED" });
            }
            // A virtual account is issued, not filled: it needs a bank and a due date.
            _ => {}
        }
    }

    pub fn is_virtual(&self) -> bool {
        self.virtual_account.is_some()
    }

    /// The JSON of an answer in Korean, as webhooks carry it too.
    pub fn to_json(&self) -> Bytes {
        let mut out = Vec::with_capacity(1_600);
        match serde_json::to_writer(&mut out, self) {
            Ok(()) => out.into(),
            Err(error) => unreachable_json(&error),
        }
    }

    /// The JSON for one caller: English on request, and without `secret` where a query hides it.
    pub fn to_json_for(&self, english: bool, hide_secret: bool) -> Bytes {
        if !english && !hide_secret {
            return self.to_json();
        }
        let mut value = match serde_json::to_value(self) {
            Ok(value) => value,
            Err(error) => return unreachable_json(&error),
        };
        if hide_secret {
            value["secret"] = Value::Null;
        }
        if let Some(method) = self.method.filter(|_| english) {
            value["method"] = method.english().into();
        }
        value.to_string().into()
    }

    /// Whether this payment shows a secret under the present options.
    pub fn deserves_secret(method: Method, options: &Options) -> bool {
        options.secret == SecretFor::Every || method == Method::VirtualAccount
    }
}

/// Plain structs with string keys always serialise; an answer that says so beats a panic if that ever changes.
fn unreachable_json(error: &serde_json::Error) -> Bytes {
    serde_json::json!({ "code": "UNKNOWN_ERROR", "message": error.to_string() }).to_string().into()
}

impl Card {
    fn demo(amount: i64) -> Self {
        Self {
            amount,
            issuer_code: "61",
            acquirer_code: Some("31"),
            number: "12345678****123*",
            installment_plan_months: 0,
            is_interest_free: false,
            interest_payer: None,
            approve_no: "00000000",
            use_card_point: false,
            card_type: "신용",
            owner_type: "개인",
            acquire_status: "READY",
        }
    }
}
