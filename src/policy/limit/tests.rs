// SPDX-License-Identifier: Apache-2.0
//! Shards and slow messages on virtual time, against one central bucket that sees every request at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use crate::base::{Rng, Tick, Wall};
use crate::policy::limit::account::{Accounts, LENT_MAX, Replies};
use crate::policy::limit::gcra::{Meter, Rate};
use crate::policy::limit::holder::Holder;
use crate::policy::limit::message::Cause;
use crate::policy::limit::part::Counts;
use crate::policy::limit::{Body, Held, LimitId, Message, Part, ShardId, Shards, Taken, Terms};

const LIMIT: LimitId = LimitId(7);
const KEY: u64 = 0x5555_0000_0000_0099;
const WAIT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(usize),
    /// A message from the first to the second.
    Message(usize, usize),
    Expire(usize, u64),
    /// The response to a request that holds a slot of these terms is known, and whether it counts.
    Release(usize, u64, bool),
    /// A new rate, by its place in `World::rates`, reaches a shard.
    Terms(usize, u64),
    Sweep,
}

/// Everything about one limit with one key.
struct World {
    rates: Vec<Rate>,
    parts: Vec<Part>,
    rng: Rng,
    delay_micros: (u64, u64),
    now: Tick,
    events: BinaryHeap<Reverse<(Tick, u64, Event)>>,
    sequence: u64,
    /// Messages under way, in order, by sender and receiver; and when the last of them arrives.
    queues: Vec<Vec<VecDeque<Message>>>,
    last: Vec<Vec<Tick>>,
    /// A shard that does nothing between two moments.
    stalled: Option<(usize, Tick, Tick)>,
    /// Waiting requests by shard: number.
    waiting: Vec<Vec<u64>>,
    /// Where requests count only by their response: of a thousand, how many do.
    counting: Option<u64>,
    /// Requests that hold a slot.
    pending: u64,
    returned: u64,
    arrivals: u64,
    admitted: u64,
    refused: u64,
    expired: u64,
    messages: u64,
    counts: Counts,
    /// The textbook's theoretical arrival time times `count`: what must never be broken while the rate stays.
    theoretical: u128,
    central: Meter,
    central_admitted: u64,
    /// Of a rate that is counted in seconds: how many came and how many passed in each.
    seconds: Option<BTreeMap<u64, (u64, u64)>>,
}

fn terms(version: u64, rate: Rate) -> Terms {
    Terms { version, rate }
}

fn shards(own: u32, count: u32) -> Shards {
    Shards { own: ShardId(own), count }
}

impl World {
    fn new(rate: Rate, count: usize, delay_micros: (u64, u64), seed: u64) -> World {
        let part = |own| Part::new(LIMIT, terms(0, rate), shards(own as u32, count as u32), 1_000);
        let mut world = World {
            rates: vec![rate],
            parts: (0..count).map(part).collect(),
            rng: Rng::new(seed),
            delay_micros,
            now: Tick::ZERO.after_ms(1_000),
            events: BinaryHeap::new(),
            sequence: 0,
            queues: vec![vec![VecDeque::new(); count]; count],
            last: vec![vec![Tick::ZERO; count]; count],
            stalled: None,
            waiting: vec![Vec::new(); count],
            counting: None,
            pending: 0,
            returned: 0,
            arrivals: 0,
            admitted: 0,
            refused: 0,
            expired: 0,
            messages: 0,
            counts: Counts::default(),
            theoretical: 0,
            central: Meter::full(&rate, Tick::ZERO.after_ms(1_000)),
            central_admitted: 0,
            seconds: None,
        };
        world.at(world.now.after_ms(100), Event::Sweep);
        world
    }

