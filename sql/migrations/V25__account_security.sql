-- Accounts that cannot be taken and cannot be locked out: an address for mails, a password set anew by mail, recovery codes
-- for the second factor, and wrong passwords and codes counted where a restart of Redis does not forget them.

alter table admin_users
    -- AES-256-GCM, as all personal data.
    add column email_key_id text,
    add column email_sealed bytea,
    add constraint admin_user_email check ((email_key_id is null) = (email_sealed is null));

-- A link by which somebody sets a password without knowing the old one; its id is what the outbox tells of. A row is written
-- whether or not there is such an account, so that both take the same time. No foreign key here and below: it would take a lock
-- on the account, and whoever ends these rows has that lock already.
create table password_resets (
    id          uuid primary key,
    -- Null: nobody to write to.
    user_id     int,
    -- SHA-256 of the token in the link.
    digest      bytea not null,
    language    text not null,
    created_at  timestamptz not null,
    -- Used, followed by a newer one, or ended with what it would have changed.
    over_at     timestamptz,
    constraint password_reset_digest unique (digest)
);
-- The newest only.
create unique index password_reset_open on password_resets (user_id) where over_at is null;
create index password_reset_asked on password_resets (user_id, created_at);
create index password_reset_age on password_resets (created_at);

-- What somebody is told of their account by mail.
create table account_notices (
    id          uuid primary key,
    user_id     int not null,
    what        text not null,
    language    text not null,
    created_at  timestamptz not null,
    constraint account_notice_what check (what in ('password_reset', 'recovery_code', 'codes_tried'))
);
create index account_notice_age on account_notices (created_at);

-- In place of a code of the second factor, once each; keyed digests.
create table recovery_codes (
    user_id  int not null references admin_users (id) on delete cascade,
    digest   bytea not null,
    made_at  timestamptz not null,
    used_at  timestamptz,
    primary key (user_id, digest)
);

-- Wrong passwords and codes by account and where they come from, under a keyed digest of both.
create table sign_in_tries (
    id            bytea primary key,
    -- Null: there is no such account, and nobody shall tell.
    user_id       int,
    what          text not null,
    -- An address, everybody that the account does not know, or a browser or device that it knows.
    source        text not null,
    failed        int not null,
    since         timestamptz not null,
    failed_at     timestamptz not null,
    locked_until  timestamptz,
    constraint sign_in_try_what check (what in ('password', 'code')),
    constraint sign_in_try_source check (source in ('address', 'strangers', 'known')),
    constraint sign_in_try_failed check (failed >= 0)
);
create index sign_in_try_user on sign_in_tries (user_id) where user_id is not null;
create index sign_in_try_age on sign_in_tries (failed_at);

-- What holds for all accounts, in one row: the rank from which on a second factor is needed; null: nobody needs one.
create table account_rules (
    id                  boolean primary key default true,
    second_factor_from  text,
    revision            int not null default 1,
    constraint account_rules_once check (id),
    constraint account_rules_rank check (second_factor_from in ('super_admin', 'admin', 'support'))
);
insert into account_rules default values;

-- A link is waited for by somebody, as a code is. The index of before goes once nobody asks by it.
create index outbox_awaited on outbox (next_try_at) where state = 'pending' and kind in ('one_time_code', 'password_reset');
