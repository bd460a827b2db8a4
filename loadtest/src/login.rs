//! Signing in as one of the demo's accounts.

use serde::Deserialize;

use crate::Failure;
use crate::demo::Account;
use crate::http::Client;
use crate::shop;

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
}

/// An access token; it ends by itself after some minutes.
pub async fn log_in(site: &Client, account: &Account) -> Result<String, Failure> {
    let json = serde_json::json!({"username": account.username, "password": account.password}).to_string();
    let tokens = shop::read::<Tokens>(site, &site.post("/api/auth/login", &[], &json)).await;
    tokens
        .map(|(tokens, _)| tokens.access_token)
        .map_err(|outcome| format!("login of {}: {outcome:?}", account.username))
}
