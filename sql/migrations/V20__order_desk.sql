-- The order desk: orders are found by what people know of them, their visitors' data is corrected, mails are sent again.

alter table contacts
    -- Keyed digests of name and last four digits of the phone, of one exhibition each: equal here is equal there, and
    -- without the key nobody can tell what is equal. Null: nobody is named, or they are forgotten.
    add column name_index bigint,
    add column tail_index bigint,
    -- How the two were made. 0: not yet; below 0: the contact does not open.
    add column index_version smallint not null default 0,
    add constraint contact_erased_unsearchable check (erased_at is null or (name_index is null and tail_index is null));
create index contact_name on contacts (name_index, order_id) where name_index is not null;
create index contact_tail on contacts (tail_index, order_id) where tail_index is not null;
create index contact_unindexed on contacts (order_id) where index_version = 0 and erased_at is null;

-- Newest first, of one exhibition: ids are by time.
create index order_exhibition on orders (exhibition_id, id);
-- What becomes of few orders would be looked for among all. Not the states of a sale that goes on: their orders are found
-- by order_lapsing and attempt_one_in_flight, and cost the sale nothing more.
create index order_ended on orders (exhibition_id, state, id)
    where state in ('awaiting_deposit', 'partially_refunded', 'refunded', 'expired', 'cancelled');

-- A mail that somebody of the staff sent again. Its row in the outbox has this id.
create table mail_resends (
    id        uuid primary key,
    order_id  uuid not null,
    asked_by  int not null,
    asked_at  timestamptz not null
);
create index mail_resend_order on mail_resends (order_id, asked_at);
