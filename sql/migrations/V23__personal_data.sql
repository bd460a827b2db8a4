-- Personal data goes when its period ends or when its person asks, and whoever asks is told what there is of them.

-- An erased contact has nothing left of its person. Those that were erased by hand before are made so.
update contacts
   set phone_digest = '', key_id = '', sealed = '', marketing = false, name_index = null, tail_index = null
 where erased_at is not null;
alter table contacts
    drop constraint contact_erased_unsearchable,
    add constraint contact_erased_whole check (erased_at is null or (name_index is null and tail_index is null
        and not marketing and octet_length(phone_digest) = 0 and octet_length(sealed) = 0));

-- How far the history was read for orders that came to nothing.
create table retention_cursor (
    one  boolean primary key default true,
    id   bigint not null default 0,
    constraint retention_cursor_one check (one)
);
insert into retention_cursor default values;

-- Exhibitions whose orders are gone through because a period has ended: order by order, from the first to the last, and
-- again on another day while some had to be kept.
create table retention_walks (
    exhibition_id  int not null references exhibitions (id) on delete cascade,
    what           text not null,
    -- The end of the exhibition that the period was counted from; a later one is another walk.
    ends_on        date not null,
    after          uuid not null default '00000000-0000-0000-0000-000000000000',
    kept           int not null default 0,
    look_at        timestamptz not null,
    done_at        timestamptz,
    constraint retention_walks_key primary key (exhibition_id, what),
    constraint retention_walk_what check (what in ('contacts', 'payments'))
);

-- Somebody wants what we have of them, or that it is erased. Who it is stands here only until that is done.
create table privacy_requests (
    id             uuid primary key,
    kind           text not null,
    -- Keyed digest of the phone number. An order without one has a digest that no other has.
    phone_digest   bytea,
    -- How it was made sure that it is them.
    verified_by    text not null,
    state          text not null default 'open',
    asked_by       int not null,
    asked_at       timestamptz not null,
    -- When it was carried out, as far as it could be; of an export, when it was last given out.
    carried_at     timestamptz,
    orders_erased  int not null default 0,
    -- When what had to be kept is looked at again.
    look_at        timestamptz,
    ended_at       timestamptz,
    constraint privacy_request_kind check (kind in ('erase', 'export')),
    constraint privacy_request_verified check (verified_by in ('phone', 'email', 'document', 'authority')),
    constraint privacy_request_state check (state in ('open', 'waiting', 'done', 'withdrawn')),
    constraint privacy_request_who check ((ended_at is null) = (phone_digest is not null)
        and (ended_at is null) = (state in ('open', 'waiting')))
);
create unique index privacy_request_once on privacy_requests (kind, phone_digest) where ended_at is null;
create index privacy_request_due on privacy_requests (look_at) where state = 'waiting';
create index privacy_request_asked on privacy_requests (asked_at);

-- The audit log stays append-only for two years, whoever asks; then its rows may go. Those that invariants rest on stay for
-- good, and lose the address alone.
create function admin_audit_keeps() returns trigger language plpgsql as $$
begin
    if old.at < admit_now() - interval '2 years' then
        if tg_op = 'DELETE' and old.action not in ('room.config', 'room.phase', 'room.rehearsal', 'entry.rules') then
            return old;
        elsif tg_op = 'UPDATE' and new.address is null and to_jsonb(new) - 'address' = to_jsonb(old) - 'address' then
            return new;
        end if;
    end if;
    raise exception 'admin_audit is append-only';
end $$;
drop trigger admin_audit_append_only on admin_audit;
create trigger admin_audit_append_only before update or delete on admin_audit
    for each row execute function admin_audit_keeps();
create trigger admin_audit_whole before truncate on admin_audit for each statement execute function is_append_only();
create index admin_audit_at on admin_audit (at);

create index refresh_token_age on refresh_tokens (created_at);
