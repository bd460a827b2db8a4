//! Gives the places of an unpaid order back at once.

use std::time::Duration;

use super::model::{Order, Origin};
use super::writer::{Ask, Entry, Refusal, Reply};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::IfMatch;

/// Goes on to its end when the caller has gone away. `seen`: the revision without which nothing is done.
pub async fn cancel(app: &App, order: &Order, origin: Origin, seen: Option<&IfMatch>) -> Result<()> {
    let ask = Ask::Cancel { seen: seen.cloned() };
    let (task_app, entry) = (app.clone(), Entry { facts: order.facts.clone(), ask, origin });
    let task = app.lifecycle.spawn(async move { task_app.writer.submit(entry).await });
    match task.await.map_err(Error::bug)? {
        Reply::Released | Reply::Already => Ok(()),
        Reply::Refused(Refusal::InProgress) => {
            Err(Error::conflict("payment.in_progress").retry_after(Duration::from_secs(2)))
        }
        Reply::Refused(Refusal::AlreadyPaid) => Err(Error::conflict("order.paid")),
        Reply::Refused(Refusal::Lapsed) => Err(Error::gone("order.expired")),
        Reply::Refused(_) => Err(Error::gone("order.closed")),
        Reply::Failed(error) => Err(error),
        other => Err(Error::unavailable("order.unknown_outcome", format!("{other:?}"))),
    }
}
