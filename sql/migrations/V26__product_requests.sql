-- A product that is asked for twice under one key is made once. Nothing else of a product tells a repeat from another one: two
-- may have the same name and price. (An exhibition has its code, a slot its day and hour.)
alter table products
    add column request_key bytea,
    -- Of what was asked for under the key.
    add column request_fingerprint bytea,
    add constraint product_request check ((request_key is null) = (request_fingerprint is null));
create unique index product_request_once on products (request_key) where request_key is not null;
