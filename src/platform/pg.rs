//! Postgres: pools with every timeout set, named statements, migrations under a lock.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Error, Result};

/// One SQL statement under a name that labels its metric; a test prepares every one against the migrated schema.
pub struct Statement {
    pub name: &'static str,
    pub sql: &'static str,
}

impl Statement {
    pub const fn new(name: &'static str, sql: &'static str) -> Statement {
        Statement { name, sql }
    }

    pub async fn query(&self, client: &impl GenericClient, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let statement = client.prepare_cached(self.sql).await.map_err(|e| self.error(e))?;
        client.query(&statement, params).await.map_err(|e| self.error(e))
    }

    pub async fn query_opt(&self, client: &impl GenericClient, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>> {
        let statement = client.prepare_cached(self.sql).await.map_err(|e| self.error(e))?;
        client.query_opt(&statement, params).await.map_err(|e| self.error(e))
    }

    pub async fn query_one(&self, client: &impl GenericClient, params: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        let statement = client.prepare_cached(self.sql).await.map_err(|e| self.error(e))?;
        client.query_one(&statement, params).await.map_err(|e| self.error(e))
    }

    pub async fn execute(&self, client: &impl GenericClient, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        let statement = client.prepare_cached(self.sql).await.map_err(|e| self.error(e))?;
        client.execute(&statement, params).await.map_err(|e| self.error(e))
    }

    fn error(&self, error: tokio_postgres::Error) -> Error {
        let converted = Error::from(error);
        let source = converted.source.clone().unwrap_or_default();
        converted.because(format!("{}: {source}", self.name))
    }
}

/// The name of the constraint that refused a statement, to be mapped where the statement is called.
pub fn constraint_of(error: &tokio_postgres::Error) -> Option<&str> {
    error.as_db_error().and_then(|db| db.constraint())
}

/// Limits of a session, so that nothing waits for ever on either side.
#[derive(Clone, Copy)]
pub struct SessionLimits {
    pub statement_ms: u32,
    pub lock_ms: u32,
}

pub const ORDINARY: SessionLimits = SessionLimits { statement_ms: 10_000, lock_ms: 3_000 };

/// Every query of a running process finds its rows by an index. A plan that was cached while a table was still empty
/// must not go on reading all of it a million rows later, and planning a batch anew each time costs as much as running
/// it; so plans are generic and sequential scans are the last resort.
fn session_config(url: &str, limits: SessionLimits, name: &str) -> Result<Config> {
    let mut config: Config = url.parse().map_err(|e| Error::bug(format!("DATABASE_URL: {e}")))?;
    config.connect_timeout(Duration::from_secs(3));
    config.tcp_user_timeout(Duration::from_secs(10));
    config.keepalives_idle(Duration::from_secs(30));
    config.application_name(name);
    let given = config.get_options().unwrap_or_default().to_owned();
    config.options(format!(
        "{given} -c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout=15000 \
         -c synchronous_commit=on -c timezone=UTC -c jit=off -c enable_seqscan=off -c plan_cache_mode=force_generic_plan",
        limits.statement_ms, limits.lock_ms
    ));
    Ok(config)
}

fn wants_tls(config: &Config) -> bool {
    !matches!(config.get_ssl_mode(), tokio_postgres::config::SslMode::Disable | tokio_postgres::config::SslMode::Prefer)
}

fn tls() -> Result<MakeRustlsConnect> {
    let (tls, skipped) = MakeRustlsConnect::with_native_certs().map_err(|e| Error::bug(format!("TLS roots: {e:?}")))?;
    if !skipped.is_empty() {
        tracing::warn!(skipped = skipped.len(), "some certificates of the system were not readable");
    }
    Ok(tls)
}

pub fn pool(url: &str, size: usize, name: &str) -> Result<Pool> {
    let config = session_config(url, ORDINARY, name)?;
    let recycle = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = if wants_tls(&config) {
        Manager::from_config(config, tls()?, recycle)
    } else {
        Manager::from_config(config, NoTls, recycle)
    };
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: Some(Duration::from_secs(3)),
            create: Some(Duration::from_secs(3)),
            recycle: Some(Duration::from_secs(2)),
        })
        .build()
        .map_err(Error::bug)
}

/// A connection of one's own, outside the pools; its driver ends with the client.
#[expect(clippy::disallowed_methods, reason = "the driver task lives exactly as long as the client")]
pub async fn connect(url: &str, limits: SessionLimits, name: &str) -> Result<Client> {
    let config = session_config(url, limits, name)?;
    if wants_tls(&config) {
        let (client, driver) = config.connect(tls()?).await?;
        tokio::spawn(driver);
        Ok(client)
    } else {
        let (client, driver) = config.connect(NoTls).await?;
        tokio::spawn(driver);
        Ok(client)
    }
}

mod embedded {
    refinery::embed_migrations!("sql/migrations");
}

/// Applies what is missing, one process at a time, and says what it applied.
pub async fn migrate(url: &str) -> Result<Vec<String>> {
    let limits = SessionLimits { statement_ms: 0, lock_ms: 60_000 };
    let mut client = connect(url, limits, "admit migrate").await?;
    client.batch_execute("set enable_seqscan = on; select pg_advisory_lock(hashtext('admit.migrate'))").await?;
    let report = embedded::migrations::runner()
        .set_grouped(false)
        .run_async(&mut client)
        .await
        .map_err(|e| Error::bug(format!("migration: {e}")))?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// The newest migration this binary knows; a process does not start against an older schema.
pub async fn schema_is_current(client: &Object) -> Result<bool> {
    const APPLIED: Statement =
        Statement::new("platform.migrations", "select to_regclass('refinery_schema_history') is not null");
    if !APPLIED.query_one(client, &[]).await?.get::<_, bool>(0) {
        return Ok(false);
    }
    let known = embedded::migrations::runner().get_migrations().iter().map(|m| m.version()).max().unwrap_or(0);
    let applied: i32 =
        client.query_one("select coalesce(max(version), 0)::int4 from refinery_schema_history", &[]).await?.get(0);
    Ok(i64::from(applied) >= i64::from(known))
}
