//! SQL of refunds outside the stock writer.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::request::RefundView;
use crate::error::Result;
use crate::platform::pg::Statement;

macro_rules! refunds_by {
    ($name:ident, $label:literal, $where:literal) => {
        const $name: Statement = Statement::new(
            $label,
            concat!(
                "select r.id, r.state, r.kind, r.amount_won, r.fee_won, r.created_at, r.done_at,
                        array(select ticket_id from refund_tickets t where t.refund_id = r.id order by ticket_id),
                        r.request_fingerprint
                   from refunds r where ",
                $where,
                " order by r.created_at, r.id"
            ),
        );
    };
}
refunds_by!(BY_REQUEST, "refunds.by_request", "r.request_key = $1");
refunds_by!(OF_ORDER, "refunds.of_order", "r.order_id = $1");

const NEEDS_ACCOUNT: Statement = Statement::new(
    "refunds.needs_account",
    "select exists (select from orders o join attempts a on a.id = o.paid_attempt_id where o.id = $1 and a.to_account)",
);

const NAME_ACCOUNT: Statement = Statement::new(
    "refunds.name_account",
    "update refunds set account_key_id = $3, account_sealed = $4, next_try_at = admit_now(), try = try + 1, tries = 0,
            state = 'pending', failure_code = null
      where id = $1 and order_id = $2 and state in ('needs_account', 'failed')",
);

/// A new key: whatever was refused is judged anew.
const RETRY: Statement = Statement::new(
    "refunds.retry",
    "update refunds set state = 'pending', try = try + 1, tries = 0, next_try_at = admit_now()
      where id = $1 and order_id = $2 and state = 'failed'",
);

pub const STATEMENTS: &[&Statement] = &[&BY_REQUEST, &OF_ORDER, &NEEDS_ACCOUNT, &NAME_ACCOUNT, &RETRY];

fn view(r: &Row) -> RefundView {
    RefundView {
        id: r.get(0),
        state: r.get(1),
        kind: r.get(2),
        amount: r.get(3),
        fee: r.get(4),
        currency: "KRW",
        created_at: r.get(5),
        done_at: r.get(6),
        ticket_ids: r.get(7),
    }
}

/// With the digest of what was asked.
pub async fn by_request(client: &impl GenericClient, key: &[u8]) -> Result<Option<(RefundView, Vec<u8>)>> {
    let row = BY_REQUEST.query_opt(client, &[&key]).await?;
    Ok(row.map(|r| (view(&r), r.get::<_, Option<Vec<u8>>>(8).unwrap_or_default())))
}

pub async fn of_order(client: &impl GenericClient, order_id: Uuid) -> Result<Vec<RefundView>> {
    Ok(OF_ORDER.query(client, &[&order_id]).await?.iter().map(view).collect())
}

/// Whether the order's money can only go back to an account that is named.
pub async fn needs_account(client: &impl GenericClient, order_id: Uuid) -> Result<bool> {
    Ok(NEEDS_ACCOUNT.query_one(client, &[&order_id]).await?.get(0))
}

/// False: no such refund waits for an account.
pub async fn name_account(
    client: &impl GenericClient,
    id: Uuid,
    order_id: Uuid,
    sealed: &(String, Vec<u8>),
) -> Result<bool> {
    Ok(NAME_ACCOUNT.execute(client, &[&id, &order_id, &sealed.0, &sealed.1]).await? == 1)
}

/// False: it has not failed.
pub async fn retry(client: &impl GenericClient, id: Uuid, order_id: Uuid) -> Result<bool> {
    Ok(RETRY.execute(client, &[&id, &order_id]).await? == 1)
}
