//! Ways to pay, and Stripe's test payment methods with the fate each one brings.

use crate::acts::attempt::Fate;
use crate::declines::{self, Decline};
use crate::ids;
use serde_json::{Value, json};
use simulator_common::Text;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Card,
    KrCard,
    KakaoPay,
    NaverPay,
}

/// What an intent with automatic payment methods offers.
pub const OFFERED: [Kind; 4] = [Kind::Card, Kind::KrCard, Kind::KakaoPay, Kind::NaverPay];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Card => "card",
            Kind::KrCard => "kr_card",
            Kind::KakaoPay => "kakao_pay",
            Kind::NaverPay => "naver_pay",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        OFFERED.into_iter().find(|kind| kind.name() == name)
    }

    /// Only cards make "charges"; everything else is a "payment", in ids and in the balance too.
    pub fn is_card(self) -> bool {
        self == Kind::Card
    }
}

#[derive(Clone, Debug)]
pub struct Method {
    pub id: Text,
    pub kind: Kind,
    pub brand: &'static str,
    pub last4: &'static str,
    pub refunds: RefundFate,
}

/// What becomes of refunds to this card; two of Stripe's test cards decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundFate {
    AsTold,
    Pending,
    Fail,
}

impl Method {
    pub fn of(kind: Kind) -> Self {
        let (brand, last4) = if kind == Kind::KrCard { ("kookmin", "1234") } else { ("visa", "4242") };
        Self { id: ids::first_generation("pm"), kind, brand, last4, refunds: RefundFate::AsTold }
    }

    /// As a charge shows it.
    pub fn details(&self, capture_before: Option<i64>) -> Value {
        let details = match self.kind {
            Kind::Card => json!({
                "brand": self.brand,
                "capture_before": capture_before,
                "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
                "country": "KR",
                "exp_month": 12,
                "exp_year": 2034,
                "extended_authorization": { "status": "disabled" },
                "fingerprint": "Xt5EWLLDS7FJjR1c",
                "funding": "credit",
                "last4": self.last4,
                "network": self.brand,
                "three_d_secure": null,
                "wallet": null,
            }),
            Kind::KrCard => json!({ "brand": self.brand, "buyer_id": null, "last4": self.last4 }),
            Kind::KakaoPay | Kind::NaverPay => json!({ "buyer_id": null }),
        };
        json!({ "type": self.kind.name(), (self.kind.name()): details })
    }

    /// The object inside `last_payment_error`.
    pub fn to_json(&self, created: i64) -> Value {
        let mut method = self.details(None);
        method["id"] = json!(self.id);
        method["object"] = "payment_method".into();
        method["created"] = created.into();
        method["livemode"] = false.into();
        method
    }
}

/// Stripe's own names for test cards, as far as a shop meets them.
pub fn test_method(id: &str) -> Option<(Method, Fate)> {
    let card = |brand, last4, refunds| Method { id: id.into(), kind: Kind::Card, brand, last4, refunds };
    let visa = card("visa", "4242", RefundFate::AsTold);
    let declined = |name: &str| Fate::Decline(declines::find(name).unwrap_or(declines::GENERIC));
    Some(match id {
        "pm_card_visa" | "pm_card_kr" => (visa, Fate::Succeed),
        "pm_card_mastercard" => (card("mastercard", "4444", RefundFate::AsTold), Fate::Succeed),
        "pm_card_amex" => (card("amex", "8431", RefundFate::AsTold), Fate::Succeed),
        "pm_card_jcb" => (card("jcb", "0505", RefundFate::AsTold), Fate::Succeed),
        "pm_card_pendingRefund" => (card("visa", "7726", RefundFate::Pending), Fate::Succeed),
        "pm_card_refundFail" => (card("visa", "5126", RefundFate::Fail), Fate::Succeed),
        "pm_card_authenticationRequired" | "pm_card_threeDSecure2Required" => (visa, Fate::NeedAction),
        "pm_card_chargeDeclined" | "pm_card_visa_chargeDeclined" => (visa, declined("generic_decline")),
        "pm_card_chargeDeclinedInsufficientFunds" | "pm_card_visa_chargeDeclinedInsufficientFunds" => {
            (visa, declined("insufficient_funds"))
        }
        "pm_card_visa_chargeDeclinedLostCard" => (visa, declined("lost_card")),
        "pm_card_visa_chargeDeclinedStolenCard" => (visa, declined("stolen_card")),
        "pm_card_chargeDeclinedExpiredCard" => (visa, declined("expired_card")),
        "pm_card_chargeDeclinedIncorrectCvc" => (visa, declined("incorrect_cvc")),
        "pm_card_chargeDeclinedProcessingError" => (visa, declined("processing_error")),
        _ => return None,
    })
}

/// A decline by name, for testers.
pub fn decline(name: Option<&str>) -> Option<Decline> {
    declines::find(name.unwrap_or("generic_decline"))
}
