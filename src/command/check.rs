// SPDX-License-Identifier: Apache-2.0
//! `turnpike check` and `turnpike explain`: report the errors of a configuration, and explain what it does with a
//! request.

use std::io::{self, Read};
use std::process::ExitCode;

use crate::command::arguments::{CheckArguments, DEFAULT_FILE, ExplainArguments, default_file};
use crate::command::plural::counted;
use crate::config::explain::{self, ExplainRequest};
use crate::config::plan::Plan;
use crate::config::{ConfigSource, Environment, load};
use crate::net::machine;
use crate::trial::Trial;

/// Largest configuration on standard input in bytes; more is cut, and then refused as too large.
const INPUT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Says what is wrong with a file, or that nothing is.
pub(super) fn check(arguments: &CheckArguments) -> ExitCode {
    let Some(path) = arguments.file.clone().or_else(|| arguments.config.clone()).or_else(default_file) else {
        eprintln!("error: no file is named, as in `turnpike check FILE`, and {DEFAULT_FILE} does not exist");
        return ExitCode::from(2);
    };
    let source = match path.as_os_str() == "-" {
        false => ConfigSource::File(path),
        true => match input() {
            Ok(text) => ConfigSource::Text { name: INPUT.to_owned(), text },
            Err(error) => {
                eprintln!("error: {INPUT}: {error}");
                return ExitCode::FAILURE;
            }
        },
    };
    let name = match &source {
        ConfigSource::File(path) => path.display().to_string(),
        ConfigSource::Text { name, .. } => name.clone(),
        ConfigSource::Quickstart => String::new(),
    };
    let loaded = load(&source, &Environment::of_process(machine::wall()));
    if arguments.json {
        let reports = loaded.as_ref().map_or_else(|reports| reports, |loaded| &loaded.warnings);
        println!("{}", reports.json(&name));
        return if loaded.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match loaded {
        Ok(loaded) => {
            eprint!("{}", loaded.warnings.for_stderr());
            let warnings = loaded.warnings.warnings();
            println!("ok: {name}: {}", counts(&loaded.plan, warnings));
            ExitCode::SUCCESS
        }
        Err(reports) => {
            eprint!("{}", reports.for_stderr());
            let errors = counted(reports.errors() as u64, "error");
            eprintln!("{name}: {errors}, {}", counted(reports.warnings() as u64, "warning"));
            ExitCode::FAILURE
        }
    }
}

/// How messages name standard input.
const INPUT: &str = "standard input";

fn input() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Says what would happen to a request.
pub(super) fn explain(arguments: &ExplainArguments) -> ExitCode {
    let file = arguments.config.clone().or_else(default_file);
    let source = file.map_or(ConfigSource::Quickstart, ConfigSource::File);
    let environment = Environment::of_process(machine::wall());
    let loaded = match load(&source, &environment) {
        Ok(loaded) => loaded,
        Err(reports) => {
            eprint!("{}", reports.for_stderr());
            return ExitCode::FAILURE;
        }
    };
    let question = ExplainRequest {
        method: arguments.method.clone(),
        url: arguments.url.clone(),
        headers: arguments.headers.clone(),
        source: arguments.from,
        body: arguments.body.clone(),
    };
    match explain::explain(&loaded.plan, &question) {
        Ok(words) => {
            println!("{}", words.trim_end());
            match tried(arguments, &loaded.plan, (&source, &environment)) {
                Ok(words) => print!("{words}"),
                Err(words) => {
                    eprintln!("{words}");
                    return ExitCode::FAILURE;
                }
            }
            ExitCode::SUCCESS
        }
        Err(words) => {
            eprintln!("{words}");
            ExitCode::FAILURE
        }
    }
}

/// What a gateway of its own does with the request: who it comes from, and what policies say. Empty where there are no
/// policies.
fn tried(
    arguments: &ExplainArguments,
    plan: &Plan,
    (source, environment): (&ConfigSource, &Environment),
) -> Result<String, String> {
    if plan.policies.is_empty() {
        return Ok(String::new());
    }
    let key = match arguments.key.as_deref() {
        Some("-") => Some(input().map_err(|error| format!("error: {INPUT}: {error}"))?.trim_end().to_owned()),
        key => key.map(str::to_owned),
    };
    if let Some(name) = &arguments.consumer
        && !plan.declared.consumers.contains_key(name.as_str())
    {
        return Err(format!("error: the configuration has no consumer `{name}`"));
    }
    let trial = Trial {
        method: arguments.method.clone(),
        url: arguments.url.clone(),
        headers: arguments.headers.clone(),
        from: arguments.from,
        consumer: arguments.consumer.clone(),
        key,
        body: arguments.body.clone(),
        time: arguments.time.unwrap_or_else(machine::wall),
    };
    let told =
        trial.told(source, environment).map_err(|reason| format!("error: the request was not tried: {reason}"))?;
    let mut out = String::from("\nwith upstreams that respond with 200:\n");
    for (label, words) in told {
        out.push_str(&format!("{label:<10} {words}\n"));
    }
    Ok(plan.hidden.conceal(&out))
}

fn counts(plan: &Plan, warnings: usize) -> String {
    let parts = [
        counted(plan.listeners.len() as u64, "listener"),
        counted(plan.routes.len() as u64, "route"),
        counted(plan.upstreams.len() as u64, "upstream"),
        counted(plan.policies.len() as u64, "policy"),
        counted(warnings as u64, "warning"),
    ];
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_well() {
        let plan = load(&ConfigSource::Quickstart, &Environment::sealed()).expect("compiles").plan;
        assert_eq!(counts(&plan, 2), "1 listener, 5 routes, 0 upstreams, 1 policy, 2 warnings");
    }
}
