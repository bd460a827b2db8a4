//! One visitor of the sale day, from the queue's page to the tickets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::de::IgnoredAny;

use super::calls::{Calls, Kind};
use super::fairness::Promise;
use super::plan::{Manner, Plan};
use super::records::{Records, Seen};
use crate::catalogue::Choice;
use crate::http::Request;
use crate::queue::{Queue, State, TOKEN, Told};
use crate::shop::{Authorised, Checkout, Held, Order, Shop};
use crate::tally::Outcome;

/// Beyond the time to claim, so that whoever blinks is late for certain.
const BLINK_MORE: Duration = Duration::from_secs(5);
/// Somebody who finds a ticket sold out looks for another so often, the last time for the one there is most of.
const CHOICES_MAX: usize = 5;
/// How often a pass that has ended is asked for anew.
const PASSES_MAX: usize = 3;
/// Between two looks at an order whose payment is not decided yet.
const CONFIRMING_GAP: Duration = Duration::from_millis(500);

/// What all visitors share.
pub struct Day {
    pub shop: Arc<Shop>,
    pub queue: Queue,
    pub calls: Calls,
    /// The roomiest first.
    pub choices: Vec<Choice>,
    pub products: Request,
    pub claim_window: Duration,
    /// Nobody goes on after this.
    pub until: Instant,
    pub records: Records,
    pub progress: Progress,
}

/// How many are where, for whoever watches.
#[derive(Default)]
pub struct Progress {
    pub arrived: AtomicU64,
    pub inside: AtomicU64,
    pub finished: AtomicU64,
    pub left: AtomicU64,
    pub failed: AtomicU64,
}

struct Visitor<'a> {
    day: &'a Day,
    plan: Plan,
    rng: SmallRng,
    token: Option<String>,
    pass: Option<String>,
    polls: u32,
    seen: Seen,
}

pub async fn visit(day: Arc<Day>, plan: Plan) -> Outcome {
    let rng = SmallRng::seed_from_u64(plan.seed);
    let mut visitor = Visitor { day: &day, plan, rng, token: None, pass: None, polls: 0, seen: Seen::default() };
    let progress = &day.progress;
    progress.arrived.fetch_add(1, Ordering::Relaxed);
    let done = visitor.all().await;
    if visitor.seen.admitted {
        progress.inside.fetch_sub(1, Ordering::Relaxed);
    }
    let seen = visitor.seen;
    let (counter, outcome) = match done {
        Ok(()) => (&progress.finished, Outcome::Success),
        Err(Outcome::Left) => (&progress.left, Outcome::Left),
        Err(other) => (&progress.failed, other),
    };
    counter.fetch_add(1, Ordering::Relaxed);
    day.records.note(seen);
    outcome
}

