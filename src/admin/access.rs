//! Access tokens: a JWT for 15 minutes, checked without asking anybody.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::Role;
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::platform::http::extract::bearer;
use crate::platform::http::observe::RequestId;
use crate::platform::http::{ClientAddress, Path};

/// Short enough that disabling a user matters, long enough that a scanner seldom refreshes. [seconds]
pub const ACCESS_S: i64 = 15 * 60;
/// Clocks of two instances may differ by this much. [seconds]
const LEEWAY_S: i64 = 5;
const ISSUER: &str = "admit";
const AUDIENCE: &str = "staff";

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    name: String,
    role: Role,
    exh: Vec<i32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    setup: bool,
    iat: i64,
    exp: i64,
    iss: String,
    aud: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exhibitions {
    All,
    Of(Vec<i32>),
}

/// Somebody who signed in. A handler that takes one is for staff only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaffUser {
    pub id: i32,
    pub name: String,
    pub role: Role,
    pub exhibitions: Exhibitions,
    /// Of a rank that needs a second factor, and without one: may set it up, and nothing else.
    pub must_set_up: bool,
    /// Of the call, for the log; empty where there is none.
    pub request_id: String,
}

impl StaffUser {
    pub fn may_enter(&self, exhibition_id: i32) -> bool {
        match &self.exhibitions {
            Exhibitions::All => true,
            Exhibitions::Of(ids) => ids.contains(&exhibition_id),
        }
    }

    /// The exhibition of that code, a draft as well, for whoever may enter it.
    pub fn enter(&self, app: &App, code: &str) -> Result<Arc<Exhibition>> {
        let exhibition = app.catalogue.current().known(code)?;
        self.expect_in(exhibition.id)?;
        Ok(exhibition)
    }

    pub fn expect_in(&self, exhibition_id: i32) -> Result<()> {
        if self.may_enter(exhibition_id) { Ok(()) } else { Err(forbidden(self)) }
    }

    /// The exhibition that what cannot be placed is written down under; 0: none.
    pub fn home(&self) -> i32 {
        match &self.exhibitions {
            Exhibitions::All => 0,
            Exhibitions::Of(ids) => ids.first().copied().unwrap_or(0),
        }
    }
}

pub fn issue(key: &[u8], user: &StaffUser, now: Timestamp) -> Result<String> {
    let claims = Claims {
        sub: user.id.to_string(),
        name: user.name.clone(),
        role: user.role,
        exh: match &user.exhibitions {
            Exhibitions::All => Vec::new(),
            Exhibitions::Of(ids) => ids.clone(),
        },
        setup: user.must_set_up,
        iat: now.as_second(),
        exp: now.as_second() + ACCESS_S,
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
    };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(key)).map_err(Error::bug)
}

pub fn read(key: &[u8], token: &str, now: Timestamp) -> Result<StaffUser> {
    let invalid = |why: &dyn std::fmt::Display| Error::unauthenticated("auth.invalid_token").because(why);
    // The one algorithm we sign with; what the token's header says of itself is only compared with it.
    let mut rules = Validation::new(Algorithm::HS256);
    rules.set_issuer(&[ISSUER]);
    rules.set_audience(&[AUDIENCE]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // The library reads the system's clock; ours is the injected one, below.
    rules.validate_exp = false;
    let claims =
        jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(key), &rules).map_err(|e| invalid(&e))?.claims;
    if claims.exp.saturating_add(LEEWAY_S) <= now.as_second() {
        return Err(Error::unauthenticated("auth.expired_token"));
    }
    let id = claims.sub.parse().map_err(|e| invalid(&e))?;
    let exhibitions = if claims.role == Role::SuperAdmin { Exhibitions::All } else { Exhibitions::Of(claims.exh) };
    Ok(StaffUser {
        id,
        name: claims.name,
        role: claims.role,
        exhibitions,
        must_set_up: claims.setup,
        request_id: String::new(),
    })
}

/// Somebody who signed in, and where the call came from.
#[derive(Clone, Debug)]
pub struct Signed {
    pub user: StaffUser,
    pub request_id: String,
    pub address: IpAddr,
}

/// The same, with the exhibition that the address names, which they may enter.
#[derive(Clone, Debug)]
pub struct SignedOf {
    pub user: StaffUser,
    pub exhibition: Arc<Exhibition>,
    pub request_id: String,
    pub address: IpAddr,
}

