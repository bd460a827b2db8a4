-- What a buyer has agreed to, with the order. And addresses of our own that no exhibition may take.

alter table contacts
    -- Date of the terms and the privacy notice that were agreed to, and that the buyer is 14 or older; null: agreed to
    -- elsewhere, by whoever calls the API for the buyer.
    add column consent_version text,
    -- Wants to hear of other exhibitions. Withdrawn at any time; order_events knows when.
    add column marketing boolean not null default false;

alter table exhibitions
    drop constraint exhibition_code_reserved,
    add constraint exhibition_code_reserved check (code not in (
        'api', 'admin', 'orders', 'order', 'entrance', 'assets', 'docs', 'health', 'livez', 'readyz', 'metrics',
        'pay', 'payment', 'complete', 'queue', 'static', 'login', 'logout', 'tickets', 'favicon', 'robots', 'sw',
        'terms', 'privacy', 'sitemap', 'offline', 'ticket'));
