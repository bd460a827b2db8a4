-- Why one exhibition takes no orders, for visitors, as `sales` has it for all of them.
alter table exhibitions
    add column pause_reason_ko text not null default '',
    add column pause_reason_en text not null default '';
