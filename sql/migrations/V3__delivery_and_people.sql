-- What comes from outside (inbox), what goes out (outbox), and who may sign in.

create table inbox (
    id               bigint generated always as identity primary key,
    provider         text not null,
    transmission_id  text not null,
    kind             text not null,
    order_id         text not null,
    body             jsonb not null,
    received_at      timestamptz not null,
    state            text not null default 'received',
    tries            int not null default 0,
    next_try_at      timestamptz not null,
    outcome          text,
    processed_at     timestamptz,
    constraint inbox_once unique (provider, transmission_id),
    constraint inbox_state check (state in ('received', 'processed', 'dead'))
);
create index inbox_waiting on inbox (order_id, state);
create index inbox_due on inbox (next_try_at) where state = 'received';

create table outbox (
    id            bigint generated always as identity primary key,
    kind          text not null,
    order_id      uuid not null,
    state         text not null default 'pending',
    tries         int not null default 0,
    next_try_at   timestamptz not null,
    outcome       text,
    created_at    timestamptz not null,
    done_at       timestamptz,
    constraint outbox_once unique (kind, order_id),
    constraint outbox_state check (state in ('pending', 'done', 'dead'))
);
create index outbox_due on outbox (next_try_at) where state = 'pending';

create table admin_users (
    id             int generated always as identity primary key,
    username       text not null,
    password_hash  text not null,
    role           text not null,
    disabled_at    timestamptz,
    created_at     timestamptz not null default now(),
    constraint admin_user_once unique (username),
    constraint admin_user_role check (role in ('super_admin', 'admin', 'staff')),
    constraint admin_user_name check (username ~ '^[a-z0-9][a-z0-9._-]{2,31}$')
);

create table admin_user_exhibitions (
    user_id        int not null references admin_users (id) on delete cascade,
    exhibition_id  int not null references exhibitions (id),
    primary key (user_id, exhibition_id)
);

-- One family per sign-in; a token is used once, and the use of a spent one ends the family.
create table refresh_tokens (
    digest      bytea primary key,
    family_id   uuid not null,
    user_id     int not null references admin_users (id) on delete cascade,
    created_at  timestamptz not null,
    expires_at  timestamptz not null,
    spent_at    timestamptz,
    revoked_at  timestamptz
);
create index refresh_token_family on refresh_tokens (family_id);