impl Visitor<'_> {
    async fn all(&mut self) -> Result<(), Outcome> {
        let Day { shop, queue, calls, until, .. } = self.day;
        calls.open(&shop.site, Kind::Page, &shop.site.get(&queue.page, &[]), *until).await?;
        let begun = Instant::now();
        let told = self.join().await?;
        if self.until_let_in(told).await? {
            shop.ledger.step("from join to pass", begun);
        }
        self.seen.admitted = true;
        self.day.progress.inside.fetch_add(1, Ordering::Relaxed);
        calls.ask::<IgnoredAny>(&shop.site, Kind::Products, &self.day.products, *until).await?;
        tokio::time::sleep(Duration::from_millis(self.plan.choosing_ms)).await;
        let held = self.order().await?;
        self.pay(&held).await?;
        let (order, _): (Order, u16) = calls.ask(&shop.site, Kind::Tickets, &shop.read_request(&held), *until).await?;
        if order.is_whole(1) { Ok(()) } else { Err(Outcome::Refused("paid without its tickets".into())) }
    }

    /// Asks as often as told, and claims when called. Whether a pass is in hand: where no room asks for one there is none.
    async fn until_let_in(&mut self, mut told: Told) -> Result<bool, Outcome> {
        loop {
            if !self.seen.admitted {
                self.note(&told);
            }
            match told.state {
                State::Admitted => return Ok(true),
                State::Open | State::Ended => return Ok(false),
                State::Over if !self.seen.admitted => {
                    return Err(Outcome::Refused("a place that was used by somebody else".into()));
                }
                State::Over => {
                    self.token = None;
                    told = self.join().await?;
                }
                State::Outside => {
                    tokio::time::sleep(Duration::from_millis(told.poll_after_ms)).await;
                    told = self.join().await?;
                }
                State::YourTurn | State::Late => {
                    self.go_away().await?;
                    told = self.claim().await?;
                    if !matches!(told.state, State::Admitted | State::Over) {
                        told = self.poll(told.poll_after_ms).await?;
                    }
                }
                State::Prequeue | State::Waiting | State::Paused | State::Stopped => {
                    if self.polls >= self.polls_before_going() {
                        self.go_away().await?;
                    }
                    told = self.poll(told.poll_after_ms).await?;
                }
            }
        }
    }

    fn polls_before_going(&self) -> u32 {
        match self.plan.manner {
            Manner::Stays => u32::MAX,
            Manner::Abandons { after_polls } | Manner::Blinks { after_polls } => after_polls,
        }
    }

    /// As the plan has it, once: for good, or for a little longer than the time to claim.
    async fn go_away(&mut self) -> Result<(), Outcome> {
        match self.plan.manner {
            Manner::Stays => return Ok(()),
            Manner::Abandons { .. } => {
                self.seen.away = true;
                return Err(Outcome::Left);
            }
            Manner::Blinks { .. } => {}
        }
        self.seen.away = true;
        self.plan.manner = Manner::Stays;
        tokio::time::sleep(self.day.claim_window + BLINK_MORE).await;
        Ok(())
    }

    /// Keeps what the line promised and when it called.
    fn note(&mut self, told: &Told) {
        let seen = &mut self.seen;
        seen.stale += u64::from(told.stale);
        seen.rank = told.rank.or(seen.rank);
        if told.state == State::Late && seen.called_ms.is_none() {
            seen.late_first |= !seen.away;
        }
        let at_ms = told.server_time.as_millisecond();
        if let Some(band) = told.eta.filter(|_| told.state == State::Waiting) {
            seen.promises.push(Promise { at_ms, from_s: band.from_s, to_s: band.to_s });
        }
        // The time left says exactly when the call was, however late we ask. A second call is one of the late.
        if let Some(left_ms) = told.claim_left_ms
            && seen.called_ms.is_none()
            && !seen.late_first
        {
            seen.called_ms = Some(at_ms + left_ms - self.day.claim_window.as_millis() as i64);
        }
    }

    async fn join(&mut self) -> Result<Told, Outcome> {
        let Day { shop, queue, calls, until, .. } = self.day;
        let token = self.token.clone();
        let header = token.as_deref().map(|token| (TOKEN, token));
        let request = queue.join(&shop.site, header.as_slice());
        self.hear(calls.ask(&shop.site, Kind::Join, &request, *until).await?.0)
    }

    async fn poll(&mut self, after_ms: u64) -> Result<Told, Outcome> {
        let Day { shop, queue, calls, until, .. } = self.day;
        let pause = Duration::from_millis(after_ms);
        if Instant::now() + pause >= *until {
            return Err(Outcome::Timeout);
        }
        tokio::time::sleep(pause).await;
        self.polls += 1;
        let request = queue.status(&shop.site, self.token()?);
        self.hear(calls.ask(&shop.site, Kind::Poll, &request, *until).await?.0)
    }

    async fn claim(&mut self) -> Result<Told, Outcome> {
        let Day { shop, queue, calls, until, .. } = self.day;
        let request = queue.claim(&shop.site, self.token()?);
        self.hear(calls.ask(&shop.site, Kind::Claim, &request, *until).await?.0)
    }

    fn token(&self) -> Result<&str, Outcome> {
        self.token.as_deref().ok_or_else(|| Outcome::Refused("a place in line without a token".into()))
    }

    fn hear(&mut self, mut told: Told) -> Result<Told, Outcome> {
        self.token = told.queue_token.take().or(self.token.take());
        self.pass = told.pass.take().or(self.pass.take());
        Ok(told)
    }

    /// Holds one ticket. Sold out: another one. A pass that Redis has lost: another one, though it takes waiting again.
    async fn order(&mut self) -> Result<Held, Outcome> {
        let Day { shop, calls, until, choices, .. } = self.day;
        let (mut tries, mut passes) = (1, 1);
        let mut ask = shop.ask(&choices[self.rng.random_range(0..choices.len())]);
        loop {
            let request = shop.order(&ask, self.pass.as_deref());
            let held = calls.ask(&shop.site, Kind::Order, &request, *until).await;
            match held {
                Ok((held, _)) => {
                    shop.acknowledge(true);
                    return Ok(held);
                }
                Err(Outcome::SoldOut) if tries < CHOICES_MAX => {
                    tries += 1;
                    let at = if tries == CHOICES_MAX { 0 } else { self.rng.random_range(0..choices.len()) };
                    ask = shop.ask(&choices[at]);
                }
                Err(Outcome::Refused(why)) if why.starts_with("403 waiting_room.") && passes < PASSES_MAX => {
                    passes += 1;
                    self.seen.passes_again += 1;
                    self.pass = None;
                    let told = if self.token.is_some() { self.claim().await? } else { self.join().await? };
                    self.until_let_in(told).await?;
                }
                Err(other) => return Err(other),
            }
        }
    }

    async fn pay(&self, held: &Held) -> Result<(), Outcome> {
        let Day { shop, calls, until, .. } = self.day;
        let (checkout, _): (Checkout, u16) =
            calls.ask(&shop.site, Kind::Initialize, &shop.initialize_request(held), *until).await?;
        let authorise = shop.authorise_request(&checkout);
        let (authorised, _): (Authorised, u16) = calls.ask(&shop.toss, Kind::Authorise, &authorise, *until).await?;
        let confirm = shop.confirm_request(held, &checkout, &authorised);
        let (mut order, _): (Order, u16) = calls.ask(&shop.site, Kind::Confirm, &confirm, *until).await?;
        while order.status == "confirming" && Instant::now() < *until {
            tokio::time::sleep(CONFIRMING_GAP).await;
            order = calls.ask(&shop.site, Kind::Tickets, &shop.read_request(held), *until).await?.0;
        }
        match order.status.as_str() {
            "paid" => Ok(()),
            "confirming" => Err(Outcome::Timeout),
            other => Err(Outcome::Refused(format!("confirm left the order {other}"))),
        }
    }
}
