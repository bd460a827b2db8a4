//! A visitor with a phone of their own, speaking to Admit over HTTP.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{Given, TestApp};

pub struct Visitor<'a> {
    app: &'a TestApp,
    base: String,
    pub phone: String,
}

/// A reply, read.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub retry_after: Option<String>,
    pub content_type: String,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Answer {
        Answer::heard(request).await.unwrap()
    }

    /// Err: the connection broke before the whole answer was there.
    pub async fn heard(request: RequestBuilder) -> reqwest::Result<Answer> {
        let reply = request.send().await?;
        let header = |name: &str| reply.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (status, retry_after) = (reply.status().as_u16(), header("retry-after"));
        let content_type = header("content-type").unwrap_or_default();
        // A stream has no end to wait for.
        let bytes = if content_type == "text/event-stream" { Vec::new() } else { reply.bytes().await?.to_vec() };
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        Ok(Answer { status, body, retry_after, content_type })
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body)).to_owned()
    }

    /// The reply must have this status.
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// The reply must be this refusal, as a problem document.
    pub fn refused(self, status: u16, code: &str) -> Answer {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.body);
        assert_eq!(self.content_type, "application/problem+json");
        assert!(self.body["detail"].as_str().is_some_and(|d| d.chars().count() > 5), "{}", self.body);
        self
    }
}

/// An order in a visitor's hand.
#[derive(Clone, Debug)]
pub struct Held {
    pub number: String,
    pub token: String,
    pub total: i64,
}

impl From<&Answer> for Held {
    fn from(answer: &Answer) -> Held {
        Held {
            number: answer.text("order_number"),
            token: answer.text("order_token"),
            total: answer.body["total_amount"].as_i64().unwrap(),
        }
    }
}

impl<'a> Visitor<'a> {
    pub fn new(app: &'a TestApp, n: usize) -> Visitor<'a> {
        Visitor { app, base: app.url(""), phone: format!("010-{:04}-{:04}", 1000 + n / 10_000, n % 10_000) }
    }

    /// Speaks to another instance.
    pub fn at(mut self, instance: usize) -> Visitor<'a> {
        self.base = format!("http://{}", self.app.instances[instance].address);
        self
    }

    /// Speaks to a process outside of this one.
    pub fn at_base(mut self, base: String) -> Visitor<'a> {
        self.base = base;
        self
    }

    pub fn ask(&self, given: &Given, quantity: i64) -> Value {
        let mut ask = json!({
            "exhibition_code": given.code, "customer_name": "홍길동", "customer_phone": self.phone,
            "items": [{ "product_id": given.product_id, "quantity": quantity }],
        });
        if let Some(date) = &given.date {
            ask["visit_date"] = json!(date);
        }
        ask
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.app.http.post(format!("{}{path}", self.base))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.app.http.get(format!("{}{path}", self.base))
    }

    pub async fn order(&self, given: &Given, quantity: i64) -> Answer {
        Answer::of(self.post("/api/orders").json(&self.ask(given, quantity))).await
    }

    pub async fn order_keyed(&self, given: &Given, quantity: i64, key: &str) -> Answer {
        Answer::of(self.post("/api/orders").header("idempotency-key", key).json(&self.ask(given, quantity))).await
    }

    pub async fn held(&self, given: &Given, quantity: i64) -> Held {
        Held::from(&self.order(given, quantity).await.expect(201))
    }

    pub async fn read(&self, order: &Held) -> Answer {
        Answer::of(self.get(&format!("/api/orders/{}", order.number)).bearer_auth(&order.token)).await
    }

    pub async fn cancel(&self, order: &Held) -> Answer {
        Answer::of(self.post(&format!("/api/orders/{}/cancel", order.number)).bearer_auth(&order.token)).await
    }

    pub async fn initialize(&self, order: &Held) -> Answer {
        let ask = json!({ "order_number": order.number, "amount": order.total });
        Answer::of(self.post("/api/payments/initialize").bearer_auth(&order.token).json(&ask)).await
    }

    /// Opens an attempt and authenticates it at Toss: order id and payment key.
    pub async fn authorised(&self, order: &Held) -> (String, String) {
        let order_id = self.initialize(order).await.expect(200).text("order_id");
        let payment_key = self.authorise(order, &order_id).await;
        (order_id, payment_key)
    }

    /// Does in Toss's window what a buyer does: the payment key.
    pub async fn authorise(&self, order: &Held, order_id: &str) -> String {
        let reply = self.app.simulate("authorise", json!({ "orderId": order_id, "amount": order.total })).await;
        reply["paymentKey"].as_str().unwrap().to_owned()
    }

    pub async fn confirm(&self, order: &Held, order_id: &str, payment_key: &str, key: &str) -> Answer {
        let ask = json!({ "payment_key": payment_key, "order_id": order_id, "amount": order.total });
        Answer::of(
            self.post("/api/payments/confirm").header("idempotency-key", key).bearer_auth(&order.token).json(&ask),
        )
        .await
    }

    /// A confirm whose instance may die meanwhile.
    pub async fn confirm_heard(&self, order: &Held, order_id: &str, payment_key: &str) -> reqwest::Result<Answer> {
        let ask = json!({ "payment_key": payment_key, "order_id": order_id, "amount": order.total });
        let request = self.post("/api/payments/confirm").header("idempotency-key", format!("pay-{order_id}"));
        Answer::heard(request.json(&ask)).await
    }

    /// Pays, with a key of its own.
    pub async fn pay(&self, order: &Held) -> Answer {
        let (order_id, payment_key) = self.authorised(order).await;
        self.confirm(order, &order_id, &payment_key, &format!("pay-{order_id}")).await
    }
}
