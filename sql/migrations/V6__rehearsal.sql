-- Rehearsals: a room that is run with simulated visitors before the day. Each has a run of its own and ends by itself.

-- Null: for real. In the row of the room, so that nobody who reads it takes a rehearsal for a sale.
alter table rooms add column rehearsal_ends_at timestamptz;
-- A room that rests is never in a rehearsal: whoever lets it rest must end the rehearsal with it.
alter table rooms add constraint room_rehearses_in_motion check (rehearsal_ends_at is null
    or phase not in ('idle', 'bypass', 'ended'));

create table room_rehearsals (
    exhibition_id  int not null,
    run            int not null,
    -- As in Rehearsal::bounds, which a test compares with these.
    people         int not null,
    arrive_s       int not null,
    abandon_pct    int not null,
    stay_s         int not null,
    user_name      text not null,
    began_at       timestamptz not null,
    -- When it ends by itself.
    ends_at        timestamptz not null,
    ended_at       timestamptz,
    -- What the room goes back to: the schedule of the real day must outlive its rehearsal.
    was_phase      text not null,
    prequeue_at    timestamptz,
    opens_at       timestamptz,
    -- The simulated visitors' device indexes, from the first on.
    device_epoch   int,
    device_first   int,
    -- How it goes, as the leader last said.
    joined         int not null default 0,
    waiting        int not null default 0,
    called         int not null default 0,
    inside         int not null default 0,
    done           int not null default 0,
    abandoned      int not null default 0,
    constraint room_rehearsals_key primary key (exhibition_id, run),
    constraint room_rehearsal_exhibition foreign key (exhibition_id) references exhibitions (id),
    constraint room_rehearsal_people check (people between 1 and 100000),
    constraint room_rehearsal_arrive check (arrive_s between 10 and 3600),
    constraint room_rehearsal_abandon check (abandon_pct between 0 and 90),
    constraint room_rehearsal_stay check (stay_s between 10 and 600),
    constraint room_rehearsal_ends check (ends_at > began_at),
    constraint room_rehearsal_was check (was_phase in ('idle', 'bypass', 'ended')),
    constraint room_rehearsal_devices check (num_nonnulls(device_epoch, device_first) in (0, 2))
) with (fillfactor = 50);
