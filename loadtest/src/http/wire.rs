//! The reply side of HTTP/1.1: a head, then a body by length, in chunks, or up to the close.

/// Admit's heads are under 1 KB; anything near this is not the server we meant.
const HEAD_LEN_MAX: usize = 16 * 1024;
/// The largest reply wanted is an order with its tickets, some tens of KB.
const BODY_LEN_MAX: usize = 8 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Empty,
    Length(usize),
    Chunked,
    UntilClose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// Bytes of the head, with its blank line.
    pub len: usize,
    pub framing: Framing,
    /// The server closes after this reply.
    pub close: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Reads the head from the start of `buf`; `None` asks for more bytes.
pub fn head(buf: &[u8]) -> Result<Option<Head>, Malformed> {
    let Some(len) = head_len(buf)? else {
        return Ok(None);
    };
    let mut lines = buf[..len].split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end());
    let (status, old) = status_line(lines.next().unwrap_or_default())?;
    let (mut length, mut chunked, mut close, mut keep) = (None, false, false, false);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let stated = number(value, 10).ok_or(Malformed("content-length is not a number"))?;
            if length.is_some_and(|before| before != stated) {
                return Err(Malformed("two different content-lengths"));
            }
            length = Some(stated);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed("unknown transfer-encoding"));
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            close |= value.eq_ignore_ascii_case(b"close");
            keep |= value.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    let framing = match (status, chunked, length) {
        (100..=199 | 204 | 304, ..) => Framing::Empty,
        (_, true, _) => Framing::Chunked,
        (_, false, Some(length)) if length > BODY_LEN_MAX => {
            return Err(Malformed("body too large"));
        }
        (_, false, Some(length)) => Framing::Length(length),
        (_, false, None) => Framing::UntilClose,
    };
    let close = close || (old && !keep) || framing == Framing::UntilClose;
    Ok(Some(Head { status, len, framing, close }))
}

/// Every value of a field of a head, in order.
pub fn fields<'a>(head: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    lines.filter_map(move |line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (field, value) = line.split_at(colon);
        let wanted = field.eq_ignore_ascii_case(name.as_bytes());
        std::str::from_utf8(&value[1..]).ok().filter(|_| wanted).map(str::trim)
    })
}

fn head_len(buf: &[u8]) -> Result<Option<usize>, Malformed> {
    let seen = &buf[..buf.len().min(HEAD_LEN_MAX)];
    match seen.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(at) => Ok(Some(at + 4)),
        None if seen.len() == HEAD_LEN_MAX => Err(Malformed("head too large")),
        None => Ok(None),
    }
}

/// The status, and whether the server speaks HTTP/1.0, which closes unless it says otherwise.
fn status_line(line: &[u8]) -> Result<(u16, bool), Malformed> {
    let old = line.starts_with(b"HTTP/1.0 ");
    if !old && !line.starts_with(b"HTTP/1.1 ") {
        return Err(Malformed("not an HTTP/1 status line"));
    }
    let digits = line.get(9..12).ok_or(Malformed("status line too short"))?;
    match number(digits, 10) {
        Some(status @ 100..=599) => Ok((status as u16, old)),
        _ => Err(Malformed("status is not a number")),
    }
}