    fn at(&mut self, time: Tick, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((time, self.sequence, event)));
    }

    /// Runs until nothing is left to happen. `arrivals` are microseconds from now and shards.
    fn run(&mut self, arrivals: impl IntoIterator<Item = (u64, usize)>) {
        let mut last = self.now;
        for (micros, shard) in arrivals {
            let time = self.now.after(Duration::from_micros(micros));
            self.at(time, Event::Arrive(shard));
            last = last.max(time);
        }
        let end = last.after_ms(200);
        while let Some(Reverse((time, sequence, event))) = self.events.pop() {
            self.now = time;
            if let Some(later) = self.stall(event) {
                self.events.push(Reverse((later, sequence, event)));
                continue;
            }
            self.step(event, end);
        }
    }

    /// Until when a shard that is stalled does not see this.
    fn stall(&self, event: Event) -> Option<Tick> {
        let (stalled, from, until) = self.stalled?;
        let shard = match event {
            Event::Arrive(shard)
            | Event::Message(_, shard)
            | Event::Expire(shard, _)
            | Event::Release(shard, ..)
            | Event::Terms(shard, _) => shard,
            Event::Sweep => return None,
        };
        (shard == stalled && self.now >= from && self.now < until).then_some(until)
    }

    fn step(&mut self, event: Event, end: Tick) {
        let now = self.now;
        if let Event::Arrive(shard) | Event::Message(_, shard) | Event::Release(shard, ..) = event {
            self.parts[shard].look(now, || Wall(now.nanos() / 1_000));
        }
        match event {
            Event::Arrive(shard) => {
                self.arrivals += 1;
                self.note_second(|second| second.0 += 1);
                self.central_admitted += u64::from(self.central.take(&self.rates[0], 1, now));
                let taken = self.parts[shard].take(KEY, 1, now);
                let number = self.arrivals;
                if self.judge(shard, number, taken) {
                    self.at(now.after(WAIT), Event::Expire(shard, number));
                }
                self.flush(shard);
            }
            Event::Message(from, shard) => {
                let message = self.queues[from][shard].pop_front().unwrap();
                self.parts[shard].receive(ShardId(from as u32), &message, now);
                self.flush(shard);
            }
            Event::Expire(shard, number) => {
                let before = self.waiting[shard].len();
                self.waiting[shard].retain(|waiting| *waiting != number);
                if self.waiting[shard].len() < before {
                    match self.parts[shard].take_here(KEY, 1, now) {
                        Some(_) => self.pass(shard),
                        None => self.expired += 1,
                    }
                }
            }
            Event::Release(shard, version, counts) => {
                self.parts[shard].release(KEY, Held { version, slots: 1 }, u32::from(counts), now);
                self.pending -= 1;
                if counts {
                    self.admit()
                } else {
                    self.returned += 1
                }
                self.flush(shard);
            }
            Event::Terms(shard, version) => {
                let rate = self.rates[version as usize];
                self.parts[shard].set_terms(terms(version, rate), now);
                self.flush(shard);
            }
            Event::Sweep => {
                for shard in 0..self.parts.len() {
                    self.parts[shard].sweep(now);
                    self.flush(shard);
                }
                if now < end {
                    self.at(now.after_ms(100), Event::Sweep);
                }
            }
        }
        if self.sequence.is_multiple_of(8) {
            self.check_slots();
        }
    }

    /// True where the request waits.
    fn judge(&mut self, shard: usize, number: u64, taken: Taken) -> bool {
        match taken {
            Taken::Yes(_) => self.pass(shard),
            Taken::Wait => self.waiting[shard].push(number),
            Taken::No(_) => self.refused += 1,
            Taken::NoRoom => panic!("one key always fits"),
        }
        taken == Taken::Wait
    }

    fn pass(&mut self, shard: usize) {
        let Some(per_mille) = self.counting else { return self.admit() };
        // Where asking for more has sent the slot to another shard meanwhile, the request counts.
        let Some(Held { version, .. }) = self.parts[shard].hold(KEY, 1, self.now) else { return self.admit() };
        self.pending += 1;
        let answered = self.now.after(Duration::from_micros(self.rng.below(50_000)));
        let counts = self.rng.below(1_000) < per_mille;
        self.at(answered, Event::Release(shard, version, counts));
    }

    fn admit(&mut self) {
        self.admitted += 1;
        self.note_second(|second| second.1 += 1);
        if self.rates.len() > 1 || self.seconds.is_some() {
            return;
        }
        let rate = self.rates[0];
        let period = rate.fill_time().as_nanos() * u128::from(rate.count()) / u128::from(rate.burst());
        let scaled = u128::from(self.now.nanos()) * u128::from(rate.count());
        assert!(self.theoretical <= scaled + period * u128::from(rate.burst() - 1), "the limit was exceeded");
        self.theoretical = self.theoretical.max(scaled) + period;
    }

    fn note_second(&mut self, note: impl FnOnce(&mut (u64, u64))) {
        let second = self.now.nanos() / 1_000_000_000;
        if let Some(seconds) = &mut self.seconds {
            note(seconds.entry(second).or_default());
        }
    }

    /// What is held, free and under way is the whole limit, and the account knows what it lent.
    fn check_slots(&mut self) {
        let now = self.now;
        let home = shards(0, self.parts.len() as u32).home(KEY).0 as usize;
        let under_way = self.queues.iter().flatten().flatten().map(|message| match message.body {
            Body::Grant { piece } | Body::Return { piece, .. } => u64::from(piece.slots()),
            Body::Ask { .. } | Body::Recall { .. } | Body::NoRoom | Body::Banned => 0,
        });
        let under_way: u64 = under_way.sum();
        let held = self.pending + self.parts.iter_mut().map(|part| part.slots(KEY, now).0).sum::<u64>();
        let burst = u64::from(self.parts[home].terms().rate.burst());
        if self.parts.len() == 1 {
            assert!(held == burst || held == 0);
            return;
        }
        let (free, lent, reserved) = self.parts[home].slots(KEY, now).1;
        assert!(free + lent + reserved <= burst || (free == 0 && self.rates.len() > 1));
        if self.rates.len() == 1 {
            assert_eq!(held + under_way, lent, "the account knows what it lent");
            assert!(free + lent == burst || free + lent == 0);
        }
    }

    fn flush(&mut self, shard: usize) {
        let part = &mut self.parts[shard];
        let counts = part.take_counts();
        self.counts.waited += counts.waited;
        (self.counts.held, self.counts.accounts) = (counts.held, counts.accounts);
        while let Some((to, message)) = self.parts[shard].next_message() {
            let to = to.0 as usize;
            assert_ne!(to, shard, "what a shard has to say to itself, it does");
            self.messages += 1;
            self.queues[shard][to].push_back(message);
            let (least, most) = self.delay_micros;
            let arrival = self.now.after(Duration::from_micros(least + self.rng.below(most - least + 1)));
            let time = arrival.max(self.last[shard][to]);
            self.last[shard][to] = time;
            self.at(time, Event::Message(shard, to));
        }
        let mut woken = false;
        while let Some(key) = self.parts[shard].next_woken() {
            assert_eq!(key, KEY);
            woken = true;
        }
        if woken {
            for number in std::mem::take(&mut self.waiting[shard]) {
                let taken = self.parts[shard].retake(KEY, 1, self.now);
                self.judge(shard, number, taken);
            }
            self.flush(shard);
        }
    }

    fn usable(&self) -> f64 {
        self.admitted as f64 / self.central_admitted as f64
    }
}

