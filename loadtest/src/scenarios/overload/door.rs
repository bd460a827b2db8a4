//! Who orders without a pass, and what becomes of it: the door of a room that opens and closes by itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::plan;
use crate::Failure;
use crate::catalogue::Choice;
use crate::http::Request;
use crate::scenarios::sale_day::{Day, visit};
use crate::shop::Shop;
use crate::tally::Outcome;

const SHUT: &str = "403 waiting_room.pass_required";
/// Where the page leads whoever has no pass.
const SEE_OTHER: u16 = 303;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Taken,
    /// A pass is required.
    Refused,
    Other,
}

impl Answer {
    fn of(outcome: Option<&Outcome>) -> Answer {
        match outcome {
            None | Some(Outcome::Success) => Answer::Taken,
            Some(Outcome::Refused(why)) if why == SHUT => Answer::Refused,
            Some(_) => Answer::Other,
        }
    }
}

/// An order without a pass.
#[derive(Clone, Copy, Debug)]
pub struct Knock {
    pub sent: Instant,
    pub done: Instant,
    pub answer: Answer,
}

/// All of them, and who was sent to the line.
#[derive(Default)]
pub struct Door {
    knocks: Mutex<Vec<Knock>>,
    pub sent_by_the_page: AtomicU64,
    over: AtomicBool,
}

impl Door {
    fn note(&self, sent: Instant, answer: Answer) {
        if let Ok(mut knocks) = self.knocks.lock() {
            knocks.push(Knock { sent, done: Instant::now(), answer });
        }
    }

    /// Orders without asking for a pass, so many a second, until it is over.
    pub async fn knock(self: Arc<Door>, shop: Arc<Shop>, choice: Choice, per_s: f64) {
        let (choice, mut knocks) = (Arc::new(choice), tokio::task::JoinSet::new());
        let mut due = tokio::time::interval(Duration::from_secs_f64(1.0 / per_s));
        while !self.over.load(Ordering::Relaxed) {
            due.tick().await;
            let (door, shop, choice) = (Arc::clone(&self), Arc::clone(&shop), Arc::clone(&choice));
            knocks.spawn(async move {
                let sent = Instant::now();
                door.note(sent, Answer::of(Some(&shop.hold(&choice).await)));
            });
        }
        while knocks.join_next().await.is_some() {}
    }

    pub async fn done(&self, knocking: tokio::task::JoinHandle<()>) -> Result<Vec<Knock>, Failure> {
        self.over.store(true, Ordering::Relaxed);
        knocking.await.map_err(|error| error.to_string())?;
        self.knocks.lock().map(|mut knocks| std::mem::take(&mut *knocks)).map_err(|error| error.to_string())
    }
}

/// A visitor opens the page of the exhibition and buys from it; where it leads to the line instead, or the door closes in
/// between, by way of the room.
pub async fn enter(day: Arc<Day>, page: Arc<Request>, door: Arc<Door>) -> Outcome {
    match day.shop.site.call(&page, |status, _| status).await {
        Ok(200) => {
            let sent = Instant::now();
            let bought = day.shop.buy(&day.choices[0]).await;
            let answer = Answer::of(bought.as_ref().err());
            door.note(sent, answer);
            match (bought, answer) {
                (Ok(_), _) => return Outcome::Success,
                (Err(_), Answer::Refused) => {}
                (Err(outcome), _) => return outcome,
            }
        }
        Ok(SEE_OTHER) => drop(door.sent_by_the_page.fetch_add(1, Ordering::Relaxed)),
        Ok(status) => return Outcome::of_problem(status, b""),
        Err(fault) => return fault.into(),
    }
    visit(day, plan()).await
}

/// What the orders without a pass say about the door.
#[derive(Debug, Default, PartialEq)]
pub struct Swing {
    /// Taken from the beginning on, before the first was refused.
    pub taken_before: usize,
    pub first_refused: Option<Instant>,
    pub refused: usize,
    /// Sent after the first was refused and taken before the last was.
    pub leaked: usize,
    /// When the first was taken after the last was refused.
    pub taken_again: Option<Instant>,
}

impl Swing {
    pub fn of(knocks: &[Knock], from: Instant) -> Swing {
        let of = |answer: Answer| knocks.iter().filter(move |knock| knock.answer == answer);
        let first_refused = of(Answer::Refused).map(|knock| knock.done).min();
        let last_refused = of(Answer::Refused).map(|knock| knock.sent).max();
        let after = |at: Option<Instant>, then: Instant| at.is_some_and(|at| then > at);
        let later = |knock: &&Knock| after(first_refused, knock.sent);
        Swing {
            taken_before: of(Answer::Taken).filter(|knock| knock.sent >= from && !later(knock)).count(),
            first_refused,
            refused: of(Answer::Refused).count(),
            leaked: of(Answer::Taken).filter(|k| later(k) && last_refused.is_some_and(|last| k.done < last)).count(),
            taken_again: of(Answer::Taken).filter(|k| after(last_refused, k.done) && later(k)).map(|k| k.done).min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_what_was_taken_between_two_refusals() {
        let from = Instant::now();
        let at = |ms: u64| from + Duration::from_millis(ms);
        let knock = |sent: u64, done: u64, answer| Knock { sent: at(sent), done: at(done), answer };
        let (taken, refused) = (Answer::Taken, Answer::Refused);
        let mut knocks = vec![
            knock(0, 5, taken),
            knock(1_000, 1_010, taken),
            // Overtaken by a refusal: sent before it was known.
            knock(1_100, 1_400, taken),
            knock(1_150, 1_200, refused),
            knock(1_300, 1_310, Answer::Other),
            knock(2_000, 2_010, refused),
            knock(2_100, 2_110, taken),
            knock(2_050, 2_060, taken),
        ];
        let swing = Swing::of(&knocks, at(500));
        assert_eq!((swing.taken_before, swing.refused, swing.leaked), (2, 2, 0));
        assert_eq!((swing.first_refused, swing.taken_again), (Some(at(1_200)), Some(at(2_060))));
        knocks.push(knock(1_500, 1_510, taken));
        assert_eq!(Swing::of(&knocks, at(500)).leaked, 1);
        assert_eq!(Swing::of(&knocks[..2], from), Swing { taken_before: 2, ..Swing::default() });
    }

    #[test]
    fn only_the_want_of_a_pass_is_the_door() {
        let refused = |why: &str| Answer::of(Some(&Outcome::Refused(why.into())));
        assert_eq!((refused(SHUT), refused("403 waiting_room.pass_ended")), (Answer::Refused, Answer::Other));
        assert_eq!((Answer::of(None), Answer::of(Some(&Outcome::Timeout))), (Answer::Taken, Answer::Other));
    }
}
