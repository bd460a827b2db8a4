//! Erases the contacts of some orders, in the caller's transaction: judged under their locks, so that whoever corrected,
//! paid or gave back an order meanwhile is seen.

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::pg::{self, Spans};
use crate::error::Result;
use crate::orders::model::Origin;

/// Of whom, and when.
pub struct Erasure<'a> {
    pub spans: Spans,
    /// Only contacts that are this person's. None: whoever's.
    pub phone_digest: Option<&'a [u8]>,
    pub origin: Origin,
    /// Names what asked for it in the history of each order, as another thing in each: the histories stay, and shall not tell for
    /// good that orders were one person's. None: nothing asked for it.
    pub salt: Option<&'a [u8]>,
    /// Waits for whoever has one of the orders; else such an order is left out.
    pub wait: bool,
}

impl Erasure<'_> {
    /// How many were erased.
    pub async fn carry(&self, transaction: &Transaction<'_>, ids: &[Uuid]) -> Result<usize> {
        if ids.is_empty() {
            return Ok(0);
        }
        let locked = pg::lock(transaction, ids, self.wait).await?;
        let counted = pg::erase(transaction, &locked, self.spans, self.phone_digest, (&self.origin, self.salt)).await?;
        pg::uncount(transaction, &counted).await?;
        Ok(counted.len())
    }
}
