-- Sold at the door for cash: an attempt like any other, whose provider is the staff at a gate. Who took the money is its
-- answer, in provider_answers: {device, shift, staff, gate}.

alter table exhibitions add column walk_ins boolean not null default false;

alter table attempts
    drop constraint attempt_provider,
    add constraint attempt_provider check (provider in ('toss', 'stripe', 'cash'));
create index attempt_cash on attempts (ended_at) where provider = 'cash';
