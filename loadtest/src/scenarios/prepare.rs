//! What has to be bought before a run can begin.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::Failure;
use crate::catalogue::Choice;
use crate::shop::{Ready, Shop, Ticket};
use crate::tally::Outcome;

/// Buyers at once while preparing.
const WORKERS: usize = 64;
/// Failures in a row of preparation that mean it will not succeed.
const FAILURES_MAX: u64 = 50;
/// Order sizes tried, largest first, where the server allows fewer per order than hoped.
const SIZES: [u32; 7] = [100, 50, 20, 10, 5, 2, 1];

/// Paid tickets, `count` at least, in orders as large as the server takes.
pub async fn tickets(shop: &Arc<Shop>, choice: &Choice, count: usize, per_order: u32) -> Result<Vec<Ticket>, Failure> {
    let (per_order, mut tickets) = largest_order(shop, choice, per_order).await?;
    eprintln!("buying {count} tickets, {per_order} per order");
    let choice = Arc::new(Choice { quantity: per_order, ..choice.clone() });
    let orders = (count as u64).div_ceil(u64::from(per_order));
    let shop = Arc::clone(shop);
    let bought = gathered(orders, move || {
        let (shop, choice) = (Arc::clone(&shop), Arc::clone(&choice));
        async move { shop.buy(&choice).await }
    });
    tickets.extend(bought.await?.into_iter().flatten());
    Ok(tickets)
}

/// Paid orders, and how each was paid.
pub async fn paid(shop: &Arc<Shop>, choice: &Choice, count: u64) -> Result<Vec<Ready>, Failure> {
    eprintln!("buying {count} orders");
    let (shop, choice) = (Arc::clone(shop), Arc::new(choice.clone()));
    gathered(count, move || {
        let (shop, choice) = (Arc::clone(&shop), Arc::clone(&choice));
        async move {
            let ready = shop.authorised(&choice).await?;
            shop.pay(&choice, &ready).await.map(|_| ready)
        }
    })
    .await
}

/// So many successes of the same, by many workers.
async fn gathered<T, F, V>(count: u64, act: F) -> Result<Vec<T>, Failure>
where
    T: Send + 'static,
    F: Fn() -> V + Clone + Send + 'static,
    V: Future<Output = Result<T, Outcome>> + Send,
{
    let (left, failures) = (Arc::new(AtomicU64::new(count)), Arc::new(AtomicU64::new(0)));
    let gathered = Arc::new(Mutex::new(Vec::new()));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..WORKERS {
        let (left, failures, gathered, act) =
            (Arc::clone(&left), Arc::clone(&failures), Arc::clone(&gathered), act.clone());
        workers.spawn(async move {
            while take_one(&left) {
                match act().await {
                    Ok(one) => {
                        failures.store(0, Ordering::Relaxed);
                        if let Ok(mut gathered) = gathered.lock() {
                            gathered.push(one);
                        }
                    }
                    Err(outcome) if failures.fetch_add(1, Ordering::Relaxed) >= FAILURES_MAX => {
                        return Err(format!("buying beforehand fails: {outcome:?}"));
                    }
                    Err(_) => drop(left.fetch_add(1, Ordering::Relaxed)),
                }
            }
            Ok(())
        });
    }
    while let Some(done) = workers.join_next().await {
        done.map_err(|error| error.to_string())??;
    }
    Ok(gathered.lock().map(|mut gathered| std::mem::take(&mut *gathered)).unwrap_or_default())
}

fn take_one(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

/// The largest order the server takes, found by buying one.
async fn largest_order(shop: &Shop, choice: &Choice, per_order: u32) -> Result<(u32, Vec<Ticket>), Failure> {
    let mut last = String::new();
    for size in std::iter::once(per_order).chain(SIZES.into_iter().filter(|size| *size < per_order)) {
        match shop.buy(&Choice { quantity: size, ..choice.clone() }).await {
            Ok(tickets) => return Ok((size, tickets)),
            Err(Outcome::Refused(why)) => last = why,
            Err(other) => return Err(format!("buying tickets beforehand fails: {other:?}")),
        }
    }
    Err(format!("no order size is accepted: {last}"))
}

/// Holds places until only `keep` of `free` are left.
pub async fn hold_down_to(shop: &Arc<Shop>, choice: &Choice, free: i64, keep: i64) -> Result<(), Failure> {
    let mut left = free - keep;
    let mut size = SIZES.into_iter().map(i64::from).find(|size| *size <= left.min(10)).unwrap_or(1);
    while left > 0 {
        size = size.min(left);
        // One order alone finds out whether the size is allowed; the others follow side by side.
        let at_once = if left == free - keep { 1 } else { (left / size).min(WORKERS as i64) };
        let mut orders = tokio::task::JoinSet::new();
        for _ in 0..at_once {
            let (shop, quantity) = (Arc::clone(shop), u32::try_from(size).unwrap_or(1));
            let choice = Choice { quantity, ..choice.clone() };
            orders.spawn(async move { shop.hold(&choice).await });
        }
        while let Some(done) = orders.join_next().await {
            match done.map_err(|error| error.to_string())? {
                Outcome::Success => left -= size,
                Outcome::Refused(_) if size > 1 && at_once == 1 => size /= 2,
                other => return Err(format!("holding places beforehand fails: {other:?}")),
            }
        }
    }
    Ok(())
}
