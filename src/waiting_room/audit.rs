//! Who did it. Every change of a room is recorded in the transaction that makes it.

use std::net::IpAddr;

use deadpool_postgres::GenericClient;
use serde_json::Value;

use super::pg;
use crate::admin::Role;
use crate::admin::access::AdminOf;
use crate::error::Result;

#[derive(Clone, Debug)]
pub struct Actor {
    /// None: Admit itself.
    pub user_id: Option<i32>,
    pub name: String,
    pub role: &'static str,
    pub request_id: String,
    pub address: Option<IpAddr>,
}

impl Actor {
    /// Admit itself, by the part that acted: `schedule`, `safety_net`.
    pub fn system(part: &str) -> Actor {
        Actor { user_id: None, name: part.to_owned(), role: "system", request_id: String::new(), address: None }
    }
}

impl From<&AdminOf> for Actor {
    fn from(admin: &AdminOf) -> Actor {
        Actor {
            user_id: Some(admin.user.id),
            name: admin.user.name.clone(),
            role: Role::as_str(admin.user.role),
            request_id: admin.request_id.clone(),
            address: Some(admin.address),
        }
    }
}

/// One change. Never carries a secret: no seed, no token, no address of a visitor.
pub struct Entry<'a> {
    pub by: &'a Actor,
    /// `room.config`, `room.phase`, `room.beacon`, `room.invites`, `room.rehearsal`.
    pub action: &'static str,
    pub exhibition_id: i32,
    pub before: Value,
    pub after: Value,
}

/// In a transaction, together with the change.
pub async fn record(client: &impl GenericClient, entry: &Entry<'_>) -> Result<()> {
    pg::record(client, entry).await
}
