-- What a stranger asks for ends no link that was handed over; changes of the rules of entry are counted, against two who change them
-- at the same time; the audit log is searched by order and by address.

alter table password_resets
    -- Handed over by `admit user unlock`, not mailed.
    add column by_hand boolean not null default false;
-- The newest of each kind. A server of before goes on: it ends both, and writes mailed ones.
create unique index password_reset_newest on password_resets (user_id, by_hand) where over_at is null;
drop index password_reset_open;

alter table exhibitions
    -- Raised by every change of the rules of entry.
    add column entry_revision int not null default 1;

-- Also what asks whether somebody has opened an order of late.
create index admin_audit_order on admin_audit ((after ->> 'order'), id) where after ->> 'order' is not null;
-- By the first word of what was done: looks at orders are many, and what is done to a room is few.
create index admin_audit_family on admin_audit (split_part(action, '.', 1), id);
create index admin_audit_address on admin_audit (address, id) where address is not null;
