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
    in_a_cluster: bool,
}

impl OwnRedis {
    pub async fn start() -> OwnRedis {
        OwnRedis::begin(false).await
    }

    /// Two that share the slots of a cluster: those below `split`, and the others.
    pub async fn start_cluster(split: u16) -> [OwnRedis; 2] {
        let nodes = [OwnRedis::begin(true).await, OwnRedis::begin(true).await];
        for (node, slots) in nodes.iter().zip([0..split, split..16_384]) {
            let slots: Vec<String> = slots.map(|slot| slot.to_string()).collect();
            let words = ["cluster", "addslots"].into_iter().chain(slots.iter().map(String::as_str));
            assert_eq!(node.cli(&words.collect::<Vec<_>>()).await.trim(), "OK");
        }
        nodes[0].cli(&["cluster", "meet", "127.0.0.1", &nodes[1].port.to_string()]).await;
        for node in &nodes {
            node.until_joined().await;
        }
        nodes
    }

    /// It knows the other node, and all slots have somebody.
    pub async fn until_joined(&self) {
        for _ in 0..1_200 {
            let info = self.cli(&["cluster", "info"]).await;
            if info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the nodes did not become a cluster");
    }

    async fn begin(in_a_cluster: bool) -> OwnRedis {
        // The nodes of a cluster talk to each other ten thousand ports above.
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = std::iter::repeat_with(free).find(|port| !in_a_cluster || *port < 55_000).unwrap();
        let mut redis = OwnRedis { port, dir: TempDir::new(), child: None, in_a_cluster };
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
            .args(["--cluster-enabled", if self.in_a_cluster { "yes" } else { "no" }])
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
