//! Makes contacts findable that were written before there was an index, or with another one: the `contact_index` tick.

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use crate::app::App;
use crate::error::Result;
use crate::orders::contact::{self, ContactIndex, INDEX_VERSION};
use crate::platform::pg::Statement;

/// Contacts opened in one transaction: some ten milliseconds.
const BATCH: i64 = 500;
/// Batches of one round; what is left is for the next.
const BATCHES_MAX: usize = 20;
/// Of a contact that does not open: its data key is gone.
const UNREADABLE: i16 = -1;

/// Whoever corrects or forgets a contact meanwhile has it first.
const CLAIM: Statement = Statement::new(
    "care.claim_unindexed",
    "select c.order_id, o.exhibition_id, c.key_id, c.sealed
       from contacts c join orders o on o.id = c.order_id
      where c.index_version = 0 and c.erased_at is null
      order by c.order_id limit $1 for update of c skip locked",
);

const WRITE: Statement = Statement::new(
    "care.write_index",
    "update contacts c set name_index = n.name, tail_index = n.tail, index_version = n.version
       from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::smallint[]) as n (order_id, name, tail, version)
      where c.order_id = n.order_id and c.erased_at is null",
);

pub const STATEMENTS: &[&Statement] = &[&CLAIM, &WRITE];

pub async fn tick(app: &App) -> Result<usize> {
    let mut done = 0;
    for _ in 0..BATCHES_MAX {
        // A connection for each: between them the sale has its turn.
        let mut client = app.pg.get().await?;
        let transaction = client.transaction().await?;
        let rows = batch(app, &transaction).await?;
        transaction.commit().await?;
        done += rows;
        if (rows as i64) < BATCH {
            break;
        }
    }
    Ok(done)
}

async fn batch(app: &App, client: &impl GenericClient) -> Result<usize> {
    let rows = CLAIM.query(client, &[&BATCH]).await?;
    let (mut ids, mut names, mut tails, mut versions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        let id: Uuid = row.get(0);
        let (index, version) = match contact::open(app, id, row.get(2), row.get(3)) {
            Ok(contact) => (ContactIndex::of(app, row.get(1), &contact), INDEX_VERSION),
            Err(error) => {
                tracing::error!(%error, order_id = %id, "a contact does not open, and cannot be found by its name");
                (ContactIndex::default(), UNREADABLE)
            }
        };
        ids.push(id);
        names.push(index.name);
        tails.push(index.tail);
        versions.push(version);
    }
    if !ids.is_empty() {
        WRITE.execute(client, &[&ids, &names, &tails, &versions]).await?;
    }
    Ok(rows.len())
}
