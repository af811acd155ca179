// SPDX-License-Identifier: Apache-2.0
//! Pipes against a plain byte queue.

use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_oneof, proptest};

use super::*;
use crate::net::sim::faults::Faults;

#[derive(Clone, Debug)]
enum Step {
    Put(usize),
    Take(usize),
    Wait(u64),
    Finish,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..3_000).prop_map(Step::Put),
        4 => (1_usize..3_000).prop_map(Step::Take),
        2 => (0_u64..5_000_000).prop_map(Step::Wait),
        1 => Just(Step::Finish),
    ]
}

/// What was put and not yet taken, as the simplest thing that could be right.
#[derive(Default)]
struct Model {
    queue: VecDeque<u8>,
    next: u8,
    finished: bool,
}

fn check(seed: u64, steps: &[Step]) {
    let mut rng = Rng::new(seed);
    let mut faults = Faults::rough(&mut rng);
    faults.resets = 0;
    let course = Course::draw(&faults, &mut rng);
    let window = course.window;
    let mut pipe = Pipe::new(course, rng);
    let mut model = Model::default();
    let mut now = Tick::ZERO;
    for step in steps {
        match step {
            Step::Put(count) => put(&mut pipe, &mut model, now, *count),
            Step::Take(count) => {
                take(&mut pipe, &mut model, now, *count);
            }
            Step::Wait(nanos) => now = Tick::from_nanos(now.nanos() + nanos),
            Step::Finish => {
                pipe.finish(now);
                model.finished = true;
            }
        }
        assert!(pipe.inside() <= window, "more than the window is inside");
        assert_eq!(pipe.inside(), model.queue.len());
    }
    pipe.finish(now);
    loop {
        match take(&mut pipe, &mut model, now, 10_000) {
            Take::Took(_) => {}
            Take::End => break,
            Take::Nothing(next) => now = next.expect("a finished pipe always says when to ask again"),
            Take::Broken => panic!("nothing broke it"),
        }
    }
    assert!(model.queue.is_empty(), "the end came before the last byte");
}

fn put(pipe: &mut Pipe, model: &mut Model, now: Tick, count: usize) {
    let bytes: Vec<u8> = (0..count).map(|place| model.next.wrapping_add(place as u8)).collect();
    match pipe.put(now, &bytes) {
        Put::Took(count) => {
            assert!(!model.finished && count > 0);
            model.queue.extend(&bytes[..count]);
            model.next = model.next.wrapping_add(count as u8);
        }
        Put::Full(next) => assert!(next.is_none_or(|at| at > now) && !model.finished),
        Put::Broken => assert!(model.finished),
        other => panic!("nothing closed or cut it: {other:?}"),
    }
}

fn take(pipe: &mut Pipe, model: &mut Model, now: Tick, count: usize) -> Take {
    let mut into = vec![0; count];
    let seen = pipe.look(now);
    let taken = pipe.take(now, &mut into);
    match taken {
        Take::Took(count) => {
            assert!(matches!(seen, Take::Took(waiting) if waiting >= count));
            let expected: Vec<u8> = model.queue.drain(..count).collect();
            assert_eq!(into[..count], expected);
        }
        Take::End => assert!(model.queue.is_empty()),
        Take::Nothing(next) => assert!(next.is_none_or(|at| at > now)),
        Take::Broken => panic!("nothing broke it"),
    }
    taken
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn behaves_as_a_byte_queue(seed: u64, steps in prop::collection::vec(step(), 0..120)) {
        check(seed, &steps);
    }
}

fn plain() -> Pipe {
    let mut rng = Rng::new(1);
    let course = Course::draw(&Faults::none(), &mut rng);
    Pipe::new(course, rng)
}

const LATER: Tick = Tick::from_nanos(1_000_000_000);

#[test]
fn bytes_arrive_after_the_latency_and_not_before() {
    let mut pipe = plain();
    assert_eq!(pipe.put(Tick::ZERO, b"hello"), Put::Took(5));
    let arrives = Tick::from_nanos(50_000);
    assert_eq!(pipe.take(Tick::ZERO, &mut [0; 8]), Take::Nothing(Some(arrives)));
    assert_eq!(pipe.take(arrives, &mut [0; 3]), Take::Took(3));
    assert_eq!(pipe.take(arrives, &mut [0; 8]), Take::Took(2));
    assert_eq!(pipe.take(arrives, &mut [0; 8]), Take::Nothing(None));
}

#[test]
fn a_break_drops_what_had_not_arrived() {
    for keeps_unread in [true, false] {
        let mut pipe = plain();
        pipe.course.keeps_unread = keeps_unread;
        assert_eq!(pipe.put(Tick::ZERO, b"early"), Put::Took(5));
        assert_eq!(pipe.put(Tick::from_nanos(40_000), b"late"), Put::Took(4));
        pipe.break_reader(Tick::from_nanos(60_000));
        pipe.break_writer(Tick::from_nanos(70_000));
        assert_eq!(pipe.put(Tick::from_nanos(70_000), b"more"), Put::Broken);
        let first = pipe.take(LATER, &mut [0; 16]);
        assert_eq!(first, if keeps_unread { Take::Took(5) } else { Take::Broken });
        assert_eq!(pipe.take(LATER, &mut [0; 16]), Take::Broken);
    }
}

#[test]
fn a_cut_comes_at_its_byte() {
    let mut pipe = plain();
    pipe.course.cut = Some(7);
    assert_eq!(pipe.put(Tick::ZERO, b"12345"), Put::Took(5));
    assert_eq!(pipe.put(Tick::ZERO, b"67890"), Put::Cut(2));
    pipe.break_writer(Tick::from_nanos(9));
    assert_eq!(pipe.put(Tick::ZERO, b"890"), Put::Full(Some(Tick::from_nanos(9))));
    assert_eq!(pipe.put(Tick::from_nanos(9), b"890"), Put::Broken);
}

#[test]
fn what_nobody_will_read_is_unwanted() {
    let mut pipe = plain();
    pipe.lose_reader();
    assert_eq!(pipe.put(Tick::ZERO, b"123"), Put::Unwanted(3));
}
