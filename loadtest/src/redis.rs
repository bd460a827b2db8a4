//! The few commands of Redis a run needs, in RESP2 over one connection.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::Failure;
use crate::demo::RedisTarget;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any key or record of ours.
const BULK_LEN_MAX: usize = 1024 * 1024;
const ARRAY_LEN_MAX: usize = 4_000_000;

#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Text(String),
    Number(i64),
    Array(Vec<Reply>),
    Nil,
}

pub struct Redis {
    stream: BufReader<TcpStream>,
}

impl Redis {
    pub async fn connect(target: &RedisTarget) -> Result<Redis, Failure> {
        let stream = TcpStream::connect(target.addr).await.map_err(|error| format!("Redis: {error}"))?;
        let mut redis = Redis { stream: BufReader::new(stream) };
        if let Some(password) = &target.password {
            match &target.username {
                Some(username) => redis.command(&["AUTH", username, password]).await?,
                None => redis.command(&["AUTH", password]).await?,
            };
        }
        if target.db != 0 {
            redis.command(&["SELECT", &target.db.to_string()]).await?;
        }
        Ok(redis)
    }

    pub async fn hash(&mut self, key: &str) -> Result<BTreeMap<String, String>, Failure> {
        let Reply::Array(items) = self.command(&["HGETALL", key]).await? else {
            return Err(format!("Redis: {key} is not a hash"));
        };
        let mut fields = BTreeMap::new();
        let mut items = items.into_iter();
        while let (Some(Reply::Text(field)), Some(Reply::Text(value))) = (items.next(), items.next()) {
            fields.insert(field, value);
        }
        Ok(fields)
    }

    pub async fn hash_len(&mut self, key: &str) -> Result<i64, Failure> {
        match self.command(&["HLEN", key]).await? {
            Reply::Number(len) => Ok(len),
            _ => Err(format!("Redis: no length of {key}")),
        }
    }

    pub async fn version(&mut self) -> Result<String, Failure> {
        self.info("server", "redis_version").await
    }

    /// Commands carried out since Redis was started, those that scripts call included.
    pub async fn commands_processed(&mut self) -> Result<f64, Failure> {
        number(&self.info("stats", "total_commands_processed").await?)
    }

    /// Bytes that Redis has allocated.
    pub async fn used_memory(&mut self) -> Result<f64, Failure> {
        number(&self.info("memory", "used_memory").await?)
    }

    async fn info(&mut self, section: &str, field: &str) -> Result<String, Failure> {
        let Reply::Text(info) = self.command(&["INFO", section]).await? else {
            return Err("Redis: INFO is not text".into());
        };
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned()).ok_or_else(|| format!("Redis: INFO {section} has no {field}"))
    }

    /// Bytes of one key, every member looked at.
    pub async fn key_bytes(&mut self, key: &str) -> Result<f64, Failure> {
        match self.command(&["MEMORY", "USAGE", key, "SAMPLES", "0"]).await? {
            Reply::Number(bytes) => Ok(bytes as f64),
            _ => Err(format!("Redis: no size of {key}")),
        }
    }

    pub async fn remove(&mut self, key: &str) -> Result<(), Failure> {
        self.command(&["UNLINK", key]).await.map(drop)
    }

    /// Sends many commands in one go and reads as many answers; how many of them were a number.
    pub async fn pipelined(&mut self, commands: &Commands) -> Result<usize, Failure> {
        let exchange = async {
            self.stream.get_mut().write_all(&commands.bytes).await.map_err(|error| format!("Redis: {error}"))?;
            let mut numbers = 0;
            for _ in 0..commands.count {
                numbers += usize::from(matches!(reply(&mut self.stream, 0).await?, Reply::Number(_)));
            }
            Ok(numbers)
        };
        tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| "Redis: no answer in time".to_owned())?
    }

    async fn command(&mut self, words: &[&str]) -> Result<Reply, Failure> {
        let mut commands = Commands::default();
        commands.add(words);
        let exchange = async {
            self.stream.get_mut().write_all(&commands.bytes).await.map_err(|error| format!("Redis: {error}"))?;
            reply(&mut self.stream, 0).await
        };
        tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| "Redis: no answer in time".to_owned())?
    }
}

/// Commands in the form they are sent in.
#[derive(Default)]
pub struct Commands {
    bytes: Vec<u8>,
    count: usize,
}

impl Commands {
    pub fn add(&mut self, words: &[&str]) {
        self.bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        self.count += 1;
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

fn number(text: &str) -> Result<f64, Failure> {
    text.parse().map_err(|_| format!("Redis: {text:?} is not a number"))
}

async fn reply<R: AsyncBufReadExt + Unpin + Send>(stream: &mut R, depth: u8) -> Result<Reply, Failure> {
    let mut line = String::new();
    stream.read_line(&mut line).await.map_err(|error| format!("Redis: {error}"))?;
    let rest = line.get(1..).unwrap_or_default().trim_end();
    let number = || rest.parse::<i64>().map_err(|_| format!("Redis: {rest:?} is not a number"));
    match line.chars().next() {
        Some('+') => Ok(Reply::Text(rest.to_owned())),
        Some('-') => Err(format!("Redis: {rest}")),
        Some(':') => number().map(Reply::Number),
        Some('$') => bulk(stream, number()?).await,
        Some('*') => {
            let len = number()?;
            if len < 0 {
                return Ok(Reply::Nil);
            }
            if len as usize > ARRAY_LEN_MAX || depth > 3 {
                return Err("Redis: reply too large".into());
            }
            let mut items = Vec::new();
            for _ in 0..len {
                items.push(Box::pin(reply(stream, depth + 1)).await?);
            }
            Ok(Reply::Array(items))
        }
        _ => Err("Redis: connection ended".into()),
    }
}

async fn bulk<R: AsyncReadExt + Unpin>(stream: &mut R, len: i64) -> Result<Reply, Failure> {
    let Ok(len) = usize::try_from(len) else {
        return Ok(Reply::Nil);
    };
    if len > BULK_LEN_MAX {
        return Err("Redis: reply too large".into());
    }
    let mut bytes = vec![0; len + 2];
    stream.read_exact(&mut bytes).await.map_err(|error| format!("Redis: {error}"))?;
    bytes.truncate(len);
    Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_written_with_their_lengths() {
        let mut commands = Commands::default();
        commands.add(&["ZRANK", "k", "한"]);
        commands.add(&["PING"]);
        assert_eq!(commands.bytes, "*3\r\n$5\r\nZRANK\r\n$1\r\nk\r\n$3\r\n한\r\n*1\r\n$4\r\nPING\r\n".as_bytes());
        assert_eq!(commands.count, 2);
    }

    #[tokio::test]
    async fn replies_are_read() {
        let read = async |text: &str| reply(&mut BufReader::new(text.as_bytes()), 0).await;
        assert_eq!(read("+OK\r\n").await, Ok(Reply::Text("OK".into())));
        assert_eq!(read(":-7\r\n").await, Ok(Reply::Number(-7)));
        assert_eq!(read("$-1\r\n").await, Ok(Reply::Nil));
        let two = Reply::Array(vec![Reply::Text("a\r\nb".into()), Reply::Number(1)]);
        assert_eq!(read("*2\r\n$4\r\na\r\nb\r\n:1\r\n").await, Ok(two));
        assert!(read("-NOAUTH x\r\n").await.is_err());
        assert!(read("").await.is_err());
        assert!(read("$5\r\nabc").await.is_err());
    }
}
