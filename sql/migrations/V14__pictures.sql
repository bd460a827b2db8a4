-- Pictures of exhibitions, in two widths each, under the digest of the larger one: an address never changes what it shows.
create table pictures (
    digest         text not null,
    width          int not null,
    exhibition_id  int not null references exhibitions (id),
    body           bytea not null,
    created_at     timestamptz not null,
    primary key (digest, width),
    constraint picture_digest check (digest ~ '^[0-9a-f]{32}$')
);
create index picture_exhibition on pictures (exhibition_id);

-- The one that is shown: its digest, and its height at the larger width.
alter table exhibitions
    add column picture_digest text,
    add column picture_height int,
    add column picture_alt_ko text not null default '',
    add column picture_alt_en text not null default '',
    add constraint exhibition_picture check ((picture_digest is null) = (picture_height is null));
