//! Admit's API as a visitor uses it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Failure;
use crate::catalogue::Choice;
use crate::demo::{self, Demo};
use crate::http::{Client, Request};
use crate::ledger::Ledger;
use crate::queue::PASS;
use crate::tally::Outcome;

/// How long a visitor whose payment is `confirming` keeps asking, and how often.
const CONFIRMING_MAX: Duration = Duration::from_secs(30);
const CONFIRMING_GAP: Duration = Duration::from_millis(200);

pub struct Shop {
    pub site: Client,
    pub toss: Client,
    pub ledger: Arc<Ledger>,
}

#[derive(Debug, Deserialize)]
pub struct Held {
    pub order_number: String,
    pub order_token: String,
    pub total_amount: i64,
}

#[derive(Debug, Deserialize)]
pub struct Checkout {
    pub order_id: String,
    amount: i64,
}

#[derive(Debug, Deserialize)]
pub struct Authorised {
    #[serde(rename = "paymentKey")]
    pub payment_key: String,
}

/// All that a confirm needs.
#[derive(Debug)]
pub struct Ready {
    pub held: Held,
    pub checkout: Checkout,
    pub authorised: Authorised,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Ticket {
    #[serde(default)]
    pub qr_code: String,
}

#[derive(Debug, Deserialize)]
pub struct Order {
    pub status: String,
    #[serde(default)]
    pub tickets: Vec<Ticket>,
}

impl Order {
    /// Whether every ticket is there, with its code.
    pub fn is_whole(&self, quantity: u32) -> bool {
        self.tickets.len() == quantity as usize && self.tickets.iter().all(|ticket| !ticket.qr_code.is_empty())
    }
}

/// An order as it is sent, and sent again: the key makes it the same.
pub struct Ask {
    key: String,
    json: String,
}

impl Shop {
    pub fn new(demo: &Demo, connections_max: usize, timeout: Duration, ledger: Arc<Ledger>) -> Result<Shop, Failure> {
        let site = Client::new(&demo::http(&demo.base_url)?, connections_max, timeout);
        let toss = Client::new(&demo::http(&demo.toss_simulator_url)?, connections_max, timeout);
        Ok(Shop { site, toss, ledger })
    }

