//! Who did it. Every change of a room is recorded in the transaction that makes it.

use std::net::IpAddr;

use deadpool_postgres::GenericClient;
use serde_json::Value;

use super::pg;
use crate::admin::Role;
use crate::admin::access::{Admin, AdminOf, StaffUser};
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

    /// Somebody who signed for one thing at a device of the gates.
    pub fn at_device(user: &StaffUser, address: IpAddr) -> Actor {
        Actor::user(user, "", address)
    }

    fn user(user: &StaffUser, request_id: &str, address: IpAddr) -> Actor {
        Actor {
            user_id: Some(user.id),
            name: user.name.clone(),
            role: Role::as_str(user.role),
            request_id: request_id.to_owned(),
            address: Some(address),
        }
    }
}

impl From<&AdminOf> for Actor {
    fn from(admin: &AdminOf) -> Actor {
        Actor::user(&admin.user, &admin.request_id, admin.address)
    }
}

impl From<&Admin> for Actor {
    fn from(admin: &Admin) -> Actor {
        Actor::user(&admin.user, &admin.request_id, admin.address)
    }
}

/// One change. Never carries a secret: no seed, no token, no address of a visitor.
pub struct Entry<'a> {
    pub by: &'a Actor,
    /// `room.config`, `room.phase`, `room.beacon`, `room.invites`, `room.rehearsal`, `order.refund`, `order.refund_retry`,
    /// `webhook.replay`, `exhibition.picture`, `device.add`,
    /// `device.revoke`, `entry.rules`, `entry.force`, `entry.conflict`, `ticket.block`, `ticket.unblock`.
    pub action: &'static str,
    pub exhibition_id: i32,
    pub before: Value,
    pub after: Value,
}

/// In a transaction, together with the change.
pub async fn record(client: &impl GenericClient, entry: &Entry<'_>) -> Result<()> {
    pg::record(client, entry).await
}
