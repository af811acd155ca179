//! Runs the simulator outside of the tests: many seeds over all cores, or one seed with all that happened in it.
//!
//! `cargo sim -- --seeds 100000`, `cargo sim -- --seed 17 --trace`. With `--must-fail` it is a success if some seed
//! fails: that is how a gateway that was broken on purpose is used. The exit code is 1 where it was no success.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use clap::Parser;
use turnpike::net::sim::{Depth, Failure};
use turnpike::sim::{Scenario, Totals, run};

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
    /// Expect that some seed fails.
    #[arg(long)]
    must_fail: bool,
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
    let results: Mutex<(Totals, Vec<Failure>)> = Mutex::default();
    let end = arguments.from + arguments.seeds;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..arguments.jobs.unwrap_or(cores) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let ran = run(&scenario(seed, arguments), Depth::Last(300));
                    let mut results = results.lock().expect("no thread panics while it holds the results");
                    match ran {
                        Ok(report) => results.0.add(&report.totals),
                        Err(failure) => {
                            stop.store(!arguments.keep_going, Ordering::Relaxed);
                            results.1.push(failure);
                        }
                    }
                }
            });
        }
    });
    let (totals, mut failures) = results.into_inner().expect("no thread panics while it holds the results");
    failures.sort_by_key(|failure| failure.seed);
    report(arguments, &totals, &failures)
}

fn report(arguments: &Arguments, totals: &Totals, failures: &[Failure]) -> ExitCode {
    println!("{totals}");
    match (failures, arguments.must_fail) {
        ([], false) => {
            println!("test result: ok. {} passed; all seeds kept the rules", arguments.seeds);
            ExitCode::SUCCESS
        }
        ([], true) => {
            println!("test result: FAILED. no seed of {} found what is broken", arguments.seeds);
            ExitCode::FAILURE
        }
        ([first, ..], true) => {
            println!("caught by seed {}: {}", first.seed, first.reasons.join("; "));
            println!("test result: ok. 1 passed; what is broken was found");
            ExitCode::SUCCESS
        }
        ([first, ..], false) => {
            println!("{first}");
            for failure in failures {
                println!("seed {}: {}", failure.seed, failure.reasons.join("; "));
            }
            println!("test result: FAILED. {} seeds broke a rule; replay with --seed N --trace", failures.len());
            ExitCode::FAILURE
        }
    }
}
