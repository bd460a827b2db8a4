-- Conversion from the line to a ticket: every step of the same people and the same time, so that none is more than the one before it.
-- A worker of the release before adds nothing to these columns: all workers end before one of this release begins.
alter table figures_hours
    -- Orders whose payment began, when it first did; what is paid at once begins and ends in one.
    add column attempted       int not null default 0,
    -- Counted where it happens: numbers given in a waiting room, and passes. Rehearsals are none.
    add column joined          int not null default 0,
    add column admitted        int not null default 0,
    -- Passes by which somebody placed an order, began to pay for one, and paid.
    add column came_placed     int not null default 0,
    add column came_attempted  int not null default 0,
    add column came_paid       int not null default 0;

-- How far each pass has come that an order was placed with: 1 placed, 2 its payment began, 3 paid.
create table figures_passes (
    exhibition_id  int not null,
    sid            bytea not null,
    step           int not null,
    constraint figures_passes_key primary key (exhibition_id, sid),
    constraint figures_passes_step check (step between 1 and 3)
);

-- Every night one worker compares the figures with the history: when, and what differed.
create table figures_check (
    one          boolean primary key default true,
    began_at     timestamptz,
    checked_at   timestamptz,
    differences  text[] not null default '{}',
    constraint figures_check_one check (one)
);
insert into figures_check default values;

-- What the figures have read already is told anew; nobody reads on meanwhile.
lock table figures_cursor in exclusive mode;

create temporary table steps on commit drop as
select e.id, e.order_id, e.at, o.exhibition_id, o.pass_sid,
       case e.to_state when 'held' then 1 when 'paid' then 3 else 2 end as step
  from order_events e join orders o on o.id = e.order_id cross join figures_cursor c
 where (e.changed, e.id) <= (c.changed, c.id)
   and (e.kind = 'held' or e.to_state in ('confirming', 'awaiting_deposit', 'paid'));

insert into figures_hours as f (exhibition_id, at, attempted)
select exhibition_id, date_trunc('hour', at), count(*)
  from (select distinct on (order_id) exhibition_id, at from steps where step > 1 order by order_id, id) first
 group by 1, 2
on conflict on constraint figures_hours_key do update set attempted = excluded.attempted;

insert into figures_passes (exhibition_id, sid, step)
select exhibition_id, pass_sid, max(step) from steps where pass_sid is not null group by 1, 2;

insert into figures_hours as f (exhibition_id, at, came_placed, came_attempted, came_paid)
select exhibition_id, date_trunc('hour', at), count(*) filter (where reached = 1), count(*) filter (where reached = 2),
       count(*) filter (where reached = 3)
  from (select s.exhibition_id, s.pass_sid, r.reached, min(s.at) as at
          from steps s cross join generate_series(1, 3) as r (reached)
         where s.pass_sid is not null and s.step >= r.reached group by 1, 2, 3) reached
 group by 1, 2
on conflict on constraint figures_hours_key do update
   set came_placed = excluded.came_placed, came_attempted = excluded.came_attempted, came_paid = excluded.came_paid;
