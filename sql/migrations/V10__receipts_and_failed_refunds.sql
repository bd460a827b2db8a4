-- What Korean tax law has for those who pay by transfer or into an account, and how long they have. And refunds that a bank
-- refuses after they were made.

alter table exhibitions
    -- Tickets count as culture expense in the buyer's tax return (museums, galleries, performances).
    add column culture_expense boolean not null default false,
    -- Time to pay into a virtual account. [hours]
    add column deposit_h int not null default 24,
    add constraint exhibition_deposit check (deposit_h between 1 and 720);

alter table attempts
    -- The provider's receipt, the cash receipt and the culture flag, as far as the provider has them.
    add column receipts jsonb;

alter table provider_transactions
    drop constraint provider_transaction_kind,
    add constraint provider_transaction_kind check (kind in ('payment', 'refund', 'refund_failed'));
