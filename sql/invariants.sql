-- The invariants of Admit. Each query returns one row per violation and nothing when all is well. Run in one
-- repeatable-read snapshot after every test, after every load run, and by `admit doctor --sweep`.

-- invariant: stock rows are never oversold
select id, total, held, sold from stock where held < 0 or sold < 0 or held + sold > total;

-- invariant: held places equal the open orders
with open_lines as (
    select p.stock_id, i.quantity
      from orders o join order_items i on i.order_id = o.id join products p on p.id = i.product_id
     where o.state in ('held', 'confirming', 'awaiting_deposit')
    union all
    select s.stock_id, i.quantity
      from orders o join order_items i on i.order_id = o.id join slots s on s.id = o.slot_id
      join products p on p.id = i.product_id and p.dated
     where o.state in ('held', 'confirming', 'awaiting_deposit')
), want as (select stock_id, sum(quantity) as places from open_lines group by stock_id)
select s.id as stock_id, s.held, coalesce(w.places, 0) as should_be
  from stock s left join want w on w.stock_id = s.id
 where s.held <> coalesce(w.places, 0);

-- invariant: sold places equal the valid tickets
with taken as (
    select p.stock_id, count(*) as places from tickets t join products p on p.id = t.product_id
     where t.state in ('valid', 'blocked') and t.order_id not in (select id from orders where state = 'awaiting_deposit')
     group by p.stock_id
    union all
    select s.stock_id, count(*) from tickets t join slots s on s.id = t.slot_id
      join products p on p.id = t.product_id and p.dated
     where t.state in ('valid', 'blocked') and t.order_id not in (select id from orders where state = 'awaiting_deposit')
     group by s.stock_id
)
select s.id as stock_id, s.sold, coalesce(t.places, 0) as should_be
  from stock s left join taken t on t.stock_id = s.id
 where s.sold <> coalesce(t.places, 0);

-- invariant: one epoch per exhibition
select exhibition_id, count(distinct epoch) from stock group by exhibition_id having count(distinct epoch) > 1;

-- invariant: every order has its items, its contact and its first event
with items as (select distinct order_id from order_items),
     born as (select distinct order_id from order_events where kind = 'held' and from_state is null)
select o.id, o.number
  from orders o left join items i on i.order_id = o.id left join contacts c on c.order_id = o.id
  left join born b on b.order_id = o.id
 where i.order_id is null or c.order_id is null or b.order_id is null;

-- invariant: order rows point at what exists
select o.id from orders o left join exhibitions e on e.id = o.exhibition_id left join slots s on s.id = o.slot_id
 where e.id is null or (o.slot_id is not null and (s.id is null or s.exhibition_id <> o.exhibition_id))
union all
select i.order_id from order_items i left join orders o on o.id = i.order_id left join products p on p.id = i.product_id
 where o.id is null or p.id is null or p.exhibition_id <> o.exhibition_id or (p.dated and o.slot_id is null);

-- invariant: what is a draft was never sold
select o.id, e.code from orders o join exhibitions e on e.id = o.exhibition_id where e.stage = 'draft';

-- invariant: an order costs what its items cost
select o.id, o.total_won, sum(i.quantity * i.unit_won) as should_be
  from orders o join order_items i on i.order_id = o.id
 group by o.id having o.total_won <> sum(i.quantity * i.unit_won);

-- invariant: captured minus refunded equals the price of what is kept
-- Captured, less all that went back or is owed, is the price of the tickets that are left and the fees that were kept.
with money as (
    select order_id, sum(amount_won) filter (where state = 'accepted') as captured from attempts group by order_id
), back as (
    select order_id, sum(amount_won) as amount, sum(fee_won) as fees from refunds group by order_id
), prices as (
    select distinct order_id, product_id, unit_won from order_items
), tickets_left as (
    select t.order_id, sum(p.unit_won) as price
      from tickets t join prices p on p.order_id = t.order_id and p.product_id = t.product_id
      join orders o on o.id = t.order_id
     where t.state in ('valid', 'blocked') and o.state in ('paid', 'partially_refunded')
     group by t.order_id
)
select o.id, o.number, o.state, o.total_won, m.captured, b.amount as back, b.fees, l.price as tickets_left
  from orders o left join money m on m.order_id = o.id left join back b on b.order_id = o.id
  left join tickets_left l on l.order_id = o.id
 where coalesce(m.captured, 0) - coalesce(b.amount, 0) <> coalesce(l.price, 0) + coalesce(b.fees, 0);

