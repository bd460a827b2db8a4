//! Set Redis from Postgres: raise the epoch and count under the stock lock, commit, then set Redis. Takes of the
//! older epoch that are still on their way are refused by the writer and taken anew.

use crate::app::App;
use crate::error::Result;
use crate::stock::pg::Repair;
use crate::stock::{pg, redis};
use crate::waiting_room::model::Phase;

const PEOPLE_PAGE: i64 = 500;

/// Redis equals Postgres afterwards, unless a newer rebuild has already seen to that.
pub async fn rebuild(app: &App, exhibition_id: i32, code: &str, cause: &str) -> Result<()> {
    rebuild_since(app, exhibition_id, code, cause, Vec::new()).await
}

/// The same, where it is known what was wrong.
pub async fn rebuild_since(
    app: &App,
    exhibition_id: i32,
    code: &str,
    cause: &str,
    found: Vec<(i32, i64)>,
) -> Result<()> {
    let mut client = app.pg.get().await?;
    // Read before the count: should the room begin meanwhile, its leader tells Redis so in the same second.
    let phase = crate::waiting_room::pg::one(&client, exhibition_id).await?.map_or(Phase::Idle, |room| room.phase);
    let transaction = client.transaction().await?;
    let levels = pg::raise_epoch(&transaction, exhibition_id).await?;
    transaction.commit().await?;

    let Some(epoch) = levels.values().map(|level| level.epoch).max() else { return Ok(()) };
    let mut free: Vec<(i32, i32)> = levels.iter().map(|(id, level)| (*id, level.free())).collect();
    free.sort_unstable();
    let ours = redis::rebuild(&app.redis, code, epoch, phase, &free).await?;
    app.metrics.rebuild(code, cause);
    tracing::warn!(exhibition = code, epoch, cause, ours, "stock in Redis rebuilt from Postgres");
    if !ours {
        return Ok(());
    }
    let repair = Repair { done: "rebuilt".into(), cause: cause.into(), found, takes: 0 };
    if let Err(error) = pg::repaired(&client, exhibition_id, &repair).await {
        tracing::warn!(exhibition = code, %error, ?repair, "a repair is not on record");
    }
    let mut after: Vec<u8> = Vec::new();
    loop {
        let page = pg::people(&client, exhibition_id, &after, PEOPLE_PAGE).await?;
        let Some((last, ..)) = page.last() else { return Ok(()) };
        after = last.to_vec();
        if !redis::add_people(&app.redis, code, epoch, &page).await? {
            return Ok(());
        }
    }
}

/// Rebuilds in the background, at most once at a time per exhibition and process; callers go on with 503.
pub fn request(app: &App, exhibition_id: i32, code: &str, cause: &'static str) {
    if !app.rebuilding.begin(exhibition_id) {
        return;
    }
    let (task_app, code) = (app.clone(), code.to_owned());
    app.lifecycle.spawn(async move {
        if let Err(error) = rebuild(&task_app, exhibition_id, &code, cause).await {
            tracing::warn!(exhibition = code, %error, cause, "rebuild failed");
        }
        task_app.rebuilding.end(exhibition_id);
    });
}

/// Exhibitions that this process is rebuilding.
#[derive(Default)]
pub struct Rebuilding(std::sync::Mutex<std::collections::HashSet<i32>>);

impl Rebuilding {
    fn begin(&self, exhibition_id: i32) -> bool {
        self.0.lock().is_ok_and(|mut set| set.insert(exhibition_id))
    }

    fn end(&self, exhibition_id: i32) {
        if let Ok(mut set) = self.0.lock() {
            set.remove(&exhibition_id);
        }
    }
}
