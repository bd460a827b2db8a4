-- Operations: messages of the outbox are found by exhibition and kind, and sent again or set aside; what the audit of the
-- stock repaired is kept; orders of a slot are found by the slot; sign-ins that go on are found by their age.

alter table outbox
    -- Whose message it is; 0: no exhibition's. Null: written by a release that did not know, until the tick
    -- `message_index` has looked.
    add column exhibition_id int,
    -- How often somebody sent it again.
    add column replays int not null default 0,
    -- Why nobody will send it.
    add column set_aside_why text,
    drop constraint outbox_state,
    add constraint outbox_state check (state in ('pending', 'done', 'dead', 'set_aside')),
    add constraint outbox_set_aside check ((state = 'set_aside') = (set_aside_why is not null));
-- A message is in one of the two: in the small one from the commit that it tells of until it was sent, and then in the other,
-- written by the worker.
create index outbox_open on outbox (exhibition_id, state, kind, id) where state <> 'done';
create index outbox_done on outbox (exhibition_id, kind, id) where state = 'done';
create index outbox_unplaced on outbox (id) where exhibition_id is null;

-- What the audit found and did. Only ever added to; what is older than half a year is cleared away.
create table stock_repairs (
    id             bigint generated always as identity primary key,
    exhibition_id  int not null,
    at             timestamptz not null,
    -- rebuilt: counted anew from Postgres. given_back: takes that never became orders. confirmed: takes that are orders, of
    -- which Redis had not been told.
    done           text not null,
    cause          text not null,
    -- Places by stock: what Redis had more than it should (below 0: fewer), or what was given back.
    stocks         int[] not null,
    places         bigint[] not null,
    -- How many takes it was about.
    takes          int not null,
    constraint stock_repair_done check (done in ('rebuilt', 'given_back', 'confirmed')),
    constraint stock_repair_places check (cardinality(stocks) = cardinality(places))
);
create index stock_repair_exhibition on stock_repairs (exhibition_id, id);
create index stock_repair_age on stock_repairs (at);

create function stock_repairs_stay_as_they_are() returns trigger language plpgsql as $$
begin
    raise exception 'stock_repairs is append-only';
end $$;
create trigger stock_repairs_append_only before update or truncate on stock_repairs
    for each statement execute function stock_repairs_stay_as_they_are();

-- All orders of a slot that does not take place. Written when an order is paid, not when it is held.
create index order_slot on orders (slot_id, id) where slot_id is not null and state in ('paid', 'partially_refunded');
create index bulk_refund_exhibition on bulk_refunds (exhibition_id, id);

create index refresh_token_live on refresh_tokens (created_at) where spent_at is null and revoked_at is null;
