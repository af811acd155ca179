// SPDX-License-Identifier: Apache-2.0
//! What a database does whatever server it is: values come back as they went in, transactions are whole, faults are
//! told apart.

use rusqlite::Connection;

use super::sqlite::Sqlite;
use super::{Database, Value};
use crate::control::store::fault::StoreFault;

fn database() -> Database {
    let mut database: Database = Sqlite::new(Connection::open_in_memory().expect("memory")).into();
    database.run_script("CREATE TABLE t (name TEXT PRIMARY KEY, count INTEGER, bytes BLOB)").expect("a table");
    database
}

const INSERT: &str = "INSERT INTO t (name, count, bytes) VALUES ($1, $2, $3)";

#[test]
fn values_come_back_as_they_went_in() {
    let mut database = database();
    database.execute(INSERT, values!["é", i64::MIN, &[0u8, 255]]).expect("a row");
    database.execute(INSERT, values!["none", None::<i64>, Value::Null]).expect("a row");
    database.execute(INSERT, values!["most", u64::MAX, &Vec::new()]).expect("a row");
    type Read = (String, Option<i64>, Option<Vec<u8>>);
    let read: Vec<Read> = database
        .query("SELECT name, count, bytes FROM t ORDER BY name", &[], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .expect("rows");
    let expected = [
        ("most".to_owned(), Some(i64::MAX), Some(Vec::new())),
        ("none".to_owned(), None, None),
        ("é".to_owned(), Some(i64::MIN), Some(vec![0, 255])),
    ];
    assert_eq!(read, expected);
    let wrong = database.first("SELECT name FROM t", &[], |row| row.get::<i64>(0));
    assert!(matches!(wrong, Err(StoreFault::Damaged(_))), "{wrong:?}");
}

#[test]
fn parameters_go_by_their_number_and_not_by_their_place() {
    let mut database = database();
    database.execute(INSERT, values!["a", 1_i64, None::<&[u8]>]).expect("a row");
    let changed = database.execute("UPDATE t SET count = $2, name = $3 WHERE name = $1", values!["a", 7_i64, "b"]);
    assert_eq!(changed, Ok(1));
    let read = database.first("SELECT count FROM t WHERE name = $1", values!["b"], |row| row.get::<i64>(0));
    assert_eq!(read, Ok(Some(7)));
    assert!(database.execute("DELETE FROM t", values!["a"]).is_err(), "a value that nothing takes");
}

#[test]
fn a_transaction_that_fails_leaves_nothing_and_the_next_one_works() {
    let mut database = database();
    let mut write = |outcome: Result<(), StoreFault>| {
        database.transaction(|database| {
            database.execute(INSERT, values!["a", 1_i64, None::<&[u8]>])?;
            database.transaction(|_| outcome)
        })
    };
    assert_eq!(write(Err(StoreFault::Missing)), Err(StoreFault::Missing));
    assert_eq!(write(Ok(())), Ok(()));
    assert_eq!(write(Ok(())), Err(StoreFault::Exists));
    assert_eq!(database.first("SELECT count(*) FROM t", &[], |row| row.get::<i64>(0)), Ok(Some(1)));
}

#[test]
fn a_visit_that_fails_ends_the_query() {
    let mut database = database();
    for name in ["a", "b", "c"] {
        database.execute(INSERT, values![name, 1_i64, None::<&[u8]>]).expect("a row");
    }
    let mut seen = 0;
    let ended = database.each("SELECT name FROM t", &[], |_| {
        seen += 1;
        if seen == 2 { Err(StoreFault::Missing) } else { Ok(()) }
    });
    assert_eq!((ended, seen), (Err(StoreFault::Missing), 2));
    assert_eq!(database.execute("DELETE FROM t", &[]), Ok(3));
}
