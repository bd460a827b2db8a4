-- The waiting room: what a room is set to, what it has promised, its public log, who asked to be told, and what admins
-- did. Redis holds the crowd and may lose it whole; what is here may not be lost or changed.

-- One row per exhibition that has ever had a room; none is the same as idle. Settings have a column each, so that the
-- table itself refuses what is out of bounds and an older process leaves alone what it does not know.
create table rooms (
    exhibition_id       int not null,
    phase               text not null default 'idle',
    phase_at            timestamptz not null,
    -- Raised by every change of settings or phase: whoever changes something names the one it has seen.
    revision            bigint not null default 1,
    -- Numbers start again with every run.
    run                 int not null default 1,
    -- Raised when Redis has lost writes.
    epoch               int not null default 1,
    reason_ko           text not null default '',
    reason_en           text not null default '',
    capacity            int not null,
    slack               int not null,
    rate_per_min        int not null,
    claim_window_s      int not null,
    idle_s              int not null,
    hard_s              int not null,
    late_share_pct      int not null,
    invited_share_pct   int not null,
    stock_factor_pct    int not null,
    draw                boolean not null,
    beacon              text not null,
    prequeue_at         timestamptz,
    opens_at            timestamptz,
    freeze_lead_s       int not null,
    safety_on_per_s     int not null,
    safety_off_after_s  int not null,
    brake_p99_ms        int not null,
    brake_error_pct     int not null,
    -- The draw, in the order in which it becomes public: the commitment, ...
    beacon_round        bigint,
    seed_hash           bytea,
    seed_key_id         text,
    sealed_seed         bytea,
    -- ... the closed cohort, ...
    m                   int,
    root                bytea,
    frozen_at           timestamptz,
    -- ... a value entered by hand, by one admin and then by another, ...
    manual_value        bytea,
    manual_by           int,
    manual_second       int,
    -- ... and what came out.
    beacon_value        bytea,
    draw_seed           bytea,
    weak                boolean not null default false,
    drawn_at            timestamptz,
    serving_general     int not null default 0,
    serving_invited     int not null default 0,
    -- Highest numbers that are known to have been given: after a loss Redis goes on above them.
    floor_general       int not null default 0,
    floor_invited       int not null default 0,
    log_seq             bigint not null default 0,
    log_head            bytea,
    constraint rooms_key primary key (exhibition_id),
    constraint room_exhibition foreign key (exhibition_id) references exhibitions (id),
    constraint room_phase check (phase in ('idle', 'bypass', 'prequeue', 'frozen', 'open', 'paused', 'drain', 'stopped',
        'ended')),
    constraint room_counts check (revision >= 1 and run >= 1 and epoch >= 1),
    constraint room_reasons check (char_length(reason_ko) <= 300 and char_length(reason_en) <= 300),
    constraint room_says_why check (phase not in ('paused', 'stopped') or (reason_ko <> '' and reason_en <> '')),
    -- As in Config::bounds, which a test compares with these.
    constraint room_capacity check (capacity between 1 and 1000000),
    constraint room_slack check (slack between 0 and 100000),
    constraint room_rate check (rate_per_min between 1 and 6000000),
    constraint room_claim_window check (claim_window_s between 45 and 3600),
    constraint room_idle check (idle_s between 60 and 3600),
    constraint room_hard check (hard_s between 120 and 14400),
    constraint room_hard_over_idle check (hard_s - idle_s between 0 and 14400),
    constraint room_late_share check (late_share_pct between 5 and 50),
    constraint room_invited_share check (invited_share_pct between 0 and 90),
    constraint room_stock_factor check (stock_factor_pct between 10 and 1000),
    constraint room_freeze_lead check (freeze_lead_s between 20 and 3600),
    constraint room_safety_on check (safety_on_per_s between 0 and 1000000),
    constraint room_safety_off check (safety_off_after_s between 10 and 86400),
    constraint room_brake_p99 check (brake_p99_ms between 50 and 60000),
    constraint room_brake_error check (brake_error_pct between 1 and 100),
    constraint room_beacon check (beacon in ('local', 'drand', 'manual')),
    constraint room_gathers_first check (prequeue_at < opens_at),
    constraint room_commitment check (num_nonnulls(beacon_round, seed_hash, seed_key_id, sealed_seed) in (0, 4)
        and octet_length(seed_hash) = 32),
    constraint room_cohort check (num_nonnulls(m, root, frozen_at) in (0, 3) and (root is null or seed_hash is not null)
        and octet_length(root) = 32 and m >= 0),
    constraint room_manual check (num_nonnulls(manual_value, manual_by) in (0, 2)
        and (manual_value is null or root is not null) and octet_length(manual_value) between 1 and 800
        and (manual_second is null or (manual_by is not null and manual_second <> manual_by))),
    constraint room_drawn check (case when draw_seed is null
        then beacon_value is null and drawn_at is null and not weak
        else root is not null and drawn_at is not null and octet_length(draw_seed) = 32
             and weak = (beacon_value is null) end
        and octet_length(beacon_value) between 1 and 800),
    -- Nobody is frozen without a draw to come, nor served before the draw that was announced.
    constraint room_frozen_to_draw check (phase <> 'frozen' or seed_hash is not null),
    constraint room_drawn_first check (phase not in ('open', 'paused', 'drain') or seed_hash is null
        or draw_seed is not null),
    constraint room_serving check (serving_general between 0 and floor_general
        and serving_invited between 0 and floor_invited),
    constraint room_log_head check (log_seq >= 0 and (log_seq = 0) = (log_head is null) and octet_length(log_head) = 32)
) with (fillfactor = 50);