/// A handler that takes one is for people of that rank and above; this is the one place where ranks are checked.
macro_rules! rank {
    ($(#[$doc:meta])* $name:ident, $signed:ident, $least:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name($signed);

        impl std::ops::Deref for $name {
            type Target = $signed;
            fn deref(&self) -> &$signed {
                &self.0
            }
        }

        impl FromRequestParts<App> for $name {
            type Rejection = Error;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<$name> {
                $signed::of_rank(parts, app, Role::$least).await.map($name)
            }
        }
    };
}
rank!(
    /// A super admin.
    Owner, Signed, SuperAdmin
);
rank!(
    /// An admin of some exhibition, where the address names none: the handler asks `user.may_enter`.
    Admin, Signed, Admin
);
rank!(
    /// An admin of the exhibition that the address names.
    AdminOf, SignedOf, Admin
);
rank!(
    /// Somebody who helps visitors, where the address names no exhibition: the handler asks `user.may_enter`.
    Support, Signed, Support
);
rank!(
    /// Somebody who helps the visitors of the exhibition that the address names.
    SupportOf, SignedOf, Support
);

impl Signed {
    /// Where a part of what a call may ask for takes a higher rank than the call itself.
    pub fn must_be(&self, least: Role) -> Result<()> {
        if self.user.role.is_at_least(least) { Ok(()) } else { Err(forbidden(&self.user)) }
    }

    async fn of_rank(parts: &mut Parts, app: &App, least: Role) -> Result<Signed> {
        let user = StaffUser::from_request_parts(parts, app).await?;
        let address = ClientAddress::from_request_parts(parts, app).await?.address;
        let request_id = user.request_id.clone();
        let signed = Signed { user, request_id, address };
        signed.must_be(least)?;
        Ok(signed)
    }
}

impl SignedOf {
    async fn of_rank(parts: &mut Parts, app: &App, least: Role) -> Result<SignedOf> {
        let Signed { user, request_id, address } = Signed::of_rank(parts, app, least).await?;
        let Path(path) = Path::<HashMap<String, String>>::from_request_parts(parts, app).await?;
        let code = path.get("code").ok_or_else(|| Error::bug("an admin of what? the path has no code"))?;
        let exhibition = user.enter(app, code)?;
        Ok(SignedOf { user, exhibition, request_id, address })
    }
}

fn forbidden(user: &StaffUser) -> Error {
    Error::forbidden("auth.forbidden").because(format!("user {}", user.id))
}

impl FromRequestParts<App> for StaffUser {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<StaffUser> {
        if !parts.headers.contains_key(axum::http::header::AUTHORIZATION) {
            return Err(Error::unauthenticated("auth.required"));
        }
        let token = bearer(&parts.headers).ok_or_else(|| Error::unauthenticated("auth.invalid_token"))?;
        let mut user = read(app.secrets.access_token_key(), token, app.clock.now())?;
        user.request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        app.pulse.seen(user.id, app.clock.now_ms());
        // One's own account is under there, and nothing of anybody else.
        if user.must_set_up && !parts.uri.path().starts_with("/api/auth/") {
            return Err(Error::forbidden("auth.second_factor_needed"));
        }
        Ok(user)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(s).unwrap()
    }

    fn staff() -> StaffUser {
        StaffUser {
            id: 3,
            name: "gate".into(),
            role: Role::Staff,
            exhibitions: Exhibitions::Of(vec![4, 9]),
            must_set_up: false,
            request_id: String::new(),
        }
    }

    fn code(token: &str, now_s: i64) -> &'static str {
        read(&KEY, token, at(now_s)).unwrap_err().code
    }

    fn signed(algorithm: Algorithm, claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(&KEY)).unwrap()
    }

    fn good_claims() -> serde_json::Value {
        json!({"sub": "3", "name": "gate", "role": "staff", "exh": [4], "iat": 0, "exp": 900, "iss": "admit", "aud": "staff"})
    }

    #[test]
    fn a_token_says_who_until_it_ends() {
        let token = issue(&KEY, &staff(), at(1_000)).unwrap();
        assert_eq!(read(&KEY, &token, at(1_000 + ACCESS_S)).unwrap(), staff());
        assert_eq!(code(&token, 1_000 + ACCESS_S + LEEWAY_S), "auth.expired_token");
        assert!(staff().may_enter(9) && !staff().may_enter(1));
        let boss = StaffUser { role: Role::SuperAdmin, exhibitions: Exhibitions::All, must_set_up: true, ..staff() };
        let read = read(&KEY, &issue(&KEY, &boss, at(0)).unwrap(), at(0)).unwrap();
        assert!(read.may_enter(1) && read == boss);
        assert_eq!((staff().home(), boss.home()), (4, 0));
    }

    #[test]
    fn forgeries_are_invalid() {
        assert!(read(&KEY, &signed(Algorithm::HS256, &good_claims()), at(1)).is_ok());
        assert_eq!(code(&issue(&[8; 32], &staff(), at(0)).unwrap(), 0), "auth.invalid_token");
        assert_eq!(code(&signed(Algorithm::HS512, &good_claims()), 0), "auth.invalid_token");
        for (field, value) in [
            ("aud", json!("visitors")),
            ("iss", json!("other")),
            ("sub", json!("x")),
            ("role", json!("king")),
            ("exp", json!("soon")),
            ("exh", json!(["*"])),
            ("aud", json!(null)),
        ] {
            let mut claims = good_claims();
            claims[field] = value;
            assert_eq!(code(&signed(Algorithm::HS256, &claims), 0), "auth.invalid_token", "{field}");
        }
        for field in ["aud", "iss", "exp", "sub"] {
            let mut claims = good_claims();
            claims.as_object_mut().unwrap().remove(field);
            assert_eq!(code(&signed(Algorithm::HS256, &claims), 0), "auth.invalid_token", "without {field}");
        }
    }

    #[test]
    fn a_token_without_a_signature_is_invalid() {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        for alg in ["none", "None", "NONE", "RS256", "EdDSA", "x"] {
            let token = format!("{}.{}.", part(json!({"alg": alg, "typ": "JWT"})), part(good_claims()));
            assert_eq!(code(&token, 0), "auth.invalid_token", "{alg}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_invalid(text in "\\PC{0,300}") {
            prop_assert_eq!(code(&text, 0), "auth.invalid_token");
        }

        #[test]
        fn a_changed_character_is_invalid(at_char in 0..200usize, to in "[A-Za-z0-9_.-]") {
            let token = issue(&KEY, &staff(), at(0)).unwrap();
            let mut changed = token.clone();
            let at_char = at_char % token.len();
            changed.replace_range(at_char..=at_char, &to);
            // The last character of a part may carry unused bits, which strict decoders refuse as well.
            prop_assert!(changed == token || read(&KEY, &changed, at(0)).is_err());
        }
    }
}
