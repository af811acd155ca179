// SPDX-License-Identifier: Apache-2.0
//! The store on real files: objects, credentials, revisions, what is refused, what a damaged or full file does.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::changes::{self, Changed};
use super::command::{Actor, Command, Done, Write, Written, audit, execute};
use super::credential::{self, CredentialState, End, Filter, Kind, NewCredential};
use super::database::Database;
use super::effect::Effect;
use super::fault::StoreFault;
use super::object::{self, Body, Expected, ObjectKind};
use super::response::{self, Idempotency, StoredResponse};
use super::token::NewToken;
use super::{StoreEvent, file, load, open};
use crate::config::directory::{Declared, Numbers};
use crate::config::plan::StoreTarget;
use crate::config::spec::directory::ConsumerBody;
use crate::policy::directory::Directory;

const NOW: u64 = 1_800_000_000;

fn store() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().expect("a folder");
    let database = file::open(&folder.path().join("turnpike.db")).expect("a new file");
    (folder, database)
}

fn command(write: Write) -> Command {
    let by = Actor { name: "anna".to_owned(), address: "127.0.0.1".to_owned(), request: "00ff".to_owned() };
    Command { write, by, idempotency: None, declared: Arc::default(), now: NOW }
}

fn body(kind: ObjectKind, json: Value) -> Body {
    Body::parse(kind, json).expect("it is right")
}

fn put(kind: ObjectKind, name: &str, json: Value) -> Write {
    Write::Put { kind, name: name.to_owned(), body: body(kind, json), expected: Expected::Any }
}

fn done(database: &mut Database, write: Write) -> Done {
    execute(database, &command(write)).expect("it is written")
}

fn key(id: &str, consumer: &str, fill: u8) -> NewCredential {
    NewCredential {
        id: id.to_owned(),
        kind: Kind::Key,
        consumer: consumer.to_owned(),
        app: None,
        lookup: vec![fill; 32],
        secret: Vec::new(),
        last4: Some("abcd".to_owned()),
        description: String::new(),
        expires: None,
    }
}

#[test]
fn objects_are_made_changed_listed_and_removed() {
    let (_folder, mut database) = store();
    for name in ["acme", "beta", "gamma"] {
        done(&mut database, put(ObjectKind::Consumer, name, json!({ "groups": ["gold"] })));
    }
    let changed = done(&mut database, put(ObjectKind::Consumer, "acme", json!({ "id": "17" })));
    let Written::Object(Some(before), Some(after)) = changed.written else { panic!("both are there") };
    assert_eq!((before.revision, after.revision, after.created), (1, 2, NOW));
    let page = object::list(&mut database, ObjectKind::Consumer, None, 2).expect("a page");
    let names: Vec<&str> = page.items.iter().map(|object| object.name.as_str()).collect();
    assert_eq!((names, page.next.as_deref()), (vec!["acme", "beta"], Some("beta")));
    let rest = object::list(&mut database, ObjectKind::Consumer, page.next.as_deref(), 2).expect("a page");
    assert_eq!((rest.items.len(), rest.next), (1, None));
    let gone = Write::Delete { kind: ObjectKind::Consumer, name: "acme".to_owned(), expected: Expected::Revision(2) };
    assert_eq!(done(&mut database, gone.clone()).effects, [Effect::Gone(ObjectKind::Consumer, "acme".to_owned())]);
    assert_eq!(execute(&mut database, &command(gone)), Err(StoreFault::Missing));
    let rows = audit(&mut database, None, 10).expect("rows").items;
    let actions: Vec<&str> = rows.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["delete", "update", "create", "create", "create"]);
    assert_eq!(
        (&rows[1].after.as_ref().expect("what it says")["id"], rows[1].by.request.as_str()),
        (&json!("17"), "00ff")
    );
}