fn number(digits: &[u8], radix: u32) -> Option<usize> {
    // `from_str_radix` would take a sign, which HTTP does not.
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    usize::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// Joins chunks as they arrive; `body` keeps its memory from reply to reply.
#[derive(Debug, Default)]
pub struct Chunks {
    at: usize,
}

impl Chunks {
    /// `buf` starts after the head and grows between calls. `Some` is the length of the whole coded body.
    pub fn advance(&mut self, buf: &[u8], body: &mut Vec<u8>) -> Result<Option<usize>, Malformed> {
        loop {
            let rest = &buf[self.at..];
            let Some(line) = rest.iter().position(|byte| *byte == b'\n') else {
                return if rest.len() > 1024 { Err(Malformed("chunk size line too long")) } else { Ok(None) };
            };
            let digits = rest[..line].split(|byte| *byte == b';').next().unwrap_or_default();
            let size = number(digits.trim_ascii(), 16).ok_or(Malformed("chunk size is not a number"))?;
            if size == 0 {
                return self.trailer(&rest[line + 1..], line + 1);
            }
            if size > BODY_LEN_MAX || body.len() + size > BODY_LEN_MAX {
                return Err(Malformed("body too large"));
            }
            let start = line + 1;
            let Some(chunk) = rest.get(start..start + size + 2) else {
                return Ok(None);
            };
            if !chunk.ends_with(b"\r\n") {
                return Err(Malformed("chunk does not end where it said"));
            }
            body.extend_from_slice(&chunk[..size]);
            self.at += start + size + 2;
        }
    }

    /// Trailer fields are read over; they end with an empty line.
    fn trailer(&self, rest: &[u8], size_line: usize) -> Result<Option<usize>, Malformed> {
        let mut at = 0;
        while let Some(line) = rest[at..].iter().position(|byte| *byte == b'\n') {
            let empty = rest[at..at + line].trim_ascii().is_empty();
            at += line + 1;
            if empty {
                return Ok(Some(self.at + size_line + at));
            }
        }
        if rest.len() > HEAD_LEN_MAX { Err(Malformed("trailer too large")) } else { Ok(None) }
    }
}

pub fn body_fits(len: usize) -> Result<(), Malformed> {
    if len > BODY_LEN_MAX { Err(Malformed("body too large")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_only_when_whole() {
        let reply = b"HTTP/1.1 201 Created\r\nServer: x\r\nCONTENT-length:  5 \r\n\r\nhello";
        for cut in 0..reply.len() - 5 {
            assert_eq!(head(&reply[..cut]), Ok(None), "cut at {cut}");
        }
        let read = head(reply).unwrap().unwrap();
        assert_eq!((read.status, read.framing, read.close), (201, Framing::Length(5), false));
        assert_eq!(&reply[read.len..], b"hello");
    }

    #[test]
    fn chunks_join_wherever_they_are_split() {
        let coded = b"4\r\nWiki\r\n6;x=1\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nA: b\r\n\r\nNEXT";
        let whole = coded.len() - 4;
        for step in 1..coded.len() {
            let (mut chunks, mut body, mut end) = (Chunks::default(), Vec::new(), None);
            let mut upto = 0;
            while end.is_none() {
                upto = (upto + step).min(coded.len());
                end = chunks.advance(&coded[..upto], &mut body).unwrap();
            }
            assert_eq!((end, body.as_slice()), (Some(whole), b"Wikipedia in \r\n\r\nchunks.".as_slice()));
        }
    }

    #[test]
    fn framing_follows_status_and_version() {
        let of = |text: &str| head(text.as_bytes()).unwrap().unwrap();
        assert_eq!(of("HTTP/1.1 204 No Content\r\n\r\n").framing, Framing::Empty);
        assert_eq!(of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").framing, Framing::Chunked);
        let bare = of("HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!((bare.framing, bare.close), (Framing::UntilClose, true));
        assert!(of("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").close);
        assert!(of("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").close);
        assert!(!of("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n").close);
    }

    #[test]
    fn fields_are_found_whatever_their_case() {
        let head = b"HTTP/1.1 503 x\r\nset-cookie: a=1; Path=/\r\nRetry-After:  5\r\nSet-Cookie: b=2\r\n\r\n";
        assert_eq!(fields(head, "Set-Cookie").collect::<Vec<_>>(), ["a=1; Path=/", "b=2"]);
        assert_eq!(fields(head, "retry-after").next(), Some("5"));
        assert_eq!(fields(head, "Retry").next(), None);
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for text in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ] {
            assert!(head(text.as_bytes()).is_err(), "{text}");
        }
        assert!(head(&vec![b'a'; HEAD_LEN_MAX]).is_err());
        let mut body = Vec::new();
        assert!(Chunks::default().advance(b"+5\r\nhello\r\n", &mut body).is_err());
        assert!(Chunks::default().advance(b"2\r\nhello\r\n", &mut body).is_err());
    }
}
