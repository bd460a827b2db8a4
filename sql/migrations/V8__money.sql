-- Money given back on request, deposits to virtual accounts, a provider for each exhibition, and the providers' books.

alter table exhibitions
    -- Who takes the money of new attempts; a share of them goes to the canary, if there is one.
    add column payment_provider text not null default 'toss',
    add column canary_provider text,
    add column canary_pct int not null default 0,
    -- What is kept of a ticket that is given back so many days before the visit or earlier; nearer than the last: all of
    -- it, which is to say that it cannot be given back.
    add column refund_rules jsonb not null default
        '[{"days_before": 10, "fee_pct": 0}, {"days_before": 7, "fee_pct": 10}, {"days_before": 3, "fee_pct": 20}, {"days_before": 1, "fee_pct": 30}]',
    -- So long after paying nothing is kept, while the visit is still allowed to be given up at all. [hours]
    add column refund_free_h int not null default 24,
    add constraint exhibition_provider check (payment_provider in ('toss', 'stripe')),
    add constraint exhibition_canary check (canary_provider in ('toss', 'stripe') and canary_pct between 0 and 100),
    add constraint exhibition_refund_rules check (jsonb_typeof(refund_rules) = 'array'),
    add constraint exhibition_refund_free check (refund_free_h between 0 and 720);

alter table attempts
    drop constraint attempt_state,
    add constraint attempt_state check (state in ('ready', 'sent', 'unknown', 'awaiting_deposit', 'accepted', 'declined')),
    add constraint attempt_provider check (provider in ('toss', 'stripe')),
    -- What the browser needs to go on with a payment that the provider knows already.
    add column client_secret text,
    -- Its money can only go back to a bank account that the buyer names.
    add column to_account boolean not null default false,
    -- A virtual account into which nobody shall pay any more: the provider is to be told.
    add column close_at timestamptz;
drop index attempt_one_in_flight;
create unique index attempt_one_in_flight on attempts (order_id) where state in ('sent', 'unknown', 'awaiting_deposit');
create index attempt_closing on attempts (close_at) where close_at is not null;
create index attempt_awaiting on attempts (next_check_at) where state = 'awaiting_deposit';

-- Where to pay in. The number is sealed, and the row goes when the account has no more to do.
create table deposit_accounts (
    attempt_id  uuid primary key,
    bank        text not null,
    key_id      text not null,
    sealed      bytea not null,
    due_at      timestamptz not null
);

alter table refunds
    drop constraint refund_automatic_once,
    drop constraint refund_state,
    add constraint refund_state check (state in ('pending', 'needs_account', 'done', 'failed')),
    -- automatic: money that may not be kept; visitor, admin: asked for; provider: seen in the provider's answer.
    add column kind text not null default 'automatic',
    -- Price of the tickets that it ends; what is kept of it is the fee, below zero where more than that goes back.
    add column price_won int not null default 0,
    add column fee_won int not null default 0,
    add column request_key bytea,
    add column request_fingerprint bytea,
    -- Where the money of a virtual account goes back to; gone when it is there.
    add column account_key_id text,
    add column account_sealed bytea,
    add constraint refund_kind check (kind in ('automatic', 'visitor', 'admin', 'provider')),
    add constraint refund_adds_up check (kind = 'automatic' or price_won = amount_won + fee_won),
    add constraint refund_account_whole check ((account_key_id is null) = (account_sealed is null)),
    add constraint refund_account_gone check (state <> 'done' or account_sealed is null);
create unique index refund_automatic_once on refunds (attempt_id, reason) where kind = 'automatic';
create unique index refund_request_once on refunds (request_key) where request_key is not null;
create index refund_order on refunds (order_id);

-- Which refund ended a ticket. One ticket is given back once.
create table refund_tickets (
    ticket_id  uuid primary key,
    refund_id  uuid not null
);
create index refund_tickets_refund on refund_tickets (refund_id);

alter table inbox add column replays int not null default 0;
create index inbox_dead on inbox (id) where state = 'dead';

-- The providers' books as they were read, line by line, and what did not agree with ours.
create table provider_transactions (
    provider     text not null,
    key          text not null,
    payment_key  text not null,
    order_id     text,
    kind         text not null,
    amount_won   bigint not null,
    fee_won      bigint,
    at           timestamptz not null,
    constraint provider_transactions_key primary key (provider, key),
    constraint provider_transaction_kind check (kind in ('payment', 'refund'))
);
create index provider_transaction_at on provider_transactions (provider, at);
create index provider_transaction_payment on provider_transactions (payment_key);

create table reconciliations (
    provider     text not null,
    day          date not null,
    ran_at       timestamptz not null,
    rows         int not null,
    differences  int not null,
    constraint reconciliations_key primary key (provider, day)
);

create table money_differences (
    id           bigint generated always as identity primary key,
    provider     text not null,
    day          date not null,
    -- missing_here, missing_there, amount, refund
    kind         text not null,
    payment_key  text not null,
    order_id     text,
    ours_won     bigint,
    theirs_won   bigint,
    noticed_at   timestamptz not null,
    resolved_at  timestamptz,
    constraint money_difference_once unique (provider, kind, payment_key),
    constraint money_difference_kind check (kind in ('missing_here', 'missing_there', 'amount', 'refund'))
);
create index money_difference_open on money_differences (id) where resolved_at is null;
