-- A refund into a bank account is carried by the provider in its own time, and the bank may send it back.

alter table refunds
    drop constraint refund_state,
    -- bounced: the provider has paid it out and the buyer's bank has not taken it; by_hand: staff paid it by another road.
    add constraint refund_state check (state in ('pending', 'needs_account', 'done', 'failed', 'bounced', 'by_hand')),
    -- When the provider is asked next whether it has arrived; null: it has, or staff paid it; infinity: nobody asks any more.
    add column look_at timestamptz;

create index refund_look on refunds (look_at) where look_at is not null;
drop index refund_stuck;
create index refund_stuck on refunds (state) where state in ('failed', 'bounced', 'needs_account');

update refunds r set look_at = admit_now()
  from attempts a where a.id = r.attempt_id and a.to_account and r.state = 'done' and r.done_at > admit_now() - interval '10 days';

alter table provider_transactions
    drop constraint provider_transaction_kind,
    -- awaiting: an account was issued, or its deposit taken back.
    add constraint provider_transaction_kind check (kind in ('payment', 'refund', 'refund_failed', 'awaiting')),
    -- In the order in which the books came, whose times are seconds.
    add column n bigint generated always as identity;
