//! Compares a day with the provider's books, once it is over.

use jiff::SignedDuration;
use jiff::civil::Date;

use super::pg::{self, Difference};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::pg as orders;
use crate::orders::recover;
use crate::payments::PaymentGateway;
use crate::platform::clock::seoul_day;

/// Pages of one day, of up to 5,000 rows each. More is no day of ours.
const PAGES_MAX: usize = 400;
/// Money nobody knew of is asked about at once, as far as this.
const ASKED_MAX: usize = 1_000;

/// One round: the oldest day of each provider that was not compared yet. How many were.
pub async fn tick(app: &App) -> Result<usize> {
    let mut compared = 0;
    for gateway in app.gateways.all() {
        let client = app.pg.get().await?;
        let day = pg::due(&client, gateway.provider(), app.clock.today_in_seoul()).await?;
        drop(client);
        let Some(day) = day else { continue };
        // The books of a day may be a little late.
        if app.clock.now() < seoul_day(day)?.1 + SignedDuration::from_hours(1) {
            continue;
        }
        match day_of(app, gateway, day).await {
            Ok(found) => {
                compared += 1;
                app.metrics.money_differences(gateway.provider().as_str(), found.len());
            }
            Err(error) => {
                tracing::warn!(%error, provider = gateway.provider().as_str(), %day, "the books were not compared");
            }
        }
    }
    Ok(compared)
}

/// Reads the day's books, asks about money that we do not know of, and notes what still differs.
pub async fn day_of(app: &App, gateway: &dyn PaymentGateway, day: Date) -> Result<Vec<Difference>> {
    let provider = gateway.provider();
    let (from, midnight) = seoul_day(day)?;
    // What went back since is in our own figures as well.
    let until = (midnight + SignedDuration::from_hours(24)).min(app.clock.now());
    let (mut after, mut rows) = (None, 0);
    for _ in 0..PAGES_MAX {
        let page = gateway.transactions(from, until, after.as_deref()).await;
        let page = page.map_err(|why| Error::unavailable("payment.provider_away", why))?;
        rows += page.rows.len();
        // The provider's hour is over: no connection was held meanwhile.
        pg::store(&app.pg.get().await?, provider, &page.rows).await?;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if after.is_some() {
        return Err(Error::bug(format!("the books of {day} have no end")));
    }
    let found = pg::compare(&app.pg.get().await?, provider, day).await?;
    ask_about(app, &found).await;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let found = pg::compare(&transaction, provider, day).await?;
    pg::note(&transaction, provider, day, i32::try_from(rows).unwrap_or(i32::MAX), &found).await?;
    transaction.commit().await?;
    for difference in &found {
        tracing::error!(provider = provider.as_str(), %day, ?difference, "the books differ");
    }
    Ok(found)
}

/// Captured there and not here, or gone back there: the same question as recovery's, and the same end.
async fn ask_about(app: &App, found: &[Difference]) {
    for difference in found.iter().take(ASKED_MAX) {
        let Some(order_id) = difference.order_id.as_deref() else { continue };
        let asked = async {
            let attempt = orders::attempt_by_provider_order(&app.pg.get().await?, order_id).await?;
            match attempt {
                Some(attempt) => recover::resolve(app, &attempt, Some(&difference.payment_key)).await.map(|_| ()),
                None => Ok(()),
            }
        };
        if let Err(error) = asked.await {
            tracing::warn!(%error, order_id, "a difference stays for the next look");
        }
    }
}
