-- Orders of a slot, whatever has become of them: by the day of a visit they are looked for among all. As before not those that
-- are held or confirming, so that an order that is placed has no index more to be written in.
drop index order_slot;
create index order_slot on orders (slot_id, state, id) where slot_id is not null
    and state in ('awaiting_deposit', 'paid', 'partially_refunded', 'refunded', 'expired', 'cancelled');