    pub fn ask(&self, choice: &Choice) -> Ask {
        let number = self.ledger.number();
        let slot = match &choice.slot {
            Some(slot) => format!(r#""visit_date":"{}","slot_id":{},"#, slot.date, slot.id),
            None => String::new(),
        };
        let json = format!(
            r#"{{"exhibition_code":"{}","customer_name":"부하 시험","customer_phone":"0{}",{slot}"items":[{{"product_id":{},"quantity":{}}}]}}"#,
            choice.code,
            self.ledger.phone(number),
            choice.product.id,
            choice.quantity,
        );
        Ask { key: format!("load-{:016x}-{number:x}", self.ledger.run), json }
    }

    pub fn order(&self, ask: &Ask, pass: Option<&str>) -> Request {
        let headers = [("Idempotency-Key", ask.key.as_str()), (PASS, pass.unwrap_or_default())];
        // Without a room nobody has a pass, and an empty header would be a wrong one.
        self.site.post("/api/orders", &headers[..1 + usize::from(pass.is_some())], &ask.json)
    }

    /// A hold, judged without reading more of the reply than proves it.
    pub async fn hold(&self, choice: &Choice) -> Outcome {
        let order = self.order(&self.ask(choice), None);
        let judged = self.site.call(&order, |status, body| {
            if !matches!(status, 200 | 201) {
                return Outcome::of_problem(status, body);
            }
            let number = br#""order_number""#;
            let held = body.windows(number.len()).any(|part| part == number);
            if held { Outcome::Success } else { Outcome::Refused(format!("{status} without an order")) }
        });
        let outcome = judged.await.unwrap_or_else(Outcome::from);
        self.acknowledge(outcome == Outcome::Success);
        outcome
    }

    pub async fn hold_order(&self, choice: &Choice) -> Result<Held, Outcome> {
        let held = read(&self.site, &self.order(&self.ask(choice), None)).await.map(|(held, _)| held);
        self.acknowledge(held.is_ok());
        held
    }

    pub fn acknowledge(&self, held: bool) {
        if held {
            self.ledger.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Up to the moment when the buyer's bank has agreed and nothing is confirmed yet, each step timed.
    pub async fn authorised(&self, choice: &Choice) -> Result<Ready, Outcome> {
        let ledger = &self.ledger;
        let begun = Instant::now();
        let held = self.hold_order(choice).await?;
        ledger.step("1 hold", begun);
        let begun = Instant::now();
        let checkout = self.initialize(&held).await?;
        ledger.step("2 initialize", begun);
        let begun = Instant::now();
        let authorised = self.authorise(&checkout).await?;
        ledger.step("3 authorise (simulator)", begun);
        Ok(Ready { held, checkout, authorised })
    }

    /// Hold, pay, receive the tickets: one whole purchase, each step timed.
    pub async fn buy(&self, choice: &Choice) -> Result<Vec<Ticket>, Outcome> {
        let ready = self.authorised(choice).await?;
        self.pay(choice, &ready).await
    }

    pub async fn pay(&self, choice: &Choice, ready: &Ready) -> Result<Vec<Ticket>, Outcome> {
        let (ledger, Ready { held, checkout, authorised }) = (&self.ledger, ready);
        let begun = Instant::now();
        let mut order = self.confirm(held, checkout, authorised).await?;
        ledger.step("4 confirm", begun);
        if order.tickets.iter().all(|ticket| ticket.qr_code.is_empty()) {
            let begun = Instant::now();
            order = self.read_order(held).await?;
            ledger.step("5 tickets", begun);
        }
        let whole = order.is_whole(choice.quantity);
        if whole { Ok(order.tickets) } else { Err(Outcome::Refused("paid without its tickets".into())) }
    }

    pub fn initialize_request(&self, held: &Held) -> Request {
        let bearer = format!("Bearer {}", held.order_token);
        let key = format!("{}-init", held.order_number);
        let json = serde_json::json!({
            "order_number": held.order_number, "amount": held.total_amount, "customer_name": "부하 시험",
        });
        let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", key.as_str())];
        self.site.post("/api/payments/initialize", &headers, &json.to_string())
    }

    async fn initialize(&self, held: &Held) -> Result<Checkout, Outcome> {
        read(&self.site, &self.initialize_request(held)).await.map(|(checkout, _)| checkout)
    }

    /// At the simulator, as the buyer would in the provider's window.
    pub fn authorise_request(&self, checkout: &Checkout) -> Request {
        let json = serde_json::json!({"orderId": checkout.order_id, "amount": checkout.amount});
        self.toss.post("/_sim/authorise", &[], &json.to_string())
    }

    async fn authorise(&self, checkout: &Checkout) -> Result<Authorised, Outcome> {
        let answer = read(&self.toss, &self.authorise_request(checkout)).await.map(|(authorised, _)| authorised);
        answer.map_err(|outcome| match outcome {
            // Not Admit's failure, and to be seen as such.
            Outcome::Refused(why) | Outcome::ServerError(why) => Outcome::Transport(format!("simulator: {why}")),
            other => other,
        })
    }

    pub fn confirm_request(&self, held: &Held, checkout: &Checkout, authorised: &Authorised) -> Request {
        let bearer = format!("Bearer {}", held.order_token);
        let key = format!("{}-confirm", checkout.order_id);
        let json = serde_json::json!({
            "payment_key": authorised.payment_key, "order_id": checkout.order_id, "amount": checkout.amount,
        });
        let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", key.as_str())];
        self.site.post("/api/payments/confirm", &headers, &json.to_string())
    }

    async fn confirm(&self, held: &Held, checkout: &Checkout, authorised: &Authorised) -> Result<Order, Outcome> {
        let request = self.confirm_request(held, checkout, authorised);
        let (mut order, status): (Order, u16) = read(&self.site, &request).await?;
        let deadline = Instant::now() + CONFIRMING_MAX;
        if status == 202 {
            while order.status == "confirming" && Instant::now() < deadline {
                tokio::time::sleep(CONFIRMING_GAP).await;
                order = self.read_order(held).await?;
            }
        }
        match order.status.as_str() {
            "paid" => Ok(order),
            "confirming" => Err(Outcome::Timeout),
            other => Err(Outcome::Refused(format!("{status} confirm left the order {other}"))),
        }
    }

    pub fn read_request(&self, held: &Held) -> Request {
        let bearer = format!("Bearer {}", held.order_token);
        self.site.get(&format!("/api/orders/{}", held.order_number), &[("Authorization", &bearer)])
    }

    async fn read_order(&self, held: &Held) -> Result<Order, Outcome> {
        read(&self.site, &self.read_request(held)).await.map(|(order, _)| order)
    }
}

/// Reads a reply of the shape wanted, with its status; anything else becomes the outcome it stands for.
pub async fn read<T: DeserializeOwned>(client: &Client, request: &Request) -> Result<(T, u16), Outcome> {
    let read = client.call(request, |status, body| {
        if !(200..300).contains(&status) {
            return Err(Outcome::of_problem(status, body));
        }
        let shaped = serde_json::from_slice(body).map(|wanted| (wanted, status));
        shaped.map_err(|error| Outcome::Refused(format!("{status} of another shape: {error}")))
    });
    read.await.unwrap_or_else(|fault| Err(fault.into()))
}
