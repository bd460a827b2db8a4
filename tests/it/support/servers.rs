//! The shared Redis, and Redis servers of a test's own for tests that flush, restore or stop one.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::tempdir::TempDir;

pub fn redis_url() -> String {
    std::env::var("ADMIT_TEST_REDIS_URL").expect("ADMIT_TEST_REDIS_URL is not set: run the tests with ./dev test")
}

/// A Redis server that this test may treat as it likes.
pub struct OwnRedis {
    pub port: u16,
    dir: TempDir,
    child: Option<Child>,
}

impl OwnRedis {
    pub async fn start() -> OwnRedis {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut redis = OwnRedis { port, dir: TempDir::new(), child: None };
        redis.run().await;
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Starts the server on whatever dump lies in its directory.
    pub async fn run(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", self.dir.0.to_str().unwrap(), "--maxmemory-policy", "noeviction"])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server");
        self.child = Some(child);
        for _ in 0..200 {
            if self.cli(&["ping"]).await.trim() == "PONG" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("redis-server did not start");
    }

    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    pub async fn cli(&self, args: &[&str]) -> String {
        let out = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(args).output().await.unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    }
}
