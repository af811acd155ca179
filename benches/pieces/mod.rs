// SPDX-License-Identifier: Apache-2.0
//! What the benches share: named pieces of code, timed by criterion to read and counted in instructions for the gate.
//!
//! A bench is a list of pieces. `cargo bench --bench <name>` times them. With `COUNT` in the environment it does one
//! thing and ends: `COUNT=list` prints the names of what is gated, `COUNT=machine` prints what the counts depend on
//! besides our code and its compiler, `COUNT=<name>/<times>` prepares one piece and runs it that often. The cost of one
//! is the difference of two such runs divided by the difference of their times, whatever preparing costs;
//! `benches/counts.sh` does that under callgrind.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::time::Instant;

use criterion::Criterion;

/// One thing to measure.
pub(crate) struct Piece {
    name: String,
    gate: Gate,
    prepare: Box<dyn FnOnce() -> Run>,
}

/// What of a piece's cost is gated.
enum Gate {
    /// All.
    Whole,
    /// Its cost minus a number of times the cost of another piece, which is not gated.
    Without(&'static str, u32),
    /// Nothing: it is measured for the sake of others.
    Nothing,
}

/// Does the prepared work so many times.
pub(crate) struct Run(Box<dyn FnMut(u64)>);

impl Run {
    /// Work that says itself how it is done so many times.
    pub(crate) fn many(run: impl FnMut(u64) + 'static) -> Run {
        Run(Box::new(run))
    }
}

impl Piece {
    /// A piece that is prepared only when it is measured.
    pub(crate) fn new(name: impl Into<String>, prepare: impl FnOnce() -> Run + 'static) -> Piece {
        Piece { name: name.into(), gate: Gate::Whole, prepare: Box::new(prepare) }
    }

    /// Gates what this piece costs more than `times` of `other`.
    #[allow(dead_code, reason = "not every bench has such pieces")]
    pub(crate) fn without(self, other: &'static str, times: u32) -> Piece {
        Piece { gate: Gate::Without(other, times), ..self }
    }

    /// The gate does not look at this piece by itself.
    #[allow(dead_code, reason = "not every bench has such pieces")]
    pub(crate) fn not_gated(self) -> Piece {
        Piece { gate: Gate::Nothing, ..self }
    }
}

/// Does what the environment and the arguments ask for.
pub(crate) fn main(pieces: Vec<Piece>) {
    match std::env::var("COUNT").as_deref() {
        Ok("list") => list(&pieces),
        Ok("machine") => println!("{}", machine()),
        Ok(wanted) => count(pieces, wanted),
        Err(_) => time(pieces),
    }
}

/// One line for each gated piece: its name, and what is subtracted how often.
fn list(pieces: &[Piece]) {
    for Piece { name, gate, .. } in pieces {
        match gate {
            Gate::Whole => println!("{name}"),
            Gate::Without(other, times) => println!("{name} {other} {times}"),
            Gate::Nothing => {}
        }
    }
}

fn count(pieces: Vec<Piece>, wanted: &str) {
    let (name, times) = wanted.rsplit_once('/').expect("COUNT is list, machine or <name>/<times>");
    let times = times.parse().expect("a number of times");
    let piece = pieces.into_iter().find(|piece| piece.name == name).expect("a piece of that name");
    let Run(mut run) = (piece.prepare)();
    run(times);
}

fn time(pieces: Vec<Piece>) {
    let mut criterion = Criterion::default().configure_from_args();
    for piece in pieces {
        let mut prepare = Some(piece.prepare);
        let mut prepared = None;
        criterion.bench_function(&piece.name, |bencher| {
            // Criterion calls this several times, and not at all for a piece that its filter leaves out.
            let Run(run) = prepared.get_or_insert_with(|| prepare.take().expect("it is prepared once")());
            bencher.iter_custom(|times| {
                let start = Instant::now();
                run(times);
                start.elapsed()
            });
        });
    }
    criterion.final_summary();
}

/// The processor's abilities that libraries choose code by at run time, as this process sees them: valgrind hides
/// some.
#[cfg(target_arch = "x86_64")]
fn machine() -> String {
    let known = [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("lzcnt", is_x86_feature_detected!("lzcnt")),
        ("rdrand", is_x86_feature_detected!("rdrand")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
    ];
    let there = known.iter().filter(|(_, there)| *there).map(|(name, _)| *name);
    ["x86_64"].into_iter().chain(there).collect::<Vec<_>>().join(" ")
}

#[cfg(not(target_arch = "x86_64"))]
fn machine() -> String {
    std::env::consts::ARCH.to_owned()
}
