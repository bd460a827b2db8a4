-- Many orders as a year of exhibitions leaves them, for measurements, in a database that is thrown away. Contacts are not
-- here: they are sealed, which only Admit does (tests/it/desk_measure.rs).
-- $ORDERS: how many. Of five exhibitions one has a part of them, $LARGEST (0.6 when it is measured); a third of its orders came in its first ten minutes. Seven of ten are paid.
set session_replication_role = replica;
set synchronous_commit = off;

insert into exhibitions (code, name_ko, name_en, starts_on, ends_on, sale_start_at, sale_end_at)
select 'many-' || n, '전시 ' || n, 'Exhibition ' || n, current_date - 30, current_date + 60, now() - interval '40 days', now() + interval '60 days'
  from generate_series(1, 5) n;
insert into stock (exhibition_id, total, offered) select e.id, 9000000, 9000000 from exhibitions e, generate_series(1, 32) order by e.id;
insert into products (exhibition_id, stock_id, kind, name_ko, name_en, price_won, dated)
select exhibition_id, id, 'adult', case nth when 1 then '성인' else '어린이' end, case nth when 1 then 'Adult' else 'Child' end, 20000 / nth, true
  from (select s.*, row_number() over (partition by exhibition_id order by id) as nth from stock s) s where nth <= 2;
insert into slots (exhibition_id, stock_id, visit_date)
select exhibition_id, id, current_date - 3 + nth::int from (select s.*, row_number() over (partition by exhibition_id order by id) as nth from stock s) s where nth > 2;

create unlogged table made as
with drawn as (
    select n, random() as a, random() as b, random() as c, random() as d, random() as e from generate_series(1, $ORDERS) n
), placed as (
    select n, case when a < $LARGEST then 1 when a < 0.8 then 2 when a < 0.9 then 3 when a < 0.99 then 4 else 5 end as exhibition,
           case when b < 0.68 then 'paid' when b < 0.92 then 'expired' when b < 0.95 then 'cancelled' when b < 0.975 then 'refunded'
                when b < 0.985 then 'partially_refunded' when b < 0.999 then 'expired' else 'held' end as state,
           now() - interval '40 days' + case when c < 0.3 then c * interval '33 minutes' else (c - 0.3) / 0.7 * interval '40 days' end as at,
           1 + floor(d * d * 5)::int as adults, case when e < 0.55 then 1 else 0 end as children, e
      from drawn
), dated as (
    select n, exhibition, state, case when state = 'held' then now() - e * interval '9 minutes' else at end as at, adults, children from placed
)
select n, exhibition, state, at, adults, children,
       (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid as id,
       'ORD' || to_char(at at time zone 'Asia/Seoul', 'YYYYMMDD') || '-' || upper(substr(md5('n' || n), 1, 10)) as number
  from dated order by at;

insert into orders (id, number, exhibition_id, slot_id, hold_id, taken_at_ms, fingerprint, state, total_won, person_key, person_places,
                    person_counted, has_email, language, created_at, expires_at, paid_at, paid_attempt_id)
select m.id, m.number, m.exhibition, (m.exhibition - 1) * 30 + 1 + (m.n % 30), decode(md5('h' || n), 'hex'), 0, decode(md5('f' || n), 'hex'), m.state,
       20000 * adults + 10000 * children, decode(md5('p' || n), 'hex'), 0, false, n % 2 = 0, 'ko', m.at, m.at + interval '10 minutes',
       case when state in ('paid', 'refunded', 'partially_refunded') then m.at + interval '2 minutes' end,
       case when state in ('paid', 'refunded', 'partially_refunded') then md5('a' || n)::uuid end
  from made m order by m.at;
insert into order_items (order_id, line, product_id, quantity, unit_won)
select id, 1, (exhibition - 1) * 2 + 1, adults, 20000 from made
union all select id, 2, (exhibition - 1) * 2 + 2, children, 10000 from made where children > 0;
insert into attempts (id, order_id, n, provider, provider_order_id, payment_key, amount_won, state, method, created_at, ended_at)
select md5('a' || n)::uuid, id, 1, 'toss', number || '-1', 'tviva' || to_char(at, 'YYYYMMDD') || substr(md5('k' || n), 1, 12),
       20000 * adults + 10000 * children, 'accepted', '카드', at, at + interval '2 minutes'
  from made where state in ('paid', 'refunded', 'partially_refunded');
insert into tickets (id, order_id, exhibition_id, product_id, slot_id, ticket_no, of_total, key_id, state, issued_at)
select md5('t' || n || '-' || k)::uuid, id, exhibition, (exhibition - 1) * 2 + case when k <= adults then 1 else 2 end, (exhibition - 1) * 30 + 1 + (n % 30),
       k, adults + children, 1, case when state = 'refunded' then 'refunded' else 'valid' end, at
  from made, generate_series(1, adults + children) k where state in ('paid', 'refunded', 'partially_refunded');
insert into order_events (order_id, kind, to_state, actor, cause, correlation_id, at)
select id, k, k, 'visitor', 'order', '', at from made, unnest(array['held', state]) k order by at;
set session_replication_role = origin;
