-- Whoever reads the mailbox that an account had until now is told that it has another: at the address of before, which is kept
-- nowhere else by then. It goes with its row, after a day.

alter table account_notices
    add column email_key_id text,
    add column email_sealed bytea,
    drop constraint account_notice_what,
    add constraint account_notice_what check (what in ('password_reset', 'recovery_code', 'codes_tried', 'email_changed')),
    -- AES-256-GCM. Null: it is told where the account is written to.
    add constraint account_notice_email check ((email_key_id is null) = (email_sealed is null)
                                               and (what = 'email_changed') = (email_sealed is not null));
