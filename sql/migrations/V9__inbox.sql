-- What is cleared away after its time, and what waits for a person, found without reading everything.

create index inbox_processed on inbox (processed_at) where state = 'processed';
create index attempt_keyed on attempts (ended_at) where confirm_key is not null and ended_at is not null;
create index refund_keyed on refunds (done_at) where request_key is not null and done_at is not null;
create index refund_stuck on refunds (state) where state in ('failed', 'needs_account');
