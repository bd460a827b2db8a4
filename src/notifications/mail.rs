//! The mail transport: SMTP, a directory of .eml files, or nothing.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::PoolConfig;
use lettre::{AsyncFileTransport, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::config::Settings;
use crate::error::{Error, Result};

/// One command of the SMTP dialogue.
const SMTP_TIMEOUT: Duration = Duration::from_secs(10);
/// A worker sends one mail after another; a few connections serve several workers in one process.
const SMTP_CONNECTIONS: u32 = 4;

pub struct Notifier {
    from: Mailbox,
    transport: Transport,
}

enum Transport {
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
    Files(AsyncFileTransport<Tokio1Executor>),
    None,
}

/// Why a mail was not taken, as a class without anybody's data.
#[derive(Debug)]
pub struct Failure(pub &'static str);

impl Notifier {
    pub fn new(settings: &Settings) -> Result<Notifier> {
        let from = settings.mail_from.parse().map_err(|e| Error::bug(format!("ADMIT_MAIL_FROM: {e}")))?;
        Ok(Notifier { from, transport: transport(&settings.mail)? })
    }

    /// False: mail is switched off.
    pub fn sends(&self) -> bool {
        !matches!(self.transport, Transport::None)
    }

    pub fn from(&self) -> &Mailbox {
        &self.from
    }

    pub async fn send(&self, message: Message) -> Result<(), Failure> {
        match &self.transport {
            Transport::Smtp(smtp) => smtp.send(message).await.map(|_| ()).map_err(|error| smtp_failure(&error)),
            Transport::Files(files) => {
                files.send(message).await.map(|_| ()).map_err(|_| Failure("not_written_to_file"))
            }
            Transport::None => Ok(()),
        }
    }
}

fn smtp_failure(error: &lettre::transport::smtp::Error) -> Failure {
    Failure(if error.is_permanent() {
        "refused"
    } else if error.is_transient() {
        "refused_for_now"
    } else if error.is_timeout() {
        "timeout"
    } else if error.is_tls() {
        "tls"
    } else {
        "unreachable"
    })
}

fn transport(setting: &str) -> Result<Transport> {
    if setting == "none" {
        return Ok(Transport::None);
    }
    if let Some(directory) = setting.strip_prefix("file://") {
        let directory = PathBuf::from(directory);
        std::fs::create_dir_all(&directory)
            .map_err(|e| Error::bug(format!("ADMIT_MAIL: cannot create {}: {e}", directory.display())))?;
        return Ok(Transport::Files(AsyncFileTransport::new(directory)));
    }
    let url = smtp_url(setting).ok_or_else(|| Error::bug("ADMIT_MAIL is not an address of a mail server"))?;
    let smtp = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url)
        // The error could repeat the password.
        .map_err(|_| Error::bug("ADMIT_MAIL is not an address of a mail server"))?
        .timeout(Some(SMTP_TIMEOUT))
        .pool_config(PoolConfig::new().max_size(SMTP_CONNECTIONS).idle_timeout(Duration::from_secs(30)))
        .build();
    Ok(Transport::Smtp(Box::new(smtp)))
}

/// `smtp://` means STARTTLS or nothing, so that neither the password nor a ticket travels in the clear, except to this
/// very machine. `?tls=none`, `opportunistic` or `required` says otherwise.
fn smtp_url(setting: &str) -> Option<String> {
    let mut url = reqwest::Url::parse(setting).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let says = url.query_pairs().any(|(name, _)| name == "tls");
    if url.scheme() == "smtp" && !says && !matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1") {
        url.query_pairs_mut().append_pair("tls", "required");
    }
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_travel_in_the_clear() {
        assert_eq!(
            smtp_url("smtp://u:p@mail.example.org:587").unwrap(),
            "smtp://u:p@mail.example.org:587?tls=required"
        );
        assert_eq!(smtp_url("smtp://127.0.0.1:2525").unwrap(), "smtp://127.0.0.1:2525");
        assert_eq!(smtp_url("smtp://m.example.org?tls=none").unwrap(), "smtp://m.example.org?tls=none");
        assert_eq!(smtp_url("smtps://m.example.org").unwrap(), "smtps://m.example.org");
        assert!(smtp_url("smtp:///").is_none());
        assert!(smtp_url("mail").is_none());
    }

    #[test]
    fn what_cannot_be_a_mail_server_stops_start_up() {
        for bad in ["smtp://", "smtp://host:port", "smtp://m.example.org?tls=perhaps"] {
            assert!(transport(bad).is_err(), "{bad}");
        }
        assert!(matches!(transport("none"), Ok(Transport::None)));
    }
}
