//! What products and slots have in common: each is of an exhibition, has a stock of its own, and is changed by itself.

use deadpool_postgres::Transaction;
use serde::Serialize;

use super::pg::Stocked;
use super::pg::exhibitions::{self, ExhibitionRow};
use super::{Follow, difference, follow, offer, record};
use crate::admin::access::Admin;
use crate::admin::audit::Actor;
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::IfMatch;
use crate::stock;
use crate::stock::offer::Offer;

/// Its settings, which say what it is.
pub trait Kind: Serialize + Send + Sync + Sized {
    /// What the audit log calls it, and a change of it.
    const NAME: &'static str;
    const CHANGED: &'static str;
    /// The code of none such.
    const UNKNOWN: &'static str;

    fn one(transaction: &Transaction<'_>, id: i32) -> impl Future<Output = Result<Stocked<Self>>> + Send;
}

/// What is to be changed, with its exhibition: nobody else's until the transaction ends.
pub async fn locked<K: Kind>(
    transaction: &Transaction<'_>,
    admin: &Admin,
    id: i32,
    seen: &IfMatch,
) -> Result<(ExhibitionRow, Stocked<K>)> {
    let exhibition_id = K::one(transaction, id).await?.exhibition_id;
    // Another exhibition's is as good as not there.
    if !admin.user.may_enter(exhibition_id) {
        return Err(Error::not_found(K::UNKNOWN));
    }
    let exhibition = exhibitions::lock(transaction, exhibition_id).await?;
    let row = K::one(transaction, id).await?;
    seen.expect(row.revision)?;
    Ok((exhibition, row))
}

/// The stock of what is changed. Where it becomes another thing (`same` is false) that is a new one: an order on its way was
/// made up for the thing as it was, and the places it took are no longer there.
pub async fn restocked<K>(
    transaction: &Transaction<'_>,
    before: &Stocked<K>,
    same: bool,
    (total, offered): (i32, i32),
) -> Result<(i32, Follow)> {
    if same {
        let freed = offer(transaction, &[Offer { stock_id: before.stock_id, total, offered }], "total").await?;
        return Ok((before.stock_id, Follow::Offer(freed)));
    }
    Ok((stock::pg::add_one(transaction, before.exhibition_id, (total, offered)).await?, Follow::NewStock))
}

/// After its row was written with this stock: the old stock goes, what changed is recorded and committed, and told.
pub async fn changed<K: Kind>(
    app: &App,
    transaction: Transaction<'_>,
    admin: &Admin,
    exhibition: &ExhibitionRow,
    before: &Stocked<K>,
    (stock_id, what): (i32, Follow),
) -> Result<Stocked<K>> {
    if stock_id != before.stock_id {
        stock::pg::remove(&transaction, &[before.stock_id]).await?;
    }
    let after = K::one(&transaction, before.id).await?;
    let change = difference((K::NAME, before.id), &before.settings, &after.settings)?;
    record(&transaction, &Actor::from(admin), K::CHANGED, Some(exhibition.id), change).await?;
    transaction.commit().await?;
    follow(app, exhibition.id, &exhibition.code, what).await;
    Ok(after)
}
