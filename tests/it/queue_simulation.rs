//! A crowd on a clock of its own, before two instances whose leader dies now and then: people gather, are drawn, wait,
//! hide, give up, blink and come back, claim twice, buy or leave. What is promised to them is checked at every tick.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use admit::app::App;
use admit::catalogue::Exhibition;
use admit::platform::http::ClientAddress;
use admit::platform::redis::Script;
use admit::platform::texts::Language;
use admit::stock::model::Line;
use admit::stock::redis::{self as stock, Ask, Take};
use admit::waiting_room::model::{BeaconKind, Config, LANES, Lane, Phase};
use admit::waiting_room::redis::{self, AdmitAsk, Lead, LookAsk, PassEnd, RoomKeys};
use admit::waiting_room::reply::Standing;
use admit::waiting_room::token::{Pass, QueueToken};
use admit::waiting_room::{chain, claim, invite, join, leader, pg, status};
use axum::http::{HeaderMap, HeaderValue};
use futures_util::future::join_all;
use jiff::SignedDuration;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::given::places;
use crate::support::{Given, Options, TestApp};
use crate::waiting_room::{move_room, tick};

const TICK_MS: i64 = 250;
/// The cohort is closed here, and so long later the room opens.
const FREEZE_MS: i64 = 50_000;
const FROZEN_S: i32 = 20;
const ARRIVED_MS: i64 = 130_000;
/// Everybody who came has been inside by then.
const END_MS: i64 = 900_000;
const WINDOW_MS: i64 = 45_000;
/// How long the crowd takes to pass through. [s]
const THROUGH_S: f64 = 160.0;
/// What two cores simulate about as fast as it happens; a larger crowd takes longer to come.
const AT_PACE: usize = if cfg!(debug_assertions) { 100_000 } else { 250_000 };
const STAY_S: std::ops::Range<i64> = 20..90;
const LATE_SHARE: f64 = 0.2;
const CODE: &str = "xyz";

pub fn people() -> usize {
    std::env::var("ADMIT_QUEUE_PEOPLE").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000)
}

/// Who is inside, the late, the serving ranks: as Redis has it at this moment.
static NOW: Script = Script::new(
    "test.now",
    "return { 'now', redis.call('zcard', KEYS[1]), redis.call('zcard', KEYS[2]),
       tonumber(redis.call('hget', KEYS[3], '0') or '0'), tonumber(redis.call('hget', KEYS[3], '1') or '0') }",
);
static DEPOSE: Script = Script::new("test.depose", "redis.call('del', KEYS[1]) return { 'gone' }");

