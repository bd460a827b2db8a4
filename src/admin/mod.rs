//! Admin: who may sign in, and as what.
//!
//! Owns `admin_users`, their exhibitions, refresh tokens, second factors and mailboxes, and what was tried on them. Promises
//! that a password is never stored, that an unknown name and a wrong password cannot be told apart, that guessing keeps
//! nobody out who was in before, and that a stolen refresh token ends its own family on its second use. Refuses to keep
//! sessions: an access token is believed until it ends, 15 minutes after it was given. A user who is disabled therefore
//! keeps at most those 15 minutes; the next refresh is refused.

pub mod access;
pub mod addresses;
pub mod api;
pub mod audit;
pub mod browser;
pub mod catalogue;
pub mod mailbox;
pub mod own;
pub mod page;
pub mod password;
pub mod people;
pub mod pg;
pub mod pictures;
pub mod pin;
pub mod recovery;
pub mod refresh;
pub mod rescue;
pub mod reset;
pub mod rules;
pub mod sign_in;
pub mod totp;
pub mod tries;
pub mod users;

pub use access::{Exhibitions, StaffUser};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, every exhibition.
    SuperAdmin,
    /// Runs the exhibitions it belongs to.
    Admin,
    /// Helps the visitors of the exhibitions it belongs to: orders and messages, no money.
    Support,
    /// Scans at the exhibitions it belongs to.
    Staff,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::SuperAdmin, Role::Admin, Role::Support, Role::Staff];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::SuperAdmin => "super_admin",
            Role::Admin => "admin",
            Role::Support => "support",
            Role::Staff => "staff",
        }
    }

    /// Each may do what those after it may.
    pub fn is_at_least(self, least: Role) -> bool {
        let rank = |role: Role| Role::ALL.into_iter().position(|one| one == role);
        rank(self) <= rank(least)
    }

    pub fn parse(text: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == text)
    }
}
