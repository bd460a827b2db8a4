//! One connection: a request out, its reply in, buffers kept.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::Fault;
use super::wire::{self, Chunks, Framing};

pub struct Conn {
    stream: TcpStream,
    buf: Vec<u8>,
    filled: usize,
    joined: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    from: usize,
    upto: usize,
    chunked: bool,
    pub close: bool,
}

impl Conn {
    pub async fn open(addr: SocketAddr) -> Result<Conn, Fault> {
        let stream = TcpStream::connect(addr).await.map_err(|_| Fault::Connect)?;
        stream.set_nodelay(true).map_err(|_| Fault::Connect)?;
        Ok(Conn { stream, buf: vec![0; 4096], filled: 0, joined: Vec::new() })
    }

    /// Whether the server has neither closed it nor said anything unasked. Costs no system call while
    /// the connection is quiet.
    pub fn is_quiet(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    pub async fn exchange(&mut self, request: &[u8]) -> Result<Reply, Fault> {
        // A server may close while we write; what it had to say is still worth reading.
        if self.stream.write_all(request).await.is_err() {
            return Err(Fault::Closed);
        }
        self.filled = 0;
        loop {
            let head = loop {
                match wire::head(&self.buf[..self.filled])? {
                    Some(head) => break head,
                    None => self.fill().await?,
                };
            };
            if (100..200).contains(&head.status) {
                // An interim reply: the real one follows it.
                self.buf.copy_within(head.len..self.filled, 0);
                self.filled -= head.len;
                continue;
            }
            return self.read_body(head).await;
        }
    }

    async fn read_body(&mut self, head: wire::Head) -> Result<Reply, Fault> {
        let mut end = head.len;
        match head.framing {
            Framing::Empty => {}
            Framing::Length(length) => {
                end += length;
                while self.filled < end {
                    self.more().await?;
                }
            }
            Framing::Chunked => {
                self.joined.clear();
                let mut chunks = Chunks::default();
                end += loop {
                    match chunks.advance(&self.buf[head.len..self.filled], &mut self.joined)? {
                        Some(length) => break length,
                        None => self.more().await?,
                    }
                };
            }
            Framing::UntilClose => {
                while self.fill().await.is_ok() {
                    wire::body_fits(self.filled)?;
                }
                end = self.filled;
            }
        }
        if end != self.filled {
            return Err(Fault::Malformed("bytes after the reply"));
        }
        let chunked = head.framing == Framing::Chunked;
        Ok(Reply { status: head.status, from: head.len, upto: end, chunked, close: head.close })
    }

    pub fn head(&self, reply: &Reply) -> &[u8] {
        &self.buf[..reply.from]
    }

    pub fn body(&self, reply: &Reply) -> &[u8] {
        if reply.chunked { &self.joined } else { &self.buf[reply.from..reply.upto] }
    }

    /// More of a body that has begun: its end is now a broken reply.
    async fn more(&mut self) -> Result<(), Fault> {
        self.fill().await.map_err(|_| Fault::Broken)
    }

    async fn fill(&mut self) -> Result<(), Fault> {
        if self.filled == self.buf.len() {
            self.buf.resize(self.buf.len() * 2, 0);
        }
        let none_yet = self.filled == 0;
        match self.stream.read(&mut self.buf[self.filled..]).await {
            Ok(read) if read > 0 => {
                self.filled += read;
                Ok(())
            }
            _ if none_yet => Err(Fault::Closed),
            _ => Err(Fault::Broken),
        }
    }
}
