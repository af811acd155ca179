// SPDX-License-Identifier: Apache-2.0
//! Readers that hang and readers that panic.

use std::sync::mpsc;

use super::*;
use crate::config::{ConfigSource, Environment, load as compile};

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let outcome = runtime.block_on(future);
    // What hangs goes on hanging, as it would on a file system that does not answer.
    runtime.shutdown_background();
    outcome
}

fn nothing_runs() -> Running {
    Running { current: None, log: None, reflected: BTreeMap::new(), shards: 2 }
}

fn good() -> Result<Loaded, Reports> {
    let text = "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nname = \"all\"\necho = true\n".to_owned();
    compile(&ConfigSource::Text { name: "test".to_owned(), text }, &Environment::sealed())
}

fn words(outcome: Result<Ready, Reports>) -> String {
    outcome.expect_err("refused").plain()
}

#[test]
fn a_good_configuration_is_made_ready_for_every_shard() {
    let ready = wait(load(good, nothing_runs())).expect("good");
    assert_eq!(ready.changes, "the first plan");
    assert_eq!((ready.counters.shards().len(), ready.transcoders.len()), (2, 2));
    let (plan, spec) = (Arc::clone(&ready.loaded.plan), Arc::new(ready.loaded.spec));
    let again = wait(load(good, Running { current: Some((plan, spec)), ..nothing_runs() })).expect("good");
    assert!(again.changes.starts_with("the text says the same"), "{}", again.changes);
}

#[test]
fn a_file_system_that_does_not_answer_is_given_up_and_attempts_are_capped() {
    let mut hanging = Vec::new();
    for _ in 0..READING_MAX {
        let (answer, question) = mpsc::channel::<()>();
        let hang = move || {
            let _ = question.recv();
            good()
        };
        let said = words(wait(load_within(Duration::from_millis(1), hang, nothing_runs())));
        assert!(said.contains("was not read within 0 seconds"), "{said}");
        hanging.push(answer);
    }
    assert!(words(wait(load(good, nothing_runs()))).contains("earlier attempts"));
    drop(hanging);
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while wait(load(good, nothing_runs())).is_err() {
        assert!(std::time::Instant::now() < until, "attempts that ended still count");
    }
}

#[test]
fn a_panic_of_the_compiler_refuses_the_configuration() {
    let said = words(wait(load(|| panic!("as a test"), nothing_runs())));
    assert!(said.contains("could not be compiled"), "{said}");
}