-- invariant: a refund says what its tickets cost, and a ticket that was given back has its refund
with prices as (select distinct order_id, product_id, unit_won from order_items)
select r.id::text, r.price_won, sum(p.unit_won) as should_be
  from refunds r left join refund_tickets e on e.refund_id = r.id left join tickets t on t.id = e.ticket_id
  left join prices p on p.order_id = t.order_id and p.product_id = t.product_id
 group by r.id having r.price_won <> coalesce(sum(p.unit_won), 0)
union all
select t.id::text, 0, 0 from tickets t full join refund_tickets e on e.ticket_id = t.id
 where (t.state = 'refunded') is distinct from (e.ticket_id is not null);

-- invariant: no more goes back than was captured
select a.id, a.amount_won, sum(r.amount_won) as back
  from attempts a join refunds r on r.attempt_id = a.id group by a.id having sum(r.amount_won) > a.amount_won;

-- invariant: an account to pay into belongs to an attempt that waits for money, or is about to be closed
select d.attempt_id, a.state from deposit_accounts d left join attempts a on a.id = d.attempt_id
 where a.id is null or a.state in ('ready', 'sent', 'unknown');

-- invariant: refunds done equal what the attempts say was refunded
select a.id, a.refunded_won, coalesce(sum(r.amount_won) filter (where r.state in ('done', 'bounced')), 0) as should_be
  from attempts a left join refunds r on r.attempt_id = a.id
 group by a.id having a.refunded_won <> coalesce(sum(r.amount_won) filter (where r.state in ('done', 'bounced')), 0);

-- invariant: paid orders have one valid ticket per place, others none
with places as (select order_id, sum(quantity) as places from order_items group by order_id),
     valid as (select order_id, count(*) as valid from tickets where state in ('valid', 'blocked') group by order_id)
select o.id, o.number, o.state, coalesce(v.valid, 0) as valid, p.places
  from orders o left join places p on p.order_id = o.id left join valid v on v.order_id = o.id
  left join (select t.order_id, count(*) as places from tickets t join refund_tickets e on e.ticket_id = t.id group by t.order_id) g
    on g.order_id = o.id
 where coalesce(v.valid, 0)
       <> case when o.state in ('paid', 'partially_refunded') then p.places - coalesce(g.places, 0) else 0 end
   and not (o.state = 'awaiting_deposit' and v.valid = p.places);

-- invariant: a paid order names the attempt that paid it
select o.id, o.number from orders o left join attempts a on a.id = o.paid_attempt_id
 where o.state in ('paid', 'partially_refunded') and o.total_won > 0 and (a.id is null or a.state <> 'accepted' or a.order_id <> o.id);

-- invariant: an order that is confirming has exactly one attempt in flight
with in_flight as (select order_id, count(*) as attempts from attempts where state in ('sent', 'unknown') group by order_id),
     awaited as (select order_id, count(*) as attempts from attempts where state = 'awaiting_deposit' group by order_id)
select o.id, o.number, o.state
  from orders o full join in_flight f on f.order_id = o.id left join awaited w on w.order_id = o.id
 where o.id is null or (o.state = 'confirming') <> (coalesce(f.attempts, 0) = 1)
    or (o.state = 'awaiting_deposit') <> (coalesce(w.attempts, 0) = 1);

-- invariant: where no rules were ever set, a ticket is let in at most once, but by a supervisor or by devices without a network
select s.ticket_id, count(*)
  from scans s
 where s.allowed and s.direction = 'in' and s.undone_at is null and not s.forced and not s.apart and s.uploaded_at is null
   and not exists (select 1 from admin_audit a where a.exhibition_id = s.exhibition_id and a.action = 'entry.rules')
 group by s.ticket_id having count(*) > 1;

-- invariant: a ticket knows its entries and the first of them
select t.id, t.entries, count(s.id) as should_be
  from tickets t left join scans s on s.ticket_id = t.id and s.allowed and s.counted and s.undone_at is null and not s.apart
 group by t.id having t.entries <> count(s.id)
union all
select t.id, t.entries, 0 from tickets t left join scans s on s.id = t.used_scan_id
 where t.used_scan_id is not null
   and (s.id is null or not s.allowed or s.ticket_id <> t.id or s.undone_at is not null or s.scanned_at <> t.used_at);