#[test]
fn a_change_of_another_revision_is_refused() {
    let (_folder, mut database) = store();
    let expecting = |expected| Write::Put {
        kind: ObjectKind::Group,
        name: "gold".to_owned(),
        body: body(ObjectKind::Group, json!({})),
        expected,
    };
    let mut attempt = |expected| execute(&mut database, &command(expecting(expected))).map(|_| ());
    assert_eq!(attempt(Expected::Revision(1)), Err(StoreFault::Missing));
    assert_eq!(attempt(Expected::Absent), Ok(()));
    assert_eq!(attempt(Expected::Absent), Err(StoreFault::Exists));
    assert_eq!(attempt(Expected::Revision(1)), Ok(()));
    assert_eq!(attempt(Expected::Revision(1)), Err(StoreFault::Changed { found: 2 }));
    let rows = audit(&mut database, None, 10).expect("rows").items;
    assert_eq!(rows.len(), 2, "what was refused leaves no row");
}

#[test]
fn what_is_wrong_is_refused() {
    const CASES: &[(ObjectKind, &str)] = &[
        (ObjectKind::Consumer, r#"{"unknown":1}"#),
        (ObjectKind::Consumer, r#"{"id":"a\nb"}"#),
        (ObjectKind::Consumer, r#"{"attributes":{"a":"\u0000"}}"#),
        (ObjectKind::Consumer, r#"{"attributes":{"a":1}}"#),
        (ObjectKind::Consumer, "[]"),
        (ObjectKind::App, "{}"),
        (ObjectKind::Plan, r#"{"limits":[{"count":0,"per":"day"}]}"#),
        (ObjectKind::Plan, r#"{"limits":[{"count":1,"per":"year"}]}"#),
        (ObjectKind::Plan, r#"{"concurrency":0}"#),
        (ObjectKind::Plan, r#"{"priority":10}"#),
        (ObjectKind::Plan, r#"{"methods":["GE T"]}"#),
        (ObjectKind::Plan, r#"{"paths":["v1"]}"#),
    ];
    for (kind, text) in CASES {
        let parsed = Body::parse(*kind, serde_json::from_str(text).expect("JSON"));
        assert!(matches!(parsed, Err(StoreFault::Invalid(_))), "{text}: {parsed:?}");
    }
    let (_folder, mut database) = store();
    let long = "a".repeat(129);
    for name in ["", "a b", "é", "a/b", &long] {
        let outcome = execute(&mut database, &command(put(ObjectKind::Group, name, json!({}))));
        assert!(matches!(outcome, Err(StoreFault::Invalid(_))), "{name}");
    }
    let missing = command(put(ObjectKind::Consumer, "acme", json!({ "plan": "gold" })));
    assert_eq!(
        execute(&mut database, &missing),
        Err(StoreFault::NoReference { kind: "plan", name: "gold".to_owned() })
    );
}

#[test]
fn what_something_names_is_not_removed() {
    let (_folder, mut database) = store();
    done(&mut database, put(ObjectKind::Product, "maps", json!({ "routes": ["tiles"] })));
    done(&mut database, put(ObjectKind::Plan, "gold", json!({ "products": ["maps"] })));
    done(&mut database, put(ObjectKind::Consumer, "acme", json!({ "plans": { "maps": "gold" } })));
    let delete = |kind, name: &str| Write::Delete { kind, name: name.to_owned(), expected: Expected::Any };
    let by = StoreFault::InUse("consumer `acme`".to_owned());
    assert_eq!(execute(&mut database, &command(delete(ObjectKind::Plan, "gold"))), Err(by));
    done(&mut database, put(ObjectKind::Consumer, "acme", json!({})));
    done(&mut database, delete(ObjectKind::Plan, "gold"));
    done(&mut database, delete(ObjectKind::Product, "maps"));
}

#[test]
fn the_configuration_wins_by_name() {
    let (_folder, mut database) = store();
    let declared =
        Declared { consumers: [("acme".into(), ConsumerBody::default())].into_iter().collect(), ..Declared::default() };
    let declared = Arc::new(declared);
    let with = |write| Command { declared: Arc::clone(&declared), ..command(write) };
    let outcome = execute(&mut database, &with(put(ObjectKind::Consumer, "acme", json!({}))));
    assert_eq!(outcome, Err(StoreFault::Declared));
    let made = execute(&mut database, &with(Write::Create(key("cred_1", "acme", 1)))).expect("a key of it");
    assert_eq!(made.effects.len(), 1);
    let mut numbers = Numbers::default();
    let snapshot = load::snapshot(&mut database, &declared, &mut numbers).expect("it is read");
    let directory = Directory::new(Arc::new(snapshot));
    let entry = directory.key(&[1; 32]).expect("it is valid");
    assert_eq!(&*directory.consumer(entry.consumer).expect("declared").name, "acme");
}

#[test]
fn a_key_is_rotated_ends_and_is_revoked() {
    let (_folder, mut database) = store();
    done(&mut database, put(ObjectKind::Consumer, "acme", json!({})));
    done(&mut database, Write::Create(key("cred_1", "acme", 1)));
    let again = execute(&mut database, &command(Write::Create(key("cred_2", "acme", 1))));
    assert_eq!(again, Err(StoreFault::Exists), "one key has one credential");
    let nobody = execute(&mut database, &command(Write::Create(key("cred_3", "nobody", 3))));
    assert_eq!(nobody, Err(StoreFault::NoReference { kind: "consumer", name: "nobody".to_owned() }));

    let new = key("cred_4", "acme", 4);
    let rotate = Write::Rotate { id: "cred_1".to_owned(), expected: Expected::Revision(1), new, overlap: 60 };
    let rotated = done(&mut database, rotate);
    let rotate = |id: &str| Write::Rotate {
        id: id.to_owned(),
        expected: Expected::Any,
        new: key("cred_9", "acme", 9),
        overlap: 60,
    };
    let again = execute(&mut database, &command(rotate("cred_1")));
    assert_eq!(again, Err(StoreFault::Ended("the credential is rotated already")));
    let [Effect::Key(old, _), Effect::Key(fresh, _)] = &rotated.effects[..] else { panic!("{rotated:?}") };
    assert_eq!((old.expires.seconds(), fresh.expires.seconds()), (Some(NOW as u32 + 60), None));
    let old = credential::get(&mut database, "cred_1").expect("read").expect("there");
    assert_eq!((old.successor.as_deref(), old.state(NOW)), (Some("cred_4"), CredentialState::Active));
    assert_eq!(old.state(NOW + 60), CredentialState::Expired);

    let end = |end| Write::End { id: "cred_4".to_owned(), expected: Expected::Any, end };
    let revoked = done(&mut database, end(End::Revoked));
    assert_eq!(revoked.effects, [Effect::KeyGone([4; 32])]);
    let ended = Err(StoreFault::Ended("the credential is revoked"));
    assert_eq!(execute(&mut database, &command(end(End::At(None)))), ended);
    assert_eq!(execute(&mut database, &command(rotate("cred_4"))), ended);
    let all = credential::list(&mut database, &Filter { consumer: Some("acme".to_owned()), app: None }, None, 10);
    assert_eq!(all.expect("read").items.len(), 2);
    let gone = Write::Delete { kind: ObjectKind::Consumer, name: "acme".to_owned(), expected: Expected::Any };
    let gone = done(&mut database, gone).effects;
    assert_eq!(gone, [Effect::KeyGone([1; 32]), Effect::Gone(ObjectKind::Consumer, "acme".to_owned())]);
}

#[test]
fn credentials_of_an_app_end_with_it_and_it_stays_with_its_consumer() {
    let (_folder, mut database) = store();
    for name in ["acme", "other"] {
        done(&mut database, put(ObjectKind::Consumer, name, json!({})));
    }
    done(&mut database, put(ObjectKind::App, "shop", json!({ "consumer": "acme" })));
    let of_app = NewCredential { app: Some("shop".to_owned()), ..key("cred_1", "acme", 1) };
    done(&mut database, Write::Create(of_app));
    done(&mut database, Write::Create(key("cred_2", "acme", 2)));
    let moved = execute(&mut database, &command(put(ObjectKind::App, "shop", json!({ "consumer": "other" }))));
    assert!(matches!(&moved, Err(StoreFault::Invalid(words)) if words.contains("another app")), "{moved:?}");
    let gone = Write::Delete { kind: ObjectKind::App, name: "shop".to_owned(), expected: Expected::Any };
    let effects = done(&mut database, gone).effects;
    assert_eq!(effects, [Effect::KeyGone([1; 32]), Effect::Gone(ObjectKind::App, "shop".to_owned())]);
    assert_eq!(credential::get(&mut database, "cred_1"), Ok(None));
    assert!(credential::get(&mut database, "cred_2").expect("read").is_some());
    let rows = audit(&mut database, None, 2).expect("rows").items;
    let said: Vec<(&str, &str)> = rows.iter().map(|row| (row.action.as_str(), row.name.as_str())).collect();
    assert_eq!(said, [("delete", "shop"), ("delete", "cred_1")]);
}

#[test]
fn a_name_that_comes_again_has_no_revision_that_was_seen() {
    let (_folder, mut database) = store();
    let mut seen = Vec::new();
    for _ in 0..3 {
        for _ in 0..2 {
            let Written::Object(_, Some(made)) = done(&mut database, put(ObjectKind::Group, "gold", json!({}))).written
            else {
                panic!("it is written")
            };
            seen.push(made.revision);
        }
        let gone = Write::Delete { kind: ObjectKind::Group, name: "gold".to_owned(), expected: Expected::Any };
        done(&mut database, gone);
    }
    assert!(seen.is_sorted_by(|one, other| one < other), "{seen:?}");
}

#[test]
fn a_repeated_request_is_done_once() {
    let (_folder, mut database) = store();
    let mut first = command(put(ObjectKind::Group, "gold", json!({})));
    first.idempotency = Some(Idempotency { key: "k".to_owned(), digest: [1; 32] });
    execute(&mut database, &first).expect("it is written");
    let again = execute(&mut database, &first).expect("it is known");
    assert!(matches!(again.written, Written::Repeated(_)) && again.effects.is_empty());
    let mut other = first.clone();
    other.idempotency = Some(Idempotency { key: "k".to_owned(), digest: [2; 32] });
    assert_eq!(execute(&mut database, &other), Err(StoreFault::KeyReused));
    other.by.name = "bob".to_owned();
    execute(&mut database, &other).expect("another's key is another key");
    first.now += response::IDEMPOTENCY_SECONDS + 1;
    let late = execute(&mut database, &first).expect("it is written");
    assert!(matches!(late.written, Written::Object(Some(_), Some(_))), "it is forgotten after a day");
}

#[test]
fn a_response_is_kept_for_a_day_and_the_oldest_is_forgotten() {
    let (_folder, mut database) = store();
    let of = |key: usize| Idempotency { key: format!("k{key}"), digest: [1; 32] };
    let (status, media_type) = (201, "application/json".to_owned());
    let kept = StoredResponse { status, media_type, fields: vec![("etag".into(), "1".into())], body: b"{}".to_vec() };
    assert_eq!(response::find(&mut database, "anna", &of(0), NOW), Ok(None));
    response::keep(&mut database, "anna", &of(0), &kept, NOW).expect("kept");
    assert_eq!(response::find(&mut database, "anna", &of(0), NOW), Ok(Some(kept.clone())));
    assert_eq!(response::find(&mut database, "bob", &of(0), NOW), Ok(None));
    let other = Idempotency { digest: [2; 32], ..of(0) };
    assert_eq!(response::find(&mut database, "anna", &other, NOW), Err(StoreFault::KeyReused));
    let late = NOW + response::IDEMPOTENCY_SECONDS + 1;
    assert_eq!(response::find(&mut database, "anna", &of(0), late), Ok(None));
    let most = crate::base::limits::IDEMPOTENCY_ROWS_MAX as usize;
    let all = database.transaction(|database| {
        (1..=most).try_for_each(|key| response::keep(database, "anna", &of(key), &kept, NOW + key as u64))
    });
    all.expect("kept");
    assert_eq!(response::find(&mut database, "anna", &of(0), NOW + 1), Ok(None), "it was the oldest");
    assert!(response::find(&mut database, "anna", &of(1), NOW + 1).expect("read").is_some());
    // What a write noted gets its response later.
    let mut first = command(put(ObjectKind::Group, "gold", json!({})));
    first.idempotency = Some(of(1_000_000));
    execute(&mut database, &first).expect("it is written");
    assert_eq!(response::find(&mut database, "anna", &of(1_000_000), NOW), Ok(None));
    response::keep(&mut database, "anna", &of(1_000_000), &kept, NOW).expect("kept");
    assert_eq!(response::find(&mut database, "anna", &of(1_000_000), NOW), Ok(Some(kept)));
    assert!(matches!(execute(&mut database, &first).expect("known").written, Written::Repeated(_)));
}

#[test]
fn others_learn_what_was_changed_in_an_order_that_they_can_follow() {
    let (folder, mut database) = store();
    let mut other = file::open(&folder.path().join("turnpike.db")).expect("the same file");
    done(&mut database, put(ObjectKind::Consumer, "acme", json!({})));
    let seen = changes::last(&mut other).expect("a number");
    assert_eq!(changes::since(&mut other, seen), Ok(Changed::Effects(Vec::new(), seen)));
    done(&mut database, Write::Create(key("cred_1", "acme", 1)));
    done(&mut database, put(ObjectKind::Plan, "gold", json!({})));
    // The consumer is changed last, and must be known before its key.
    done(&mut database, put(ObjectKind::Consumer, "acme", json!({ "plan": "gold" })));
    let Ok(Changed::Effects(effects, last)) = changes::since(&mut other, seen) else { panic!("they are known") };
    let [Effect::Put(plan, _), Effect::Put(consumer, _), Effect::Key(held, _)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((plan.as_str(), consumer.as_str(), held.hash[0]), ("gold", "acme", 1));
    done(&mut database, Write::Delete { kind: ObjectKind::Consumer, name: "acme".into(), expected: Expected::Any });
    let Ok(Changed::Effects(effects, last)) = changes::since(&mut other, last) else { panic!("they are known") };
    assert_eq!(effects, [Effect::KeyGone([1; 32]), Effect::Gone(ObjectKind::Consumer, "acme".to_owned())]);
    assert_eq!(changes::since(&mut other, last), Ok(Changed::Effects(Vec::new(), last)));
    // Another file was put into the place of the one that was read.
    assert!(matches!(changes::since(&mut other, last + 1), Ok(Changed::Everything(effects, _)) if effects.len() == 1));
}

#[test]
fn changes_are_forgotten_after_a_month_and_then_everything_is_read() {
    let (_folder, mut database) = store();
    done(&mut database, put(ObjectKind::Group, "old", json!({})));
    let later = NOW + 31 * 24 * 60 * 60;
    let all = database.transaction(|database| {
        (0..1_100).try_for_each(|number| {
            let gone = Effect::Gone(ObjectKind::Group, format!("g{}", number % 3));
            changes::note(database, &[gone], later)
        })
    });
    all.expect("noted");
    let count = |database: &mut Database| database.first("SELECT count(*) FROM changes", &[], |row| row.get::<u64>(0));
    assert_eq!(count(&mut database), Ok(Some(3)), "one row for each object");
    assert!(matches!(changes::since(&mut database, 0), Ok(Changed::Everything(..))));
    assert!(matches!(changes::since(&mut database, 1), Ok(Changed::Effects(effects, 1_101)) if effects.len() == 3));
}

#[test]
fn tokens_are_found_by_their_hash() {
    let (_folder, mut database) = store();
    let new = NewToken {
        name: "ci".to_owned(),
        hash: [7; 32],
        role: "operator".to_owned(),
        last4: "wxyz".to_owned(),
        expires: None,
    };
    done(&mut database, Write::CreateToken(new.clone()));
    assert_eq!(execute(&mut database, &command(Write::CreateToken(new))), Err(StoreFault::Exists));
    let found = super::token::by_hash(&mut database, &[7; 32]).expect("read").expect("there");
    assert_eq!((found.name.as_str(), found.role.as_str()), ("ci", "operator"));
    assert!(super::token::by_hash(&mut database, &[8; 32]).expect("read").is_none());
    done(&mut database, Write::DeleteToken("ci".to_owned()));
    assert_eq!(execute(&mut database, &command(Write::DeleteToken("ci".to_owned()))), Err(StoreFault::Missing));
}

#[test]
fn a_copy_holds_everything_and_the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, mut database) = store();
    done(&mut database, put(ObjectKind::Group, "gold", json!({})));
    let copy = folder.path().join("copy.db");
    file::backup(&mut database, &copy).expect("copied");
    assert!(file::backup(&mut database, &copy).is_err(), "nothing is written over");
    let mut read = file::open_to_read(&copy).expect("a store");
    assert!(file::check(&mut read).expect("checked").is_empty());
    assert!(object::get(&mut read, ObjectKind::Group, "gold").expect("read").is_some());
    for path in [copy, folder.path().join("turnpike.db")] {
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn an_export_shows_everything_but_secrets() {
    let (_folder, mut database) = store();
    done(&mut database, put(ObjectKind::Consumer, "acme", json!({ "id": "17" })));
    done(&mut database, Write::Create(key("cred_1", "acme", 0xAB)));
    let hmac = NewCredential {
        kind: Kind::Named(crate::policy::directory::CredentialKind::Hmac),
        lookup: b"client".to_vec(),
        secret: b"hunter2-hunter2-hunter2".to_vec(),
        ..key("cred_2", "acme", 0)
    };
    assert!(!format!("{hmac:?}").contains("hunter2"));
    done(&mut database, Write::Create(hmac));
    let mut out = Vec::new();
    super::export::export(&mut database, &mut out).expect("written");
    let text = String::from_utf8(out).expect("text");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), &lines[0]["name"], &lines[0]["id"]), (3, &json!("acme"), &json!("17")));
    assert_eq!((&lines[1]["sha256"], &lines[2]["lookup"]), (&json!("ab".repeat(32)), &json!("client")));
    assert!(!text.contains("hunter2"));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_damaged_file_is_said_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("turnpike.db");
    std::fs::write(&path, [0x5A; 8_192]).expect("written");
    let declared =
        Declared { consumers: [("acme".into(), ConsumerBody::default())].into_iter().collect(), ..Declared::default() };
    let mut opened = open(&StoreTarget::File(path.clone()), &Arc::new(declared)).expect("it goes on");
    assert!(matches!(opened.fault, Some(StoreFault::Damaged(_))), "{:?}", opened.fault);
    assert_eq!(opened.snapshot.consumer_count(), 1);
    let mut events = opened.events.take().expect("nobody took them");
    let number = opened.store.write(command(put(ObjectKind::Group, "gold", json!({})))).expect("taken");
    runtime().block_on(async {
        let Some(StoreEvent::Written(written, Err(fault))) = events.next().await else { panic!("refused") };
        assert!(written == number && fault.is_of_file());
        // Somebody puts a sound file into its place.
        std::fs::remove_file(&path).expect("removed");
        opened.store.write(command(put(ObjectKind::Group, "gold", json!({})))).expect("taken");
        let event = tokio::time::timeout(std::time::Duration::from_secs(30), async {
            loop {
                match events.next().await {
                    Some(StoreEvent::Up(effects)) => return effects,
                    Some(_) => {}
                    None => panic!("the store has ended"),
                }
            }
        });
        assert!(event.await.expect("in time").is_empty());
    });
}

#[test]
fn a_full_disk_refuses_the_write_and_loses_nothing_before_it() {
    let (folder, mut database) = store();
    done(&mut database, put(ObjectKind::Group, "gold", json!({})));
    // The file may not grow, as on a full disk.
    database.run_script("PRAGMA max_page_count = 1").expect("set");
    let mut refused = None;
    for number in 0..2_000 {
        let name = format!("group-{number}");
        let text = json!({ "description": "x".repeat(1_000) });
        if let Err(fault) = execute(&mut database, &command(put(ObjectKind::Group, &name, text))) {
            refused = Some((number, fault));
            break;
        }
    }
    let (count, fault) = refused.expect("it is full");
    assert!(matches!(fault, StoreFault::Unavailable(_)), "{fault}");
    drop(database);
    let mut again = file::open_to_read(&folder.path().join("turnpike.db")).expect("a store");
    assert!(file::check(&mut again).expect("checked").is_empty());
    for number in 0..count {
        let name = format!("group-{number}");
        assert!(object::get(&mut again, ObjectKind::Group, &name).expect("read").is_some(), "{name} was acknowledged");
    }
    assert!(object::get(&mut again, ObjectKind::Group, &format!("group-{count}")).expect("read").is_none());
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("turnpike.db");
    drop(file::open(&path).expect("a new file"));
    let mut newer = file::open(&path).expect("a store");
    newer.run_script("PRAGMA user_version = 99").expect("set");
    drop(newer);
    let fault = open(&StoreTarget::File(path.clone()), &Arc::default()).expect_err("it is newer");
    assert!(fault.to_string().contains("version 99"), "{fault}");
    assert!(matches!(file::open_to_read(Path::new(&path)), Err(StoreFault::Newer { .. })));
}