/// `seconds` of Poisson-like arrivals at `per_second`, placed by `shard_of(micros, number, rng)`.
fn traffic(
    per_second: u64,
    seconds: u64,
    seed: u64,
    mut shard_of: impl FnMut(u64, usize, &mut Rng) -> usize,
) -> Vec<(u64, usize)> {
    let mut rng = Rng::new(seed);
    let mut micros = 0;
    let mut arrivals = Vec::new();
    while micros < seconds * 1_000_000 {
        let gap = -((rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64).max(1e-12).ln() * 1e6 / per_second as f64;
        micros += gap as u64;
        let shard = shard_of(micros, arrivals.len(), &mut rng);
        arrivals.push((micros, shard));
    }
    arrivals
}

fn rate(count: u32, millis: u64, burst: u32) -> Rate {
    Rate::new(count, Duration::from_millis(millis), burst).unwrap()
}

const LIMITS: [(u32, u64, u32); 6] =
    [(100, 1_000, 100), (1_000, 1_000, 100), (10, 1_000, 1), (100, 1_000, 1), (60, 60_000, 10), (2_000, 1_000, 200)];

type Placement = fn(u64, usize, &mut Rng) -> usize;

const PLACEMENTS: [(&str, Placement); 6] = [
    ("all on one shard", |_, _, _| 2),
    ("request by request", |_, number, _| number % 4),
    ("two shards in turn", |_, number, _| number % 2),
    ("at random", |_, _, rng| rng.below(4) as usize),
    ("moving every half second", |micros, _, _| (micros / 500_000 % 4) as usize),
    ("nine of ten on one", |_, _, rng| if rng.below(10) < 9 { 0 } else { 1 + rng.below(3) as usize }),
];

/// What must be usable, in per mille of what one central bucket admits. One case is harder than the rest: a burst of
/// one that fills in ten milliseconds is itself under way for up to one of them.
fn usable_least(burst: u32, fill_millis: u64) -> u64 {
    if burst == 1 && fill_millis <= 10 { 950 } else { 990 }
}

#[test]
fn the_limit_is_usable_and_never_exceeded() {
    for (count, millis, burst) in LIMITS {
        let limit = rate(count, millis, burst);
        let fill_millis = limit.fill_time().as_millis() as u64;
        for load_per_cent in [60, 100, 200, 1_000] {
            for (name, place) in PLACEMENTS {
                let per_second = (u64::from(count) * 10 * load_per_cent / millis).max(1);
                // At least four hundred admitted, so that one more or less is not what is measured.
                let seconds = (fill_millis / 100).max(4).max(millis * 2 / 5 / u64::from(count));
                let mut world = World::new(limit, 4, (20, 400), 11);
                world.run(traffic(per_second, seconds, 5, place));
                let waited = world.counts.waited;
                let per_request = |count: u64| count as f64 / world.arrivals as f64;
                let report = format!(
                    "{:.4} usable, {:5.2} messages and {:4.2} waits a request: \
                     {count} in {millis} ms, burst {burst}, load {load_per_cent} %, {name}",
                    world.usable(),
                    per_request(world.messages),
                    per_request(waited),
                );
                println!("{report}");
                let least = usable_least(burst, fill_millis);
                assert!(world.admitted * 1_000 >= world.central_admitted * least, "{report}");
                assert_eq!(world.expired, 0, "{report}");
            }
        }
    }
}

#[test]
fn slow_messages_cost_waiting_but_not_the_limit() {
    for (name, place) in PLACEMENTS {
        let mut world = World::new(rate(100, 1_000, 100), 4, (3_000, 8_000), 3);
        world.run(traffic(300, 20, 9, place));
        assert!(world.usable() >= 0.97, "{name}: {}", world.usable());
    }
}

#[test]
fn a_client_within_its_limit_is_not_refused_for_being_spread() {
    // Ten a minute, ten at once: the ten come over four connections on four shards.
    for seed in 0..50 {
        let mut world = World::new(rate(10, 60_000, 10), 4, (20, 400), seed);
        world.run((0..10).map(|number| (number * 1_000, (number % 4) as usize)));
        assert_eq!(world.admitted, 10);
        world.run((0..10).map(|number| (number * 1_000, (number % 4) as usize)));
        assert_eq!(world.admitted, 10, "and not one more");
    }
}

#[test]
fn idle_keys_go_home_and_are_forgotten() {
    let mut world = World::new(rate(100, 1_000, 10), 3, (20, 400), 1);
    world.run((0..9).map(|number| (number * 100, (number % 3) as usize)));
    world.run((0..50).map(|_| (4_000_000, 0)));
    world.at(world.now.after_ms(10_000), Event::Sweep);
    world.run([]);
    world.now = world.now.after_ms(10_000);
    world.run([(0, 1), (10_000_000, 1)]);
    for _ in 0..2 {
        world.at(world.now.after_ms(10_000), Event::Sweep);
        world.run([]);
    }
    assert!(world.parts.iter_mut().all(|part| (part.take_counts().held, part.take_counts().accounts) == (0, 0)));
}

proptest! {
    #[test]
    fn no_load_and_no_delay_breaks_the_limit(
        (count, burst, counting) in (1_u32..200, 1_u32..40, prop::option::of(0_u64..1_001)),
        shards in 1_usize..7,
        delay in (0_u64..500, 0_u64..30_000),
        seed in any::<u64>(),
        stall in prop::option::of((any::<usize>(), 0_u64..2_000, 0_u64..3_000)),
        arrivals in prop::collection::vec((0_u64..3_000_000, any::<usize>(), 1_u64..6), 1..150),
    ) {
        // `admit` and `check_slots` assert in every step.
        let mut world = World::new(rate(count, 1_000, burst), shards, (delay.0, delay.0 + delay.1), seed);
        world.counting = counting;
        if let Some((shard, from, length)) = stall {
            let from = world.now.after_ms(from);
            world.stalled = Some((shard % shards, from, from.after_ms(length)));
        }
        let one = |(micros, shard, times): &(u64, usize, u64)| vec![(*micros, shard % shards); *times as usize];
        let all: Vec<(u64, usize)> = arrivals.iter().flat_map(one).collect();
        world.run(all);
        prop_assert!(world.admitted + world.returned <= world.arrivals);
        prop_assert!(world.waiting.iter().all(Vec::is_empty));
        prop_assert_eq!(world.queues.iter().flatten().map(VecDeque::len).sum::<usize>(), 0);
    }
}

#[test]
fn one_shard_sends_no_message() {
    let limit = rate(10, 1_000, 5);
    let mut part = Part::new(LIMIT, terms(0, limit), shards(0, 1), 2);
    let now = Tick::ZERO.after_ms(5);
    let yes = (0..20).filter(|_| matches!(part.take(1, 1, now), Taken::Yes(_))).count();
    assert_eq!(yes, 5);
    assert!(matches!(part.take(1, 1, now), Taken::No(standing) if standing.next == Duration::from_millis(100)));
    assert!(!part.has_news());
    assert!(matches!(part.take(1, 6, now.after_ms(60_000)), Taken::No(_)), "a cost above the burst never passes");
}

#[test]
fn a_full_table_gives_up_the_fullest_key_and_serves_the_newcomer() {
    let now = Tick::ZERO.after_ms(5);
    let mut part = Part::new(LIMIT, terms(0, rate(10, 1_000, 5)), shards(0, 1), 3);
    for (key, count) in [(1, 5), (2, 1), (3, 3)] {
        (0..count).for_each(|_| assert!(matches!(part.take(key, 1, now), Taken::Yes(_))));
    }
    assert!(matches!(part.take(4, 1, now), Taken::Yes(_)));
    assert_eq!(part.take_counts().given_up, 1);
    assert!(matches!(part.take(1, 1, now), Taken::No(_)), "the key that lacked most is remembered");
    assert!(matches!(part.take(3, 1, now), Taken::Yes(standing) if standing.left == 1));
    let counts = part.take_counts();
    assert_eq!((counts.held, counts.given_up), (3, 0));
}

#[test]
fn newcomers_are_served_and_a_limited_key_stays_limited_while_many_keys_come() {
    for count in [1, 2, 8] {
        let limit = rate(10, 3_600_000, 10);
        let keys_max = 2_000;
        let mut parts: Vec<Part> =
            (0..count).map(|own| Part::new(LIMIT, terms(0, limit), shards(own, count), keys_max)).collect();
        let mut now = Tick::ZERO.after_ms(5);
        let mut rng = Rng::new(3);
        // The victim's requests come to one shard, wherever its home is.
        let victim = 0xDEAD_BEEF_0000_0001;
        let passed = (0..30).filter(|_| admitted(&mut parts, 0, victim, now)).count();
        assert_eq!(passed, 10);
        for number in 0..40_000_u64 {
            now = now.after(Duration::from_micros(10));
            let key = rng.next_u64();
            assert!(admitted(&mut parts, (number % u64::from(count)) as usize, key, now), "key {number} was refused");
            if number.is_multiple_of(1_000) {
                assert!(!admitted(&mut parts, 0, victim, now), "the victim passed after {number} keys");
            }
        }
        let (mut held, mut accounts) = (0, 0);
        for part in &mut parts {
            let counts = part.take_counts();
            held += counts.held as usize;
            accounts += counts.accounts as usize;
        }
        let (held_max, accounts_max) = if count == 1 { (keys_max, 0) } else { (keys_max, keys_max + 64) };
        assert!(held <= held_max && accounts <= accounts_max, "{held} keys held, {accounts} accounts");
    }
}

/// Passes on what shards have to say by now. True where there was something.
fn carry(parts: &mut [Part], now: Tick) -> bool {
    let mut moved = false;
    for sender in 0..parts.len() {
        while let Some((to, message)) = parts[sender].next_message() {
            moved = true;
            parts[to.0 as usize].receive(ShardId(sender as u32), &message, now);
        }
    }
    moved
}

/// One request on one shard; messages take no time.
fn admitted(parts: &mut [Part], shard: usize, key: u64, now: Tick) -> bool {
    let mut taken = parts[shard].take(key, 1, now);
    loop {
        let moved = carry(parts, now);
        let woken = std::iter::from_fn(|| parts[shard].next_woken()).any(|woken| woken == key);
        if woken && taken == Taken::Wait {
            taken = parts[shard].retake(key, 1, now);
        } else if !moved {
            break;
        }
    }
    match taken {
        Taken::Yes(_) => true,
        Taken::No(_) => false,
        Taken::Wait | Taken::NoRoom => panic!("neither admitted nor refused: {taken:?}"),
    }
}

#[test]
fn a_changed_rate_keeps_how_full_each_key_is() {
    for count in [1, 2, 8] {
        let (slow, fast) = (rate(100, 1_000_000, 100), rate(30, 1_000_000, 30));
        let mut parts: Vec<Part> =
            (0..count).map(|own| Part::new(LIMIT, terms(0, slow), shards(own, count), 1_000)).collect();
        let now = Tick::ZERO.after_ms(5);
        let shard = |number: u64| (number % u64::from(count)) as usize;
        let passed = (0..50).filter(|number| admitted(&mut parts, shard(*number), KEY, now)).count();
        assert_eq!(passed, 50);
        let change = |parts: &mut [Part], version, rate| {
            parts.iter_mut().for_each(|part| part.set_terms(terms(version, rate), now));
        };
        change(&mut parts, 1, fast);
        let passed = (0..10).filter(|number| admitted(&mut parts, shard(*number), KEY, now)).count();
        assert_eq!(passed, 10);
        // More often than terms are remembered.
        for version in 2..40 {
            change(&mut parts, version, if version % 2 == 0 { slow } else { fast });
        }
        let passed = (0..50).filter(|number| admitted(&mut parts, shard(*number), KEY, now)).count();
        assert!(passed == 4 || passed == 5, "15 of 30 minus 10 were left, {passed} passed");
        let later = now.after_ms(10_000_000);
        let passed = (0..200).filter(|number| admitted(&mut parts, shard(*number), KEY, later)).count();
        assert_eq!(passed, 30, "and in the end no slot is lost");
    }
}

#[test]
fn reloads_under_load_neither_give_a_fresh_burst_nor_refuse_below_the_limit() {
    for (count, seed) in [(2, 1), (4, 2), (8, 3), (8, 4)] {
        let mut world = World::new(rate(1_000, 1_000, 100), count, (20, 2_000), seed);
        for version in 1..=60_u64 {
            world.rates.push(rate(if version % 2 == 0 { 1_000 } else { 1_010 }, 1_000, 100 + (version % 2) as u32));
            let committed = world.now.after_ms(version * 50);
            for shard in 0..count {
                // Shards commit at different times, and some of them before a message of the old plan arrives.
                let at = committed.after(Duration::from_micros(world.rng.below(3_000)));
                world.at(at, Event::Terms(shard, version));
            }
        }
        let load = traffic(3_000, 4, seed, |_, _, rng| rng.below(count as u64) as usize);
        world.run(load);
        assert_eq!(world.expired, 0, "nobody's wait expires because of a reload");
        assert!(world.admitted <= 101 + 4 * 1_010, "{} admitted", world.admitted);
        assert!(world.admitted >= 4 * 1_000 * 97 / 100, "{} admitted", world.admitted);
        // Below the limit nobody is refused, reloads or not.
        let mut world = World::new(rate(1_000, 1_000, 100), count, (20, 2_000), seed);
        for version in 1..=20_u64 {
            world.rates.push(rate(1_000 + version as u32, 1_000, 100 + version as u32));
            for shard in 0..count {
                let at = world.now.after_ms(version * 100).after(Duration::from_micros(seed * 100));
                world.at(at, Event::Terms(shard, version));
            }
        }
        world.run((0..2_000).map(|number| (number * 2_000, number as usize % count)));
        assert_eq!((world.refused, world.expired), (0, 0));
    }
}

#[test]
fn a_shard_that_stalls_for_less_than_the_wait_costs_no_refusal_below_the_limit() {
    for stalled in 0..4 {
        let mut world = World::new(rate(100, 1_000, 100), 4, (20, 400), stalled);
        let from = world.now.after_ms(500);
        world.stalled = Some((stalled as usize, from, from.after_ms(800)));
        world.run((0..150).map(|number| (number * 20_000, number as usize % 4)));
        assert_eq!((world.admitted, world.refused, world.expired), (150, 0, 0));
    }
}

#[test]
fn an_account_without_room_says_so_and_is_not_taken_for_a_limit_that_is_used_up() {
    let limit = rate(10, 1_000, 5);
    let now = Tick::ZERO.after_ms(5);
    let mut accounts = Accounts::new(LIMIT, terms(0, limit), 1);
    let mut replies = Replies::new();
    // So many keys are lent that none can be given up.
    for key in 0..1 + LENT_MAX as u64 {
        let ask = Message { limit: LIMIT, key, terms: terms(0, limit), body: Body::Ask { need: 1, demand: 1 } };
        accounts.receive(ShardId(0), &ask, now, &mut replies);
    }
    assert!(replies.iter().all(|(_, reply)| matches!(reply.body, Body::Grant { piece } if piece.slots() == 5)));
    replies.clear();
    let mut holder = Holder::new(LIMIT, terms(0, limit), shards(0, 2), 8);
    let own = holder.terms();
    assert_eq!(holder.take(u64::MAX, &own, 1, now), Taken::Wait);
    accounts.receive(ShardId(0), &holder.message().unwrap(), now, &mut replies);
    assert!(matches!(replies[..], [(ShardId(0), Message { body: Body::NoRoom, .. })]));
    assert!(holder.receive(&replies[0].1, now));
    assert_eq!(holder.retake(u64::MAX, &own, 1, now), Taken::NoRoom);
    assert_eq!(holder.take(u64::MAX, &own, 1, now.after_ms(5)), Taken::NoRoom);
    assert_eq!(holder.take(u64::MAX, &own, 1, now.after_ms(20)), Taken::Wait, "it asks again after a while");
}

#[test]
fn what_nobody_asked_for_is_answered_and_sent_back() {
    let limit = rate(10, 1_000, 5);
    let now = Tick::ZERO.after_ms(5);
    let mut holder = Holder::new(LIMIT, terms(0, limit), shards(1, 2), 8);
    let say = |body| Message { limit: LIMIT, key: 4, terms: terms(0, limit), body };
    assert!(!holder.receive(&say(Body::Recall { need: 1, asking: 1, others: 1 }), now));
    let nothing = Body::Return { piece: Meter::EMPTY, demand: 0, cause: Cause::Recalled };
    assert_eq!(holder.message().map(|message| message.body), Some(nothing));
    holder.receive(&say(Body::Grant { piece: Meter::full(&limit, now) }), now);
    let stray = holder.message().unwrap();
    assert!(matches!(stray.body, Body::Return { piece, .. } if piece.slots() == 5));

    // An account that never lent these slots does not take them: the limit would grow.
    let mut accounts = Accounts::new(LIMIT, terms(0, limit), 10);
    let mut replies = Replies::new();
    accounts.receive(ShardId(1), &stray, now, &mut replies);
    assert_eq!(accounts.keys(), 0);
    accounts.receive(ShardId(0), &say(Body::Ask { need: 1, demand: 1 }), now, &mut replies);
    accounts.receive(ShardId(1), &stray, now, &mut replies);
    assert_eq!(accounts.slots(4, now), (0, 5, 0));
}

#[test]
fn a_request_that_only_reports_is_paid_for_by_the_grant() {
    let limit = rate(10, 1_000_000, 3);
    let now = Tick::ZERO.after_ms(5);
    let remote = shards(0, 2).home(KEY);
    let asking = ShardId(1 - remote.0);
    let mut parts: Vec<Part> = (0..2).map(|own| Part::new(LIMIT, terms(0, limit), shards(own, 2), 100)).collect();
    for _ in 0..5 {
        assert_eq!(parts[asking.0 as usize].take(KEY, 1, now), Taken::Wait);
        parts[asking.0 as usize].owe(KEY, 1);
    }
    assert!(!admitted(&mut parts, asking.0 as usize, KEY, now), "three of the five took all there was");
    let counts = parts[asking.0 as usize].take_counts();
    assert_eq!((counts.admitted, counts.reported), (3, 2));
}

#[test]
fn what_does_not_count_gives_its_token_back_and_what_counts_does_not() {
    for count in [1, 2, 8] {
        let limit = rate(5, 1_000_000, 5);
        let mut parts: Vec<Part> =
            (0..count).map(|own| Part::new(LIMIT, terms(0, limit), shards(own, count), 100)).collect();
        let mut now = Tick::ZERO.after_ms(5);
        for round in 0..20_u32 {
            let shard = (round % count) as usize;
            let held = |parts: &mut [Part], now| {
                let passed = admitted(parts, shard, KEY, now);
                passed.then(|| parts[shard].hold(KEY, 1, now).expect("a token was just taken").version)
            };
            let versions: Vec<Option<u64>> = (0..7).map(|_| held(&mut parts, now)).collect();
            assert_eq!(versions, [Some(0), Some(0), Some(0), Some(0), Some(0), None, None], "round {round}");
            // What is held is nobody else's, however long it takes.
            now = now.after_ms(500_000);
            parts.iter_mut().for_each(|part| part.sweep(now));
            assert!(!admitted(&mut parts, shard, KEY, now));
            (0..5).for_each(|_| parts[shard].release(KEY, Held { version: 0, slots: 1 }, 0, now));
            assert_eq!(parts[shard].take_counts().returned, 5);
        }
        let shard = 0;
        for _ in 0..5 {
            assert!(admitted(&mut parts, shard, KEY, now));
            let held = parts[shard].hold(KEY, 1, now).expect("a token was just taken");
            parts[shard].release(KEY, held, 1, now);
        }
        assert!(!admitted(&mut parts, shard, KEY, now));
        let later = now.after_ms(1_000_000);
        let passed = (0..20).filter(|_| admitted(&mut parts, shard, KEY, later)).count();
        assert_eq!(passed, 5, "and no slot is lost");
    }
}

#[test]
fn slots_that_requests_hold_outlive_changes_of_the_rate() {
    for count in [1, 2] {
        for counted in [1, 0] {
            let (wide, narrow) = (rate(8, 1_000_000, 8), rate(4, 1_000_000, 4));
            let mut parts: Vec<Part> =
                (0..count).map(|own| Part::new(LIMIT, terms(0, wide), shards(own, count), 100)).collect();
            let now = Tick::ZERO.after_ms(5);
            let first = Held { version: 0, slots: 1 };
            let held =
                (0..8).filter(|_| admitted(&mut parts, 0, KEY, now) && parts[0].hold(KEY, 1, now) == Some(first));
            assert_eq!(held.count(), 8);
            // More often than terms are remembered where nothing is held.
            for version in 1..=31 {
                let rate = if version % 2 == 0 { wide } else { narrow };
                parts.iter_mut().for_each(|part| part.set_terms(terms(version, rate), now));
                carry(&mut parts, now);
                assert!(!admitted(&mut parts, 0, KEY, now), "all of it is held");
            }
            (0..8).for_each(|_| {
                parts[0].release(KEY, first, counted, now);
                carry(&mut parts, now);
            });
            let passed = (0..8).filter(|_| admitted(&mut parts, 0, KEY, now)).count();
            assert_eq!(passed, if counted == 1 { 0 } else { 4 }, "{counted} counted on {count}");
            let later = now.after_ms(2_000_000);
            let passed = (0..20).filter(|_| admitted(&mut parts, 0, KEY, later)).count();
            assert_eq!(passed, 4, "in the end no slot is lost, and none is made");
        }
    }
}

mod flood;
mod keys;
mod windows;

#[test]
fn keys_have_homes_on_all_shards_evenly() {
    let mut rng = Rng::new(1);
    for count in [1_u32, 2, 3, 8, 64] {
        let mut homes = vec![0_u32; count as usize];
        (0..64_000).for_each(|_| homes[shards(0, count).home(rng.next_u64()).0 as usize] += 1);
        assert!(homes.iter().all(|keys| keys.abs_diff(64_000 / count) < 64_000 / count / 5 + 1), "{homes:?}");
    }
}
