-- Phones at the gates. An admin makes a device with a one-time token; whoever scans it first holds the device's own
-- credential from then on. Only digests of both are kept.
create table devices (
    id                 uuid primary key,
    exhibition_id      int not null references exhibitions (id),
    gate               text not null,
    name               text not null,
    enrol_digest       bytea,
    enrol_until        timestamptz not null,
    credential_digest  bytea,
    created_by         int not null,
    created_at         timestamptz not null,
    enrolled_at        timestamptz,
    revoked_at         timestamptz,
    seen_at            timestamptz,
    constraint device_enrol_once unique (enrol_digest),
    constraint device_credential_once unique (credential_digest),
    -- A token or a credential, never both: who has the one has spent the other.
    constraint device_enrolled check ((enrolled_at is null) = (credential_digest is null)
                                      and (enrol_digest is null or credential_digest is null))
);
create index device_exhibition on devices (exhibition_id);

-- Somebody of the staff at a device, from signing in until signing out, twelve hours at most.
create table shifts (
    id         uuid primary key,
    device_id  uuid not null references devices (id),
    staff_id   int not null,
    began_at   timestamptz not null,
    ends_at    timestamptz not null,
    ended_at   timestamptz
);
create index shift_open on shifts (device_id) where ended_at is null;

-- The device of a scan; null: a scanner that calls with a user's own token.
alter table scans add column device_id uuid;
create index scan_device on scans (device_id, scanned_at) where device_id is not null;
