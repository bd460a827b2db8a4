-- Places of a product that one person may hold or own, besides what the exhibition allows; null: no limit of its own. Judged
-- by the person's orders, under a lock of the person (see decision 0017): whoever sets none pays nothing for it.
alter table products
    add column per_person_max int,
    add constraint product_per_person check (per_person_max is null or per_person_max between 1 and 100);
