//! Exhibitions: read, locked, made, changed, ended, and what goes with them to a copy.

use deadpool_postgres::GenericClient;
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::settings::ExhibitionSettings;
use crate::catalogue::model::{Shot, Stage};
use crate::error::{Error, Result};
use crate::orders::refunds::rules::Rules;
use crate::platform::pg::Statement;

#[derive(Clone, Debug)]
pub struct ExhibitionRow {
    pub id: i32,
    pub code: String,
    pub revision: i64,
    pub settings: ExhibitionSettings,
    pub picture: Option<Shot>,
}

macro_rules! exhibitions {
    ($rest:literal) => {
        concat!(
            "select id, code, revision, stage, name_ko, name_en, description_ko, description_en, venue_ko, venue_en,
                    starts_on, ends_on, sale_start_at, sale_end_at, paused, hold_ttl_s, person_limit, open_holds_max,
                    refund_rules, refund_free_h, payment_provider, canary_provider, canary_pct, culture_expense, deposit_h,
                    picture_digest, picture_height, picture_alt_ko, picture_alt_en, pause_reason_ko, pause_reason_en
               from exhibitions ",
            $rest
        )
    };
}

const ONE: Statement = Statement::new("admin_catalogue.exhibition", exhibitions!("where id = $1"));

/// Whoever changes it, its products or its slots comes one after the other. Rows that point at it are not kept waiting.
const LOCK: Statement =
    Statement::new("admin_catalogue.lock_exhibition", exhibitions!("where id = $1 for no key update"));

/// Rows that point at it wait, and those that were on their way are there: it may go.
const LOCK_WHOLE: Statement =
    Statement::new("admin_catalogue.lock_whole_exhibition", exhibitions!("where id = $1 for update"));

/// $1 null: all.
const LIST: Statement = Statement::new(
    "admin_catalogue.exhibitions",
    exhibitions!("where $1::int[] is null or id = any($1::int[]) order by code"),
);

const COUNT: Statement = Statement::new("admin_catalogue.count_exhibitions", "select count(*) from exhibitions");

const ID_OF: Statement = Statement::new("admin_catalogue.exhibition_id", "select id from exhibitions where code = $1");

const INSERT: Statement = Statement::new(
    "admin_catalogue.insert_exhibition",
    "insert into exhibitions (code, stage, name_ko, name_en, description_ko, description_en, venue_ko, venue_en, starts_on,
            ends_on, sale_start_at, sale_end_at, paused, hold_ttl_s, person_limit, open_holds_max, refund_rules,
            refund_free_h, payment_provider, canary_provider, canary_pct, culture_expense, deposit_h, pause_reason_ko,
            pause_reason_en)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
             $25)
     on conflict on constraint exhibition_code_once do nothing returning id",
);

const UPDATE: Statement = Statement::new(
    "admin_catalogue.update_exhibition",
    "update exhibitions
        set stage = $2, name_ko = $3, name_en = $4, description_ko = $5, description_en = $6, venue_ko = $7, venue_en = $8,
            starts_on = $9, ends_on = $10, sale_start_at = $11, sale_end_at = $12, paused = $13, hold_ttl_s = $14,
            person_limit = $15, open_holds_max = $16, refund_rules = $17, refund_free_h = $18, payment_provider = $19,
            canary_provider = $20, canary_pct = $21, culture_expense = $22, deposit_h = $23, pause_reason_ko = $24,
            pause_reason_en = $25, revision = revision + 1
      where id = $1",
);

/// Days that have slots.
const DAYS: Statement = Statement::new(
    "admin_catalogue.days",
    "select min(visit_date), max(visit_date) from slots where exhibition_id = $1",
);

/// Whoever sets or moves its room comes before or after.
const LOCK_ROOM: Statement =
    Statement::new("admin_catalogue.lock_room", "select from rooms where exhibition_id = $1 for update");

/// What was ordered, and what was set up beside the catalogue, keeps an exhibition. A room as a copy begins with, which nobody has
/// set or moved, does not.
const IS_KEPT: Statement = Statement::new(
    "admin_catalogue.is_kept",
    "select exists (select from orders where exhibition_id = $1) or exists (select from devices where exhibition_id = $1)
         or exists (select from rooms where exhibition_id = $1 and (phase <> 'idle' or revision > 1))",
);

const COPY_RULES: Statement = Statement::new(
    "admin_catalogue.copy_rules",
    "insert into entry_rules (exhibition_id, product_id, early_min, late_min, gates, entries, per_day, reentry, gap_s, changed_at)
     select $2, m.made, r.early_min, r.late_min, r.gates, r.entries, r.per_day, r.reentry, r.gap_s, admit_now()
       from entry_rules r left join unnest($3::int[], $4::int[]) as m (source, made) on m.source = r.product_id
      where r.exhibition_id = $1 and (r.product_id is null) = (m.made is null)",
);