-- invariant: a conflict is about an admission
select c.id, c.kind from entry_conflicts c left join scans s on s.id = c.scan_id
 where s.id is null or not s.allowed or (c.decided_at is null and s.undone_at is not null);

-- invariant: nobody exceeds the per-person limit
with used as (
    select exhibition_id, person_key, sum(person_places) as places,
           count(*) filter (where state in ('held', 'confirming', 'awaiting_deposit')) as open_holds
      from orders
     where person_counted and state in ('held', 'confirming', 'awaiting_deposit', 'paid', 'partially_refunded')
     group by exhibition_id, person_key
)
select coalesce(u.exhibition_id, c.exhibition_id) as exhibition_id, c.allowed, c.used, u.places, c.open_holds, u.open_holds as should_be
  from used u full join person_counters c using (exhibition_id, person_key)
 where coalesce(u.places, 0) <> coalesce(c.used, 0) or coalesce(u.open_holds, 0) <> coalesce(c.open_holds, 0)
    or c.used > c.allowed;

-- invariant: nobody who is forgotten is counted
select o.id, o.number from orders o where o.person_counted and o.person_key = decode(repeat('00', 16), 'hex');

-- invariant: every change of state has its event
with last as (
    select distinct on (order_id) order_id, to_state from order_events where to_state is not null order by order_id, id desc
)
select o.id, o.number, o.state, l.to_state
  from orders o left join last l on l.order_id = o.id where l.to_state is distinct from o.state;

-- invariant: no personal data in the history
select id from order_events where cause ~ '[0-9]{8,}' or actor ~ '@';

-- invariant: only tickets of dated products are for a slot
select t.id from tickets t join products p on p.id = t.product_id where p.dated <> (t.slot_id is not null);

-- invariant: no refund that is owed has been given up
select id, order_id, amount_won, failure_code from refunds where state in ('failed', 'bounced');

-- invariant: the log of a room is one chain up to its head
with rows as (
    select exhibition_id, run, seq, prev_hash, lag(hash) over w as hash_before, row_number() over w as n
      from room_log window w as (partition by exhibition_id, run order by seq)
)
select exhibition_id, run, seq from rows where seq <> n or (n > 1 and prev_hash is distinct from hash_before)
union all
select r.exhibition_id, r.run, r.log_seq
  from rooms r left join room_log l on l.exhibition_id = r.exhibition_id and l.run = r.run and l.seq = r.log_seq
 where r.log_head is distinct from l.hash
    or exists (select from room_log x where x.exhibition_id = r.exhibition_id and x.run >= r.run
                                        and (x.run, x.seq) > (r.run, r.log_seq));

-- invariant: of a closed cohort every leaf is kept, or nothing
with kept as (
    select exhibition_id, run, count(*) as chunks, max(chunk) as last, sum(octet_length(leaves)) / 32 as leaves
      from room_leaves group by exhibition_id, run
)
select exhibition_id, run, k.chunks, k.leaves, r.m
  from room_cohorts c full join kept k using (exhibition_id, run) left join rooms r using (exhibition_id, run)
 where c.chunk_roots is null or octet_length(c.chunk_roots) <> 32 * coalesce(k.chunks, 0) or k.last <> k.chunks - 1
    or coalesce(k.leaves, 0) <> r.m;

-- invariant: every change of a room is on record
with recorded as (
    select exhibition_id, count(*) as changes from admin_audit
     where action in ('room.config', 'room.phase', 'room.rehearsal')
     group by exhibition_id
)
select r.exhibition_id, r.revision, coalesce(c.changes, 0) as changes
  from rooms r left join recorded c using (exhibition_id) where r.revision <> 1 + coalesce(c.changes, 0);

-- invariant: a notice that is due has its message, a message about one has its notice, and none outlives its run
select n.id::text, n.state from room_notices n left join outbox b on b.kind = 'queue_turn' and b.order_id = n.id
 where n.due_at is not null and b.id is null
union all
select b.id::text, b.state from outbox b left join room_notices n on n.id = b.order_id
 where b.kind = 'queue_turn' and n.id is null
union all
select n.id::text, n.state from room_notices n join rooms r on r.exhibition_id = n.exhibition_id
 where n.state = 'pending' and n.run < r.run;

