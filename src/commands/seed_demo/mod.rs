//! `admit seed-demo`: two exhibitions over the coming weeks, one of them behind an open waiting room, and three accounts.
//! Running it again adds what is missing (new days, above all) and keeps what was sold.

pub mod pg;
mod picture;

use std::path::{Path, PathBuf};

use deadpool_postgres::GenericClient;
use jiff::civil::{Date, Time};
use jiff::{SignedDuration, ToSpan};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Outcome;
use crate::admin::audit::{self, Actor, Entry};
use crate::admin::{Role, password::Passwords, users, users::NewUser};
use crate::catalogue::model::Shot;
use crate::catalogue::pg as catalogue;
use crate::catalogue::picture::prepare;
use crate::config::DatabaseSettings;
use crate::error::{Error, Result};
use crate::platform::clock::Clock;
use crate::platform::ids::random_bytes;
use crate::platform::pg::pool;
use crate::platform::secrets::hex;
use crate::waiting_room::model::{Config, Phase};
use crate::waiting_room::pg as rooms;

/// Days ahead that can be visited.
const DAYS: i64 = 28;
const VAST: i32 = 1_500_000;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseSettings,
    /// Where the accounts' names and passwords are written, readable by you alone.
    #[arg(long)]
    accounts_file: PathBuf,
}

#[derive(Serialize, Deserialize, Clone)]
struct Account {
    username: String,
    password: String,
}

#[derive(Serialize, Deserialize)]
struct Accounts {
    super_admin: Account,
    admin: Account,
    staff: Account,
}

pub async fn run(args: Args) -> Outcome {
    let database = args.database.check()?;
    let pool = pool(&database.database_url, 2, "admit seed-demo").map_err(super::said)?;
    let mut client = pool.get().await.map_err(|e| format!("DATABASE_URL: {e}"))?;
    seed(&mut client, &Clock::System).await.map_err(super::said)?;
    println!("seeded exhibitions aaa and bbb for {DAYS} days from today");
    let accounts = read_accounts(&args.accounts_file).unwrap_or_else(fresh_accounts);
    set_accounts(&mut client, &accounts).await.map_err(super::said)?;
    write_private(&args.accounts_file, &serde_json::to_string_pretty(&accounts).map_err(|e| e.to_string())?)?;
    println!("wrote the accounts to {}", args.accounts_file.display());
    Ok(())
}

fn read_accounts(path: &Path) -> Option<Accounts> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

fn fresh_accounts() -> Accounts {
    let account = |name: &str| Account { username: name.to_owned(), password: hex(&random_bytes::<9>()) };
    Accounts { super_admin: account("owner"), admin: account("admin"), staff: account("staff") }
}

async fn set_accounts(client: &mut deadpool_postgres::Object, accounts: &Accounts) -> Result<()> {
    let passwords = Passwords::default();
    let aaa = ["aaa".to_owned()];
    for (account, role, exhibitions) in [
        (&accounts.super_admin, Role::SuperAdmin, [].as_slice()),
        (&accounts.admin, Role::Admin, &aaa),
        (&accounts.staff, Role::Staff, &aaa),
    ] {
        let user = NewUser { username: &account.username, password: &account.password, role, exhibitions };
        users::ensure(client, &passwords, &user).await?;
    }
    Ok(())
}

fn write_private(path: &Path, text: &str) -> Outcome {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut f| f.write_all(text.as_bytes())).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

pub struct Product {
    kind: &'static str,
    ko: &'static str,
    en: &'static str,
    price_won: i32,
    dated: bool,
    person_limited: bool,
    per_order_max: i32,
    places: i32,
}

const fn product(kind: &'static str, ko: &'static str, en: &'static str, price_won: i32, dated: bool) -> Product {
    Product { kind, ko, en, price_won, dated, person_limited: true, per_order_max: 10, places: VAST }
}

