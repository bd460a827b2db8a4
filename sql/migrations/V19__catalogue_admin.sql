-- The catalogue is run by admins: an exhibition begins as a draft and ends archived, products are archived once they were
-- sold, all sales can be paused at once, and every row says how often it was changed.

alter table exhibitions
    -- draft: only admins know it. archived: neither listed nor sold; its orders, tickets and gates go on.
    add column stage text not null default 'published',
    -- Raised by every change of an admin, who names the one they have seen.
    add column revision bigint not null default 1,
    add constraint exhibition_stage check (stage in ('draft', 'published', 'archived'));

alter table products
    add column archived_at timestamptz,
    add column revision bigint not null default 1;

alter table slots add column revision bigint not null default 1;

-- One row, about everything that is sold here.
create table sales (
    only_row   boolean primary key default true,
    paused     boolean not null default false,
    -- Why, for visitors.
    reason_ko  text not null default '',
    reason_en  text not null default '',
    revision   bigint not null default 1,
    constraint sales_only_row check (only_row)
);
insert into sales default values;
