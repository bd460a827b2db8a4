//! The one error of Admit. A kind says what it means (and so its status, whether repeating helps, how loudly it is
//! logged); a code is stable and listed in `docs/problems.md`; the words for people come from `web/locales`; the
//! source is only ever logged.

use std::fmt;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is not well formed HTTP or JSON: 400.
    Malformed,
    MethodNotAllowed,
    TooLarge,
    UnsupportedMediaType,
    Invalid,
    Unauthenticated,
    Forbidden,
    NotFound,
    Conflict,
    Gone,
    /// Written over something that the caller has not seen: 412.
    Stale,
    /// The caller must say which state it has seen: 428.
    Unseen,
    TooMany,
    Unavailable,
    Bug,
}

impl Kind {
    pub fn status(self) -> StatusCode {
        match self {
            Kind::Malformed => StatusCode::BAD_REQUEST,
            Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Gone => StatusCode::GONE,
            Kind::Stale => StatusCode::PRECONDITION_FAILED,
            Kind::Unseen => StatusCode::PRECONDITION_REQUIRED,
            Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub fn title(self) -> &'static str {
        self.status().canonical_reason().unwrap_or("Error")
    }
}

/// One field of the request that was refused, with its own code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub field: String,
    pub code: &'static str,
}

#[derive(Clone)]
pub struct Error {
    pub kind: Kind,
    pub code: &'static str,
    pub retry_after: Option<Duration>,
    pub fields: Vec<FieldError>,
    /// Values for the `{name}` places of the detail text.
    pub values: Vec<(&'static str, String)>,
    pub source: Option<String>,
}

macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        $(pub fn $name(code: &'static str) -> Error { Error::new(Kind::$kind, code) })*
    };
}

impl Error {
    pub fn new(kind: Kind, code: &'static str) -> Error {
        Error { kind, code, retry_after: None, fields: Vec::new(), values: Vec::new(), source: None }
    }

    constructors! {
        malformed => Malformed, invalid => Invalid, unauthenticated => Unauthenticated, forbidden => Forbidden,
        not_found => NotFound, conflict => Conflict, gone => Gone, too_large => TooLarge,
        unsupported_media_type => UnsupportedMediaType, method_not_allowed => MethodNotAllowed,
        stale => Stale, unseen => Unseen,
    }

    pub fn too_many(code: &'static str, retry_after: Duration) -> Error {
        Error { retry_after: Some(retry_after), ..Error::new(Kind::TooMany, code) }
    }

    /// A part is away; the caller may repeat the call after the given time.
    pub fn unavailable(code: &'static str, source: impl fmt::Display) -> Error {
        Error {
            retry_after: Some(Duration::from_secs(1)),
            source: Some(source.to_string()),
            ..Error::new(Kind::Unavailable, code)
        }
    }

    /// Something that cannot happen did.
    pub fn bug(source: impl fmt::Display) -> Error {
        Error { source: Some(source.to_string()), ..Error::new(Kind::Bug, "server.bug") }
    }

    /// A request whose fields were looked at one by one.
    pub fn fields(fields: Vec<FieldError>) -> Error {
        Error { fields, ..Error::new(Kind::Invalid, "request.invalid") }
    }

    pub fn field(field: impl Into<String>, code: &'static str) -> Error {
        Error::fields(vec![FieldError { field: field.into(), code }])
    }

    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Error {
        self.values.push((name, value.to_string()));
        self
    }

    pub fn retry_after(mut self, after: Duration) -> Error {
        self.retry_after = Some(after);
        self
    }

    pub fn because(mut self, source: impl fmt::Display) -> Error {
        self.source = Some(source.to_string());
        self
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        for field in &self.fields {
            write!(f, " {}:{}", field.field, field.code)?;
        }
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// The words are chosen later, by the layer that knows the caller's language (`platform::http::observe`).
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Error {
        match error.as_db_error() {
            // A refused statement is our mistake; anything about the server's health is not: nor that it is a standby
            // (25006), or was migrated under a prepared statement (0A000).
            Some(db) if !is_health(db.code().code()) => {
                Error::bug(format!("postgres {}: {}", db.code().code(), db.message()))
            }
            Some(db) => Error::unavailable("server.database_away", format!("{}: {}", db.code().code(), db.message())),
            None if error.is_closed()
                || std::error::Error::source(&error).is_some_and(|s| s.is::<std::io::Error>()) =>
            {
                Error::unavailable("server.database_away", error)
            }
            None => {
                Error::bug(format!("postgres: {error}: {:?}", std::error::Error::source(&error).map(|s| s.to_string())))
            }
        }
    }
}

fn is_health(code: &str) -> bool {
    matches!(code, "25006" | "0A000") || matches!(&code[..2], "08" | "40" | "53" | "55" | "57" | "58" | "XX")
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Error {
        Error::unavailable("server.database_away", error)
    }
}

impl From<fred::error::Error> for Error {
    fn from(error: fred::error::Error) -> Error {
        Error::unavailable("server.redis_away", error)
    }
}
