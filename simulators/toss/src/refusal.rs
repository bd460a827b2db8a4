//! Toss's error object: `{"code", "message"}` with the status its table prescribes.

use crate::codes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;
use std::borrow::Cow;

#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub code: Cow<'static, str>,
    pub ko: Cow<'static, str>,
    pub en: Cow<'static, str>,
}

/// A refusal by one of Toss's own codes. A name outside the table is a slip of ours and shows as a 500.
pub fn refuse(name: &'static str) -> Refusal {
    match codes::find(name) {
        Some(code) => Refusal::of(code),
        None => Refusal::invented(name, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

impl Refusal {
    pub fn of(code: &'static codes::Code) -> Self {
        Self {
            status: StatusCode::from_u16(code.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code: code.name.into(),
            ko: code.ko.into(),
            en: code.en.into(),
        }
    }

    /// A code Toss may add tomorrow: clients have to survive names they have never seen.
    pub fn invented(name: &str, status: StatusCode) -> Self {
        Self {
            status,
            code: name.to_owned().into(),
            ko: "시뮬레이터가 지정한 오류입니다.".into(),
            en: "An error chosen in the simulator.".into(),
        }
    }

    /// Same code, a message that says which field was wrong.
    pub fn because(mut self, ko: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Self {
        (self.ko, self.en) = (ko.into(), en.into());
        self
    }

    pub fn body(&self, english: bool) -> Bytes {
        let message = if english { &self.en } else { &self.ko };
        json!({ "code": self.code, "message": message }).to_string().into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let headers = [("content-type", "application/json;charset=UTF-8")];
        (self.status, headers, self.body(false)).into_response()
    }
}
