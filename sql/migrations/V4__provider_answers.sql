-- What a payment provider answered, word for word but for what must not be kept. Apart from the attempts, so that a
-- change of an attempt's state does not copy some two kilobytes.
create table provider_answers (
    attempt_id  uuid not null,
    at          timestamptz not null,
    answer      jsonb not null,
    constraint provider_answers_key primary key (attempt_id, at)
);
insert into provider_answers (attempt_id, at, answer)
    select id, coalesce(ended_at, created_at), raw from attempts where raw is not null;
alter table attempts drop column raw;