/// What somebody is like, decided beforehand.
struct Nature {
    arrives_ms: i64,
    invited: bool,
    /// Stops asking for good, so long after joining.
    gives_up_ms: Option<i64>,
    /// Silent from then on, for so long.
    hides: Option<(i64, i64)>,
    /// Does not react to being called before so much time has passed.
    blinks_ms: Option<i64>,
    stays_ms: i64,
    leaves: Exit,
    claims_twice: bool,
    joins_twice: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Exit {
    Buys,
    Leaves,
    /// Does nothing, until the pass ends by itself.
    Lapses,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum At {
    Outside,
    InLine,
    Inside,
    Done,
    Gone,
}

struct Person {
    nature: Nature,
    at: At,
    headers: HeaderMap,
    device: Option<String>,
    lane: Lane,
    number: u32,
    joined_ms: i64,
    /// The claim that let them in was made between these two.
    admitted_ms: (i64, i64),
    leaves_ms: i64,
    /// Saw that it is their turn, or that it was.
    called_ms: Option<i64>,
    /// In the lane of the late: since when, and how many calls were to come before theirs.
    knocked: Option<Knock>,
}

struct Knock {
    calls: u64,
    before: u32,
}

impl Person {
    /// Asks whenever told to, from the join until inside.
    fn steady(&self) -> bool {
        self.nature.gives_up_ms.is_none() && self.nature.hides.is_none() && self.nature.blinks_ms.is_none()
    }

    fn gone(&self, now_ms: i64) -> bool {
        self.nature.gives_up_ms.is_some_and(|after| now_ms - self.joined_ms >= after)
    }

    /// Until when somebody hides, who hides now.
    fn hidden_until(&self, now_ms: i64) -> Option<i64> {
        let (from, long) = self.nature.hides?;
        let since = now_ms - self.joined_ms;
        (from..from + long).contains(&since).then_some(self.joined_ms + from + long)
    }
}

#[derive(Debug, Default)]
struct Tally {
    polls: u64,
    called: u64,
    admitted: u64,
    full: u64,
    late: u64,
    late_called: u64,
    over: u64,
    active_max: i64,
    fenced: u64,
    ticks: u64,
    ahead_checked: u64,
}

struct Sim<'a> {
    app: &'a TestApp,
    given: Given,
    config: Config,
    exhibition: Arc<Exhibition>,
    random: SmallRng,
    start_ms: i64,
    people: Vec<Person>,
    /// Who acts when: one list per tick.
    agenda: Vec<Vec<usize>>,
    by_rank: [BTreeMap<u32, usize>; LANES],
    by_number: [BTreeMap<u32, usize>; LANES],
    drawn: bool,
    serving: [u32; LANES],
    late_seen: BTreeSet<(u8, u32, i64)>,
    knocking: BTreeMap<(u32, u8), usize>,
    /// Of those who were there all the time: rank, and when they were called.
    order: [Vec<(u32, i64)>; LANES],
    calls: VecDeque<(i64, u64)>,
    delayed: BTreeSet<(i64, usize)>,
    leader: usize,
    tally: Tally,
    /// How long the last rounds took, the longest of them. What the instances and the leader know is that much older.
    round_ms: i64,
}

fn nature(random: &mut SmallRng, stretch: i64) -> Nature {
    let s = |range: std::ops::Range<i64>, random: &mut SmallRng| random.random_range(range) * 1000;
    let fate = random.random_range(0..100);
    let arrives_ms = if random.random_bool(0.6) {
        random.random_range(0..FREEZE_MS)
    } else {
        random.random_range(FREEZE_MS..ARRIVED_MS)
    };
    Nature {
        arrives_ms: arrives_ms * stretch,
        invited: random.random_bool(0.04),
        gives_up_ms: (fate < 10).then(|| s(5..150, random)),
        hides: (10..15).contains(&fate).then(|| (s(5..60, random), s(60..200, random))),
        blinks_ms: (15..18).contains(&fate).then(|| s(46..120, random)),
        stays_ms: s(STAY_S, random),
        leaves: *[Exit::Buys, Exit::Leaves, Exit::Leaves, Exit::Leaves, Exit::Lapses].choose(random).unwrap(),
        claims_twice: random.random_bool(0.05),
        joins_twice: random.random_bool(0.05),
    }
}

/// What comes.
#[derive(Clone, Copy)]
pub struct Crowd {
    pub people: usize,
    /// They gather before a draw; else the room is open from the beginning.
    pub draw: bool,
    /// How many times as many there is room for as it takes to serve them in time.
    pub room: f64,
}

/// Runs one crowd to its end. Panics where a promise is broken.
pub async fn simulate(seed: u64, crowd: Crowd) {
    let Crowd { people: count, draw, room } = crowd;
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let given = app.given(places(count as i32 * 10)).await;
    let mut random = SmallRng::seed_from_u64(seed);
    let stay_s = (STAY_S.start + STAY_S.end) as f64 / 2.0;
    let stretch = count.div_ceil(AT_PACE).max(1) as i64;
    let per_s = count as f64 / THROUGH_S / stretch as f64 * room;
    let config = Config {
        capacity: (per_s * stay_s) as i32 + 1,
        slack: (per_s * stay_s / 20.0) as i32 + 1,
        rate_per_min: (per_s * 60.0 * 1.3) as i32 + 1,
        claim_window_s: (WINDOW_MS / 1000) as i32,
        idle_s: 120,
        hard_s: 120,
        late_share_pct: (LATE_SHARE * 100.0) as i32,
        invited_share_pct: 10,
        draw,
        beacon: BeaconKind::Local,
        opens_at: draw.then(|| {
            app.app().clock.now() + SignedDuration::from_millis(FREEZE_MS * stretch + i64::from(FROZEN_S) * 1000)
        }),
        freeze_lead_s: FROZEN_S,
        ..Config::default()
    };
    move_room(&app, &given, &config, &[if draw { Phase::Prequeue } else { Phase::Open }]).await;
    tick(&app, 8).await;
    let people = (0..count)
        .map(|_| Person {
            nature: nature(&mut random, stretch),
            at: At::Outside,
            headers: HeaderMap::new(),
            device: None,
            lane: Lane::General,
            number: 0,
            joined_ms: 0,
            admitted_ms: (0, 0),
            leaves_ms: 0,
            called_ms: None,
            knocked: None,
        })
        .collect();
    let mut sim = Sim {
        exhibition: app.app().catalogue.current().by_code(CODE).unwrap(),
        start_ms: app.app().clock.now_ms(),
        app: &app,
        given,
        config,
        random,
        people,
        agenda: vec![Vec::new(); (END_MS * stretch / TICK_MS) as usize + 1],
        by_rank: Default::default(),
        by_number: Default::default(),
        drawn: !draw,
        serving: [0; LANES],
        late_seen: BTreeSet::new(),
        knocking: BTreeMap::new(),
        order: Default::default(),
        calls: VecDeque::new(),
        delayed: BTreeSet::new(),
        leader: 0,
        tally: Tally::default(),
        round_ms: TICK_MS,
    };
    for person in 0..count {
        sim.at(sim.start_ms + sim.people[person].nature.arrives_ms, person);
    }
    sim.run().await;
    sim.order_holds();
    sim.log_verifies().await;
    println!("seed {seed}, {count} people: {:?}", sim.tally);
    app.finish().await;
}

impl Sim<'_> {
    fn app_of(&self, instance: usize) -> &App {
        &self.app.instances[instance].app
    }

