// SPDX-License-Identifier: Apache-2.0
//! The file of a store: opened, checked, copied.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::control::store::database::sqlite::Sqlite;
use crate::control::store::database::{Database, values};
use crate::control::store::fault::StoreFault;
use crate::control::store::schema;

/// How long a write waits for another process that writes the same file.
const WRITER_WAIT: Duration = Duration::from_secs(5);
/// Only the owner may read it: it holds hashes of keys and shared secrets.
const MODE: u32 = 0o600;

/// Opens a file, and makes it where it is not there.
pub(crate) fn open(path: &Path) -> Result<Database, StoreFault> {
    make(path)?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // What is acknowledged is on disk: a commit waits until the log is written through.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    let mut database = Database::from(Sqlite::new(connection));
    schema::migrate(&mut database, schema::MIGRATIONS)?;
    Ok(database)
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, StoreFault> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(WRITER_WAIT)?;
    Ok(connection)
}

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
pub(crate) fn open_to_read(path: &Path) -> Result<Database, StoreFault> {
    let mut database = Database::from(Sqlite::new(connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?));
    match schema::check(&mut database) {
        Ok(()) => Ok(database),
        // SQLite wants to make the files beside it, which cannot be made in a folder that is only read. Without a log
        // the file is all that there is, and nobody writes it.
        Err(StoreFault::Unavailable(_)) if !with_ending(path, "-wal").exists() => open_alone(path),
        Err(fault) => Err(fault),
    }
}

/// Opens a file that nobody writes, without the files beside it.
fn open_alone(path: &Path) -> Result<Database, StoreFault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    let encoded = bytes.map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    let address = format!("file:{}?immutable=1", encoded.collect::<String>());
    let mode = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let mut database = Database::from(Sqlite::new(connect(Path::new(&address), mode)?));
    schema::check(&mut database)?;
    Ok(database)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What is wrong with a file, line by line; nothing where it is sound.
pub(crate) fn check(database: &mut Database) -> Result<Vec<String>, StoreFault> {
    let mut lines: Vec<String> = database.query("PRAGMA integrity_check(100)", &[], |row| row.get(0))?;
    lines.retain(|line| line != "ok");
    Ok(lines)
}

/// Copies a store, as it is at one moment, into a file that must not be there. The store may be in use.
pub(crate) fn backup(database: &mut Database, to: &Path) -> Result<(), StoreFault> {
    let unavailable = |error: std::io::Error| StoreFault::Unavailable(format!("{}: {error}", to.display()));
    if to.exists() {
        return Err(StoreFault::Unavailable(format!("{} is there already", to.display())));
    }
    let text = to.to_str().ok_or_else(|| StoreFault::Unavailable("the path is no text".to_owned()))?;
    let copied = database.execute("VACUUM INTO $1", values![text]);
    if copied.is_err() {
        let _ = fs::remove_file(to);
    }
    copied?;
    fs::set_permissions(to, fs::Permissions::from_mode(MODE)).map_err(unavailable)?;
    let written = fs::File::open(to).and_then(|file| file.sync_all());
    written.map_err(unavailable)
}
