-- The control room: who helps visitors, sign-ins that can be looked at and ended, a second factor, and an audit log that
-- can be searched.

alter table admin_users
    drop constraint admin_user_role,
    add constraint admin_user_role check (role in ('super_admin', 'admin', 'support', 'staff')),
    -- Raised by every change, against two who change at the same time.
    add column revision int not null default 1,
    -- A second factor: its secret, sealed; good once it was confirmed; and the last step that was used, which is used once.
    add column totp_key_id text,
    add column totp_sealed bytea,
    add column totp_confirmed_at timestamptz,
    add column totp_step bigint not null default 0,
    add constraint admin_user_totp check ((totp_key_id is null) = (totp_sealed is null)
                                          and (totp_confirmed_at is null or totp_sealed is not null));

-- Where a sign-in was made, told to its owner alone.
alter table refresh_tokens
    add column address inet,
    add column agent text;

alter table admin_audit
    drop constraint admin_audit_role,
    add constraint admin_audit_role check (role in ('super_admin', 'admin', 'support', 'staff', 'system'));
create index admin_audit_user on admin_audit (user_name, id);
create index admin_audit_request on admin_audit (request_id) where request_id <> '';
