//! Webhooks of paid orders: how many a second are stored and answered, and how long they wait for their worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::catalogue;
use crate::cli::{Common, Webhooks};
use crate::context::Context;
use crate::engine::Window;
use crate::http::Request;
use crate::report::{Course, Report};
use crate::scenarios::holds::enough;
use crate::scenarios::prepare;
use crate::shop::{Ready, Shop};
use crate::tally::Outcome;

const RATE: u32 = 5_000;
const SECONDS: u32 = 10;
const WARMUP: u32 = 2;
const CONNECTIONS: u32 = 256;
/// Admit keeps twenty of one attempt's at a time: more tell it nothing.
const WAITING_OF_ONE: f64 = 20.0;
/// From the issue.
const TARGET_PER_S: f64 = 5_000.0;
const DRAIN_MAX: Duration = Duration::from_secs(180);
const LOOK_GAP: Duration = Duration::from_millis(500);
const STORED: &str = "select count(*) from inbox";
const WAITING: &str = "select count(*) from inbox where state = 'received'";
const OLDEST_MS: &str = "select coalesce(extract(epoch from admit_now() - min(received_at)) * 1000, 0)::int8
                           from inbox where state = 'received'";

pub async fn run(common: Common, options: Webhooks) -> Result<Report, Failure> {
    let (rate, seconds, warmup) = (common.rate_or(RATE), common.seconds_or(SECONDS), common.warmup_or(WARMUP));
    let connections = common.connections_or(CONNECTIONS);
    let mut context = Context::open(common, true).await?;
    let shop = context.shop(connections)?;
    let choice = catalogue::hot(&shop.site, "aaa", context.options.product_id.as_deref()).await?;
    let orders = u64::from(options.orders);
    enough(&choice, options.orders.into())?;
    if rate * (seconds + warmup) > f64::from(options.orders) * WAITING_OF_ONE {
        return Err(format!("{orders} orders are too few for so many webhooks: more than {WAITING_OF_ONE} each"));
    }
    let paid = prepare::paid(&shop, &choice, orders).await?;
    context.notes.push(format!("{} paid orders, their webhooks in turn", paid.len()));
    let before = context.one(STORED).await?;

    let (next, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, paid, counted) = (Arc::clone(&shop), Arc::new(paid), Arc::clone(&sent));
    let visit = move || {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let request = webhook(&seen, &paid[n % paid.len()], n);
        let (shop, sent) = (Arc::clone(&seen), Arc::clone(&counted));
        async move {
            let judged = shop.site.call(&request, |status, body| match status {
                200 => Outcome::Success,
                _ => Outcome::of_problem(status, body),
            });
            let outcome = judged.await.unwrap_or_else(Outcome::from);
            sent.fetch_add(usize::from(outcome == Outcome::Success), Ordering::Relaxed);
            outcome
        }
    };
    let window = Window::soon(warmup, seconds);
    let phase = if options.closed {
        context.closed_phase("webhooks", &shop, window, connections, visit).await
    } else {
        context.open_phase("webhooks", &shop, window, rate, visit).await
    };
    let answered = phase.succeeded_per_s;
    context.phases.push(phase);
    context.target("intake", answered >= TARGET_PER_S, format!("{answered:.0}/s, target {TARGET_PER_S:.0}/s"));
    let stored = context.one(STORED).await? - before;
    let sent = sent.load(Ordering::Relaxed) as i64;
    context.require("every answered webhook is stored", stored >= sent, format!("{sent} answered, {stored} stored"));
    worked(&mut context).await?;
    Ok(context.close("webhooks").await)
}

/// As Toss sends it, with a time of its own so that none repeats another.
fn webhook(shop: &Shop, paid: &Ready, n: usize) -> Request {
    let json = format!(
        r#"{{"eventType":"PAYMENT_STATUS_CHANGED","createdAt":"2026-11-28T10:00:00.{n:09}","data":{{"mId":"tvivarepublica","lastTransactionKey":"9C62B18EEF0DE3EB7F4422EB6D14BC6E","paymentKey":"{key}","orderId":"{order}","orderName":"load","taxExemptionAmount":0,"status":"DONE","requestedAt":"2026-11-28T09:59:00+09:00","approvedAt":"2026-11-28T10:00:00+09:00","useEscrow":false,"cultureExpense":false,"card":null,"virtualAccount":null,"transfer":null,"mobilePhone":null,"giftCertificate":null,"cashReceipt":null,"cashReceipts":null,"discount":null,"cancels":null,"type":"NORMAL","easyPay":null,"country":"KR","failure":null,"isPartialCancelable":true,"currency":"KRW","totalAmount":10000,"balanceAmount":10000,"suppliedAmount":9091,"vat":909,"taxFreeAmount":0,"method":"카드","version":"2022-11-16"}}}}"#,
        key = paid.authorised.payment_key,
        order = paid.checkout.order_id,
    );
    let id = format!("load-{:016x}-{n}", shop.ledger.run);
    shop.site.post("/api/webhooks/toss", &[("tosspayments-webhook-transmission-id", id.as_str())], &json)
}

/// How long until the last of them is worked.
async fn worked(context: &mut Context) -> Result<(), Failure> {
    let (begun, mut rows) = (Instant::now(), Vec::new());
    let waiting = loop {
        let (waiting, oldest_ms) = (context.one(WAITING).await?, context.one(OLDEST_MS).await?);
        rows.push(vec![begun.elapsed().as_secs_f64(), waiting as f64, oldest_ms as f64 / 1e3]);
        if waiting == 0 || begun.elapsed() > DRAIN_MAX {
            break waiting;
        }
        tokio::time::sleep(LOOK_GAP).await;
    };
    context.figure("waiting webhooks worked after", begun.elapsed().as_secs_f64(), "s");
    context.require("every webhook is worked", waiting == 0, format!("{waiting} left"));
    context.courses.push(Course {
        name: "webhooks that wait after the last arrival".into(),
        columns: vec!["s", "waiting", "oldest s"],
        rows,
    });
    Ok(())
}