/// What calls of its own set. The file of a picture is kept once, for as long as one of them shows it.
const COPY_REST: Statement = Statement::new(
    "admin_catalogue.copy_rest",
    "update exhibitions e
        set walk_ins = s.walk_ins, picture_digest = s.picture_digest, picture_height = s.picture_height,
            picture_alt_ko = s.picture_alt_ko, picture_alt_en = s.picture_alt_en
       from exhibitions s where e.id = $2 and s.id = $1",
);

/// Those who can sign in. Their names.
const COPY_PEOPLE: Statement = Statement::new(
    "admin_catalogue.copy_people",
    "with added as (
         insert into admin_user_exhibitions (user_id, exhibition_id)
         select x.user_id, $2 from admin_user_exhibitions x join admin_users u on u.id = x.user_id
          where x.exhibition_id = $1 and u.disabled_at is null
         returning user_id
     )
     select u.username from added join admin_users u on u.id = added.user_id order by u.username",
);

/// A picture that another exhibition shows as well goes on as that one's.
const HAND_OVER_PICTURES: Statement = Statement::new(
    "admin_catalogue.hand_over_pictures",
    "update pictures p set exhibition_id = e.id from exhibitions e
      where p.exhibition_id = $1 and e.id <> $1 and e.picture_digest = p.digest",
);

macro_rules! delete_all {
    ($($name:ident = $label:literal, $sql:literal;)*) => {
        $(const $name: Statement = Statement::new($label, $sql);)*
        /// In this order.
        const DELETE_ALL: &[&Statement] = &[&HAND_OVER_PICTURES, $(&$name),*];
        pub const STATEMENTS: &[&Statement] = &[
            &ONE, &LOCK, &LOCK_WHOLE, &LIST, &COUNT, &ID_OF, &INSERT, &UPDATE, &DAYS, &LOCK_ROOM, &IS_KEPT, &COPY_RULES,
            &COPY_REST, &COPY_PEOPLE, &HAND_OVER_PICTURES, $(&$name),*
        ];
    };
}

delete_all! {
    DELETE_PICTURES = "admin_catalogue.delete_pictures", "delete from pictures where exhibition_id = $1";
    DELETE_RULES = "admin_catalogue.delete_rules", "delete from entry_rules where exhibition_id = $1";
    DELETE_STAFF = "admin_catalogue.delete_staff", "delete from admin_user_exhibitions where exhibition_id = $1";
    DELETE_ROOM = "admin_catalogue.delete_room", "delete from rooms where exhibition_id = $1";
    DELETE_PRODUCTS = "admin_catalogue.delete_products", "delete from products where exhibition_id = $1";
    DELETE_SLOTS = "admin_catalogue.delete_slots", "delete from slots where exhibition_id = $1";
    DELETE_STOCK = "admin_catalogue.delete_stock", "delete from stock where exhibition_id = $1";
    DELETE_EXHIBITION = "admin_catalogue.delete_exhibition", "delete from exhibitions where id = $1";
}

fn read(r: &Row) -> Result<ExhibitionRow> {
    let stage: &str = r.get(3);
    let refund_free_h = r.get(19);
    Ok(ExhibitionRow {
        id: r.get(0),
        code: r.get(1),
        revision: r.get(2),
        settings: ExhibitionSettings {
            stage: Stage::parse(stage).ok_or_else(|| Error::bug(format!("a stage {stage}")))?,
            name_ko: r.get(4),
            name_en: r.get(5),
            description_ko: r.get(6),
            description_en: r.get(7),
            venue_ko: r.get(8),
            venue_en: r.get(9),
            starts_on: r.get(10),
            ends_on: r.get(11),
            sale_start: r.get(12),
            sale_end: r.get(13),
            paused: r.get(14),
            pause_reason_ko: r.get(29),
            pause_reason_en: r.get(30),
            hold_ttl_s: r.get(15),
            person_limit: r.get(16),
            open_holds_max: r.get(17),
            refund_rules: Rules::new(&r.get(18), refund_free_h).table().to_vec(),
            refund_free_h,
            payment_provider: r.get(20),
            canary_provider: r.get(21),
            canary_pct: r.get(22),
            culture_expense: r.get(23),
            deposit_h: r.get(24),
        },
        picture: r
            .get::<_, Option<&str>>(25)
            .map(|digest| Shot::new(digest, r.get::<_, i32>(26).unsigned_abs(), r.get(27), r.get(28))),
    })
}

