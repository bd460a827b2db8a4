//! A COMMIT whose answer was lost.

use jiff::Timestamp;
use uuid::Uuid;

use crate::error::Result;
use crate::orders::writer::decide::Books;
use crate::platform::pg;

/// What to look for after an unknown COMMIT.
pub struct Doubt {
    transaction_id: String,
    /// A row that only this batch wrote: an event by its order and instant, or a new attempt by its id.
    row: Option<Uuid>,
    at: Timestamp,
}

impl Doubt {
    pub(super) fn of(books: &Books, transaction_id: String) -> Doubt {
        let event = books.rows.events.first().map(|event| event.order_id);
        Doubt { transaction_id, row: event.or_else(|| books.rows.attempts.first().map(|a| a.id)), at: books.now }
    }
}

/// Whether a transaction committed, asked on a new connection. None while it is still running.
///
/// The id alone would do on this server; a standby that was promoted without the commit may have given the id to
/// somebody else, so a row of the batch must be there too.
pub async fn committed(url: &str, doubt: &Doubt) -> Result<Option<bool>> {
    let client = pg::connect(url, pg::ORDINARY, "admit stock writer").await?;
    let row = client.query_one("select pg_xact_status($1::text::xid8)", &[&doubt.transaction_id]).await?;
    match (row.get::<_, Option<&str>>(0), doubt.row) {
        (Some("committed"), None) => Ok(Some(true)),
        (Some("committed"), Some(id)) => {
            let sql = "select exists (select from order_events where order_id = $1 and at = $2)
                           or exists (select from attempts where id = $1)";
            Ok(Some(client.query_one(sql, &[&id, &doubt.at]).await?.get(0)))
        }
        (Some("aborted"), _) => Ok(Some(false)),
        _ => Ok(None),
    }
}
