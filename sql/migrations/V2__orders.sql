-- Orders, payments, tickets. The rows a hold writes carry no foreign keys: the stock writer is their only
-- author, inserts them in one transaction, and sql/invariants.sql checks what the keys would (see
-- docs/decisions/0003-no-foreign-keys-on-the-hold-path.md).

create table orders (
    id               uuid primary key,
    number           text not null,
    exhibition_id    int not null,
    slot_id          int,
    -- HMAC(exhibition, idempotency key): the take, the order and the repeat share it.
    hold_id          bytea not null,
    -- When the take was made in Redis [ms]: tells this take from a later one under the same hold id.
    taken_at_ms      bigint not null,
    fingerprint      bytea not null,
    state            text not null,
    total_won        int not null,
    person_key       bytea not null,
    -- Places counted against the person's limit, and whether the hold counts as an open one.
    person_places    int not null,
    person_counted   boolean not null,
    token_version    int not null default 1,
    has_email        boolean not null,
    language         text not null,
    referral_code    text,
    created_at       timestamptz not null,
    expires_at       timestamptz not null,
    paid_at          timestamptz,
    closed_at        timestamptz,
    paid_attempt_id  uuid,
    constraint order_number_once unique (number),
    constraint order_hold_once unique (hold_id),
    constraint order_state check (state in ('held', 'confirming', 'awaiting_deposit', 'paid', 'partially_refunded',
        'refunded', 'expired', 'cancelled')),
    constraint order_total check (total_won >= 0),
    constraint order_person check (person_places >= 0)
) with (fillfactor = 85);
create index order_lapsing on orders (expires_at) where state = 'held';

create table order_items (
    order_id         uuid not null,
    line             smallint not null,
    product_id       int not null,
    quantity         int not null,
    unit_won         int not null,
    constraint order_items_key primary key (order_id, line),
    constraint order_item_quantity check (quantity between 1 and 100),
    constraint order_item_price check (unit_won >= 0)
);

-- The only place of personal data; erasing a row forgets the person and keeps the books.
create table contacts (
    order_id      uuid primary key,
    phone_digest  bytea not null,
    -- AES-256-GCM: key id, nonce and sealed JSON {name, phone, email}.
    key_id        text not null,
    sealed        bytea not null,
    erased_at     timestamptz
);
create index contact_phone on contacts (phone_digest);

create table attempts (
    id                   uuid primary key,
    order_id             uuid not null,
    n                    int not null,
    -- The orderId Toss knows: {order number}-{n}, fresh per attempt.
    provider             text not null,
    provider_order_id    text not null,
    payment_key          text,
    amount_won           int not null,
    state                text not null,
    method               text,
    confirm_key          bytea,
    confirm_fingerprint  bytea,
    failure_code         text,
    failure_message      text,
    secret               text,
    raw                  jsonb,
    refunded_won         int not null default 0,
    created_at           timestamptz not null,
    sent_at              timestamptz,
    ended_at             timestamptz,
    next_check_at        timestamptz,
    checks               int not null default 0,
    -- Part of the idempotency key at the provider: raised when an answer was read that decided nothing.
    confirm_try          int not null default 1,
    -- The take that seated a lapsed order again for this attempt.
    seat_id              bytea,
    seat_at_ms           bigint,
    constraint attempt_n_once unique (order_id, n),
    constraint attempt_provider_order_once unique (provider_order_id),
    constraint attempt_payment_key_once unique (payment_key),
    constraint attempt_confirm_key_once unique (confirm_key),
    constraint attempt_state check (state in ('ready', 'sent', 'unknown', 'accepted', 'declined')),
    constraint attempt_amount check (amount_won > 0 and refunded_won between 0 and amount_won)
) with (fillfactor = 70);
create unique index attempt_one_in_flight on attempts (order_id) where state in ('sent', 'unknown');
create unique index attempt_seat_once on attempts (seat_id) where seat_id is not null;
create index attempt_unresolved on attempts (next_check_at) where state in ('sent', 'unknown');

create table refunds (
    id             uuid primary key,
    attempt_id     uuid not null references attempts (id),
    order_id       uuid not null,
    amount_won     int not null,
    reason         text not null,
    state          text not null default 'pending',
    try            int not null default 1,
    next_try_at    timestamptz not null,
    tries          int not null default 0,
    failure_code   text,
    created_at     timestamptz not null,
    done_at        timestamptz,
    constraint refund_automatic_once unique (attempt_id, reason),
    constraint refund_state check (state in ('pending', 'done', 'failed')),
    constraint refund_amount check (amount_won > 0)
);
create index refund_due on refunds (next_try_at) where state = 'pending';

create table signing_keys (
    id            smallint primary key,
    public_key    bytea not null,
    -- Ed25519 seed sealed under a data key.
    key_id        text not null,
    sealed_seed   bytea not null,
    created_at    timestamptz not null default now(),
    retired_at    timestamptz,
    constraint signing_key_id check (id between 1 and 255),
    constraint signing_key_length check (octet_length(public_key) = 32)
);

create table tickets (
    id             uuid primary key,
    order_id       uuid not null,
    exhibition_id  int not null,
    product_id     int not null,
    slot_id        int,
    ticket_no      smallint not null,
    of_total       smallint not null,
    version        smallint not null default 1,
    key_id         smallint not null,
    state          text not null default 'valid',
    -- The one admission: set once, by one conditional update.
    used_at        timestamptz,
    used_gate      text,
    used_scan_id   uuid,
    issued_at      timestamptz not null,
    constraint ticket_no_once unique (order_id, ticket_no),
    constraint ticket_no_range check (ticket_no between 1 and of_total),
    constraint ticket_state check (state in ('valid', 'cancelled', 'refunded', 'blocked')),
    constraint ticket_used check ((used_at is null) = (used_scan_id is null))
) with (fillfactor = 80);

-- Every scan, allowed or refused, for good.
create table scans (
    id             uuid primary key,
    exhibition_id  int not null,
    ticket_id      uuid,
    gate           text not null,
    nonce          text,
    staff_id       int not null,
    allowed        boolean not null,
    reason         text not null,
    scanned_at     timestamptz not null,
    -- The reply as given, so that a repeat of the same nonce gets the same words; holds no personal data.
    reply          jsonb not null
);
create unique index scan_nonce_once on scans (exhibition_id, staff_id, nonce) where nonce is not null;
create index scan_ticket on scans (ticket_id);

-- Append-only history without personal data.
create table order_events (
    id              bigint generated always as identity primary key,
    order_id        uuid not null,
    kind            text not null,
    from_state      text,
    to_state        text,
    actor           text not null,
    cause           text not null,
    correlation_id  text not null,
    at              timestamptz not null
);
create index order_event_order on order_events (order_id);

create function order_events_are_for_good() returns trigger language plpgsql as $$
begin
    raise exception 'order_events is append-only';
end $$;
create trigger order_events_append_only before update or delete or truncate on order_events
    for each statement execute function order_events_are_for_good();
