//! A refund: all or part of a charge on its way back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use simulator_common::Text;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    Succeeded,
    Failed,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
        }
    }
}

pub struct Refund {
    pub id: Text,
    pub intent: Text,
    pub charge: Text,
    pub created_ms: i64,
    pub amount: i64,
    pub status: Status,
    pub reason: Option<&'static str>,
    pub metadata: Map<String, Value>,
    pub method: &'static str,
    pub balance_transaction: Text,
    pub failure_balance_transaction: Option<Text>,
    pub failure_reason: Option<String>,
}

impl Refund {
    pub fn to_json(&self) -> Value {
        let destination = match self.method {
            "card" => json!({
                "type": "card",
                "card": {
                    "reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund",
                },
            }),
            other => json!({ "type": other, (other): {} }),
        };
        let mut refund = json!({
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "balance_transaction": self.balance_transaction,
            "charge": self.charge,
            "created": self.created_ms / 1_000,
            "currency": "krw",
            "destination_details": destination,
            "metadata": self.metadata,
            "payment_intent": self.intent,
            "reason": self.reason,
            "receipt_number": null,
            "source_transfer_reversal": null,
            "status": self.status,
            "transfer_reversal": null,
        });
        // Present only on refunds that failed.
        if self.status == Status::Failed {
            refund["failure_reason"] = json!(self.failure_reason);
            refund["failure_balance_transaction"] = json!(self.failure_balance_transaction);
        }
        refund
    }
}
