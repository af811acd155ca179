// SPDX-License-Identifier: Apache-2.0
//! The file of a store: opened, checked, copied.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::control::store::fault::StoreFault;
use crate::control::store::schema;

/// How long a write waits for another process that writes the same file.
const WRITER_WAIT: Duration = Duration::from_secs(5);
/// Only the owner may read it: it holds hashes of keys and shared secrets.
const MODE: u32 = 0o600;

/// Opens a file, and makes it where it is not there.
pub(crate) fn open(path: &Path) -> Result<Connection, StoreFault> {
    make(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(WRITER_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    schema::prepare(&mut connection)?;
    Ok(connection)
}

/// Statements that are kept ready; more are compiled anew.
const STATEMENTS_KEPT: usize = 64;

/// SQLite would make the file with the permissions of the umask.
fn make(path: &Path) -> Result<(), StoreFault> {
    let unavailable = |error: std::io::Error| StoreFault::Unavailable(format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(unavailable)?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unavailable(error)),
    }
}

/// Opens a file that is there, to read it.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, StoreFault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(WRITER_WAIT)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("application_id")? != schema::APPLICATION {
        return Err(StoreFault::Foreign);
    }
    let version = number("user_version")?;
    if usize::try_from(version).is_ok_and(|version| version > schema::STEPS.len()) {
        return Err(StoreFault::Newer { found: version, known: schema::STEPS.len() });
    }
    Ok(connection)
}

/// Can it be written? Leaves nothing behind.
pub(super) fn try_write(connection: &Connection) -> Result<(), StoreFault> {
    connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK;")?;
    Ok(())
}

/// What is wrong with a file, line by line; nothing where it is sound.
pub(crate) fn check(connection: &Connection) -> Result<Vec<String>, StoreFault> {
    let mut statement = connection.prepare("PRAGMA integrity_check(100)")?;
    let mut rows = statement.query([])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            lines.push(line);
        }
    }
    Ok(lines)
}

/// Copies a store, as it is at one moment, into a file that must not be there. The store may be in use.
pub(crate) fn backup(connection: &Connection, to: &Path) -> Result<(), StoreFault> {
    let unavailable = |error: std::io::Error| StoreFault::Unavailable(format!("{}: {error}", to.display()));
    if to.exists() {
        return Err(StoreFault::Unavailable(format!("{} is there already", to.display())));
    }
    let text = to.to_str().ok_or_else(|| StoreFault::Unavailable("the path is no text".to_owned()))?;
    let copied = connection.execute("VACUUM INTO ?", [text]).map_err(StoreFault::from);
    if copied.is_err() {
        let _ = fs::remove_file(to);
    }
    copied?;
    fs::set_permissions(to, fs::Permissions::from_mode(MODE)).map_err(unavailable)?;
    let written = fs::File::open(to).and_then(|file| file.sync_all());
    written.map_err(unavailable)
}
