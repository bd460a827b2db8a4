//! Whom the leader calls in one tick. Pure: facts in, serving ranks out; the caller writes them, fenced.
//!
//! Three promises: not more are called than there is room, rate and stock for; among those who are there the order is
//! that of their ranks; and nobody who just joined is passed as departed, because ranks are only passed for free where
//! the leader can already know who is alive.

use std::collections::VecDeque;

use super::alive::AliveIndex;
use super::model::LANES;

/// One lane, as the leader sees it at a tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaneFacts {
    pub serving: u32,
    /// Last number given out: ranks above it do not exist.
    pub seq: u32,
    /// Highest rank whose liveness must have reached the leader by now if there is any. See [`Settling`].
    pub settled: u32,
    /// [%]
    pub share_pct: i32,
    /// Alive, called, not claimed, inside the time to claim.
    pub outstanding: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub capacity: i32,
    pub active: i32,
    pub lanes: [LaneFacts; LANES],
    pub alive: [&'a AliveIndex; LANES],
    /// Late returners who wait to be called again.
    pub late_waiting: u32,
    /// … and those who are called and have not claimed yet.
    pub late_called_outstanding: u32,
    /// [%]
    pub late_share_pct: i32,
    /// Share of those called who really claim, 0.0..=1.0.
    pub claim_share: f64,
    /// What the token bucket holds.
    pub tokens: f64,
    /// How many people can still buy something.
    pub stock_left: i64,
    /// [%]
    pub stock_factor_pct: i32,
}

/// What is owed between ticks, in people: shares of small budgets are fractions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Deficits {
    pub lanes: [f64; LANES],
    /// Never above zero: nobody saves up for people who are not there.
    pub late: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Plan {
    /// New serving ranks; never lower than before.
    pub serving: [u32; LANES],
    /// How many alive ranks that calls, by lane: what `PassRate` counts.
    pub called: [u32; LANES],
    /// How many to take out of the late lane, lowest ranks first.
    pub late: u32,
    /// How many could have been called.
    pub budget: u32,
    /// To be taken from the token bucket.
    pub spent: f64,
}

/// How many may be called now.
fn budget(facts: &Facts) -> u32 {
    let called: f64 = facts.lanes.iter().map(|lane| f64::from(lane.outstanding)).sum();
    let outstanding = called + f64::from(facts.late_called_outstanding);
    let active = f64::from(facts.active);
    let room = f64::from(facts.capacity) - active - (outstanding * facts.claim_share).round();
    let stock = facts.stock_left as f64 * f64::from(facts.stock_factor_pct) / 100.0 - active - outstanding;
    // A rate that is not a number allows nobody.
    let tokens = facts.tokens.max(0.0);
    room.min(stock).min(tokens).floor() as u32
}

/// How many of the budget go to the late lane. The first comes through at once, even if the share of a small budget is
/// less than a person; the next then waits until the share has caught up. Otherwise a room that calls one person per
/// tick would call nobody but the late.
///
/// With `n` in the lane everybody in it is called before `n / share` of budget has passed.
fn late_part(budget: u32, waiting: u32, share_pct: i32, owed: &mut f64) -> u32 {
    /// Sums of fractions do not meet whole numbers exactly.
    const EXACT: f64 = 1e-9;
    *owed += f64::from(budget) * f64::from(share_pct) / 100.0;
    let part = ((*owed - EXACT).ceil().max(0.0) as u32).min(waiting).min(budget);
    *owed = (*owed - f64::from(part)).min(0.0);
    part
}

