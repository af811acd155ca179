// SPDX-License-Identifier: Apache-2.0
//! Runs the simulator outside of the tests: many seeds over all cores, or one seed with a trace of its events.
//!
//! `cargo sim --seeds 100000`, `cargo sim --seed 17 --trace`. With `--must-fail` the run succeeds if some seed
//! fails; this is for the gateway that is broken on purpose. The exit code is 1 otherwise.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use clap::Parser;
use turnpike::simulator::{Depth, Failure, Scenario, Totals, run};

/// Runs simulated worlds and reports the first that breaks a rule.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Print everything that happens in it.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Run clients and origins without a gateway between them.
    #[arg(long)]
    direct: bool,
    /// Go on after failures and count them.
    #[arg(long)]
    keep_going: bool,
    /// Threads; all cores by default.
    #[arg(long)]
    jobs: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    }
}

fn scenario(seed: u64, arguments: &Arguments) -> Scenario {
    let scenario = Scenario::draw(seed);
    if arguments.direct { scenario.without_gateway() } else { scenario }
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let scenario = scenario(seed, arguments);
    println!("{scenario:#?}");
    let depth = if arguments.trace { Depth::All } else { Depth::Last(300) };
    match run(&scenario, depth) {
        Ok(report) => println!("seed {seed}: {}", report.totals),
        Err(failure) => {
            println!("{failure}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn many(arguments: &Arguments) -> ExitCode {
    let next = AtomicU64::new(arguments.from);
    let stop = AtomicBool::new(false);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (mut totals, mut failures) = (Totals::default(), Vec::new());
    thread::scope(|scope| {
        let jobs = (0..arguments.jobs.unwrap_or(cores)).map(|_| scope.spawn(|| job(arguments, &next, &stop)));
        for job in jobs.collect::<Vec<_>>() {
            let (of_job, failed) = job.join().expect("a world that breaks a rule is a failure and no panic");
            totals.add(&of_job);
            failures.extend(failed);
        }
    });
    failures.sort_by_key(|failure| failure.seed);
    report(arguments, &totals, &failures)
}

/// Takes seeds until there are no more, or one has failed.
fn job(arguments: &Arguments, next: &AtomicU64, stop: &AtomicBool) -> (Totals, Vec<Failure>) {
    let end = arguments.from + arguments.seeds;
    let (mut totals, mut failures) = (Totals::default(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            break;
        }
        match run(&scenario(seed, arguments), Depth::Last(300)) {
            Ok(report) => totals.add(&report.totals),
            Err(failure) => {
                stop.store(!arguments.keep_going, Ordering::Relaxed);
                failures.push(failure);
            }
        }
    }
    (totals, failures)
}

fn report(arguments: &Arguments, totals: &Totals, failures: &[Failure]) -> ExitCode {
    println!("{totals}");
    match failures {
        [] => {
            println!("test result: ok. {} passed; all seeds kept the rules", arguments.seeds);
            ExitCode::SUCCESS
        }
        [first, ..] => {
            println!("{first}");
            for failure in failures {
                println!("seed {}: {}", failure.seed, failure.reasons.join("; "));
            }
            println!("test result: FAILED. {} seeds broke a rule; replay with --seed N --trace", failures.len());
            ExitCode::FAILURE
        }
    }
}
