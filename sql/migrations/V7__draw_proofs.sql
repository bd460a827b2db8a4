-- What proofs are made of: the leaves of a closed cohort, in the order of numbers, 32 bytes each. Written in the
-- transaction that closes the cohort, so no root is published that cannot be proved. The newest closed run's are kept.

-- One row per closed cohort.
create table room_cohorts (
    exhibition_id  int not null,
    run            int not null,
    -- The roots of its chunks. Nobody's cohort has none.
    chunk_roots    bytea not null,
    constraint room_cohorts_key primary key (exhibition_id, run),
    constraint room_cohort_exhibition foreign key (exhibition_id) references exhibitions (id),
    constraint room_cohort_roots check (octet_length(chunk_roots) % 32 = 0)
);

-- 1,024 leaves each, but for the last: a proof reads two rows of any cohort, however large.
create table room_leaves (
    exhibition_id  int not null,
    run            int not null,
    chunk          int not null,
    leaves         bytea not null,
    constraint room_leaves_key primary key (exhibition_id, run, chunk),
    constraint room_leaves_chunk check (chunk >= 0),
    constraint room_leaves_whole check (octet_length(leaves) between 32 and 32768 and octet_length(leaves) % 32 = 0)
);

-- Hashes cannot be compressed, and trying takes longer than writing them.
alter table room_cohorts alter column chunk_roots set storage external;
alter table room_leaves alter column leaves set storage external;

create trigger room_cohorts_stay before update on room_cohorts for each statement execute function is_append_only();
create trigger room_leaves_stay before update on room_leaves for each statement execute function is_append_only();
