//! The bodies. Each shows the payment as it was when the event happened, so a retry delivers an old state.

use super::{Job, Relaxed, Sim};
use crate::clock::{MINUTE_MS, kst_micros};
use crate::ids;
use crate::payment::{Payment, Status};
use bytes::Bytes;
use serde_json::json;

impl Sim {
    /// The events of a change of status: `PAYMENT_STATUS_CHANGED`, and for virtual accounts `DEPOSIT_CALLBACK` too.
    /// `payment_json` is the payment in Korean, so that an answer and its event are written once.
    pub fn events(&self, payment: &Payment, payment_json: &Bytes) -> Vec<Job> {
        if self.webhooks.url().is_none() {
            return Vec::new();
        }
        let mut jobs = vec![self.status_changed(payment, payment_json)];
        if payment.is_virtual() && self.options().deposit_callback && payment.secret.is_some() {
            jobs.push(self.deposit_callback(payment));
        }
        jobs
    }

    fn status_changed(&self, payment: &Payment, payment_json: &Bytes) -> Job {
        let created_at = kst_micros(self.clock.now_ms(), ids::micros());
        let mut body = Vec::with_capacity(payment_json.len() + 120);
        body.extend_from_slice(br#"{"eventType":"PAYMENT_STATUS_CHANGED","createdAt":""#);
        body.extend_from_slice(created_at.as_bytes());
        body.extend_from_slice(br#"","data":"#);
        body.extend_from_slice(payment_json);
        body.push(b'}');
        self.job(payment, "PAYMENT_STATUS_CHANGED", body.into())
    }

    /// Flat, without an event type and without a paymentKey; genuine if `secret` is the one handed out.
    fn deposit_callback(&self, payment: &Payment) -> Job {
        let body = json!({
            "createdAt": kst_micros(self.clock.now_ms(), ids::micros()),
            "secret": payment.secret,
            "status": payment.status,
            "transactionKey": payment.last_transaction_key,
            "orderId": payment.order_id,
        });
        self.job(payment, "DEPOSIT_CALLBACK", body.to_string().into())
    }

    /// The `ABORTED` that one merchant received beside `DONE` after two confirms at once.
    pub fn stray_abort(&self, payment: &Payment) -> Vec<Job> {
        if self.webhooks.url().is_none() {
            return Vec::new();
        }
        let aborted = Payment { status: Status::Aborted, approved_at: None, ..payment.clone() };
        vec![self.status_changed(&aborted, &aborted.to_json())]
    }

    fn job(&self, payment: &Payment, event: &'static str, body: Bytes) -> Job {
        self.webhooks.tally.created.fetch_add(1, Relaxed);
        Job {
            transmission_id: ids::transmission_id().into(),
            order_id: payment.order_id.clone(),
            event,
            status: payment.status.name(),
            body,
            retried: 0,
            generation: self.webhooks.generation.load(Relaxed),
            then: None,
        }
    }
}

/// Minutes before retry 1 to 7: 1, 4, 16, ... 4096. After the last one Toss gives up.
pub fn retry_wait_ms(retried: u32) -> Option<i64> {
    (retried < 7).then(|| MINUTE_MS * 4i64.pow(retried))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_is_seven_steps_and_5461_minutes() {
        let waits: Vec<i64> = (0..10).map_while(retry_wait_ms).collect();
        assert_eq!(waits.len(), 7);
        assert_eq!(waits.iter().sum::<i64>(), 5461 * MINUTE_MS);
    }
}