-- Within one run nothing that was published changes, and nothing that only grows shrinks. Here as well as in the
-- statements, so that no statement written later can break it.
create function room_keeps_its_word() returns trigger language plpgsql as $$
begin
    if new.run < old.run or new.epoch < old.epoch or new.revision < old.revision then
        raise exception 'a run, epoch or revision of a room never goes back';
    end if;
    if new.run > old.run then
        return new;
    end if;
    if (old.seed_hash is not null and row(new.seed_hash, new.beacon_round) is distinct from row(old.seed_hash, old.beacon_round))
        or (old.root is not null and row(new.root, new.m) is distinct from row(old.root, old.m))
        or (old.draw_seed is not null and row(new.draw_seed, new.beacon_value, new.weak)
                                          is distinct from row(old.draw_seed, old.beacon_value, old.weak)) then
        raise exception 'a draw is never changed';
    end if;
    if new.serving_general < old.serving_general or new.serving_invited < old.serving_invited
        or new.floor_general < old.floor_general or new.floor_invited < old.floor_invited
        or new.log_seq < old.log_seq then
        raise exception 'what a room has served and given never goes back';
    end if;
    return new;
end $$;
create trigger room_keeps_its_word before update on rooms for each row execute function room_keeps_its_word();

create function is_append_only() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name;
end $$;

-- Public: a hash chain per run (src/waiting_room/chain.rs has the layout).
create table room_log (
    exhibition_id    int not null,
    run              int not null,
    seq              bigint not null,
    -- Whole milliseconds: the hash is over them.
    at               timestamptz not null,
    phase            text not null,
    serving_general  int not null,
    serving_invited  int not null,
    active           int not null,
    waiting          int not null,
    prev_hash        bytea not null,
    hash             bytea not null,
    constraint room_log_key primary key (exhibition_id, run, seq),
    constraint room_log_exhibition foreign key (exhibition_id) references exhibitions (id),
    constraint room_log_seq check (seq >= 1),
    constraint room_log_counts check (serving_general >= 0 and serving_invited >= 0 and active >= 0 and waiting >= 0),
    constraint room_log_hashes check (octet_length(prev_hash) = 32 and octet_length(hash) = 32)
);
create trigger room_log_append_only before update or delete or truncate on room_log
    for each statement execute function is_append_only();

-- Who changed what, for good. `user_id` is null for what Admit did by itself.
create table admin_audit (
    id             bigint generated always as identity primary key,
    at             timestamptz not null,
    user_id        int,
    user_name      text not null,
    role           text not null,
    action         text not null,
    exhibition_id  int,
    before         jsonb not null,
    after          jsonb not null,
    request_id     text not null,
    address        inet,
    constraint admin_audit_role check (role in ('super_admin', 'admin', 'staff', 'system')),
    constraint admin_audit_user check ((user_id is null) = (role = 'system'))
);
create index admin_audit_exhibition on admin_audit (exhibition_id, id);
create trigger admin_audit_append_only before update or delete or truncate on admin_audit
    for each statement execute function is_append_only();

-- Visitors who asked to be told when their turn is near; their outbox row (kind 'queue_turn') carries `id`. The address
-- goes as soon as it has served, the visitor comes back for it, or the run ends.
create table room_notices (
    id             uuid primary key,
    exhibition_id  int not null,
    run            int not null,
    lane           smallint not null,
    number         int not null,
    -- AES-256-GCM: key id, nonce and sealed JSON {email, language}.
    key_id         text,
    sealed         bytea,
    state          text not null default 'pending',
    created_at     timestamptz not null,
    -- When the outbox was told.
    due_at         timestamptz,
    ended_at       timestamptz,
    constraint room_notice_exhibition foreign key (exhibition_id) references exhibitions (id),
    constraint room_notice_once unique (exhibition_id, run, lane, number),
    constraint room_notice_state check (state in ('pending', 'sent', 'erased')),
    constraint room_notice_lane check (lane in (0, 1) and number >= 1),
    constraint room_notice_erased check (num_nonnulls(key_id, sealed) = case state when 'pending' then 2 else 0 end
        and (state = 'pending') = (ended_at is null))
);

-- The session of the pass an order was placed with; null where no room was active.
alter table orders add column pass_sid bytea;
