//! A payment intent comes into being.

use crate::form::{Params, required};
use crate::ids;
use crate::intent::{Capture, Intent, Status};
use crate::method::{Kind, OFFERED};
use crate::refusal::{Refusal, api_error, invalid};
use crate::sim::{Cause, Sim};
use crate::store::{Entry, Held};
use crate::webhooks::Job;
use simulator_common::address::is_http_url;
use simulator_common::lock;
use std::sync::atomic::Ordering::Relaxed;

/// Eight digits, as for every currency without an exception of its own.
const AMOUNT_MAX: i64 = 99_999_999;
const KNOWN: [&str; 22] = [
    "amount",
    "automatic_payment_methods",
    "capture_method",
    "confirm",
    "confirmation_method",
    "currency",
    "customer",
    "description",
    "error_on_requires_action",
    "metadata",
    "off_session",
    "payment_method",
    "payment_method_data",
    "payment_method_options",
    "payment_method_types",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "use_stripe_sdk",
];

pub fn create(sim: &Sim, params: &Params, cause: &Cause) -> Result<(Entry, Vec<Job>), Refusal> {
    let now_ms = sim.clock.now_ms();
    let intent = read(sim, params, now_ms)?;
    let held = Held {
        history: vec![(now_ms, intent.status)],
        intent,
        charges: Vec::new(),
        refunds: Vec::new(),
        lapses_ms: None,
    };
    let max = sim.settings.intents_max;
    let full = || api_error(503).with("message", format!("The simulator holds {max} payments; reset it."));
    let entry = sim.store.insert(held, max).ok_or_else(full)?;
    sim.counts.intents.fetch_add(1, Relaxed);
    let jobs = sim.intent_event("payment_intent.created", &lock(&entry).intent, cause).into_iter().collect();
    Ok((entry, jobs))
}

fn read(sim: &Sim, params: &Params, now_ms: i64) -> Result<Intent, Refusal> {
    params.only(&KNOWN)?;
    let amount = amount(params, "amount", sim.options().amount_min)?.ok_or_else(|| required("amount"))?;
    let currency = params.text("currency").ok_or_else(|| required("currency"))?;
    if !currency.eq_ignore_ascii_case("krw") {
        let message = format!("Invalid currency: {currency}. The simulator knows krw only.");
        return Err(invalid(message).param("currency").early());
    }
    let (automatic, offered) = ways_to_pay(params)?;
    let id = ids::fresh("pi");
    Ok(Intent {
        client_secret: ids::client_secret(&id),
        id,
        created_ms: now_ms,
        status: Status::RequiresPaymentMethod,
        amount,
        amount_capturable: 0,
        amount_received: 0,
        capture: params.one_of("capture_method", &Capture::NAMES)?.unwrap_or(Capture::AutomaticAsync),
        automatic,
        offered,
        method: None,
        description: params.short_text("description", 1_000)?.map(str::to_owned),
        receipt_email: email(params)?,
        suffix: params.short_text("statement_descriptor_suffix", 22)?.map(str::to_owned),
        metadata: params.metadata()?,
        latest_charge: None,
        last_error: None,
        return_url: return_url(params)?,
        action_url: None,
        canceled_ms: None,
        cancellation_reason: None,
    })
}

/// A sum of money, absent allowed.
pub fn amount(params: &Params, name: &str, min: i64) -> Result<Option<i64>, Refusal> {
    match params.whole(name)? {
        Some(amount) if amount < 1 => {
            let message = "This value must be greater than or equal to 1.";
            Err(invalid(message).code("parameter_invalid_integer").param(name).early())
        }
        Some(amount) if amount < min => {
            let message = format!("Amount must be at least ₩{min}.");
            Err(invalid(message).code("amount_too_small").param(name).early())
        }
        Some(amount) if amount > AMOUNT_MAX => {
            Err(invalid("Amount must be no more than ₩99,999,999").code("amount_too_large").param(name).early())
        }
        amount => Ok(amount),
    }
}

fn ways_to_pay(params: &Params) -> Result<(Option<bool>, Vec<Kind>), Refusal> {
    let listed = params.list("payment_method_types");
    let enabled = match params.inner("automatic_payment_methods", "enabled") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            let param = "automatic_payment_methods[enabled]";
            return Err(invalid(format!("Invalid boolean: {other}")).param(param).early());
        }
    };
    if enabled && !listed.is_empty() {
        let message = "You may only specify one of these parameters: automatic_payment_methods, payment_method_types.";
        return Err(invalid(message).early());
    }
    // Without either the dashboard decides, as since version 2023-08-16.
    if listed.is_empty() && (enabled || !params.has("automatic_payment_methods")) {
        let redirects = params.inner("automatic_payment_methods", "allow_redirects") != Some("never");
        // The Korean wallets redirect; cards do not have to.
        let offered = if redirects { OFFERED.to_vec() } else { vec![Kind::Card] };
        return Ok((Some(redirects), offered));
    }
    let mut offered = Vec::new();
    for name in listed {
        let unknown = || {
            let message = format!("The payment method type \"{name}\" is invalid, or not known to the simulator.");
            invalid(message).param("payment_method_types").early()
        };
        let kind = Kind::parse(name).ok_or_else(unknown)?;
        if !offered.contains(&kind) {
            offered.push(kind);
        }
    }
    if offered.is_empty() {
        offered.push(Kind::Card);
    }
    Ok((None, offered))
}

fn email(params: &Params) -> Result<Option<String>, Refusal> {
    let email = params.short_text("receipt_email", 512)?;
    let sane = |email: &str| email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'));
    match email {
        Some(email) if !sane(email) => {
            let message = format!("Invalid email address: {email}");
            Err(invalid(message).code("email_invalid").param("receipt_email").early())
        }
        email => Ok(email.map(str::to_owned)),
    }
}

pub fn return_url(params: &Params) -> Result<Option<String>, Refusal> {
    match params.text("return_url") {
        Some(url) if !is_http_url(url) => {
            let message = "Not a valid URL. (Simulated: http and https only.)";
            Err(invalid(message).code("url_invalid").param("return_url").early())
        }
        url => Ok(url.map(str::to_owned)),
    }
}
