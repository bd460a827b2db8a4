//! One simulator per test, a client for it, and a receiver of webhooks that answers as told.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use toss_simulator::{Running, Settings, start};

pub const SECRET_KEY: &str = "test_sk_DEMO000000000000000000";
/// Longer than any healthy step takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Bank {
    pub running: Running,
    pub http: Client,
}

/// Status, body and the header that echoes the idempotency key.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub text: String,
    pub json: Value,
    pub headers: HeaderMap,
}

impl Reply {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, text, json, headers }
    }

    pub fn code(&self) -> (u16, &str) {
        (self.status, self.json["code"].as_str().unwrap_or(""))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ascii"))
    }
}

impl Bank {
    pub async fn open() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let running = start(settings).await.expect("a free port");
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("a client");
        Self { running, http }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.running.base_url())).timeout(PATIENCE)
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.post_keyed(path, body, None).await
    }

    pub async fn post_keyed(&self, path: &str, body: Value, key: Option<&str>) -> Reply {
        let mut request = self.request(Method::POST, path).basic_auth(SECRET_KEY, Some("")).json(&body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        Reply::of(request.send().await.expect("an answer")).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        let request = self.request(Method::GET, path).basic_auth(SECRET_KEY, Some(""));
        Reply::of(request.send().await.expect("an answer")).await
    }

    pub async fn send(&self, request: RequestBuilder) -> Reply {
        Reply::of(request.send().await.expect("an answer")).await
    }

    /// A control that must work.
    pub async fn control(&self, path: &str, body: Value) -> Value {
        let reply = self.post(&format!("/_sim/{path}"), body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        reply.json
    }

    pub async fn counts(&self) -> Value {
        self.get("/_sim/counts").await.json
    }

    pub async fn advance_s(&self, seconds: u32) {
        self.control("clock", json!({ "advance_s": seconds })).await;
    }

    pub async fn authorise(&self, order_id: &str, amount: i64) -> String {
        self.authorise_by(order_id, amount, "CARD").await
    }

    pub async fn authorise_by(&self, order_id: &str, amount: i64, method: &str) -> String {
        let reply = self.control("authorise", json!({ "orderId": order_id, "amount": amount, "method": method })).await;
        reply["paymentKey"].as_str().expect("a key").to_owned()
    }

    pub async fn confirm(&self, key: &str, order_id: &str, amount: i64) -> Reply {
        self.post("/v1/payments/confirm", ask(key, order_id, amount)).await
    }

    /// An approved card payment.
    pub async fn paid(&self, order_id: &str, amount: i64) -> String {
        let key = self.authorise(order_id, amount).await;
        assert_eq!(self.confirm(&key, order_id, amount).await.status, 200);
        key
    }

    pub async fn cancel(&self, key: &str, body: Value) -> Reply {
        self.post(&format!("/v1/payments/{key}/cancel"), body).await
    }
}

pub fn ask(key: &str, order_id: &str, amount: i64) -> Value {
    json!({ "paymentKey": key, "orderId": order_id, "amount": amount })
}

/// Asks again until the answer is Some, for as long as patience lasts.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A merchant's webhook endpoint: keeps what arrives, answers with the next status in line, then 200.
#[derive(Clone, Default)]
pub struct Receiver {
    pub arrived: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Receiver {
    /// The receiver and its address.
    pub async fn listen(answers: &[u16]) -> (Self, String) {
        let receiver = Self { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Self::default() };
        let app = Router::new().route("/hook", post(Self::take)).with_state(receiver.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (receiver, url)
    }

    async fn take(State(receiver): State<Self>, headers: HeaderMap, body: String) -> StatusCode {
        let body = serde_json::from_str(&body).expect("JSON");
        receiver.arrived.lock().expect("whole").push((headers, body));
        let answer = receiver.answers.lock().expect("whole").pop_front().unwrap_or(200);
        StatusCode::from_u16(answer).expect("a status")
    }

    pub fn count(&self) -> usize {
        self.arrived.lock().expect("whole").len()
    }

    /// Status values in the order of arrival.
    pub fn statuses(&self) -> Vec<String> {
        let arrived = self.arrived.lock().expect("whole");
        let status =
            |body: &Value| body["data"]["status"].as_str().or(body["status"].as_str()).unwrap_or("").to_owned();
        arrived.iter().map(|(_, body)| status(body)).collect()
    }

    pub async fn wait_for(&self, count: usize) -> Vec<(HeaderMap, Value)> {
        until("webhooks", async || (self.count() >= count).then_some(())).await;
        self.arrived.lock().expect("whole").clone()
    }
}

pub async fn bank_with_receiver(answers: &[u16]) -> (Bank, Receiver) {
    let (receiver, url) = Receiver::listen(answers).await;
    let bank = Bank::with(Settings { webhook_url: Some(url), ..Settings::default() }).await;
    (bank, receiver)
}
