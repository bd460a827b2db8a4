//! Addresses that the control room is open to (`ADMIT_ADMIN_ADDRESSES`); an empty list: all. Pages and calls of admins,
//! the files that they have asked for, and sign-ins of everybody above the gates' staff. What is refused is refused alike, whatever it was and whoever asked.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Role;
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::ClientAddress;

pub fn within(app: &App, address: IpAddr) -> bool {
    let list = &app.settings.admin_addresses;
    list.is_empty() || list.iter().any(|network| network.contains(address))
}

pub fn refused() -> Error {
    Error::forbidden("auth.not_from_here")
}

/// Whether somebody of this rank may be signed in from here.
pub fn expect(app: &App, address: IpAddr, role: Role) -> Result<()> {
    if role == Role::Staff || within(app, address) { Ok(()) } else { Err(refused()) }
}

/// By the route that was matched, not by how the address was written.
fn is_admins(route: &str) -> bool {
    ["/admin", "/api/admin", "/api/exports"]
        .iter()
        .any(|root| route.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().is_some_and(|path| is_admins(path.as_str()));
    if !route || app.settings.admin_addresses.is_empty() {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    match ClientAddress::from_request_parts(&mut parts, &app).await {
        Ok(caller) if within(&app, caller.address) => next.run(Request::from_parts(parts, body)).await,
        Ok(_) => refused().into_response(),
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_room_is_what_it_is_called() {
        for route in ["/admin", "/admin/x", "/api/admin", "/api/admin/users/{username}", "/api/exports/{ticket}"] {
            assert!(is_admins(route), "{route}");
        }
        for route in ["/", "/administer", "/api/admins", "/api/auth/login", "/entrance", "/{code}"] {
            assert!(!is_admins(route), "{route}");
        }
    }
}
