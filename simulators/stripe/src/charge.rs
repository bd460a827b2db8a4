//! A charge: one attempt to take money, refused, authorised or captured.

use crate::declines::Decline;
use crate::method::Method;
use serde_json::{Map, Value, json};
use simulator_common::Text;

pub struct Charge {
    pub id: Text,
    pub intent: Text,
    pub created_ms: i64,
    pub amount: i64,
    pub captured: bool,
    pub amount_captured: i64,
    /// Given back by refunds; a failed refund is taken out again.
    pub amount_refunded: i64,
    /// Authorised and never captured: shown as refunded, though no refund exists and no money moved.
    pub amount_released: i64,
    pub disputed: bool,
    pub failure: Option<Decline>,
    pub method: Method,
    pub capture_before_ms: Option<i64>,
    pub balance_transaction: Option<Text>,
    pub description: Option<String>,
    pub receipt_email: Option<String>,
    pub suffix: Option<String>,
    pub metadata: Map<String, Value>,
}

impl Charge {
    pub fn refundable(&self) -> i64 {
        self.amount_captured - self.amount_refunded
    }

    pub fn shown_refunded(&self) -> i64 {
        self.amount_refunded + self.amount_released
    }

    pub fn to_json(&self) -> Value {
        let outcome = match &self.failure {
            None => json!({
                "network_status": "approved_by_network",
                "reason": null,
                "risk_level": "normal",
                "risk_score": 12,
                "seller_message": "Payment complete.",
                "type": "authorized",
            }),
            Some(decline) => json!({
                "network_status": "declined_by_network",
                "reason": decline.decline_code,
                "risk_level": "normal",
                "risk_score": 12,
                "seller_message": "The bank did not return any further details with this decline.",
                "type": "issuer_declined",
            }),
        };
        json!({
            "id": self.id,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": self.amount_captured,
            "amount_refunded": self.shown_refunded(),
            "application": null,
            "application_fee": null,
            "application_fee_amount": null,
            "balance_transaction": self.balance_transaction,
            "billing_details": { "address": null, "email": null, "name": null, "phone": null, "tax_id": null },
            "calculated_statement_descriptor": null,
            "captured": self.captured,
            "created": self.created_ms / 1_000,
            "currency": "krw",
            "customer": null,
            "description": self.description,
            "disputed": self.disputed,
            "failure_balance_transaction": null,
            "failure_code": self.failure.map(|decline| decline.code),
            "failure_message": self.failure.map(|decline| decline.message),
            "fraud_details": {},
            "livemode": false,
            "metadata": self.metadata,
            "on_behalf_of": null,
            "outcome": outcome,
            "paid": self.failure.is_none(),
            "payment_intent": self.intent,
            "payment_method": self.method.id,
            "payment_method_details": self.method.details(self.capture_before_ms.map(|ms| ms / 1_000)),
            "receipt_email": self.receipt_email,
            "receipt_number": null,
            "receipt_url": null,
            "refunded": self.failure.is_none() && self.shown_refunded() == self.amount,
            "review": null,
            "shipping": null,
            "source_transfer": null,
            "statement_descriptor": null,
            "statement_descriptor_suffix": self.suffix,
            "status": if self.failure.is_none() { "succeeded" } else { "failed" },
            "transfer_data": null,
            "transfer_group": null,
        })
    }
}