    fn some_instance(&mut self) -> usize {
        self.random.random_range(0..self.app.instances.len())
    }

    fn keys(&self) -> RoomKeys<'_> {
        RoomKeys::new(&self.app.app().redis, CODE, 1)
    }

    fn key(&self, rest: &str) -> String {
        self.app.app().redis.key(CODE, &format!("wr:{rest}"))
    }

    fn tick_of(&self, ms: i64) -> usize {
        ((ms - self.start_ms).max(0) / TICK_MS) as usize
    }

    /// Puts somebody on the agenda, at the next tick at the earliest.
    fn at(&mut self, ms: i64, person: usize) {
        let tick = (self.tick_of(ms) + 1).max(self.tally.ticks as usize + 1);
        if let Some(list) = self.agenda.get_mut(tick) {
            list.push(person);
        }
    }

    async fn run(&mut self) {
        let began = Instant::now();
        let (mut done_until, mut round) = (0, Instant::now());
        loop {
            // The clock goes on while we work.
            let took_ms = round.elapsed().as_millis() as i64;
            self.round_ms = took_ms.max(self.round_ms * 3 / 4).max(TICK_MS);
            let left_ms = TICK_MS - took_ms;
            self.app.clock.fetch_add(left_ms.max(0), Ordering::Relaxed);
            round = Instant::now();
            let now_ms = self.app.app().clock.now_ms();
            self.tally.ticks = self.tick_of(now_ms) as u64;
            if self.random.random_bool(1.0 / 160.0) {
                self.replace_the_leader(now_ms).await;
            }
            leader::tick(self.app_of(self.leader)).await.unwrap();
            for instance in &self.app.instances {
                instance.app.rooms.refresh(&instance.app).await.unwrap();
            }
            self.look(now_ms).await;
            let upto = self.tally.ticks as usize;
            assert!(upto < self.agenda.len(), "people are left: {:?}", self.tally);
            let due: Vec<usize> = (done_until..=upto).flat_map(|tick| std::mem::take(&mut self.agenda[tick])).collect();
            done_until = upto + 1;
            self.act(due, now_ms).await;
            while self.delayed.first().is_some_and(|(at, _)| *at <= now_ms) {
                let (_, person) = self.delayed.pop_first().unwrap();
                self.claim_again(person).await;
            }
            if self.people.iter().all(|p| matches!(p.at, At::Done | At::Gone)) {
                break;
            }
        }
        println!("{} s virtual in {:.1} s", self.tally.ticks / 4, began.elapsed().as_secs_f64());
    }

    /// The leader dies between seeing and writing; another takes over; what the dead one wrote arrives after that.
    async fn replace_the_leader(&mut self, now_ms: i64) {
        let depose = vec![self.key("lead")];
        let redis = &self.app.app().redis;
        redis.run(&DEPOSE, depose.clone(), Vec::new()).await.unwrap();
        let ask = LookAsk { leader: "dying", lease_ms: 60_000, claims: [(1, 1); LANES], late_again_ms: WINDOW_MS };
        let Lead::Leading(seen) = redis::look(self.keys(), &ask, now_ms).await.unwrap() else {
            panic!("nobody else leads");
        };
        redis.run(&DEPOSE, depose, Vec::new()).await.unwrap();
        self.leader = 1 - self.leader;
        leader::tick(self.app_of(self.leader)).await.unwrap();
        let before = self.now().await;
        let late: Vec<(Lane, u32)> = seen.late.iter().copied().take(5).collect();
        let ask = AdmitAsk {
            fence: seen.fence,
            epoch: seen.epoch,
            serving: seen.serving.map(|rank| rank + 500),
            late: &late,
            snap: b"{}".to_vec(),
        };
        assert_eq!(redis::admit(self.keys(), ask, now_ms).await.unwrap(), None, "a fenced leader has called somebody");
        assert_eq!(self.now().await, before);
        self.tally.fenced += 1;
    }

    async fn now(&self) -> [i64; 4] {
        let keys = vec![self.key("act"), self.key("1:late"), self.key("serve")];
        let reply = self.app.app().redis.run(&NOW, keys, Vec::new()).await.unwrap();
        [1, 2, 3, 4].map(|at| reply[at].as_i64().unwrap())
    }

    /// What is promised at every tick.
    async fn look(&mut self, now_ms: i64) {
        let [active, _, general, invited] = self.now().await;
        let most = i64::from(self.config.capacity + self.config.slack);
        assert!(active <= most, "{active} inside, {most} at most");
        self.tally.active_max = self.tally.active_max.max(active);
        let views = [0, 1].map(|at| self.app_of(at).rooms.of(CODE).unwrap().view().clone());
        if !self.drawn && views.iter().all(|view| !view.snap.draw.seed.is_empty()) {
            self.drawn = true;
            for lane in Lane::ALL {
                let numbers = self.by_number[lane as usize].clone();
                for (number, person) in numbers {
                    let ranks = views.each_ref().map(|view| view.rank_of(lane, number).unwrap());
                    assert_eq!(ranks[0], ranks[1]);
                    assert!(self.by_rank[lane as usize].insert(ranks[0], person).is_none(), "a rank twice");
                }
            }
        }
        let mut called = 0;
        for (lane, serving) in [general as u32, invited as u32].into_iter().enumerate() {
            assert!(serving >= self.serving[lane], "the serving rank went back");
            let newly = self.by_rank[lane].range((Excluded(self.serving[lane]), Included(serving)));
            called += newly.filter(|(_, person)| self.present(**person, now_ms)).count() as u64;
            self.serving[lane] = serving;
        }
        for (lane, rank, ms) in &views[0].snap.late_called {
            if self.late_seen.insert((*lane, *rank, *ms)) {
                called += 1;
                self.tally.late_called += 1;
                self.late_one_called((*rank, *lane));
            }
        }
        self.tally.called += called;
        self.calls.push_back((now_ms, called));
        while self.calls.front().is_some_and(|(at, _)| now_ms - at > 60_000) {
            self.calls.pop_front();
        }
        let in_a_minute: u64 = self.calls.iter().map(|(_, n)| n).sum();
        let rate = f64::from(self.config.rate_per_min);
        // One second may be saved up, and a tick is as long as it is.
        let most = rate * 61.0 / 60.0 + 1.0 + rate / 60.0;
        assert!(in_a_minute as f64 <= most, "{in_a_minute} called in a minute, {most} at most");
    }

    /// Whoever is there counts as called; who hides or has gone may be passed for free.
    fn present(&self, person: usize, now_ms: i64) -> bool {
        let p = &self.people[person];
        p.at == At::InLine && !p.gone(now_ms) && p.hidden_until(now_ms).is_none()
    }

    /// Not later than the lane of the late is long by its share.
    fn late_one_called(&mut self, place: (u32, u8)) {
        let Some(person) = self.knocking.remove(&place) else { return };
        let Some(knock) = self.people[person].knocked.take() else { return };
        let calls = (self.tally.called - knock.calls) as f64;
        let most = f64::from(knock.before + 1) / LATE_SHARE + 2.0 * f64::from(self.config.rate_per_min) / 60.0;
        assert!(calls <= most, "{calls} calls went before, {} were late before", knock.before);
    }

    async fn act(&mut self, due: Vec<usize>, now_ms: i64) {
        let (mut joins, mut claims, mut exits) = (Vec::new(), Vec::new(), Vec::new());
        for person in due {
            match self.people[person].at {
                At::Outside => joins.push(person),
                At::InLine => {
                    if self.poll(person, now_ms) {
                        claims.push(person);
                    }
                }
                At::Inside if now_ms >= self.people[person].leaves_ms => exits.push(person),
                At::Inside | At::Done | At::Gone => {}
            }
        }
        self.join(joins, now_ms).await;
        self.claim(claims, now_ms).await;
        self.exit(exits, now_ms).await;
    }

    async fn join(&mut self, joining: Vec<usize>, now_ms: i64) {
        let apps: Vec<usize> = joining.iter().map(|_| self.some_instance()).collect();
        let client = ClientAddress { address: IpAddr::V4(Ipv4Addr::LOCALHOST), exempt: true };
        let (empty, exhibition) = (HeaderMap::new(), self.exhibition.clone());
        let seen =
            join_all(
                joining.iter().zip(&apps).map(|(person, at)| {
                    let app = self.app_of(*at);
                    let invite = self.people[*person].nature.invited.then(|| invite::make(app, CODE, 1).1);
                    let (exhibition, headers) = (&exhibition, &empty);
                    async move {
                        join::join(app, exhibition, headers, client, invite.as_deref(), Language::Ko).await.unwrap()
                    }
                }),
            )
            .await;
        for ((person, at), seen) in joining.into_iter().zip(apps).zip(seen) {
            let status = seen.status;
            let (lane, number) = (status.lane.unwrap(), status.number.unwrap());
            assert!(self.by_number[lane as usize].insert(number, person).is_none(), "number {number} was given twice");
            if self.drawn {
                let rank = self.app_of(0).rooms.of(CODE).unwrap().view().rank_of(lane, number).unwrap();
                assert!(self.by_rank[lane as usize].insert(rank, person).is_none(), "rank {rank} twice");
            }
            let token = status.queue_token.unwrap();
            let account = QueueToken::open(&self.app_of(0).secrets, CODE, &token).unwrap().account;
            let p = &mut self.people[person];
            p.headers.insert("x-queue-token", HeaderValue::from_str(&token).unwrap());
            p.device =
                seen.cookies.iter().find_map(|c| Some(c.strip_prefix("admit_d_xyz=")?.split(';').next()?.to_owned()));
            (p.at, p.lane, p.number, p.joined_ms) = (At::InLine, lane, number, now_ms);
            assert_eq!(p.nature.invited, lane == Lane::Invited);
            self.at(now_ms + status.poll_after_ms, person);
            if self.people[person].nature.joins_twice {
                // The answer was lost, or it is another tab: the same device, by its cookie, at the other instance.
                let mut headers = HeaderMap::new();
                let cookie = format!("admit_d_xyz={}", self.people[person].device.as_ref().unwrap());
                headers.insert("cookie", HeaderValue::from_str(&cookie).unwrap());
                let other = self.app_of(1 - at);
                let invite = (lane == Lane::Invited).then(|| invite::make(other, CODE, 1).1);
                let again =
                    join::join(other, &exhibition, &headers, client, invite.as_deref(), Language::Ko).await.unwrap();
                assert_eq!(
                    (again.status.lane, again.status.number),
                    (Some(lane), Some(number)),
                    "one device, one number"
                );
                let token = QueueToken::open(&other.secrets, CODE, &again.status.queue_token.unwrap()).unwrap();
                assert_eq!(token.account, account);
            }
        }
    }

    /// Asks where somebody stands; true when they go and claim.
    fn poll(&mut self, person: usize, now_ms: i64) -> bool {
        let p = &self.people[person];
        if p.gone(now_ms) {
            self.people[person].at = At::Gone;
            return false;
        }
        if let Some(until_ms) = p.hidden_until(now_ms) {
            self.at(until_ms, person);
            return false;
        }
        let at = self.some_instance();
        let app = self.app_of(at);
        let seen = status::look(app, &self.exhibition, &self.people[person].headers, Language::Ko).unwrap();
        self.tally.polls += 1;
        let status = seen.status;
        // A picture is old where a round of ours took so long.
        assert!(!status.stale || self.round_ms > 1_000);
        if let Some(token) = status.queue_token {
            self.people[person].headers.insert("x-queue-token", HeaderValue::from_str(&token).unwrap());
        }
        self.at(now_ms + status.poll_after_ms, person);
        let p = &self.people[person];
        match status.state {
            Standing::Prequeue => assert!(status.rank.is_none() || !self.drawn || p.called_ms.is_none()),
            Standing::Waiting => {
                assert!(p.called_ms.is_none(), "called, and waiting again");
                if self.random.random_range(0..4_000) == 0 {
                    self.ahead_holds(person, status.rank.unwrap(), status.ahead.unwrap(), at, now_ms);
                }
            }
            Standing::YourTurn | Standing::Late => {
                let first = p.called_ms.is_none();
                assert!(!first || status.state == Standing::YourTurn || !p.steady(), "somebody who was there is late");
                if first && p.steady() {
                    let (lane, rank) = (p.lane, status.rank.unwrap());
                    let at_ms = self.app_of(at).rooms.of(CODE).unwrap().view().called_ms(lane, rank).unwrap();
                    self.order[lane as usize].push((rank, at_ms));
                }
                let called_ms = *self.people[person].called_ms.get_or_insert(now_ms);
                let blinks_ms = self.people[person].nature.blinks_ms.unwrap_or(0);
                return now_ms - called_ms >= blinks_ms;
            }
            other => panic!("{other:?}"),
        }
        false
    }

    /// Who is surely there is counted; who is not in the line is not.
    fn ahead_holds(&mut self, person: usize, rank: u32, ahead: u32, at: usize, now_ms: i64) {
        let lane = self.people[person].lane as usize;
        let serving = self.app_of(at).rooms.of(CODE).unwrap().view().snap.lanes[lane].serving;
        let before = || self.by_rank[lane].range(serving + 1..rank);
        let surely = before().filter(|(_, other)| {
            let p = &self.people[**other];
            p.at == At::InLine && p.steady() && now_ms - p.joined_ms > 4_000 + 4 * self.round_ms
        });
        let (surely, all) = (surely.count() as u32, before().count() as u32);
        // An instance may be a second behind, and the sign of life of a poll is due at the leader in a few.
        assert!(ahead <= all, "{ahead} ahead of {all}");
        assert!(ahead >= surely, "{ahead} ahead, but {surely} are there");
        self.tally.ahead_checked += 1;
    }

    async fn claim(&mut self, claiming: Vec<usize>, now_ms: i64) {
        let mut asks = Vec::new();
        for person in claiming {
            let at = self.some_instance();
            asks.push((person, at));
            if self.people[person].nature.claims_twice {
                asks.push((person, 1 - at));
            }
        }
        let exhibition = self.exhibition.clone();
        let seen = join_all(asks.iter().map(|(person, at)| {
            claim::claim(self.app_of(*at), &exhibition, &self.people[*person].headers, false, Language::Ko)
        }))
        .await;
        let heard_ms = self.app.app().clock.now_ms();
        for ((person, _), seen) in asks.into_iter().zip(seen) {
            let status = seen.unwrap().status;
            let p = &mut self.people[person];
            match status.state {
                Standing::Admitted => {
                    let secrets = &self.app.app().secrets;
                    let pass = Pass::read(secrets, CODE, &status.pass.unwrap()).unwrap();
                    if p.at == At::Inside {
                        assert!(p.nature.claims_twice);
                        continue;
                    }
                    p.at = At::Inside;
                    p.knocked = None;
                    p.admitted_ms = (now_ms, heard_ms);
                    self.knocking.remove(&(pass.rank, p.lane as u8));
                    let (until_ms, twice) = (now_ms + p.nature.stays_ms, p.nature.claims_twice);
                    p.leaves_ms = until_ms;
                    assert_eq!(self.by_rank[pass.lane as usize].get(&pass.rank), Some(&person), "somebody else's rank");
                    self.tally.admitted += 1;
                    self.at(until_ms, person);
                    if twice {
                        self.delayed.insert((now_ms + self.random.random_range(95_000..130_000), person));
                    }
                }
                Standing::Late if p.at != At::Inside => self.knock(person, status.ahead.unwrap()),
                Standing::Late => panic!("inside, and late"),
                // The other instance has not heard yet that this rank was called.
                Standing::Waiting | Standing::YourTurn => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Somebody is in the lane of the late now.
    fn knock(&mut self, person: usize, before: u32) {
        let p = &self.people[person];
        let in_time = p.nature.blinks_ms.is_none() && p.nature.hides.is_none();
        if in_time {
            self.tally.full += 1
        } else {
            self.tally.late += 1
        }
        let rank = self.app_of(0).rooms.of(CODE).unwrap().view().rank_of(p.lane, p.number).unwrap();
        let place = (rank, p.lane as u8);
        if self.knocking.contains_key(&place) {
            return;
        }
        for (_, behind) in self.knocking.range(place..) {
            if let Some(knock) = &mut self.people[*behind].knocked {
                knock.before += 1;
            }
        }
        self.knocking.insert(place, person);
        self.people[person].knocked = Some(Knock { calls: self.tally.called, before });
    }

    /// A claim that was sent long ago and arrives now: it opens nothing that is over.
    async fn claim_again(&mut self, person: usize) {
        let at = self.some_instance();
        let headers = self.people[person].headers.clone();
        let asked_ms = self.app.app().clock.now_ms();
        let again = claim::claim(self.app_of(at), &self.exhibition, &headers, false, Language::Ko).await;
        let heard_ms = self.app.app().clock.now_ms();
        // Whoever does nothing is inside for as long as a pass lasts.
        let p = &self.people[person];
        let idle_ms = i64::from(self.config.idle_s) * 1000;
        let youngest_ms = asked_ms - p.admitted_ms.1;
        let oldest_ms = heard_ms - p.admitted_ms.0;
        let (lapses, slow_ms) = (p.nature.leaves == Exit::Lapses, 2 * self.round_ms);
        let context = format!("{:?}, {youngest_ms} to {oldest_ms} ms after being let in, lapses: {lapses}", p.at);
        match again.unwrap().status.state {
            Standing::Admitted => {
                let may_be_inside = p.at == At::Inside || lapses && youngest_ms < idle_ms + slow_ms;
                assert!(may_be_inside, "over, and inside again: {context}");
            }
            Standing::Over => {
                assert!(p.at == At::Done && (!lapses || oldest_ms > idle_ms - slow_ms), "over: {context}");
                self.tally.over += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    /// Time to go: a buyer's order ends the pass, others leave, some do nothing.
    async fn exit(&mut self, leaving: Vec<usize>, now_ms: i64) {
        let (keys, redis) = (self.keys(), &self.app.app().redis);
        let mut bought = Vec::new();
        for person in &leaving {
            let p = &self.people[*person];
            let app = self.app.app();
            let rank = app.rooms.of(CODE).unwrap().view().rank_of(p.lane, p.number).unwrap();
            let sid = admit::waiting_room::token::sid(&app.secrets, CODE, 1, p.lane, rank);
            match p.nature.leaves {
                Exit::Buys => {
                    let mut hold = [1; 16];
                    hold[..8].copy_from_slice(&(*person as u64).to_be_bytes());
                    let ask = Ask {
                        code: CODE,
                        hold_id: &hold,
                        fingerprint: &[1; 16],
                        person: &[1; 16],
                        places: 0,
                        allowed: None,
                        open_holds_max: None,
                        pass: stock::Pass::Session { sid, hold_ms: 60_000 },
                        lines: &[Line { stock_id: self.given.stock_id, quantity: 2 }],
                    };
                    let take = stock::take(redis, &ask, now_ms).await.unwrap();
                    assert!(matches!(take, Take::Taken { .. }), "{take:?}");
                    bought.push((sid, hold, PassEnd::Over));
                }
                Exit::Leaves => assert!(redis::leave(keys, Some(&sid), None).await.unwrap()),
                Exit::Lapses => {}
            }
        }
        redis::end_passes(redis, CODE, &bought, now_ms).await.unwrap();
        for (sid, hold, _) in &bought {
            assert_eq!(redis::renew(redis, CODE, sid, now_ms).await.unwrap(), None, "the pass has ended");
            // No order was written: its places go back.
            assert!(stock::give_back(redis, CODE, hold, None).await.unwrap());
        }
        for person in leaving {
            self.people[person].at = At::Done;
        }
    }

    /// Nobody was called before somebody with a lower rank who was there as well.
    fn order_holds(&mut self) {
        for order in &mut self.order {
            order.sort_unstable();
            assert!(order.is_sorted_by_key(|(_, at_ms)| *at_ms), "called out of turn");
            assert!(order.windows(2).all(|pair| pair[0].0 != pair[1].0));
        }
        let counted = self.order.iter().map(Vec::len).sum::<usize>();
        assert!(counted > self.people.len() / 2, "{counted} of {}", self.people.len());
    }

    async fn log_verifies(&self) {
        let client = self.app.app().pg.get().await.unwrap();
        let (mut prev, mut after) = (chain::genesis(CODE, 1), 0);
        let mut served = [0; LANES];
        loop {
            let rows = pg::log_page(&client, self.given.exhibition_id, 1, after, 500).await.unwrap();
            let Some(last) = rows.last() else { break };
            after = last.seq;
            prev = chain::verify(prev, 1, &rows).unwrap();
            for row in &rows {
                assert!((0..LANES).all(|lane| row.facts.serving[lane] >= served[lane]), "{row:?}");
                served = row.facts.serving;
            }
        }
        let room = pg::one(&client, self.given.exhibition_id).await.unwrap().unwrap();
        assert_eq!((room.log_seq, room.log_head), (after, Some(prev)));
        assert!(after > 30, "{after} rows");
        let drawn = room.draw.drawn.map(|drawn| drawn.beacon_value.is_some());
        assert_eq!(drawn, self.config.draw.then_some(true));
    }
}

#[tokio::test]
async fn a_crowd_is_served_in_order_and_nobody_is_lost() {
    simulate(0, Crowd { people: people(), draw: true, room: 1.0 }).await;
}

/// Where there is room for everybody nobody waits, and nobody is passed because nothing was heard of them yet.
#[tokio::test]
async fn a_trickle_is_let_in_at_once() {
    simulate(0, Crowd { people: 800, draw: false, room: 5.0 }).await;
}
