//! One simulator per test, a client for it, and a receiver of webhooks that checks signatures and answers as told.

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stripe_simulator::{Running, Settings, start};
use tokio::net::TcpListener;

pub const SECRET_KEY: &str = "sk_test_DEMO000000000000000000";
pub const PUBLISHABLE_KEY: &str = "pk_test_DEMO000000000000000000";
pub const WEBHOOK_SECRET: &str = "whsec_DEMO000000000000000000000000";
/// Longer than any healthy step takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Stripe {
    pub running: Running,
    pub http: Client,
}

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

    /// Status and the error's code, or its type where it has no code.
    pub fn code(&self) -> (u16, &str) {
        let error = &self.json["error"];
        (self.status, error["code"].as_str().or(error["type"].as_str()).unwrap_or(""))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ascii"))
    }

    /// A text of the answer.
    pub fn text_of(&self, name: &str) -> String {
        self.json[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.text)).to_owned()
    }
}

impl Stripe {
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

    pub fn form(&self, path: &str, form: &str) -> RequestBuilder {
        let request = self.request(Method::POST, path).bearer_auth(SECRET_KEY);
        request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned())
    }

    pub async fn post(&self, path: &str, form: &str) -> Reply {
        self.send(self.form(path, form)).await
    }

    pub async fn post_keyed(&self, path: &str, form: &str, key: &str) -> Reply {
        self.send(self.form(path, form).header("Idempotency-Key", key)).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path).bearer_auth(SECRET_KEY)).await
    }

    pub async fn send(&self, request: RequestBuilder) -> Reply {
        Reply::of(request.send().await.expect("an answer")).await
    }

    pub async fn try_control(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, &format!("/_sim/{path}")).json(&body)).await
    }

    /// A control that must work.
    pub async fn control(&self, path: &str, body: Value) -> Value {
        let reply = self.try_control(path, body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        reply.json
    }

    pub async fn counts(&self) -> Value {
        self.get("/_sim/counts").await.json
    }

    pub async fn advance_s(&self, seconds: u32) {
        self.control("clock", json!({ "advance_s": seconds })).await;
    }

    /// An intent with manual capture, as Admit makes them.
    pub async fn intent(&self, order: &str, amount: i64) -> String {
        let form = format!("amount={amount}&currency=krw&capture_method=manual&metadata[order_id]={order}");
        let reply = self.post("/v1/payment_intents", &form).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.text_of("id")
    }

    pub async fn authorised(&self, order: &str, amount: i64) -> String {
        let id = self.intent(order, amount).await;
        self.control("authorise", json!({ "payment_intent": id })).await;
        id
    }

    pub async fn capture(&self, id: &str) -> Reply {
        self.post(&format!("/v1/payment_intents/{id}/capture"), "").await
    }

    pub async fn paid(&self, order: &str, amount: i64) -> String {
        let id = self.authorised(order, amount).await;
        assert_eq!(self.capture(&id).await.status, 200);
        id
    }

    pub async fn refund(&self, id: &str, form: &str) -> Reply {
        self.post("/v1/refunds", &format!("payment_intent={id}&{form}")).await
    }

    pub async fn look(&self, id: &str) -> Value {
        let reply = self.get(&format!("/v1/payment_intents/{id}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json
    }

    pub async fn status_of(&self, id: &str) -> String {
        self.look(id).await["status"].as_str().expect("a status").to_owned()
    }

    pub async fn charge_of(&self, id: &str) -> Value {
        let charge = self.look(id).await["latest_charge"].as_str().expect("a charge").to_owned();
        self.get(&format!("/v1/charges/{charge}")).await.json
    }
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

/// What reached the merchant: headers, the body as it was, and as JSON.
#[derive(Clone)]
pub struct Arrived {
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Arrived {
    pub fn signature(&self) -> &str {
        self.headers.get("stripe-signature").map_or("", |value| value.to_str().expect("ascii"))
    }

    /// How many of the v1 signatures are by this secret, as a receiver would check them.
    pub fn signed_by(&self, secret: &str) -> usize {
        let part = |name: &str| {
            self.signature()
                .split(',')
                .filter_map(|part| part.split_once('='))
                .filter(move |(n, _)| *n == name)
                .map(|(_, v)| v.to_owned())
                .collect::<Vec<_>>()
        };
        let payload = format!("{}.{}", part("t").first().expect("a time"), self.text);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let expected: String =
            hmac::sign(&key, payload.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        part("v1").iter().filter(|signature| **signature == expected).count()
    }
}

/// A merchant's webhook endpoint: keeps what arrives, answers with the next status in line, then 200.
#[derive(Clone, Default)]
pub struct Receiver {
    arrived: Arc<Mutex<Vec<Arrived>>>,
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

    async fn take(State(receiver): State<Self>, headers: HeaderMap, text: String) -> StatusCode {
        let json = serde_json::from_str(&text).expect("JSON");
        receiver.arrived.lock().expect("whole").push(Arrived { headers, text, json });
        let answer = receiver.answers.lock().expect("whole").pop_front().unwrap_or(200);
        StatusCode::from_u16(answer).expect("a status")
    }

    pub fn count(&self) -> usize {
        self.arrived.lock().expect("whole").len()
    }

    /// Types in the order of arrival.
    pub fn types(&self) -> Vec<String> {
        let arrived = self.arrived.lock().expect("whole");
        arrived.iter().map(|one| one.json["type"].as_str().unwrap_or("").to_owned()).collect()
    }

    pub async fn wait_for(&self, count: usize) -> Vec<Arrived> {
        until("webhooks", async || (self.count() >= count).then_some(())).await;
        self.arrived.lock().expect("whole").clone()
    }

    /// The event of that type, once it is there.
    pub async fn wait_for_type(&self, name: &str) -> Value {
        until(name, async || {
            let arrived = self.arrived.lock().expect("whole");
            arrived.iter().find(|one| one.json["type"] == name).map(|one| one.json.clone())
        })
        .await
    }
}

pub async fn with_receiver(answers: &[u16]) -> (Stripe, Receiver) {
    let (receiver, url) = Receiver::listen(answers).await;
    let stripe = Stripe::with(Settings { webhook_url: Some(url), ..Settings::default() }).await;
    (stripe, receiver)
}