-- invariant: a message belongs to the exhibition that it tells of
select b.id, b.kind, b.exhibition_id, coalesce(o.exhibition_id, n.exhibition_id, 0) as should_be
  from outbox b left join refunds r on b.kind = 'refund' and r.id = b.order_id
  left join mail_resends m on b.kind = 'resend' and m.id = b.order_id
  left join room_notices n on b.kind = 'queue_turn' and n.id = b.order_id
  left join orders o
    on o.id = case b.kind when 'refund' then r.order_id when 'resend' then m.order_id else b.order_id end
 where b.exhibition_id <> coalesce(o.exhibition_id, n.exhibition_id, 0);

-- invariant: the pass an order was placed with is a whole session
select id, number from orders where octet_length(pass_sid) <> 16;

-- invariant: the figures of each hour are what the events up to their cursor add up to
with seen as (
    select e.id, e.kind, e.to_state, e.from_state, date_trunc('hour', e.at) as at, e.at as instant, e.order_id, e.about, o.exhibition_id, o.total_won
      from order_events e join orders o on o.id = e.order_id cross join figures_cursor c
     where (e.changed, e.id) <= (c.changed, c.id)
), began as (
    select distinct on (order_id) exhibition_id, at from seen
     where to_state in ('confirming', 'awaiting_deposit', 'paid') order by order_id, id
), moved as (
    select exhibition_id, at, (kind = 'held')::int as placed, 0 as attempted,
           case when to_state = 'paid' and from_state <> 'paid' then 1 when kind = 'deposit_reversed' then -1 else 0 end as paid,
           (kind = 'declined')::int as declined, (to_state = 'expired')::int as expired, (to_state = 'cancelled')::int as cancelled,
           0 as refunds, 0::bigint as refunded, total_won
      from seen
    union all
    select exhibition_id, at, 0, 1, 0, 0, 0, 0, 0, 0, 0 from began
    union all
    select s.exhibition_id, s.at, 0, 0, 0, 0, 0, 0, (r.amount_won > 0)::int, r.amount_won, 0
      from seen s join refunds r
        on r.id = s.about or (s.about is null and r.order_id = s.order_id and r.created_at = s.instant and r.kind <> 'automatic')
     where s.to_state in ('refunded', 'partially_refunded')
), truth as (
    select exhibition_id, at, sum(placed) as placed, sum(attempted) as attempted, sum(paid) as paid, sum(declined) as declined,
           sum(expired) as expired, sum(cancelled) as cancelled, sum(paid::bigint * total_won) as revenue_won,
           sum(refunds) as refunds, sum(refunded) as refunded_won
      from moved group by 1, 2
), told as (
    select exhibition_id, at, placed, attempted, paid, declined, expired, cancelled, revenue_won, refunds, refunded_won from figures_hours
), each_column as (
    select coalesce(t.exhibition_id, f.exhibition_id) as exhibition_id, coalesce(t.at, f.at) as at, c.name, coalesce(c.truth, 0) as truth,
           coalesce(c.told, 0) as told
      from truth t full join told f using (exhibition_id, at)
     cross join lateral (values
           ('placed', t.placed, f.placed), ('attempted', t.attempted, f.attempted), ('paid', t.paid, f.paid),
           ('declined', t.declined, f.declined), ('expired', t.expired, f.expired), ('cancelled', t.cancelled, f.cancelled),
           ('revenue_won', t.revenue_won, f.revenue_won), ('refunds', t.refunds, f.refunds),
           ('refunded_won', t.refunded_won, f.refunded_won)) as c (name, truth, told)
)
select exhibition_id, at, name, truth, told from each_column where truth <> told;

