-- The dashboard's read model: what happened, by the hour and by what was sold. Kept up by a worker that reads the history
-- of orders as it grows; nothing on the way of a sale waits for it.

-- Which transaction wrote an event: a reader that has seen all of a transaction misses none of its events.
alter table order_events add column changed xid8 not null default '0';
alter table order_events alter column changed set default pg_current_xact_id();
-- The refund that an event is about.
alter table order_events add column about uuid;
create index order_event_changed on order_events (changed, id);

create table figures_cursor (
    one      boolean primary key default true,
    changed  xid8 not null default '0',
    id       bigint not null default 0,
    constraint figures_cursor_one check (one)
);
insert into figures_cursor default values;

-- Hours begin on the hour, and so do Seoul's.
create table figures_hours (
    exhibition_id  int not null,
    at             timestamptz not null,
    placed         int not null default 0,
    paid           int not null default 0,
    declined       int not null default 0,
    expired        int not null default 0,
    cancelled      int not null default 0,
    revenue_won    bigint not null default 0,
    refunds        int not null default 0,
    refunded_won   bigint not null default 0,
    -- What only the processes know: placed or not for a reason of ours, payments in doubt, scans answered or not.
    tried          int not null default 0,
    failed         int not null default 0,
    sent           int not null default 0,
    doubted        int not null default 0,
    scanned        int not null default 0,
    scan_failed    int not null default 0,
    -- Told anew for two days: what devices hand in late, and what is undone, belongs to its own hour.
    entrances      int not null default 0,
    constraint figures_hours_key primary key (exhibition_id, at)
);

create table figures_products (
    exhibition_id  int not null,
    product_id     int not null,
    day            date not null,
    sold           int not null default 0,
    given_back     int not null default 0,
    sold_won       bigint not null default 0,
    constraint figures_products_key primary key (exhibition_id, product_id, day)
);

create table figures_slots (
    exhibition_id  int not null,
    slot_id        int not null,
    sold           int not null default 0,
    given_back     int not null default 0,
    constraint figures_slots_key primary key (exhibition_id, slot_id)
);
