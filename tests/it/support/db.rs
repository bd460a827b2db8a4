//! A database per test, cloned from a template that is migrated once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::{Client, NoTls};

pub struct Database {
    pub url: String,
    name: String,
    /// For looks, which are many: a connection of its own for each cost more than the look.
    looks: tokio::sync::Mutex<Option<Arc<Client>>>,
}

fn server_url() -> String {
    std::env::var("ADMIT_TEST_DATABASE_URL").expect("ADMIT_TEST_DATABASE_URL is not set: run the tests with ./dev test")
}

fn url_of(database: &str) -> String {
    let server = server_url();
    let (base, query) = server.split_once('?').map_or((server.as_str(), ""), |(b, q)| (b, q));
    let (host, _) = base.rsplit_once('/').expect("a database URL with a database");
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    format!("{host}/{database}{query}")
}

async fn connect(url: &str) -> Client {
    let (client, driver) = tokio_postgres::connect(url, NoTls).await.expect("the test database server");
    tokio::spawn(driver);
    client
}

/// The template, made once per test process under a lock that other processes share.
async fn template(server: &Client) -> String {
    static READY: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    READY
        .get_or_init(|| async {
            let name = format!("admit_template_{}", std::process::id());
            server.batch_execute(&format!("drop database if exists {name}")).await.unwrap();
            server.batch_execute(&format!("create database {name}")).await.unwrap();
            admit::platform::pg::migrate(&url_of(&name)).await.unwrap();
            // Migrations leave nobody connected; a clone needs that.
            name
        })
        .await
        .clone()
}

impl Database {
    pub async fn create() -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = connect(&server_url()).await;
        let template = template(&server).await;
        let name = format!("admit_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        server.batch_execute(&format!("drop database if exists {name}")).await.unwrap();
        // The migrating connection may still be closing, and the template admits one clone at a time.
        let mut last = None;
        for _ in 0..200 {
            match server.batch_execute(&format!("create database {name} template {template}")).await {
                Ok(()) => return Database { url: url_of(&name), name, looks: Default::default() },
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("cannot clone the template: {last:?}");
    }

    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }

    async fn looking(&self) -> Arc<Client> {
        let mut kept = self.looks.lock().await;
        match &*kept {
            Some(client) if !client.is_closed() => client.clone(),
            _ => kept.insert(Arc::new(self.client().await)).clone(),
        }
    }

    pub async fn execute(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    pub async fn one<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        self.looking().await.query_one(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e}")).get(0)
    }

    pub async fn drop(&self) {
        let server = connect(&server_url()).await;
        let _ = server.batch_execute(&format!("drop database if exists {} with (force)", self.name)).await;
    }
}
