-- Refunds of all tickets of some slots, because they do not take place; worked off order by order.
create table bulk_refunds (
    id             uuid primary key,
    exhibition_id  int not null references exhibitions (id),
    slot_ids       int[] not null,
    reason         text not null,
    asked_by       int not null,
    -- Digest of the caller's key, and of what was asked with it.
    request_key    bytea not null,
    fingerprint    bytea not null,
    created_at     timestamptz not null,
    -- When orders that were paid since it began are looked for next, among all of the exhibition.
    look_at        timestamptz not null,
    -- When nothing was left and nothing could be added any more.
    done_at        timestamptz,
    constraint bulk_refund_once unique (request_key)
);
create index bulk_refund_running on bulk_refunds (look_at) where done_at is null;

create table bulk_refund_orders (
    bulk_id      uuid not null references bulk_refunds (id),
    order_id     uuid not null,
    state        text not null default 'left',
    tickets      int not null default 0,
    amount_won   bigint not null default 0,
    tries        int not null default 0,
    next_try_at  timestamptz not null,
    -- Why it failed.
    code         text,
    constraint bulk_refund_orders_key primary key (bulk_id, order_id),
    constraint bulk_refund_order_state check (state in ('left', 'done', 'failed'))
);
create index bulk_refund_due on bulk_refund_orders (next_try_at) where state = 'left';
create index bulk_refund_failed on bulk_refund_orders (bulk_id) where state = 'failed';