/// Both exhibitions. In one transaction, so that a half-seeded demo does not exist.
pub async fn seed(client: &mut deadpool_postgres::Object, clock: &Clock) -> Result<()> {
    let transaction = client.transaction().await?;
    let today = clock.today_in_seoul();
    let window = (clock.now() - SignedDuration::from_hours(24), clock.now() + SignedDuration::from_hours(24 * 60));
    let days: Vec<Date> = (0..DAYS).filter_map(|n| today.checked_add(n.days()).ok()).collect();

    let aaa = pg::Exhibition {
        code: "aaa",
        ko: "빛의 정원: 한국 근현대 회화전",
        en: "Garden of Light: Modern Korean Painting",
        description_ko: "백 년의 빛을 따라 걷는 전시. 근대 화단의 시작부터 오늘의 작가까지 120여 점을 한자리에서 만납니다.",
        description_en: "A walk along a hundred years of light: some 120 works from the first modern painters to today.",
        venue_ko: "시립미술관 서소문본관",
        venue_en: "City Museum of Art, Seosomun",
        person_limit: Some(10),
    };
    let aaa = pg::exhibition(&transaction, &aaa, days[0], days[days.len() - 1], window).await?;
    let undated = Product {
        person_limited: false,
        places: 1_000_000,
        ..product("open", "기간 중 자유 관람권", "Open-date ticket", 20_000, false)
    };
    for (position, p) in (0i32..).zip([
        undated,
        product("adult", "성인", "Adult", 18_000, true),
        product("youth", "청소년", "Youth", 12_000, true),
        product("child", "어린이", "Child", 9_000, true),
        Product { places: 100_000, ..product("free", "무료 도슨트 투어", "Free docent tour", 0, false) },
    ]) {
        pg::product(&transaction, aaa, &p, position).await?;
    }
    for (n, day) in days.iter().enumerate() {
        // One day that sells out at once, one that nobody can sell out, and ordinary ones. A demo that is seeded again
        // after those two days have passed gets them anew, on days that are new.
        let (scarce, vast) = pg::special_days(&transaction, aaa, today).await?;
        let places = match n {
            _ if n >= 3 && !scarce => 50,
            _ if n >= 7 && !vast => 1_200_000,
            _ => 3_000,
        };
        pg::slot(&transaction, aaa, *day, None, places).await?;
    }

    // Once: whoever has chosen another picture, or none, keeps it.
    if !catalogue::has_pictures(&transaction, aaa).await? {
        let picture = prepare(&picture::file()?)?;
        let (alt, alt_en) = ("아침 햇빛이 비치는 언덕 그림", "Painting of hills in morning light");
        let shot = Shot::new(&picture.digest, picture.height, alt.into(), alt_en.into());
        catalogue::set_picture(&transaction, aaa, &picture, &shot).await?;
    }

    let bbb = pg::Exhibition {
        code: "bbb",
        ko: "움직이는 기계들: 키네틱 아트",
        en: "Machines in Motion: Kinetic Art",
        description_ko: "바람과 모터, 그리고 관람객이 움직이는 조각들. 시간을 정해 입장합니다.",
        description_en: "Sculpture moved by wind, motors and visitors. Entry by time slot.",
        venue_ko: "한강 전시홀",
        venue_en: "Hangang Exhibition Hall",
        person_limit: Some(8),
    };
    let bbb = pg::exhibition(&transaction, &bbb, days[0], days[days.len() - 1], window).await?;
    let undated =
        Product { person_limited: false, ..product("open", "자유 관람권", "Open-date ticket", 16_000, false) };
    for (position, p) in (0i32..).zip([
        undated,
        product("adult", "성인", "Adult", 15_000, true),
        product("child", "어린이", "Child", 8_000, true),
    ]) {
        pg::product(&transaction, bbb, &p, position).await?;
    }
    for day in &days {
        for (from, until) in [(10, 13), (13, 16), (16, 19)] {
            let times = (Time::constant(from, 0, 0, 0), Time::constant(until, 0, 0, 0));
            pg::slot(&transaction, bbb, *day, Some(times), 400).await?;
        }
    }
    open_room(&transaction, bbb).await?;
    transaction.commit().await?;
    Ok(())
}

/// An exhibition that sells behind a waiting room, wide enough that a few visitors never notice it. A room that is there
/// already, whatever became of it, is left alone.
async fn open_room(client: &impl GenericClient, exhibition_id: i32) -> Result<()> {
    let config = Config { capacity: 2_000, rate_per_min: 60_000, draw: false, ..Config::default() };
    if !rooms::create_if_missing(client, exhibition_id, &config).await? {
        return Ok(());
    }
    let room = rooms::move_to(client, exhibition_id, 1, Phase::Open, "", "").await?;
    let room = room.ok_or_else(|| Error::bug("a room that was just made cannot be opened"))?;
    let entry = Entry {
        by: &Actor::system("seed-demo"),
        action: "room.phase",
        exhibition_id: Some(exhibition_id),
        before: json!({ "phase": Phase::Idle }),
        after: json!({ "phase": room.phase, "run": room.run }),
    };
    audit::record(client, &entry).await
}
