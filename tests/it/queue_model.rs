//! The waiting room's scripts against a plain Rust model of their contracts, with random commands; and the phases as
//! Rust and Lua know them.

use std::collections::{BTreeMap, BTreeSet};

use admit::platform::redis::{Redis, Script};
use admit::platform::secrets::hex;
use admit::stock::model::Line;
use admit::stock::redis::{self as stock, Ask, Take};
use admit::waiting_room::model::{Config, LANES, Lane, Phase, Sid};
use admit::waiting_room::redis::{
    self, Account, AdmitAsk, Claim, ClaimAsk, Join, JoinRefusal, Lead, LookAsk, PassEnd, RoomKeys, Told,
};
use admit::waiting_room::token::Pass;
use fred::types::Value;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::support::TestApp;

const STOCK_ID: i32 = 1;
const RANKS: u32 = 12;
const DEVICES: u32 = 9;
const HOLDS: u8 = 5;
const LEADERS: [&str; 2] = ["one", "two"];
const WINDOW_MS: i64 = 60_000;
/// Longer than a trace takes: a lease ends here only when the trace says so.
const LEASE_MS: i64 = 600_000;

/// All that the scripts keep of a room, in one picture.
static PICTURE: Script = Script::new(
    "test.picture",
    "local out = { 'picture' }
     for i = 1, 3 do out[#out + 1] = redis.call('hgetall', KEYS[i]) end
     for i = 4, 5 do out[#out + 1] = redis.call('zrange', KEYS[i], 0, -1, 'WITHSCORES') end
     out[#out + 1] = redis.call('hgetall', KEYS[6])
     for i = 7, 11 do out[#out + 1] = redis.call('get', KEYS[i]) or '' end
     for i = 12, 13 do
       local ranks = {}
       for rank = 0, 64 do if redis.call('getbit', KEYS[i], rank) == 1 then ranks[#ranks + 1] = tostring(rank) end end
       out[#out + 1] = ranks
     end
     return out",
);
static FORGET: Script = Script::new("test.forget", "redis.call('del', unpack(KEYS)) return { 'gone' }");

fn sid(run: u32, lane: Lane, rank: u32) -> Sid {
    let mut sid = [0; 16];
    sid[..4].copy_from_slice(&run.to_be_bytes());
    sid[4] = lane as u8;
    sid[5..9].copy_from_slice(&rank.to_be_bytes());
    sid
}

fn late_name(lane: Lane, rank: u32) -> String {
    format!("{}:{rank}", lane as u8)
}

#[derive(Clone, Debug, PartialEq)]
struct Known {
    run: u32,
    epoch: u32,
    revision: i64,
    reopen_ms: i64,
    capacity: i32,
    slack: i32,
    idle_ms: i64,
    hard_ms: i64,
    /// Passes that came back in this epoch.
    restored: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Inside {
    hard_ms: i64,
    hold: Option<u8>,
}

/// What belongs to one run.
#[derive(Clone, Debug, Default)]
struct Run {
    numbers: BTreeMap<(usize, Account), u32>,
    /// By epoch: how many device indexes are leased.
    devices: BTreeMap<u32, u32>,
    claimed: [BTreeSet<u32>; LANES],
    late: BTreeSet<(u32, String)>,
    called: BTreeMap<String, i64>,
    invites: BTreeMap<u8, Account>,
}

#[derive(Clone, Debug)]
struct Flight {
    fingerprint: u8,
    at_ms: i64,
    quantity: i32,
    sid: Option<Sid>,
}

/// What the contracts of the scripts say, and nothing else.
#[derive(Clone, Debug, Default)]
struct Model {
    phase: Option<Phase>,
    known: Option<Known>,
    seq: [Option<u32>; LANES],
    serving: [Option<u32>; LANES],
    act: BTreeMap<Sid, i64>,
    pass: BTreeMap<Sid, Inside>,
    runs: BTreeMap<u32, Run>,
    lead: Option<usize>,
    fence: i64,
    snap: Vec<u8>,
    stock: Option<(i64, i64)>,
    flight: BTreeMap<u8, Flight>,
}

impl Model {
    fn tell(&mut self, run: u32, told: &Told<'_>) -> bool {
        if let Some(known) = &self.known
            && (run, told.epoch, told.revision) < (known.run, known.epoch, known.revision)
        {
            return false;
        }
        if self.known.as_ref().is_none_or(|known| known.run != run) {
            (self.seq, self.serving) = Default::default();
        }
        let same_epoch = self.known.as_ref().filter(|known| (known.run, known.epoch) == (run, told.epoch));
        // Whoever has a number comes first until then, whatever an admin changes meanwhile.
        let reopen_ms = told.reopen_ms.max(same_epoch.map_or(0, |known| known.reopen_ms));
        for lane in 0..LANES {
            self.seq[lane] = Some(self.seq[lane].unwrap_or(0).max(told.floors[lane]));
            self.serving[lane] = Some(self.serving[lane].unwrap_or(0).max(told.serving[lane]));
        }
        self.phase = Some(told.phase);
        self.known = Some(Known {
            run,
            epoch: told.epoch,
            revision: told.revision,
            reopen_ms,
            capacity: told.config.capacity,
            slack: told.config.slack,
            idle_ms: i64::from(told.config.idle_s) * 1000,
            hard_ms: i64::from(told.config.hard_s) * 1000,
            restored: same_epoch.map_or(0, |known| known.restored),
        });
        true
    }

    fn join(&mut self, run: u32, lane: Lane, epoch: u32, now_ms: i64, seen_max: u32, accounts: &[Account]) -> Join {
        let (Some(known), Some(phase), Some(seq)) = (&self.known, self.phase, self.seq[lane as usize]) else {
            return Join::Unready;
        };
        if known.run != run {
            return Join::OtherRun;
        }
        if known.epoch != epoch {
            return Join::OtherEpoch;
        }
        if seq < seen_max {
            return Join::Behind;
        }
        let refusal = match (phase.accepts_joins(), known.reopen_ms) {
            (false, _) => Some(JoinRefusal::Closed(phase)),
            (true, reopen_ms) => (reopen_ms > now_ms).then_some(JoinRefusal::Later { reopen_ms }),
        };
        let of = &mut self.runs.entry(run).or_default().numbers;
        let mut numbers = Vec::new();
        for account in accounts {
            let place = (lane as usize, *account);
            if let Some(number) = of.get(&place) {
                numbers.push(Some((*number, true)));
            } else if refusal.is_some() {
                numbers.push(None);
            } else {
                let number = self.seq[lane as usize].unwrap() + 1;
                self.seq[lane as usize] = Some(number);
                of.insert(place, number);
                numbers.push(Some((number, false)));
            }
        }
        let refused = refusal.filter(|_| numbers.contains(&None));
        Join::Joined { numbers, refused }
    }

    fn register(&mut self, run: u32, owners: &[(Lane, Account, u32)]) {
        if self.known.as_ref().is_none_or(|known| known.run != run) {
            return;
        }
        let of = self.runs.entry(run).or_default();
        for (lane, account, number) in owners {
            of.numbers.entry((*lane as usize, *account)).or_insert(*number);
            let devices = of.devices.entry(account.epoch).or_insert(0);
            *devices = (*devices).max(account.index + 1);
        }
    }

    fn lease(&mut self, run: u32, epoch: u32, count: u32) -> Option<u32> {
        self.known.as_ref().filter(|known| (known.run, known.epoch) == (run, epoch))?;
        let next = self.runs.entry(run).or_default().devices.entry(epoch).or_insert(0);
        let first = *next;
        *next += count;
        Some(first)
    }

    fn use_invite(&mut self, run: u32, id: u8, account: Account) -> bool {
        *self.runs.entry(run).or_default().invites.entry(id).or_insert(account) == account
    }

    fn claim(&mut self, run: u32, ask: &ClaimAsk, now_ms: i64) -> Claim {
        let (Some(known), Some(phase), Some(serving)) = (&self.known, self.phase, self.serving[ask.lane as usize])
        else {
            return Claim::Unready;
        };
        if known.run != run {
            return Claim::OtherRun;
        }
        if let Some(expires_ms) = self.act.get(&ask.sid).copied().filter(|at| *at > now_ms) {
            let hard_ms = self.pass.get(&ask.sid).map_or(expires_ms, |inside| inside.hard_ms);
            return Claim::Admitted { expires_ms, hard_ms, first: false };
        }
        if !phase.allows_claims() {
            return Claim::Closed(phase);
        }
        let of = self.runs.entry(run).or_default();
        if of.claimed[ask.lane as usize].contains(&ask.rank) {
            return Claim::Ended;
        }
        if ask.rank > serving {
            return Claim::NotYet;
        }
        let name = late_name(ask.lane, ask.rank);
        let called = of.called.get(&name).copied().filter(|at| *at > 0);
        let in_time = ask.in_time || called.is_some_and(|at| now_ms - at <= ask.window_ms);
        let full = self.act.len() as i32 >= known.capacity + known.slack;
        if !in_time || full {
            of.late.insert((ask.rank, name.clone()));
            of.called.remove(&name);
            let before = of.late.iter().position(|(_, other)| *other == name).unwrap() as u32;
            return if in_time { Claim::Full { before } } else { Claim::Late { before } };
        }
        let hard_ms = now_ms + known.hard_ms;
        let expires_ms = (now_ms + known.idle_ms).min(hard_ms);
        of.claimed[ask.lane as usize].insert(ask.rank);
        of.late.remove(&(ask.rank, name.clone()));
        of.called.remove(&name);
        self.act.insert(ask.sid, expires_ms);
        self.pass.insert(ask.sid, Inside { hard_ms, hold: None });
        Claim::Admitted { expires_ms, hard_ms, first: true }
    }

    fn renew(&mut self, sid: &Sid, now_ms: i64) -> Option<i64> {
        let idle_ms = self.known.as_ref()?.idle_ms;
        let expires_ms = self.act.get_mut(sid).filter(|at| **at > now_ms)?;
        let hard_ms = self.pass.get(sid).map_or(0, |inside| inside.hard_ms);
        *expires_ms = (*expires_ms).max((now_ms + idle_ms).min(hard_ms));
        Some(*expires_ms)
    }

    fn end_passes(&mut self, ended: &[(Sid, [u8; 16], PassEnd)], now_ms: i64) {
        let idle_ms = self.known.as_ref().map_or(0, |known| known.idle_ms);
        for (sid, hold, end) in ended {
            let Some(inside) = self.pass.get_mut(sid) else { continue };
            if inside.hold != Some(hold[0]) {
                continue;
            }
            let later = (now_ms + idle_ms).min(inside.hard_ms);
            if *end == PassEnd::Free && later > now_ms {
                inside.hold = None;
                if let Some(at) = self.act.get_mut(sid) {
                    *at = later;
                }
            } else {
                self.pass.remove(sid);
                self.act.remove(sid);
            }
        }
    }

    fn restore(&mut self, pass: &Pass, now_ms: i64) -> bool {
        let Some(known) = &mut self.known else { return false };
        if known.run != pass.run || known.epoch <= pass.epoch || pass.hard_ms <= now_ms {
            return false;
        }
        let claimed = &mut self.runs.entry(pass.run).or_default().claimed[pass.lane as usize];
        if claimed.contains(&pass.rank) || self.act.len() as i32 >= known.capacity + known.slack {
            return false;
        }
        claimed.insert(pass.rank);
        known.restored += 1;
        self.act.insert(pass.sid, (now_ms + known.idle_ms).min(pass.hard_ms));
        self.pass.insert(pass.sid, Inside { hard_ms: pass.hard_ms, hold: None });
        true
    }

    fn leave(&mut self, run: u32, sid: Option<&Sid>, late: Option<(Lane, u32)>) -> bool {
        if let Some((lane, rank)) = late {
            let (of, name) = (self.runs.entry(run).or_default(), late_name(lane, rank));
            of.called.remove(&name);
            of.late.remove(&(rank, name));
        }
        let Some(sid) = sid else { return true };
        if self.pass.get(sid).is_some_and(|inside| inside.hold.is_some()) {
            return false;
        }
        self.pass.remove(sid);
        self.act.remove(sid);
        true
    }

    /// None: following. Some(false): leading, but there is no room.
    fn look(&mut self, run: u32, leader: usize, now_ms: i64) -> Option<bool> {
        match self.lead {
            Some(other) if other != leader => return None,
            Some(_) if self.fence > 0 => {}
            _ => self.fence += 1,
        }
        self.lead = Some(leader);
        if self.known.is_none() || self.seq.contains(&None) || self.serving.contains(&None) {
            return Some(false);
        }
        let over: Vec<Sid> = self.act.iter().filter(|(_, at)| **at <= now_ms).map(|(sid, _)| *sid).collect();
        for sid in over {
            self.act.remove(&sid);
            self.pass.remove(&sid);
        }
        self.runs.entry(run).or_default().called.retain(|_, at| now_ms - *at <= WINDOW_MS);
        Some(true)
    }

    fn admit(&mut self, run: u32, ask: &AdmitAsk<'_>, now_ms: i64) -> Option<[u32; LANES]> {
        let known = self.known.as_ref().filter(|known| (known.run, known.epoch) == (run, ask.epoch))?;
        if self.fence == 0 || ask.fence != self.fence {
            return None;
        }
        let run = known.run;
        let before = [self.serving[0]?, self.serving[1]?];
        let serving: [u32; LANES] = std::array::from_fn(|lane| before[lane].max(ask.serving[lane]));
        self.serving = serving.map(Some);
        let of = self.runs.entry(run).or_default();
        for (lane, rank) in ask.late {
            let name = late_name(*lane, *rank);
            if of.late.remove(&(*rank, name.clone())) {
                of.called.insert(name, now_ms);
            }
        }
        self.snap.clone_from(&ask.snap);
        Some(serving)
    }

    fn take(&mut self, hold: u8, fingerprint: u8, quantity: i32, pass: stock::Pass, now_ms: i64) -> Take {
        let Some((epoch, free)) = self.stock else { return Take::Unready };
        if let Some(flight) = self.flight.get(&hold) {
            let same = flight.fingerprint == fingerprint;
            return if same { Take::Repeat { epoch, at_ms: flight.at_ms } } else { Take::OtherBody };
        }
        let Some(phase) = self.phase else { return Take::Unready };
        let gated = phase.needs_pass() && pass != stock::Pass::Excused;
        let session = match pass {
            stock::Pass::Session { sid, hold_ms } => Some((sid, hold_ms)),
            _ => None,
        };
        let mut ours = None;
        if gated {
            let Some((sid, _)) = session else { return Take::PassRequired };
            if self.act.get(&sid).is_none_or(|at| *at <= now_ms) {
                return Take::PassEnded;
            }
            let Some(inside) = self.pass.get(&sid) else { return Take::PassEnded };
            if inside.hold.is_some_and(|other| other != hold) {
                return Take::PassInUse;
            }
            ours = inside.hold.is_none().then_some(sid);
        }
        if free < i64::from(quantity) {
            return Take::SoldOut { stock_id: STOCK_ID };
        }
        self.stock = Some((epoch, free - i64::from(quantity)));
        if gated && let Some((sid, hold_ms)) = session {
            let at = self.act.get_mut(&sid).unwrap();
            *at = (*at).max(now_ms + hold_ms);
            self.pass.get_mut(&sid).unwrap().hold = Some(hold);
        }
        self.flight.insert(hold, Flight { fingerprint, at_ms: now_ms, quantity, sid: ours });
        Take::Taken { epoch, at_ms: now_ms }
    }

    fn give_back(&mut self, hold: u8) -> bool {
        let (Some((epoch, free)), Some(flight)) = (self.stock, self.flight.get(&hold).cloned()) else { return false };
        self.flight.remove(&hold);
        self.stock = Some((epoch, free + i64::from(flight.quantity)));
        let idle_ms = self.known.as_ref().map_or(0, |known| known.idle_ms);
        if let Some(sid) = flight.sid
            && let Some(inside) = self.pass.get_mut(&sid)
            && inside.hold == Some(hold)
        {
            inside.hold = None;
            if let Some(at) = self.act.get_mut(&sid).filter(|_| idle_ms > 0) {
                *at = (flight.at_ms + idle_ms).min(inside.hard_ms);
            }
        }
        true
    }

    fn rebuild(&mut self, epoch: i64, phase: Phase, free: i32) {
        self.stock = Some((epoch, i64::from(free)));
        self.flight.clear();
        self.phase.get_or_insert(phase);
    }

    /// As the picture of Redis, in words that compare.
    fn words(&self, run: u32) -> Vec<String> {
        let mut room = BTreeMap::new();
        if let Some(phase) = self.phase {
            room.insert("phase", phase.as_str().to_owned());
        }
        if let Some(known) = &self.known {
            let fields = [
                ("run", i64::from(known.run)),
                ("epoch", i64::from(known.epoch)),
                ("revision", known.revision),
                ("reopen_ms", known.reopen_ms),
                ("capacity", known.capacity.into()),
                ("slack", known.slack.into()),
                ("idle_ms", known.idle_ms),
                ("hard_ms", known.hard_ms),
                ("restored", known.restored.into()),
            ];
            room.extend(fields.map(|(field, value)| (field, value.to_string())));
        }
        let hold_of = |hold: Option<u8>| hold.map_or_else(|| "-".to_owned(), |hold| hex(&[hold; 16]));
        let serving: BTreeMap<usize, u32> = (0..LANES).filter_map(|l| Some((l, self.serving[l]?))).collect();
        let act: BTreeMap<String, i64> = self.act.iter().map(|(sid, at)| (hex(sid), *at)).collect();
        let pass: BTreeMap<String, String> =
            self.pass.iter().map(|(sid, p)| (hex(sid), format!("{}|{}", p.hard_ms, hold_of(p.hold)))).collect();
        let empty = Run::default();
        let of = self.runs.get(&run).unwrap_or(&empty);
        let seq = self.seq.map(|seq| seq.map(|n| n.to_string()).unwrap_or_default());
        vec![
            format!("{room:?}"),
            format!("{serving:?}"),
            format!("{pass:?}"),
            format!("{act:?}"),
            format!("{:?}", of.late.iter().map(|(rank, name)| (name.clone(), *rank)).collect::<BTreeMap<_, _>>()),
            format!("{:?}", of.called),
            format!("{seq:?}"),
            self.lead.map(|at| LEADERS[at].to_owned()).unwrap_or_default(),
            if self.fence == 0 { String::new() } else { self.fence.to_string() },
            String::from_utf8_lossy(&self.snap).into_owned(),
            format!("{:?}", of.claimed),
        ]
    }
}

/// What Redis keeps, in the same words.
async fn words(redis: &Redis, code: &str, run: u32) -> Vec<String> {
    let key = |rest: &str| redis.key(code, &format!("wr:{rest}"));
    let of_run = |rest: &str| key(&format!("{run}:{rest}"));
    let keys = vec![
        key("room"),
        key("serve"),
        key("pass"),
        key("act"),
        of_run("late"),
        of_run("called"),
        key("seq:0"),
        key("seq:1"),
        key("lead"),
        key("fence"),
        key("snap"),
        of_run("claimed:0"),
        of_run("claimed:1"),
    ];
    let reply = redis.run(&PICTURE, keys, Vec::new()).await.unwrap();
    let list = |at: usize| match &reply[at] {
        Value::Array(items) => items.iter().map(|item| item.as_string().unwrap()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    fn pairs<V: std::str::FromStr<Err: std::fmt::Debug>>(items: Vec<String>) -> BTreeMap<String, V> {
        items.chunks(2).map(|pair| (pair[0].clone(), pair[1].parse().unwrap())).collect()
    }
    let plain = |at: usize| reply[at].as_string().unwrap_or_default();
    let serving: BTreeMap<usize, u32> =
        pairs::<u32>(list(2)).into_iter().map(|(lane, rank)| (lane.parse().unwrap(), rank)).collect();
    let claimed: [BTreeSet<u32>; LANES] =
        [12, 13].map(|at| list(at).iter().map(|rank| rank.parse().unwrap()).collect());
    vec![
        format!("{:?}", pairs::<String>(list(1))),
        format!("{serving:?}"),
        format!("{:?}", pairs::<String>(list(3))),
        format!("{:?}", pairs::<i64>(list(4))),
        format!("{:?}", pairs::<u32>(list(5))),
        format!("{:?}", pairs::<i64>(list(6))),
        format!("{:?}", [plain(7), plain(8)]),
        plain(9),
        plain(10),
        plain(11),
        format!("{claimed:?}"),
    ]
}

/// One random trace over a room of its own.
struct Trace<'a> {
    redis: &'a Redis,
    code: String,
    random: SmallRng,
    model: Model,
    now_ms: i64,
    run: u32,
    epoch: u32,
    revision: i64,
    config: Config,
    /// Redis has lost the room: what is told next must begin above all that was given out.
    lost: bool,
    given: BTreeMap<(u32, usize), BTreeSet<u32>>,
    served: BTreeMap<(u32, usize), u32>,
    owners: Vec<(u32, Lane, Account, u32)>,
    admitted: Vec<Pass>,
    stock_epoch: i64,
    tags: BTreeMap<&'static str, u32>,
}

impl<'a> Trace<'a> {
    fn new(redis: &'a Redis, seed: u64) -> Trace<'a> {
        Trace {
            redis,
            code: format!("queue-model-{seed}"),
            random: SmallRng::seed_from_u64(seed),
            model: Model::default(),
            now_ms: 1_000_000,
            run: 1,
            epoch: 1,
            revision: 0,
            config: Config { idle_s: 60, hard_s: 120, ..Config::default() },
            lost: false,
            given: BTreeMap::new(),
            served: BTreeMap::new(),
            owners: Vec::new(),
            admitted: Vec::new(),
            stock_epoch: 0,
            tags: BTreeMap::new(),
        }
    }

    fn keys(&self, run: u32) -> (&'a Redis, String, u32) {
        (self.redis, self.code.clone(), run)
    }

    /// Mostly this run; sometimes the one before.
    fn some_run(&mut self) -> u32 {
        if self.random.random_bool(0.05) { self.run.saturating_sub(1) } else { self.run }
    }

    fn some_account(&mut self) -> Account {
        Account { epoch: self.random.random_range(1..=self.epoch), index: self.random.random_range(0..DEVICES) }
    }

    fn some_lane(&mut self) -> Lane {
        if self.random.random_bool(0.7) { Lane::General } else { Lane::Invited }
    }

    fn saw(&mut self, tag: &'static str) {
        *self.tags.entry(tag).or_insert(0) += 1;
    }

    async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..7 => self.tell().await,
            7..24 => self.join().await,
            24..27 => self.register().await,
            27..30 => self.lease().await,
            30..32 => self.invite().await,
            32..52 => self.claim().await,
            52..56 => self.renew().await,
            56..60 => self.leave().await,
            60..72 => self.look_and_admit().await,
            72..76 => self.restore().await,
            76..88 => self.take().await,
            88..91 => self.give_back().await,
            91..95 => self.end_passes().await,
            95..97 => self.rebuild().await,
            97 => self.lose_the_lease().await,
            98 => self.lose_the_room().await,
            _ => self.now_ms += self.random.random_range(20_000..90_000),
        }
        self.now_ms += self.random.random_range(0..2_000);
    }

    async fn tell(&mut self) {
        let was = (self.run, self.epoch, self.revision);
        match self.random.random_range(0..12) {
            0 => (self.run, self.revision) = (self.run + 1, self.revision + 1),
            1 | 2 => self.epoch += 1,
            _ => self.revision += 1,
        }
        if self.lost {
            self.epoch = was.1 + 1;
        }
        let old = !self.lost && self.random.random_bool(0.1);
        self.config.capacity = self.random.random_range(1..5);
        self.config.slack = self.random.random_range(0..3);
        let phase = match self.random.random_range(0..20) {
            0..9 => Phase::Open,
            at => Phase::ALL[at % Phase::ALL.len()],
        };
        let highest = |lane: usize| self.given.get(&(self.run, lane)).and_then(|all| all.last()).copied().unwrap_or(0);
        let serving = |lane: usize| self.served.get(&(self.run, lane)).copied().unwrap_or(0);
        let lost = self.lost;
        let floors = std::array::from_fn(|lane| if lost { highest(lane) + 3 } else { highest(lane) });
        let told = Told {
            phase,
            epoch: self.epoch,
            revision: if old { self.revision - 2 } else { self.revision },
            config: &self.config,
            floors: if old { [0; LANES] } else { floors },
            serving: [0, 1].map(serving),
            reopen_ms: if self.random.random_bool(0.15) { self.now_ms + 5_000 } else { 0 },
        };
        let (redis, code, run) = self.keys(self.run);
        let got = redis::tell(RoomKeys::new(redis, &code, run), &told).await.unwrap();
        let wanted = self.model.tell(run, &told);
        assert_eq!(got, wanted);
        self.lost &= !got;
        self.saw(if got { "told" } else { "older" });
    }

    async fn join(&mut self) {
        let (run, lane) = (self.some_run(), self.some_lane());
        let epoch = if self.random.random_bool(0.05) { self.epoch + 1 } else { self.epoch };
        let count = self.random.random_range(1..4);
        let accounts: Vec<Account> = (0..count).map(|_| self.some_account()).collect();
        let seen = self.given.get(&(run, lane as usize)).and_then(|all| all.last()).copied().unwrap_or(0);
        let seen_max = seen + u32::from(self.random.random_bool(0.03));
        let (redis, code, run) = self.keys(run);
        let keys = RoomKeys::new(redis, &code, run);
        let got = redis::join(keys, lane, epoch, self.now_ms, seen_max, &accounts).await.unwrap();
        assert_eq!(got, self.model.join(run, lane, epoch, self.now_ms, seen_max, &accounts));
        let all: Vec<(Account, u32)> = self.model.runs.get(&run).map_or_else(Vec::new, |of| {
            accounts.iter().filter_map(|a| Some((*a, *of.numbers.get(&(lane as usize, *a))?))).collect()
        });
        for (account, number) in all {
            let known = self.owners.contains(&(run, lane, account, number));
            if !known {
                let new = self.given.entry((run, lane as usize)).or_default().insert(number);
                assert!(new, "number {number} was given twice");
                self.owners.push((run, lane, account, number));
            }
        }
        self.saw(match got {
            Join::Joined { refused: None, .. } => "joined",
            Join::Joined { refused: Some(JoinRefusal::Closed(_)), .. } => "join closed",
            Join::Joined { refused: Some(JoinRefusal::Later { .. }), .. } => "join later",
            Join::OtherEpoch => "join other epoch",
            Join::OtherRun => "join other run",
            Join::Behind => "join behind",
            Join::Unready => "join unready",
        });
    }

    async fn register(&mut self) {
        let run = self.some_run();
        let mut owners = Vec::new();
        for _ in 0..3 {
            if !self.owners.is_empty() {
                let (of, lane, account, number) = self.owners[self.random.random_range(0..self.owners.len())];
                if of == run {
                    owners.push((lane, account, number));
                }
            }
        }
        let (redis, code, run) = self.keys(run);
        redis::register(RoomKeys::new(redis, &code, run), &owners).await.unwrap();
        self.model.register(run, &owners);
        // What was put back is what was given: a device that joined again meanwhile keeps the newer number.
        self.saw("registered");
    }

    async fn lease(&mut self) {
        let (run, count) = (self.some_run(), self.random.random_range(1..5));
        let epoch = if self.random.random_bool(0.2) { self.epoch + 1 } else { self.epoch };
        let (redis, code, run) = self.keys(run);
        let got = redis::lease(RoomKeys::new(redis, &code, run), epoch, count).await.unwrap();
        assert_eq!(got, self.model.lease(run, epoch, count));
        self.saw(if got.is_some() { "leased" } else { "not leased" });
    }

    async fn invite(&mut self) {
        let (run, id, account) = (self.some_run(), self.random.random_range(0..4), self.some_account());
        let (redis, code, run) = self.keys(run);
        let got = redis::use_invite(RoomKeys::new(redis, &code, run), &[id; 8], account).await.unwrap();
        assert_eq!(got, self.model.use_invite(run, id, account));
        self.saw(if got { "invited" } else { "invite used" });
    }

    async fn claim(&mut self) {
        let (run, lane, rank) = (self.some_run(), self.some_lane(), self.random.random_range(1..=RANKS));
        let in_time = self.random.random_bool(0.6);
        let ask = ClaimAsk { lane, rank, sid: sid(run, lane, rank), in_time, window_ms: WINDOW_MS };
        let (redis, code, run) = self.keys(run);
        let before = self.model.act.len();
        let got = redis::claim(RoomKeys::new(redis, &code, run), &ask, self.now_ms).await.unwrap();
        assert_eq!(got, self.model.claim(run, &ask, self.now_ms), "{lane:?} {rank} in run {run}");
        if let Claim::Admitted { hard_ms, .. } = got
            && self.model.act.len() > before
        {
            self.admitted.push(Pass { sid: ask.sid, run, epoch: self.epoch, lane, rank, hard_ms });
        }
        self.saw(match got {
            Claim::Admitted { .. } => "claimed",
            Claim::Ended => "claim ended",
            Claim::NotYet => "claim not yet",
            Claim::Late { .. } => "claim late",
            Claim::Full { .. } => "claim full",
            Claim::Closed(_) => "claim closed",
            Claim::OtherRun => "claim other run",
            Claim::Unready => "claim unready",
        });
    }

    /// Somebody who is or was inside, or nobody at all.
    fn some_pass(&mut self) -> Pass {
        let nobody =
            Pass { sid: [9; 16], run: self.run, epoch: 1, lane: Lane::General, rank: 60, hard_ms: i64::MAX / 4 };
        if self.admitted.is_empty() || self.random.random_bool(0.1) {
            return nobody;
        }
        let from = self.admitted.len().saturating_sub(8);
        self.admitted[self.random.random_range(from..self.admitted.len())]
    }

    async fn renew(&mut self) {
        let pass = self.some_pass();
        let got = redis::renew(self.redis, &self.code, &pass.sid, self.now_ms).await.unwrap();
        assert_eq!(got, self.model.renew(&pass.sid, self.now_ms));
        self.saw(if got.is_some() { "renewed" } else { "not renewed" });
    }

    async fn leave(&mut self) {
        let pass = self.some_pass();
        let (lane, rank) = (self.some_lane(), self.random.random_range(1..=RANKS));
        let sid = self.random.random_bool(0.5).then_some(pass.sid);
        let late = self.random.random_bool(0.7).then_some((lane, rank));
        let (redis, code, run) = self.keys(self.run);
        let got = redis::leave(RoomKeys::new(redis, &code, run), sid.as_ref(), late).await.unwrap();
        assert_eq!(got, self.model.leave(run, sid.as_ref(), late));
        self.saw(if got { "left" } else { "paying" });
    }

    /// A leader sees, and writes at once, later, or not at all; serving ranks as it likes, up and down.
    async fn look_and_admit(&mut self) {
        let (leader, run) = (self.random.random_range(0..LEADERS.len()), self.run);
        let (redis, code, _) = self.keys(run);
        let keys = RoomKeys::new(redis, &code, run);
        let ask = LookAsk {
            leader: LEADERS[leader],
            lease_ms: LEASE_MS,
            claims: [(1, RANKS), (1, RANKS)],
            late_again_ms: WINDOW_MS,
        };
        let wanted = self.model.look(run, leader, self.now_ms);
        let fence = match redis::look(keys, &ask, self.now_ms).await.unwrap() {
            Lead::Following => {
                assert_eq!(wanted, None);
                self.saw("following");
                None
            }
            Lead::Unready => {
                assert_eq!(wanted, Some(false));
                self.saw("look unready");
                None
            }
            Lead::Leading(look) => {
                assert_eq!(wanted, Some(true));
                let known = self.model.known.as_ref().unwrap();
                let of = &self.model.runs[&run];
                assert_eq!((look.fence, look.run, look.epoch), (self.model.fence, known.run, known.epoch));
                assert_eq!((look.revision, look.restored), (known.revision, known.restored));
                assert_eq!(look.seq.map(Some), self.model.seq);
                assert_eq!(look.serving.map(Some), self.model.serving);
                let counted = (look.active as usize, look.late_waiting as usize);
                assert_eq!(counted, (self.model.act.len(), of.late.len()));
                let late: Vec<String> = look.late.iter().map(|(lane, rank)| late_name(*lane, *rank)).collect();
                assert_eq!(late, of.late.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>());
                let called: BTreeMap<String, i64> =
                    look.called.iter().map(|(lane, rank, at)| (late_name(*lane, *rank), *at)).collect();
                assert_eq!(called, of.called);
                for lane in 0..LANES {
                    let bit = |rank: u32| {
                        look.claimed[lane].get(rank as usize / 8).is_some_and(|byte| byte & (0x80 >> (rank % 8)) != 0)
                    };
                    let claimed: BTreeSet<u32> = (1..=RANKS).filter(|rank| bit(*rank)).collect();
                    let shown = of.claimed[lane].iter().copied().filter(|rank| *rank <= RANKS).collect();
                    assert_eq!(claimed, shown);
                }
                self.saw("leading");
                Some(look.fence)
            }
        };
        let old = self.random.random_bool(0.2);
        let fence = if old { self.model.fence - 1 } else { fence.unwrap_or(self.model.fence) };
        let late: Vec<(Lane, u32)> = (0..self.random.random_range(0..3))
            .map(|_| (self.some_lane(), self.random.random_range(1..=RANKS)))
            .collect();
        let run = self.some_run();
        let ask = || AdmitAsk {
            fence,
            epoch: self.epoch,
            serving: [self.now_ms as u32 % (RANKS + 1), (self.now_ms / 16) as u32 % (RANKS + 1)],
            late: &late,
            snap: format!("snap {}", self.now_ms).into_bytes(),
        };
        let keys = RoomKeys::new(redis, &code, run);
        let got = redis::admit(keys, ask(), self.now_ms).await.unwrap();
        assert_eq!(got, self.model.admit(run, &ask(), self.now_ms));
        self.saw(if got.is_some() { "admitted" } else { "not admitted" });
    }

    async fn restore(&mut self) {
        let mut pass = self.some_pass();
        if self.random.random_bool(0.1) {
            pass.epoch = self.epoch;
        }
        let (redis, code, run) = self.keys(pass.run);
        let got = redis::restore(RoomKeys::new(redis, &code, run), &pass, self.now_ms).await.unwrap();
        assert_eq!(got, self.model.restore(&pass, self.now_ms));
        self.saw(if got { "restored" } else { "not restored" });
    }

    async fn take(&mut self) {
        let (hold, fingerprint) = (self.random.random_range(0..HOLDS), self.random.random_range(0..8) / 7);
        let pass = match self.random.random_range(0..10) {
            0 => stock::Pass::None,
            1 => stock::Pass::Excused,
            _ => stock::Pass::Session { sid: self.some_pass().sid, hold_ms: self.random.random_range(1..200_000) },
        };
        let quantity = self.random.random_range(1..3);
        let ask = Ask {
            code: &self.code,
            hold_id: &[hold; 16],
            fingerprint: &[fingerprint; 16],
            person: &[1; 16],
            places: 0,
            allowed: None,
            open_holds_max: None,
            pass,
            lines: &[Line { stock_id: STOCK_ID, quantity }],
        };
        let got = stock::take(self.redis, &ask, self.now_ms).await.unwrap();
        assert_eq!(got, self.model.take(hold, fingerprint, quantity, pass, self.now_ms), "{pass:?}");
        self.saw(match got {
            Take::Taken { .. } => "taken",
            Take::Repeat { .. } => "take repeated",
            Take::PassRequired => "pass required",
            Take::PassEnded => "pass ended",
            Take::PassInUse => "pass in use",
            Take::SoldOut { .. } => "sold out",
            Take::Unready => "take unready",
            _ => "take refused",
        });
    }

    async fn give_back(&mut self) {
        let hold = self.random.random_range(0..HOLDS);
        let got = stock::give_back(self.redis, &self.code, &[hold; 16], None).await.unwrap();
        assert_eq!(got, self.model.give_back(hold));
        self.saw(if got { "given back" } else { "nothing to give back" });
    }

    async fn end_passes(&mut self) {
        let mut ended = Vec::new();
        for _ in 0..self.random.random_range(1..4) {
            let sid = self.some_pass().sid;
            // Mostly the hold it is for.
            let of = self.model.pass.get(&sid).and_then(|inside| inside.hold);
            let hold = of.filter(|_| self.random.random_bool(0.8)).unwrap_or(77);
            let end = if self.random.random_bool(0.5) { PassEnd::Over } else { PassEnd::Free };
            ended.push((sid, [hold; 16], end));
            // The order is known to Postgres by then.
            if of == Some(hold) {
                stock::confirm(self.redis, &self.code, &[[hold; 16]]).await.unwrap();
                self.model.flight.remove(&hold);
            }
        }
        redis::end_passes(self.redis, &self.code, &ended, self.now_ms).await.unwrap();
        self.model.end_passes(&ended, self.now_ms);
        self.saw("passes ended");
    }

    async fn rebuild(&mut self) {
        self.stock_epoch += 1;
        let phase = self.model.phase.unwrap_or(Phase::Open);
        let free = self.random.random_range(0..20);
        let rebuilt =
            stock::rebuild(self.redis, &self.code, self.stock_epoch, phase, &[(STOCK_ID, free)]).await.unwrap();
        assert!(rebuilt);
        self.model.rebuild(self.stock_epoch, phase, free);
        self.saw("rebuilt");
    }

    /// The leader is silent for too long; or the fence is gone, though there is a leader.
    async fn lose_the_lease(&mut self) {
        if self.random.random_bool(0.3) {
            self.forget(&["wr:fence"]).await;
            self.model.fence = 0;
            self.saw("fence lost");
            return;
        }
        self.forget(&["wr:lead"]).await;
        self.model.lead = None;
        self.saw("lease lost");
    }

    /// Somebody deletes the room's key, or Redis comes back without anything of the room.
    async fn lose_the_room(&mut self) {
        self.lost = true;
        (self.model.phase, self.model.known) = (None, None);
        if self.random.random_bool(0.5) {
            self.forget(&["wr:room"]).await;
            self.saw("room key lost");
            return;
        }
        let runs: Vec<u32> = self.model.runs.keys().copied().collect();
        let mut names: Vec<String> = ["room", "seq:0", "seq:1", "serve", "act", "pass", "lead", "fence", "snap"]
            .iter()
            .map(|name| format!("wr:{name}"))
            .collect();
        for (run, of) in &self.model.runs {
            names.extend(["claimed:0", "claimed:1", "late", "called"].iter().map(|name| format!("wr:{run}:{name}")));
            for epoch in 0..=self.epoch {
                names.push(format!("wr:{run}:devices:{epoch}"));
                names.extend((0..LANES).map(|lane| format!("wr:{run}:num:{lane}:{epoch}:0")));
            }
            names.extend(of.invites.keys().map(|id| format!("wr:{run}:invite:{}", hex(&[*id; 8]))));
        }
        drop(runs);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.forget(&names).await;
        let (stock, flight) = (self.model.stock, std::mem::take(&mut self.model.flight));
        self.model = Model { stock, flight, ..Model::default() };
        self.saw("everything lost");
    }

    async fn forget(&self, names: &[&str]) {
        let keys = names.iter().map(|name| self.redis.key(&self.code, name)).collect();
        self.redis.run(&FORGET, keys, Vec::new()).await.unwrap();
    }

    /// Redis is as the model is, and neither has broken a promise.
    async fn compare(&mut self, active_before: usize) {
        let run = self.model.known.as_ref().map_or(self.run, |known| known.run);
        assert_eq!(words(self.redis, &self.code, run).await, self.model.words(run));
        let active = self.model.act.len();
        if let Some(known) = &self.model.known {
            let most = (known.capacity + known.slack) as usize;
            assert!(active <= most.max(active_before), "{active} inside, {most} at most");
        }
        for lane in 0..LANES {
            if let (Some(known), Some(serving)) = (&self.model.known, self.model.serving[lane]) {
                let served = self.served.entry((known.run, lane)).or_insert(0);
                assert!(serving >= *served, "the serving rank went back");
                *served = serving;
            }
        }
    }
}

#[tokio::test]
async fn the_rooms_scripts_keep_their_contracts_under_random_commands() {
    let app = TestApp::start().await;
    let mut tags: BTreeMap<&'static str, u32> = BTreeMap::new();
    for seed in 0..6 {
        let mut trace = Trace::new(&app.app().redis, seed);
        trace.rebuild().await;
        for step in 0..700 {
            let before = trace.model.act.len();
            // Named when it fails, and only then.
            let at = At(seed, step);
            trace.step().await;
            trace.compare(before).await;
            std::mem::forget(at);
        }
        trace.tags.iter().for_each(|(tag, count)| *tags.entry(tag).or_insert(0) += count);
    }
    // Traces that never get there prove nothing.
    for tag in [
        "told",
        "older",
        "joined",
        "join closed",
        "join other epoch",
        "join other run",
        "join behind",
        "join later",
        "join unready",
        "registered",
        "leased",
        "not leased",
        "invited",
        "invite used",
        "claimed",
        "claim ended",
        "claim not yet",
        "claim late",
        "claim full",
        "claim closed",
        "claim other run",
        "claim unready",
        "renewed",
        "not renewed",
        "left",
        "paying",
        "following",
        "look unready",
        "leading",
        "admitted",
        "not admitted",
        "restored",
        "not restored",
        "taken",
        "take repeated",
        "pass required",
        "pass ended",
        "pass in use",
        "sold out",
        "take unready",
        "given back",
        "room key lost",
        "everything lost",
        "fence lost",
        "lease lost",
    ] {
        assert!(tags.get(tag).is_some_and(|count| *count > 0), "{tag}: {tags:?}");
    }
    app.finish().await;
}

struct At(u64, usize);

impl Drop for At {
    fn drop(&mut self) {
        eprintln!("seed {} step {}", self.0, self.1);
    }
}

#[tokio::test]
async fn rust_and_lua_mean_the_same_by_every_phase() {
    let app = TestApp::start().await;
    let redis = &app.app().redis;
    for (at, phase) in (0u32..).zip(Phase::ALL) {
        let code = format!("phase-{}", phase.as_str());
        let keys = RoomKeys::new(redis, &code, 1);
        let config = Config::default();
        let told =
            Told { phase, epoch: 1, revision: 1, config: &config, floors: [5, 5], serving: [5, 5], reopen_ms: 0 };
        assert!(redis::tell(keys, &told).await.unwrap());
        assert!(stock::rebuild(redis, &code, 1, Phase::Idle, &[(STOCK_ID, 9)]).await.unwrap());

        let take = async |hold: u8, pass: stock::Pass| {
            let ask = Ask {
                code: &code,
                hold_id: &[hold; 16],
                fingerprint: &[1; 16],
                person: &[1; 16],
                places: 0,
                allowed: None,
                open_holds_max: None,
                pass,
                lines: &[Line { stock_id: STOCK_ID, quantity: 1 }],
            };
            stock::take(redis, &ask, 1_000).await.unwrap()
        };
        let none = take(1, stock::Pass::None).await;
        assert_eq!(none == Take::PassRequired, phase.needs_pass(), "{phase:?}: {none:?}");
        let foreign = take(2, stock::Pass::Session { sid: [3; 16], hold_ms: 1_000 }).await;
        assert_eq!(foreign == Take::PassEnded, phase.needs_pass(), "{phase:?}: {foreign:?}");
        assert!(matches!(take(3, stock::Pass::Excused).await, Take::Taken { .. }), "{phase:?}");

        let join = redis::join(keys, Lane::General, 1, 1_000, 0, &[Account { epoch: 1, index: at }]).await.unwrap();
        let (number, refused) =
            if phase.accepts_joins() { (Some((6, false)), None) } else { (None, Some(JoinRefusal::Closed(phase))) };
        assert_eq!(join, Join::Joined { numbers: vec![number], refused }, "{phase:?}");
        let ask = ClaimAsk { lane: Lane::General, rank: 1, sid: [7; 16], in_time: true, window_ms: WINDOW_MS };
        let claim = redis::claim(keys, &ask, 1_000).await.unwrap();
        assert_eq!(matches!(claim, Claim::Admitted { .. }), phase.allows_claims(), "{phase:?}: {claim:?}");
        assert!(phase.allows_claims() || claim == Claim::Closed(phase), "{phase:?}: {claim:?}");
        // Whoever is inside may buy in every phase.
        if phase.allows_claims() {
            let own = take(4, stock::Pass::Session { sid: [7; 16], hold_ms: 1_000 }).await;
            assert!(matches!(own, Take::Taken { .. }), "{phase:?}: {own:?}");
        }
    }
    app.finish().await;
}
