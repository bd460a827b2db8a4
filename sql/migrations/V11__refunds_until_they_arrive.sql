-- A refund into a bank account is carried by the provider in its own time, and the bank may send it back.

alter table refunds
    drop constraint refund_state,
    -- bounced: the provider has paid it out and the buyer's bank has not taken it; by_hand: staff paid it by another road.
    add constraint refund_state check (state in ('pending', 'needs_account', 'done', 'failed', 'bounced', 'by_hand')),
    -- When the provider is asked next whether it has arrived; null: nobody asks.
    add column look_at timestamptz;

create index refund_look on refunds (look_at) where look_at is not null;
