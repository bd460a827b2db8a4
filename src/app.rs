//! The only place that wires things: `App::build`, the routes, and the workers.

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use deadpool_postgres::Pool;
use utoipa_axum::router::OpenApiRouter;

use crate::catalogue::Catalogue;
use crate::config::Settings;
use crate::dashboard::live::Boards;
use crate::error::{Error, Result};
use crate::notifications::Notifier;
use crate::observability::Metrics;
use crate::observability::pulse::Pulse;
use crate::operations::stock::Counting;
use crate::orders::care::export::Exports;
use crate::orders::writer::Writer;
use crate::payments::gateways::Gateways;
use crate::payments::intake::Intake;
use crate::platform::clock::Clock;
use crate::platform::ids::random_bytes;
use crate::platform::lifecycle::Lifecycle;
use crate::platform::pg;
use crate::platform::redis::Redis;
use crate::platform::secrets::{Secrets, hex};
use crate::stock::audit::Audit;
use crate::stock::rebuild::Rebuilding;
use crate::tickets::keys::KeyRing;
use crate::waiting_room::beacon::Drand;
use crate::waiting_room::room::Rooms;
use crate::waiting_room::token::ReceiptKey;

/// Everything a request or a worker needs; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

pub struct Parts {
    pub settings: Settings,
    pub clock: Clock,
    pub pg: Pool,
    /// Scans use no connection that a sale could hold.
    pub entrance_pg: Pool,
    pub redis: Redis,
    pub secrets: Secrets,
    pub metrics: Metrics,
    pub pulse: Pulse,
    pub boards: Boards,
    pub gate_board: crate::entrance::board::Board,
    pub lifecycle: Lifecycle,
    pub catalogue: Catalogue,
    pub writer: Writer,
    pub rebuilding: Rebuilding,
    pub audit: Audit,
    pub gateways: Gateways,
    pub intake: Intake,
    pub exports: Exports,
    pub counting: Counting,
    pub keys: KeyRing,
    pub notifier: Notifier,
    pub drand: Drand,
    pub rooms: Rooms,
    pub receipt_key: ReceiptKey,
    pub passwords: crate::admin::password::Passwords,
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// Connects nothing that must be there: a process starts, and says so, while Redis or Postgres is away.
    pub fn build(settings: Settings, clock: Clock) -> Result<App> {
        // A second App in the same process (tests) finds the provider installed.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let secrets = Secrets::new(&settings.secret, &settings.data_keys).map_err(Error::bug)?;
        let database = &settings.database;
        Ok(App(Arc::new(Parts {
            pg: pg::pool(&database.database_url, database.database_pool as usize, "admit")?,
            entrance_pg: pg::pool(&database.database_url, database.entrance_pool as usize, "admit entrance")?,
            redis: Redis::connect(&settings.redis_url, &settings.redis_prefix)?,
            metrics: Metrics::install()?,
            pulse: Pulse::new(hex(&random_bytes::<4>())),
            boards: Boards::default(),
            gate_board: crate::entrance::board::Board::default(),
            lifecycle: Lifecycle::default(),
            catalogue: Catalogue::default(),
            writer: Writer::new(settings.writer_queue),
            rebuilding: Rebuilding::default(),
            audit: Audit::default(),
            gateways: Gateways::new(&settings, &clock)?,
            intake: Intake::default(),
            exports: Exports::default(),
            counting: Counting::default(),
            keys: KeyRing::default(),
            notifier: Notifier::new(&settings)?,
            drand: Drand::new(&settings.drand)?,
            rooms: Rooms::default(),
            receipt_key: ReceiptKey::derive(&secrets)?,
            passwords: crate::admin::password::Passwords::default(),
            secrets,
            clock,
            settings,
        })))
    }

    /// Every route of the public port, and the OpenAPI document that was collected with them.
    pub fn routes(&self) -> (Router, utoipa::openapi::OpenApi) {
        let (router, openapi) = api_routes().split_for_parts();
        let router = router
            .merge(crate::platform::http::openapi::routes())
            .merge(crate::platform::http::health::routes())
            .merge(crate::orders::pages::routes())
            .merge(crate::entrance::page::routes())
            .merge(crate::admin::page::routes())
            .layer(axum::middleware::from_fn(crate::orders::pages::frame::switch_language))
            .layer(axum::middleware::from_fn_with_state(self.clone(), crate::platform::http::cors::own_cookies))
            .layer(axum::middleware::from_fn_with_state(self.clone(), crate::admin::addresses::guard))
            .layer(axum::middleware::from_fn_with_state(self.clone(), crate::platform::http::observe::observe))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(self.clone());
        (router, openapi)
    }

    /// The private port: never reachable from outside.
    pub fn private_routes(&self) -> Router {
        crate::platform::http::health::private_routes().with_state(self.clone())
    }
}

/// The documented API.
pub fn api_routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(crate::platform::http::openapi::base())
        .merge(crate::catalogue::api::routes())
        .merge(crate::admin::catalogue::routes())
        .merge(crate::admin::pictures::routes())
        .merge(crate::orders::api::routes())
        .merge(crate::payments::webhook::routes())
        .merge(crate::tickets::api::routes())
        .merge(crate::admin::api::routes())
        .merge(crate::admin::own::routes())
        .merge(crate::admin::people::routes())
        .merge(crate::admin::rescue::routes())
        .merge(crate::admin::rules::routes())
        .merge(crate::admin::reset::api::routes())
        .merge(crate::admin::audit::api::routes())
        .merge(crate::dashboard::api::routes())
        .merge(crate::privacy::api::routes())
        .merge(crate::operations::routes())
        .merge(crate::notifications::outbox::routes())
        .merge(crate::waiting_room::api::routes())
        .merge(crate::waiting_room::admin::routes())
        .merge(crate::entrance::api::routes())
        .merge(crate::entrance::devices::api::routes())
        .merge(crate::entrance::devices::admin::routes())
        .merge(crate::entrance::rulebook::admin::routes())
        .merge(crate::entrance::rulebook::api::routes())
        .merge(crate::entrance::sync::api::routes())
        .merge(crate::entrance::uploads::api::routes())
        .merge(crate::entrance::ledger::api::routes())
        .merge(crate::entrance::board::api::routes())
        .merge(crate::entrance::conflicts::admin::routes())
        .merge(crate::entrance::ledger::admin::routes())
        .merge(crate::entrance::search::api::routes())
        .merge(crate::entrance::walk_ins::api::routes())
        .merge(crate::entrance::walk_ins::admin::routes())
}
