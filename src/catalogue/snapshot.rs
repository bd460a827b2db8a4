//! The in-process picture of the catalogue, refreshed once a second, with replies ready to send.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Bytes;
use jiff::Timestamp;

use super::api;
use super::model::{Exhibition, Stage};
use super::pg;
use crate::app::App;
use crate::error::{Error, Result};
use crate::stock::redis;

pub const REFRESH: Duration = Duration::from_millis(750);

/// One exhibition with its ready replies.
pub struct Shown {
    pub exhibition: Arc<Exhibition>,
    pub detail: Bytes,
    pub products: Bytes,
}

#[derive(Default)]
pub struct Snapshot {
    shown: HashMap<String, Shown>,
    order: Vec<Arc<Exhibition>>,
    pub list: Bytes,
    pub as_of: Option<Timestamp>,
}

impl Snapshot {
    /// Drafts and archived ones among them.
    pub fn exhibitions(&self) -> &[Arc<Exhibition>] {
        &self.order
    }

    /// What visitors are shown a list of.
    pub fn published(&self) -> impl Iterator<Item = &Arc<Exhibition>> {
        self.order.iter().filter(|e| e.stage == Stage::Published)
    }

    /// What a visitor may look at: a draft is not there.
    pub fn shown(&self, code: &str) -> Result<&Shown> {
        self.ready()?;
        let shown = self.shown.get(code).filter(|shown| shown.exhibition.stage != Stage::Draft);
        shown.ok_or_else(|| Error::not_found("catalogue.unknown_exhibition"))
    }

    /// For those who run it: drafts as well.
    pub fn known(&self, code: &str) -> Result<Arc<Exhibition>> {
        self.ready()?;
        let known = self.shown.get(code).map(|shown| shown.exhibition.clone());
        known.ok_or_else(|| Error::not_found("catalogue.unknown_exhibition"))
    }

    pub fn by_code(&self, code: &str) -> Result<Arc<Exhibition>> {
        Ok(self.shown(code)?.exhibition.clone())
    }

    pub fn by_id(&self, id: i32) -> Result<Arc<Exhibition>> {
        self.ready()?;
        self.order.iter().find(|e| e.id == id).cloned().ok_or_else(|| Error::not_found("catalogue.unknown_exhibition"))
    }

    /// A process that has not read the catalogue yet knows nothing, which is not the same as "no such exhibition".
    pub fn ready(&self) -> Result<()> {
        match self.as_of {
            Some(_) => Ok(()),
            None => Err(Error::unavailable("server.starting", "no catalogue yet")),
        }
    }
}

#[derive(Default)]
pub struct Catalogue(ArcSwap<Snapshot>);

impl Catalogue {
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Reads Postgres, then Redis's free counts. Without Redis the counts are Postgres's and marked stale; without
    /// Postgres the old picture stays, and its `as_of` tells its age.
    pub async fn refresh(&self, app: &App) -> Result<()> {
        let now = app.clock.now();
        let client = app.pg.get().await?;
        let mut exhibitions = pg::all(&client).await?;
        drop(client);
        let today = app.clock.today_in_seoul();
        let mut snapshot = Snapshot { as_of: Some(now), ..Snapshot::default() };
        for exhibition in &mut exhibitions {
            let stale = !overlay_live_counts(app, exhibition).await;
            let shown = Shown {
                detail: api::detail_body(exhibition, now, today, stale),
                products: api::products_body(exhibition, now, stale),
                exhibition: Arc::new(exhibition.clone()),
            };
            snapshot.order.push(shown.exhibition.clone());
            snapshot.shown.insert(exhibition.code.clone(), shown);
        }
        snapshot.list = api::list_body(snapshot.published(), now, today);
        self.0.store(Arc::new(snapshot));
        Ok(())
    }

    /// Refreshes until the process stops.
    pub async fn keep_fresh(app: App) {
        let stopping = app.lifecycle.stopping();
        loop {
            match app.catalogue.refresh(&app).await {
                Ok(()) => app.boards.tell(),
                Err(error) => tracing::warn!(%error, "catalogue not refreshed"),
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(REFRESH) => {}
            }
        }
    }
}

/// False when Redis could not say.
async fn overlay_live_counts(app: &App, exhibition: &mut Exhibition) -> bool {
    match redis::levels(&app.redis, &exhibition.code, false).await {
        Ok(Some(levels)) => {
            for (id, availability) in &mut exhibition.stock {
                if let Some(free) = levels.free.get(id) {
                    availability.free = *free;
                }
            }
            true
        }
        Ok(None) => {
            // Nothing to sell from until it is rebuilt; whoever notices first sees to it.
            crate::stock::rebuild::request(app, exhibition.id, &exhibition.code, "unready");
            false
        }
        Err(_) => false,
    }
}
