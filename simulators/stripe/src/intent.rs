//! A PaymentIntent: one sum that a buyer is to pay, through as many attempts as it takes.

use crate::method::{Kind, Method};
use serde::Serialize;
use serde_json::{Map, Value, json};
use simulator_common::Text;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Succeeded,
    Canceled,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::RequiresPaymentMethod => "requires_payment_method",
            Status::RequiresConfirmation => "requires_confirmation",
            Status::RequiresAction => "requires_action",
            Status::Processing => "processing",
            Status::RequiresCapture => "requires_capture",
            Status::Succeeded => "succeeded",
            Status::Canceled => "canceled",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    Automatic,
    AutomaticAsync,
    Manual,
}

impl Capture {
    pub const NAMES: [(&str, Capture); 3] =
        [("automatic", Capture::Automatic), ("automatic_async", Capture::AutomaticAsync), ("manual", Capture::Manual)];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, capture)| *capture == self).map_or("", |(name, _)| name)
    }
}

pub struct Intent {
    pub id: Text,
    pub client_secret: Text,
    pub created_ms: i64,
    pub status: Status,
    pub amount: i64,
    pub amount_capturable: i64,
    pub amount_received: i64,
    pub capture: Capture,
    /// Whether the dashboard chooses the ways to pay, and if so whether some of them redirect.
    pub automatic: Option<bool>,
    pub offered: Vec<Kind>,
    pub method: Option<Method>,
    pub description: Option<String>,
    pub receipt_email: Option<String>,
    pub suffix: Option<String>,
    pub metadata: Map<String, Value>,
    pub latest_charge: Option<Text>,
    pub last_error: Option<Value>,
    pub return_url: Option<String>,
    /// Where the buyer proves who they are, while that is required.
    pub action_url: Option<String>,
    pub canceled_ms: Option<i64>,
    pub cancellation_reason: Option<&'static str>,
}

impl Intent {
    pub fn to_json(&self) -> Value {
        let options: Map<String, Value> =
            self.offered.iter().map(|kind| (kind.name().into(), options(*kind))).collect();
        let redirects = |redirects: bool| {
            let allowed = if redirects { "always" } else { "never" };
            json!({ "allow_redirects": allowed, "enabled": true })
        };
        let next_action = self.action_url.as_ref().map(|url| {
            json!({ "type": "redirect_to_url", "redirect_to_url": { "return_url": self.return_url, "url": url } })
        });
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": self.amount_capturable,
            "amount_details": { "tip": {} },
            "amount_received": self.amount_received,
            "application": null,
            "application_fee_amount": null,
            "automatic_payment_methods": self.automatic.map(redirects),
            "canceled_at": self.canceled_ms.map(|ms| ms / 1_000),
            "cancellation_reason": self.cancellation_reason,
            "capture_method": self.capture.name(),
            "client_secret": self.client_secret,
            "confirmation_method": "automatic",
            "created": self.created_ms / 1_000,
            "currency": "krw",
            "customer": null,
            "description": self.description,
            "excluded_payment_method_types": null,
            "last_payment_error": self.last_error,
            "latest_charge": self.latest_charge,
            "livemode": false,
            "metadata": self.metadata,
            "next_action": next_action,
            "on_behalf_of": null,
            "payment_method": self.method.as_ref().map(|method| &method.id),
            "payment_method_configuration_details": null,
            "payment_method_options": options,
            "payment_method_types": self.offered.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
            "processing": null,
            "receipt_email": self.receipt_email,
            "review": null,
            "setup_future_usage": null,
            "shipping": null,
            "source": null,
            "statement_descriptor": null,
            "statement_descriptor_suffix": self.suffix,
            "status": self.status,
            "transfer_data": null,
            "transfer_group": null,
        })
    }

    /// What a browser with the client secret may see.
    pub fn to_public_json(&self) -> Value {
        let mut shown = self.to_json();
        if let Value::Object(fields) = &mut shown {
            for hidden in
                ["amount_capturable", "amount_received", "application", "customer", "latest_charge", "metadata"]
            {
                fields.remove(hidden);
            }
        }
        shown
    }
}

fn options(kind: Kind) -> Value {
    match kind {
        Kind::Card => json!({
            "installments": null, "mandate_options": null, "network": null, "request_three_d_secure": "automatic",
        }),
        _ => json!({}),
    }
}