/// Deficit round robin: by shares where people wait in several lanes, all of it to the only one otherwise.
fn by_lanes(budget: u32, waiting: [u32; LANES], share_pct: [i32; LANES], owed: &mut [f64; LANES]) -> [u32; LANES] {
    let weight = |lane: usize| if waiting[lane] > 0 { f64::from(share_pct[lane].max(0)) } else { 0.0 };
    let weights: f64 = (0..LANES).map(weight).sum();
    if weights > 0.0 {
        (0..LANES).for_each(|lane| owed[lane] += f64::from(budget) * weight(lane) / weights);
    }
    let mut called = [0; LANES];
    let mut left = budget;
    for lane in 0..LANES {
        called[lane] = (owed[lane].max(0.0) as u32).min(waiting[lane]).min(left);
        left -= called[lane];
    }
    // Fractions first, to whom most is owed; then what a lane without people leaves to the other, free of charge.
    while left > 0 {
        let due = |lane: usize| owed[lane] - f64::from(called[lane]);
        let open = (0..LANES).filter(|lane| called[*lane] < waiting[*lane]);
        let Some(lane) = open.reduce(|a, b| if due(b) > due(a) { b } else { a }) else { break };
        let others_wait = (0..LANES).any(|other| other != lane && called[other] < waiting[other]);
        let more = if others_wait { 1 } else { left.min(waiting[lane] - called[lane]) };
        if !others_wait {
            owed[lane] += f64::from(more);
        }
        called[lane] += more;
        left -= more;
    }
    for lane in 0..LANES {
        let due = owed[lane] - f64::from(called[lane]);
        // A lane whose people are all called is owed nothing.
        owed[lane] = if called[lane] == waiting[lane] { 0.0 } else { due.clamp(-1.0, 1.0) };
    }
    called
}

/// Ranks of a lane that may be called: everybody alive up to `known`, passing the dead for free, and behind that only
/// an unbroken run of the alive. A gap there may be somebody who joined a moment ago, whose sign of life is still on
/// its way; the line waits for it.
#[derive(Clone, Copy)]
struct Reach {
    serving: u32,
    known: u32,
    alive_known: u32,
    run: u32,
}

impl Reach {
    fn of(lane: &LaneFacts, alive: &AliveIndex, budget: u32) -> Reach {
        let known = lane.settled.min(lane.seq).max(lane.serving);
        let alive_known = alive.between(lane.serving, known);
        let run = alive.run(known, lane.seq.saturating_sub(known).min(budget));
        Reach { serving: lane.serving, known, alive_known, run }
    }

    fn waiting(&self) -> u32 {
        self.alive_known + self.run
    }

    /// The new serving rank when so many alive ones are called, and more could have been if there were any.
    fn after(&self, called: u32, alive: &AliveIndex, more: bool) -> u32 {
        match called.checked_sub(self.alive_known) {
            Some(beyond) if beyond > 0 || more => self.known + beyond,
            _ => alive.advance(self.serving, called, self.known),
        }
    }
}

/// Decides one tick.
pub fn decide(facts: &Facts, owed: &mut Deficits) -> Plan {
    let budget = budget(facts);
    let late = late_part(budget, facts.late_waiting, facts.late_share_pct, &mut owed.late);
    let reach: [Reach; LANES] = std::array::from_fn(|i| Reach::of(&facts.lanes[i], facts.alive[i], budget));
    let shares = facts.lanes.map(|lane| lane.share_pct);
    let called = by_lanes(budget - late, reach.map(|reach| reach.waiting()), shares, &mut owed.lanes);
    let left = budget - late - called.iter().sum::<u32>();
    // Room that no lane has people for goes to the late as well: it is not charged to their share.
    let late_more = left.min(facts.late_waiting - late);
    let more = left > late_more;
    let serving = std::array::from_fn(|i| reach[i].after(called[i], facts.alive[i], more));
    let late = late + late_more;
    Plan { serving, called, late, budget, spent: f64::from(late + called.iter().sum::<u32>()) }
}

/// Remembers when which number was the last, to tell up to where liveness has surely arrived: who joined longer ago
/// than a sign of life takes to the leader is known to be alive, or is not. One per lane.
#[derive(Clone, Debug, Default)]
pub struct Settling {
    seen: VecDeque<(i64, u32)>,
    settled: u32,
}

impl Settling {
    /// The last number is `seq` now. Gives the highest rank that joined `lag_ms` ago or earlier, as far as this
    /// leader has seen itself: a new one lets nobody be passed before it has waited once.
    pub fn note(&mut self, now_ms: i64, seq: u32, lag_ms: i64) -> u32 {
        if seq > self.seen.back().map_or(self.settled, |(_, last)| *last) {
            self.seen.push_back((now_ms, seq));
        }
        // Nothing was seen in the future: where a clock was set back, the wait begins anew.
        self.seen.iter_mut().for_each(|(at_ms, _)| *at_ms = now_ms.min(*at_ms));
        while let Some((at_ms, seq)) = self.seen.front() {
            if now_ms - at_ms < lag_ms {
                break;
            }
            self.settled = *seq;
            self.seen.pop_front();
        }
        self.settled
    }

