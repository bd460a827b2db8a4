-- Rules of entry, of an exhibition (product_id is null) and of products that differ from it. No row: 30 minutes early, none
-- late, every gate, once.
create table entry_rules (
    exhibition_id  int not null references exhibitions (id),
    product_id     int references products (id),
    -- How long before a slot begins and after it ends people may come in.
    early_min      int not null default 30,
    late_min       int not null default 0,
    -- null: every gate.
    gates          text[],
    -- once: one entry for good. daily: per_day entries on each day the ticket is good.
    entries        text not null default 'once',
    per_day        int not null default 1,
    -- Who was scanned out may come in again on the same day without using another entry.
    reentry        boolean not null default false,
    -- The least time between coming in and coming in again.
    gap_s          int not null default 0,
    changed_at     timestamptz not null,
    constraint entry_rules_once unique nulls not distinct (exhibition_id, product_id),
    constraint entry_rules_minutes check (early_min between 0 and 1440 and late_min between 0 and 1440),
    constraint entry_rules_gates check (gates is null or cardinality(gates) between 1 and 50),
    constraint entry_rules_entries check (entries in ('once', 'daily')),
    constraint entry_rules_per_day check (per_day between 1 and 50),
    constraint entry_rules_gap check (gap_s between 0 and 86400)
);

-- What a ticket did at the doors. `movements` counts admissions, exits and what was undone; whoever moves a ticket has seen
-- the number it had.
alter table tickets
    add column movements    int not null default 0,
    add column entries      smallint not null default 0,
    add column entry_day    date,
    add column entries_day  smallint not null default 0,
    add column inside       boolean not null default false,
    add column last_in_at   timestamptz,
    add column last_out_at  timestamptz,
    -- Gate of the last admission.
    add column last_gate    text,
    -- Stopped by an admin, apart from what the order's money does to `state`.
    add column blocked_at   timestamptz;

update tickets
   set movements = 1, entries = 1, entries_day = 1, entry_day = (used_at at time zone 'Asia/Seoul')::date, inside = true,
       last_in_at = used_at, last_gate = used_gate
 where used_at is not null;

alter table tickets add constraint ticket_entered check ((used_at is null) = (entries = 0));

-- Which transaction wrote which ticket: devices ask for what changed since. Apart from the tickets, so that letting one in
-- touches none of their indexes.
create table ticket_changes (
    exhibition_id  int not null,
    changed        xid8 not null default pg_current_xact_id(),
    ticket_id      uuid not null,
    at             timestamptz not null default admit_now()
);
create index ticket_changes_since on ticket_changes (exhibition_id, changed, ticket_id);
create index ticket_changes_age on ticket_changes using brin (at);

create function ticket_changed() returns trigger language plpgsql as $$
begin
    insert into ticket_changes (exhibition_id, ticket_id) select exhibition_id, id from changed_tickets;
    return null;
end $$;
create trigger ticket_inserted after insert on tickets
    referencing new table as changed_tickets for each statement execute function ticket_changed();
create trigger ticket_updated after update on tickets
    referencing new table as changed_tickets for each statement execute function ticket_changed();

-- What is older is forgotten; devices that ask for it begin anew.
create table ticket_changes_forgotten (
    one    boolean primary key default true,
    until  xid8 not null,
    constraint ticket_changes_forgotten_one check (one)
);
insert into ticket_changes_forgotten (until) values ('0');

create index ticket_exhibition on tickets (exhibition_id, id);
-- The number that people read and type: five bytes of the digest of id and version.
create index ticket_number on tickets (substring(sha256(uuid_send(id) || int2send(version)) for 5));

alter table scans
    add column direction    text not null default 'in',
    -- Used one of the ticket's entries.
    add column counted      boolean not null default false,
    -- Admitted by a supervisor against `reason`.
    add column forced       boolean not null default false,
    add column undone_at    timestamptz,
    -- Of a device that had been revoked, or outside any shift: written down, and moves no ticket until somebody decides that
    -- it was honest.
    add column apart        boolean not null default false,
    -- Decided by the device without a network: what its clock said, and when the scan came in.
    add column device_at    timestamptz,
    add column uploaded_at  timestamptz,
    add constraint scan_direction check (direction in ('in', 'out'));
update scans set counted = true where allowed;
create index scan_times on scans (exhibition_id, scanned_at);

-- Admissions that happened and should not have, each for somebody to decide.
create table entry_conflicts (
    id             uuid primary key,
    exhibition_id  int not null references exhibitions (id),
    kind           text not null,
    ticket_id      uuid,
    -- The admission, and for a double one the admission before it.
    scan_id        uuid not null,
    other_scan_id  uuid,
    created_at     timestamptz not null,
    decided_at     timestamptz,
    decided_by     int,
    decision       text,
    note           text,
    constraint entry_conflict_once unique (scan_id, kind),
    constraint entry_conflict_kind check (kind in ('double', 'cancelled', 'outside_rules', 'unknown', 'no_shift', 'revoked_device')),
    constraint entry_conflict_decision check ((decided_at is null) = (decision is null)
                                              and (decision is null or decision in ('honest', 'fraud', 'mistake')))
);
create index entry_conflict_other on entry_conflicts (other_scan_id);
create index entry_conflict_open on entry_conflicts (exhibition_id, created_at) where decided_at is null;

create index shift_device on shifts (device_id, began_at);

-- Six digits for the beginning of a shift at a device, and how often they were wrong of late.
alter table admin_users
    add column pin_hash       text,
    add column pin_failures   int not null default 0,
    add column pin_failed_at  timestamptz;

-- A device may hand in what it has for a day after it was revoked, and not more than this many.
alter table devices
    add column uploaded_revoked  int not null default 0,
    -- Scans that it has not handed in, as it last said.
    add column waiting           int not null default 0;