-- invariant: the figures of each product and slot are what the events up to their cursor add up to
with seen as (
    select e.kind, e.to_state, e.from_state, e.at, e.order_id, e.about, o.exhibition_id, o.slot_id
      from order_events e join orders o on o.id = e.order_id cross join figures_cursor c
     where (e.changed, e.id) <= (c.changed, c.id)
), places as (
    select s.exhibition_id, i.product_id, case when p.dated then s.slot_id end as slot_id, (s.at at time zone 'Asia/Seoul')::date as day,
           i.quantity * case when s.kind = 'deposit_reversed' then -1 else 1 end as sold, 0 as given_back,
           i.quantity::bigint * i.unit_won * case when s.kind = 'deposit_reversed' then -1 else 1 end as won
      from seen s join order_items i on i.order_id = s.order_id join products p on p.id = i.product_id
     where (s.to_state = 'paid' and s.from_state <> 'paid') or s.kind = 'deposit_reversed'
    union all
    select s.exhibition_id, t.product_id, t.slot_id, (s.at at time zone 'Asia/Seoul')::date, 0, 1, 0
      from seen s
      left join refunds r on s.about is null and r.order_id = s.order_id and r.created_at = s.at and r.kind <> 'automatic'
      join refund_tickets e on e.refund_id = coalesce(s.about, r.id) join tickets t on t.id = e.ticket_id
     where s.to_state in ('refunded', 'partially_refunded')
), of_products as (
    select exhibition_id, product_id, day, sum(sold) as sold, sum(given_back) as given_back, sum(won) as won from places group by 1, 2, 3
), of_slots as (
    select exhibition_id, slot_id, sum(sold) as sold, sum(given_back) as given_back from places where slot_id is not null group by 1, 2
)
select 'product' as what, exhibition_id, product_id as id, day, t.sold, f.sold as told_sold, t.given_back, f.given_back as told_given_back,
       t.won, f.sold_won as told_won
  from of_products t full join figures_products f using (exhibition_id, product_id, day)
 where (coalesce(t.sold, 0), coalesce(t.given_back, 0), coalesce(t.won, 0)) <> (coalesce(f.sold, 0), coalesce(f.given_back, 0), coalesce(f.sold_won, 0))
union all
select 'slot', exhibition_id, slot_id, null, t.sold, f.sold, t.given_back, f.given_back, 0, 0
  from of_slots t full join figures_slots f using (exhibition_id, slot_id)
 where (coalesce(t.sold, 0), coalesce(t.given_back, 0)) <> (coalesce(f.sold, 0), coalesce(f.given_back, 0));

-- invariant: the figures of conversion are what the passes have come to
with told as (
    select exhibition_id, sum(came_placed) as placed, sum(came_attempted) as attempted, sum(came_paid) as paid from figures_hours group by 1
), counted as (
    select exhibition_id, count(*) as placed, count(*) filter (where step >= 2) as attempted, count(*) filter (where step = 3) as paid
      from figures_passes group by 1
)
select exhibition_id::text as what, c.placed, t.placed as told_placed, c.attempted, t.attempted as told_attempted, c.paid, t.paid as told_paid
  from counted c full join told t using (exhibition_id)
 where (coalesce(c.placed, 0), coalesce(c.attempted, 0), coalesce(c.paid, 0)) <> (coalesce(t.placed, 0), coalesce(t.attempted, 0), coalesce(t.paid, 0))
union all
-- Passes of people who are forgotten are known here alone.
select o.number, 0, 0, 0, 0, s.step, coalesce(p.step, 0)
  from (select e.order_id, max(case e.to_state when 'held' then 1 when 'paid' then 3 else 2 end) as step
          from order_events e cross join figures_cursor c
         where (e.changed, e.id) <= (c.changed, c.id) and (e.kind = 'held' or e.to_state in ('confirming', 'awaiting_deposit', 'paid'))
         group by 1) s
  join orders o on o.id = s.order_id left join figures_passes p on p.exhibition_id = o.exhibition_id and p.sid = o.pass_sid
 where o.pass_sid is not null and s.step > coalesce(p.step, 0);

-- invariant: the figures tell no entrance that was none
-- They may tell fewer: of the last seconds, and what is heard of later than two days.
with truth as (
    select exhibition_id, date_trunc('hour', scanned_at) as at, count(*) as entrances from scans where allowed and direction = 'in' group by 1, 2
)
select exhibition_id, at, t.entrances, f.entrances as told from figures_hours f left join truth t using (exhibition_id, at)
 where f.entrances > coalesce(t.entrances, 0);

-- invariant: no letter about an account waits without its cause
select b.id, b.kind from outbox b left join password_resets r on r.id = b.order_id
 where b.kind = 'password_reset' and b.state = 'pending' and r.user_id is null
union all
select b.id, b.kind from outbox b left join account_notices n on n.id = b.order_id
 where b.kind = 'account_notice' and b.state = 'pending' and n.id is null;

-- invariant: recovery codes are there for a second factor in force alone
select distinct c.user_id from recovery_codes c join admin_users u on u.id = c.user_id where u.totp_confirmed_at is null;
