-- Pictures of exhibitions, in two widths each, under the digest of the larger one: an address never changes what it shows.
create table pictures (
    digest         text not null,
    width          int not null,
    exhibition_id  int not null references exhibitions (id),
    body           bytea not null,
    -- When it was last sent, or another took its place.
    shown_at       timestamptz not null,
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

-- `/pictures/` is an address of its own.
alter table exhibitions
    drop constraint exhibition_code_reserved,
    add constraint exhibition_code_reserved check (code not in (
        'api', 'admin', 'orders', 'order', 'entrance', 'assets', 'docs', 'health', 'livez', 'readyz', 'metrics',
        'pay', 'payment', 'complete', 'queue', 'static', 'login', 'logout', 'tickets', 'favicon', 'robots', 'sw',
        'terms', 'privacy', 'sitemap', 'offline', 'ticket', 'pictures'));
