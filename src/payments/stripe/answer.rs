//! Reads what Stripe says of a payment, and leaves out what must not be kept.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::payments::model::{Arrival, Payment, Receipts, Status};

/// A payment intent: the payment as every provider has one, and what only Stripe says.
pub struct Intent {
    pub payment: Payment,
    /// Stripe's own word for the status.
    pub stage: String,
    pub client_secret: Option<String>,
}

#[derive(Deserialize)]
struct StripeIntent {
    id: String,
    object: String,
    status: String,
    amount: i64,
    #[serde(default)]
    amount_received: i64,
    currency: String,
    #[serde(default)]
    metadata: HashMap<String, String>,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    last_payment_error: Option<Failure>,
    #[serde(default)]
    cancellation_reason: Option<String>,
    /// The whole charge where it was asked for, else its id.
    #[serde(default)]
    latest_charge: Option<Value>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
}

#[derive(Deserialize)]
struct Charge {
    captured: bool,
    amount_refunded: i64,
    #[serde(default)]
    payment_method_details: Option<Method>,
}

#[derive(Deserialize)]
struct Method {
    #[serde(rename = "type")]
    kind: String,
}

pub fn parse_intent(body: &[u8]) -> Option<Intent> {
    intent(serde_json::from_slice(body).ok()?)
}

pub fn intent(mut raw: Value) -> Option<Intent> {
    let said = StripeIntent::deserialize(&raw).ok().filter(|said| said.object == "payment_intent")?;
    let charge = said.latest_charge.and_then(|charge| Charge::deserialize(charge).ok());
    let captured = said.status == "succeeded";
    // What has gone back of a captured payment is in its charge alone.
    let is_told = !captured || charge.is_some();
    redact(&mut raw);
    // A released authorisation looks refunded; only a captured charge has given money back.
    let returned = charge.as_ref().filter(|charge| charge.captured).map_or(0, |charge| charge.amount_refunded);
    let status = match said.status.as_str() {
        "requires_payment_method" | "requires_confirmation" | "requires_action" | "processing" | "requires_capture" => {
            Status::Pending
        }
        "succeeded" if returned <= 0 => Status::Captured,
        "succeeded" if returned < said.amount_received => Status::PartlyCancelled,
        "succeeded" => Status::Cancelled,
        "canceled" => Status::Dead,
        _ => Status::Other,
    };
    let refused = said.last_payment_error.and_then(|failure| failure.decline_code.or(failure.code));
    Some(Intent {
        payment: Payment {
            payment_key: said.id,
            order_id: said.metadata.get("order_id").cloned().unwrap_or_default(),
            status,
            // Less may have been captured than was authorised.
            total_won: if captured { said.amount_received } else { said.amount },
            balance_won: is_told.then(|| if captured { (said.amount_received - returned).max(0) } else { 0 }),
            currency: said.currency.to_ascii_uppercase(),
            method: charge.and_then(|charge| charge.payment_method_details).map(|method| method.kind),
            secret: None,
            failure_code: refused.or(said.cancellation_reason),
            account: None,
            receipts: Receipts::default(),
            arrival: Arrival::Unsaid,
            raw,
        },
        stage: said.status,
        client_secret: said.client_secret,
    })
}

/// Money on its way back.
#[derive(Deserialize)]
pub struct Refund {
    pub status: String,
    #[serde(default)]
    pub payment_intent: Option<String>,
    #[serde(default)]
    pub failure_reason: Option<String>,
}

/// People, their cards, and everything that lets somebody go on with a payment are not for the record.
fn redact(raw: &mut Value) {
    match raw {
        Value::Object(map) => {
            // Stripe sends every field it knows, most of them empty.
            map.retain(|_, value| !value.is_null());
            for (key, value) in map.iter_mut() {
                let private = matches!(
                    key.as_str(),
                    "client_secret"
                        | "next_action"
                        | "return_url"
                        | "receipt_email"
                        | "receipt_url"
                        | "receipt_number"
                        | "billing_details"
                        | "shipping"
                        | "customer"
                        | "last4"
                        | "fingerprint"
                        | "iin"
                        | "exp_month"
                        | "exp_year"
                        | "buyer_id"
                        | "wallet"
                        | "email"
                        | "phone"
                        | "name"
                        | "address"
                        | "tax_id"
                );
                if private {
                    *value = json!("(removed)");
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: &str, received: i64, captured: bool, refunded: i64) -> Payment {
        let body = json!({
            "id": "pi_1", "object": "payment_intent", "status": status, "amount": 5000, "amount_received": received,
            "currency": "krw", "metadata": { "order_id": "o" }, "client_secret": "pi_1_secret_x",
            "latest_charge": { "captured": captured, "amount_refunded": refunded, "receipt_email": "a@b.c",
                "payment_method_details": { "type": "card", "card": { "last4": "4242", "brand": "visa" } } },
        });
        intent(body).unwrap().payment
    }

    #[test]
    fn what_went_back_decides_the_status() {
        for (status, received, captured, refunded, means) in [
            ("requires_payment_method", 0, false, 0, (Status::Pending, 5000, 0)),
            ("requires_capture", 0, false, 0, (Status::Pending, 5000, 0)),
            ("succeeded", 5000, true, 0, (Status::Captured, 5000, 5000)),
            ("succeeded", 5000, true, 2000, (Status::PartlyCancelled, 5000, 3000)),
            ("succeeded", 5000, true, 5000, (Status::Cancelled, 5000, 0)),
            ("succeeded", 4000, true, 0, (Status::Captured, 4000, 4000)),
            // Released, which Stripe shows as refunded.
            ("canceled", 0, false, 5000, (Status::Dead, 5000, 0)),
            ("a_status_of_tomorrow", 0, false, 0, (Status::Other, 5000, 0)),
        ] {
            let payment = said(status, received, captured, refunded);
            assert_eq!((payment.status, payment.total_won, payment.balance_won.unwrap()), means, "{status} {refunded}");
        }
    }

    #[test]
    fn answers_are_kept_without_private_parts() {
        let payment = said("succeeded", 5000, true, 0);
        assert_eq!((payment.currency.as_str(), payment.method.as_deref()), ("KRW", Some("card")));
        let raw = payment.raw.to_string();
        assert!(!raw.contains("_secret_") && !raw.contains("4242") && !raw.contains("a@b.c"), "{raw}");
        assert!(raw.contains("visa"), "{raw}");
    }
}
