-- Somebody who wants to see all their orders, and has to show that the address they were placed with is theirs. The code
-- is derived from the id. A row is written whether or not there are orders, so that nobody learns which it is.
create table one_time_codes (
    id            uuid primary key,
    -- Digest of phone number and address: how often was asked for the two.
    who           bytea not null,
    phone_digest  bytea not null,
    -- AES-256-GCM: key id, nonce and sealed JSON {email, language}.
    key_id        text not null,
    sealed        bytea not null,
    created_at    timestamptz not null,
    tries         int not null default 0,
    -- When the right code was entered.
    opened_at     timestamptz
);
create index one_time_code_asked on one_time_codes (phone_digest, created_at);
create index one_time_code_age on one_time_codes (created_at);
create index outbox_codes on outbox (next_try_at) where state = 'pending' and kind = 'one_time_code';
