//! The audit log: who did what, when and from where. Every change by an admin is recorded in the transaction that makes
//! it, and so are sign-ins and every look at personal data, before it is answered. Append-only: a trigger refuses everything else, but for what is older than
//! two years, which the `retention` tick clears away.

pub mod api;
pub mod pg;

use std::net::IpAddr;

use deadpool_postgres::GenericClient;
use serde_json::Value;

use super::Role;
use super::access::{Admin, AdminOf, Owner, StaffUser, Support, SupportOf};
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

    /// Somebody who acts for themselves, or signs for one thing at a device of the gates.
    pub fn themselves(user: &StaffUser, address: IpAddr) -> Actor {
        Actor::user(user, &user.request_id, address)
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

macro_rules! actor_from {
    ($($signed:ty),*) => {
        $(impl From<&$signed> for Actor {
            fn from(by: &$signed) -> Actor {
                Actor::user(&by.user, &by.request_id, by.address)
            }
        })*
    };
}
actor_from!(Owner, Admin, AdminOf, Support, SupportOf);

/// One change. Never carries a secret: no seed, no token, no address of a visitor.
pub struct Entry<'a> {
    pub by: &'a Actor,
    /// `room.config`, `room.phase`, `room.beacon`, `room.invites`, `room.rehearsal`, `order.refund`, `order.refund_retry`,
    /// `order.reveal`, `order.open`, `order.search`, `order.contact`, `order.cancel`, `order.resend`, `order.transfer`, `order.complimentary`, `order.export`,
    /// `order.bulk_refund`,
    /// `webhook.replay`, `outbox.replay`, `outbox.set_aside`,
    /// `exhibition.picture`, `exhibition.create`, `exhibition.change`, `exhibition.archive`, `exhibition.delete`, `product.create` and so on, `slot.create`, `slot.change`, `slot.delete`, `slot.pattern`,
    /// `slot.bulk`, `sales.change`, `device.add`,
    /// `device.revoke`, `entry.rules`, `entry.force`, `entry.conflict`, `ticket.block`, `ticket.unblock`,
    /// `user.create`, `user.change`, `user.password`, `user.password_reset`, `user.second_factor`, `user.recovery_code`,
    /// `user.recovery_codes`, `user.sign_in`, `user.sign_ins`, `user.email`, `user.pin`, `user.lock`, `user.unlock`, `user.sign_out`, `user.rules`,
    /// `privacy.request`, `privacy.erase`, `privacy.export`, `privacy.withdraw`, `privacy.retention`, `audit.export`.
    pub action: &'static str,
    /// None: of no exhibition.
    pub exhibition_id: Option<i32>,
    pub before: Value,
    pub after: Value,
}

/// The same as a thing of its own, for the stock writer: written in the commit of what was done, and only if it was.
#[derive(Clone, Debug)]
pub struct Act {
    pub by: Actor,
    pub action: &'static str,
    pub exhibition_id: i32,
    pub before: Value,
    pub after: Value,
}

/// In a transaction, together with the change.
pub async fn record(client: &impl GenericClient, entry: &Entry<'_>) -> Result<()> {
    pg::record(client, entry).await
}

/// Somebody looks at an order: once an hour for each, or the log would be full of whoever keeps a page open.
pub async fn record_opened(client: &impl GenericClient, entry: &Entry<'_>) -> Result<()> {
    pg::record_opened(client, entry).await
}