    /// Liveness is not to be trusted at the moment, as after a loss: nobody is passed until it had time to arrive.
    pub fn reset(&mut self) {
        *self = Settling::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::waiting_room::bits::Bits;

    fn index(alive: impl IntoIterator<Item = u32>) -> AliveIndex {
        AliveIndex::new(Bits::from_iter(alive))
    }

    /// Room for everybody: 100 may be called, in the general lane, everything settled.
    fn facts<'a>(general: &'a AliveIndex, invited: &'a AliveIndex) -> Facts<'a> {
        let lane = |share_pct| LaneFacts { seq: 1_000, settled: 1_000, share_pct, ..LaneFacts::default() };
        Facts {
            capacity: 300,
            active: 0,
            lanes: [lane(80), lane(20)],
            alive: [general, invited],
            late_waiting: 0,
            late_called_outstanding: 0,
            late_share_pct: 20,
            claim_share: 1.0,
            tokens: 100.0,
            stock_left: 10_000,
            stock_factor_pct: 120,
        }
    }

    fn decided(facts: &Facts) -> Plan {
        decide(facts, &mut Deficits::default())
    }

    #[test]
    fn the_tightest_limit_counts() {
        let (all, none) = (index(1..=1_000), index([]));
        let free = facts(&all, &none);
        let called = |facts: Facts| (decided(&facts).serving[0], decided(&facts).spent);
        assert_eq!(called(free), (100, 100.0));
        assert_eq!(called(Facts { tokens: 7.9, ..free }), (7, 7.0));
        assert_eq!(called(Facts { tokens: f64::NAN, ..free }), (0, 0.0));
        assert_eq!(called(Facts { active: 290, ..free }), (10, 10.0));
        assert_eq!(called(Facts { active: 310, ..free }), (0, 0.0));
        // Of ten called, half will come: five places are still free.
        assert_eq!(called(Facts { active: 290, late_called_outstanding: 10, claim_share: 0.5, ..free }), (5, 5.0));
        // The last 50 places: 60 may try, 40 of them are on their way.
        assert_eq!(called(Facts { active: 30, late_called_outstanding: 10, stock_left: 50, ..free }), (20, 20.0));
        assert_eq!(called(Facts { stock_left: 0, ..free }), (0, 0.0));
        assert_eq!(called(Facts { stock_left: i64::MAX, stock_factor_pct: 1_000, ..free }), (100, 100.0));
    }

    #[test]
    fn the_dead_are_passed_for_free_but_the_next_one_alive_is_not() {
        let none = index([]);
        let tens = index((10..=900).step_by(10));
        assert_eq!(decided(&Facts { tokens: 5.0, ..facts(&tens, &none) }).serving[0], 50);
        assert_eq!(decided(&Facts { tokens: 0.9, ..facts(&tens, &none) }).serving[0], 0);
        // Everybody is called, and nobody is left up to the last number.
        assert_eq!(decided(&facts(&tens, &none)).serving, [1_000, 1_000]);
        // Exactly everybody: nothing is left to pass anybody with.
        assert_eq!(decided(&Facts { tokens: 90.0, ..facts(&tens, &none) }).serving, [900, 0]);
    }

    #[test]
    fn whoever_joined_a_moment_ago_is_waited_for() {
        let none = index([]);
        // 11 and 12 joined just now and are known already; 13 is not; 14 is.
        let alive = index([2, 5, 11, 12, 14]);
        let lane = |serving, settled| LaneFacts { serving, seq: 14, settled, share_pct: 100, ..LaneFacts::default() };
        let serving = |serving, settled, tokens| {
            let lanes = [lane(serving, settled), LaneFacts::default()];
            decided(&Facts { tokens, lanes, ..facts(&alive, &none) }).serving[0]
        };
        assert_eq!(serving(0, 10, 100.0), 12);
        assert_eq!(serving(0, 10, 3.0), 11);
        assert_eq!(serving(0, 9, 100.0), 9);
        assert_eq!(serving(0, 13, 100.0), 14);
        // Nothing is known, as with a new leader: nobody is passed.
        assert_eq!(serving(0, 0, 100.0), 0);
        assert_eq!(serving(10, 0, 100.0), 12);
        assert_eq!(serving(12, 0, 100.0), 12);
        // Numbers were lost: the line stands until they are given again.
        assert_eq!(serving(20, 30, 100.0), 20);
    }

    #[test]
    fn a_lane_without_people_passes_its_share_on() {
        let (all, none) = (index(1..=1_000), index([]));
        let free = facts(&all, &none);
        assert_eq!(decided(&free).called, [100, 0]);
        assert_eq!(decided(&facts(&none, &all)).called, [0, 100]);
        assert_eq!(decided(&facts(&all, &all)).called, [80, 20]);
        assert_eq!(decided(&facts(&all, &index([7]))).called, [99, 1]);
        // A lane without a share is served when nobody else is there.
        let lanes = free.lanes.map(|lane| LaneFacts { share_pct: if lane.share_pct == 80 { 100 } else { 0 }, ..lane });
        assert_eq!(decided(&Facts { lanes, ..facts(&all, &all) }).called, [100, 0]);
        assert_eq!(decided(&Facts { lanes, ..facts(&none, &all) }).called, [0, 100]);
    }

    #[test]
    fn the_late_get_their_share_and_what_is_left_over() {
        let (all, none) = (index(1..=1_000), index([]));
        let late = |late_waiting, tokens, alive| {
            let plan = decided(&Facts { late_waiting, tokens, ..facts(alive, &none) });
            (plan.late, plan.called[0])
        };
        assert_eq!(late(50, 100.0, &all), (20, 80));
        assert_eq!(late(5, 100.0, &all), (5, 95));
        assert_eq!(late(50, 1.0, &all), (1, 0));
        assert_eq!(late(50, 100.0, &none), (50, 0));
    }

    /// One person per tick: the share of the late is a fifth of the ticks, not all of them.
    #[test]
    fn small_budgets_keep_to_the_shares() {
        let all = index(1..=1_000);
        let (mut owed, mut late, mut called) = (Deficits::default(), 0, [0; LANES]);
        let mut serving = [0; LANES];
        for tick in 0..500 {
            let mut now = facts(&all, &all);
            (now.tokens, now.late_waiting) = (1.0, 100);
            now.lanes.iter_mut().zip(serving).for_each(|(lane, serving)| lane.serving = serving);
            let plan = decide(&now, &mut owed);
            assert!(tick > 0 || plan.late == 1, "the first late one comes through at once");
            serving = plan.serving;
            late += plan.late;
            (0..LANES).for_each(|lane| called[lane] += plan.called[lane]);
        }
        assert_eq!((late, called), (100, [320, 80]));
    }

    #[test]
    fn ranks_settle_when_a_sign_of_life_had_time_to_arrive() {
        let mut settling = Settling::default();
        assert_eq!(settling.note(1_000, 50, 3_000), 0);
        assert_eq!(settling.note(2_000, 80, 3_000), 0);
        assert_eq!(settling.note(4_000, 90, 3_000), 50);
        assert_eq!(settling.note(4_999, 90, 3_000), 50);
        assert_eq!(settling.note(9_000, 90, 3_000), 90);
        assert_eq!(settling.note(60_000, 95, 3_000), 90);
        // The clock is set back: 95 has to wait once more, nothing is taken back.
        assert_eq!(settling.note(10_000, 95, 3_000), 90);
        assert_eq!(settling.note(13_000, 95, 3_000), 95);
        assert!(settling.seen.is_empty());
        settling.reset();
        assert_eq!(settling.note(13_000, 95, 3_000), 0);
    }

    fn lane() -> impl Strategy<Value = LaneFacts> {
        (0u32..600, 0u32..700, 0u32..800, 0i32..=100, 0u32..100).prop_map(
            |(serving, seq, settled, share_pct, outstanding)| LaneFacts {
                serving,
                seq,
                settled,
                share_pct,
                outstanding,
            },
        )
    }

    proptest! {
        #[test]
        fn a_plan_keeps_all_limits(
            lanes in [lane(), lane()],
            alive in [btree_set(1u32..700, 0..300), btree_set(1u32..700, 0..300)],
            (capacity, active, tokens, stock_left) in (0i32..500, 0i32..500, 0.0f64..300.0, 0i64..500),
            (late_waiting, late_called_outstanding, late_share_pct) in (0u32..100, 0u32..50, 5i32..=50),
            claim_share in 0.25f64..=1.0,
            owed in ([-1.0f64..1.0, -1.0f64..1.0], -1.0f64..0.0),
        ) {
            let indexes = alive.clone().map(index);
            let facts = Facts {
                capacity, active, lanes, alive: [&indexes[0], &indexes[1]], late_waiting, late_called_outstanding,
                late_share_pct, claim_share, tokens, stock_left, stock_factor_pct: 120,
            };
            let mut owed = Deficits { lanes: owed.0, late: owed.1 };
            let plan = decide(&facts, &mut owed);

            let outstanding: u32 = lanes.iter().map(|lane| lane.outstanding).sum::<u32>() + late_called_outstanding;
            let spent = plan.late + plan.called.iter().sum::<u32>();
            prop_assert_eq!(plan.spent, f64::from(spent));
            prop_assert!(spent <= plan.budget && plan.late <= late_waiting);
            if spent > 0 {
                prop_assert!(plan.spent <= tokens);
                let coming = (f64::from(outstanding) * claim_share).round();
                prop_assert!(f64::from(active) + coming + plan.spent <= f64::from(capacity));
                prop_assert!(f64::from(active) + f64::from(outstanding) + plan.spent <= stock_left as f64 * 1.2);
            }
            let mut all_called = true;
            for i in 0..LANES {
                let (lane, serving) = (lanes[i], plan.serving[i]);
                prop_assert!(serving >= lane.serving && serving <= lane.seq.max(lane.serving));
                let passed: Vec<u32> = (lane.serving + 1..=serving).collect();
                let alive_passed = passed.iter().filter(|rank| alive[i].contains(rank)).count();
                prop_assert_eq!(alive_passed as u32, plan.called[i]);
                prop_assert!(passed.iter().all(|rank| alive[i].contains(rank) || *rank <= lane.settled));
                all_called &= !(serving + 1..=lane.settled.min(lane.seq)).any(|rank| alive[i].contains(&rank));
            }
            // Room is not left empty while somebody waits.
            prop_assert!(spent == plan.budget || all_called && plan.late == late_waiting);
            prop_assert!(owed.late > -1.0 - 1e-6 && owed.late <= 0.0);
            prop_assert!(owed.lanes.iter().all(|owed| owed.abs() <= 1.0));
        }

        /// Whatever the budgets, shares are met to within a few people as long as somebody waits in both lanes.
        #[test]
        fn shares_are_met_over_time(share in 1i32..100, budgets in vec(0u32..40, 1..200)) {
            let (mut owed, mut called, mut total) = ([0.0; LANES], [0; LANES], 0);
            for budget in budgets {
                let now = by_lanes(budget, [10_000; LANES], [100 - share, share], &mut owed);
                prop_assert_eq!(now.iter().sum::<u32>(), budget);
                total += budget;
                (0..LANES).for_each(|lane| called[lane] += now[lane]);
            }
            let wanted = f64::from(total) * f64::from(share) / 100.0;
            prop_assert!((f64::from(called[1]) - wanted).abs() <= 2.0, "{:?}, wanted {}", called, wanted);
        }

        /// Everybody in the late lane is called before as much budget has passed as the lane is long by its share.
        #[test]
        fn the_late_are_called_in_time(
            share_pct in 5i32..=50, debt in -1.0f64..0.0, before in 1u32..60, budgets in vec(1u32..30, 1_200),
        ) {
            let (mut owed, mut waiting, mut passed) = (debt, before, 0u32);
            for budget in budgets {
                waiting -= late_part(budget, waiting, share_pct, &mut owed);
                passed += budget;
                if f64::from(passed) >= f64::from(before) * 100.0 / f64::from(share_pct) {
                    prop_assert_eq!(waiting, 0);
                    break;
                }
            }
        }

        #[test]
        fn the_late_gain_nothing_in_the_long_run(share_pct in 5i32..=50, budgets in vec((0u32..30, 0u32..40), 1..300)) {
            let (mut owed, mut late, mut total) = (0.0, 0, 0);
            for (budget, waiting) in budgets {
                late += late_part(budget, waiting, share_pct, &mut owed);
                total += budget;
                prop_assert!(f64::from(late) < f64::from(total) * f64::from(share_pct) / 100.0 + 1.0);
            }
        }
    }
}