fn unknown() -> Error {
    Error::not_found("catalogue.unknown_exhibition")
}

pub async fn one(client: &impl GenericClient, id: i32) -> Result<ExhibitionRow> {
    read(&ONE.query_opt(client, &[&id]).await?.ok_or_else(unknown)?)
}

/// In a transaction.
pub async fn lock(client: &impl GenericClient, id: i32) -> Result<ExhibitionRow> {
    read(&LOCK.query_opt(client, &[&id]).await?.ok_or_else(unknown)?)
}

/// In a transaction that may delete it.
pub async fn lock_whole(client: &impl GenericClient, id: i32) -> Result<ExhibitionRow> {
    read(&LOCK_WHOLE.query_opt(client, &[&id]).await?.ok_or_else(unknown)?)
}

/// None: all.
pub async fn list(client: &impl GenericClient, ids: Option<&[i32]>) -> Result<Vec<ExhibitionRow>> {
    LIST.query(client, &[&ids]).await?.iter().map(read).collect()
}

pub async fn count(client: &impl GenericClient) -> Result<i64> {
    Ok(COUNT.query_one(client, &[]).await?.get(0))
}

pub async fn id_of(client: &impl GenericClient, code: &str) -> Result<Option<i32>> {
    Ok(ID_OF.query_opt(client, &[&code]).await?.map(|row| row.get(0)))
}

/// Both statements number the settings from $2 on.
async fn write(
    statement: &Statement,
    client: &impl GenericClient,
    first: &(dyn ToSql + Sync),
    s: &ExhibitionSettings,
) -> Result<Vec<Row>> {
    let (stage, refund_rules) = (s.stage.as_str(), json!(s.refund_rules));
    let params: [&(dyn ToSql + Sync); 25] = [
        first,
        &stage,
        &s.name_ko,
        &s.name_en,
        &s.description_ko,
        &s.description_en,
        &s.venue_ko,
        &s.venue_en,
        &s.starts_on,
        &s.ends_on,
        &s.sale_start,
        &s.sale_end,
        &s.paused,
        &s.hold_ttl_s,
        &s.person_limit,
        &s.open_holds_max,
        &refund_rules,
        &s.refund_free_h,
        &s.payment_provider,
        &s.canary_provider,
        &s.canary_pct,
        &s.culture_expense,
        &s.deposit_h,
        &s.pause_reason_ko,
        &s.pause_reason_en,
    ];
    statement.query(client, &params).await
}

/// None: the code is taken.
pub async fn insert(client: &impl GenericClient, code: &str, settings: &ExhibitionSettings) -> Result<Option<i32>> {
    Ok(write(&INSERT, client, &code, settings).await?.first().map(|row| row.get(0)))
}

/// Under its lock.
pub async fn update(client: &impl GenericClient, id: i32, settings: &ExhibitionSettings) -> Result<ExhibitionRow> {
    write(&UPDATE, client, &id, settings).await?;
    one(client, id).await
}

/// The first and the last that has a slot.
pub async fn days(client: &impl GenericClient, id: i32) -> Result<Option<(jiff::civil::Date, jiff::civil::Date)>> {
    let row = DAYS.query_one(client, &[&id]).await?;
    Ok(row.get::<_, Option<_>>(0).zip(row.get(1)))
}

/// In a transaction that has locked it whole.
pub async fn is_kept(client: &impl GenericClient, id: i32) -> Result<bool> {
    LOCK_ROOM.execute(client, &[&id]).await?;
    Ok(IS_KEPT.query_one(client, &[&id]).await?.get(0))
}

/// The rules of the exhibition and of products, whose ids in both are given, and its picture.
pub async fn copy_rest(client: &impl GenericClient, from: i32, to: i32, products: &[(i32, i32)]) -> Result<()> {
    let (source, made): (Vec<i32>, Vec<i32>) = products.iter().copied().unzip();
    COPY_RULES.execute(client, &[&from, &to, &source, &made]).await?;
    COPY_REST.execute(client, &[&from, &to]).await?;
    Ok(())
}

/// The names of those who belong to the second now as well.
pub async fn copy_people(client: &impl GenericClient, from: i32, to: i32) -> Result<Vec<String>> {
    Ok(COPY_PEOPLE.query(client, &[&from, &to]).await?.iter().map(|row| row.get(0)).collect())
}

/// One that nothing keeps.
pub async fn delete(client: &impl GenericClient, id: i32) -> Result<()> {
    for statement in DELETE_ALL {
        statement.execute(client, &[&id]).await?;
    }
    Ok(())
}
