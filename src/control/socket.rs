// SPDX-License-Identifier: Apache-2.0
//! The control socket: where `turnpike reload`, `stop`, `status` and `trace` find a running process.
//!
//! Without a path in the configuration each process has its own, named by its number in a folder of its user, so that
//! several never clash. Only its user may connect (mode 0600).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::base::Address;
use crate::control::listen::device_and_number;
use crate::net::sockets::{ListenOptions, ListenSocket, listen};

/// A bound control socket. Its drop removes the file, unless another process has put its own there.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    path: PathBuf,
    file: Option<(u64, u64)>,
}

/// May a process that lives at the same path be replaced?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakeOver {
    /// No: that is an error.
    Refuse,
    /// Yes: it is our predecessor.
    Predecessor,
}

impl ControlSocket {
    /// Binds at `path`, or at this process' own place.
    pub(crate) fn bind(path: Option<&Path>, take_over: TakeOver) -> io::Result<(ControlSocket, ListenSocket)> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => own_folder()?.join(format!("{}.sock", std::process::id())),
        };
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.file_type().is_socket()) {
            let words = format!("{}: the path exists and is not a socket", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, words));
        }
        if take_over == TakeOver::Refuse && UnixStream::connect(&path).is_ok() {
            let words = format!("{}: another process listens on this control socket", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, words));
        }
        // Bound under a temporary name and renamed, so that a client always finds either the old socket or the new one.
        let fresh = path.with_extension(format!("{}.new", std::process::id()));
        let options = ListenOptions { mode: 0o600, backlog: 64, ..ListenOptions::default() };
        let with_path = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let mut socket = listen(&Address::Unix(fresh.as_path().into()), &options).map_err(with_path)?;
        fs::rename(&fresh, &path).map_err(with_path)?;
        socket.address = Address::Unix(path.as_path().into());
        let file = device_and_number(&path);
        Ok((ControlSocket { path, file }, socket))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if device_and_number(&self.path) == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The control sockets of this user's processes, by path; those that nobody listens on any more are left out.
pub(crate) fn running() -> Vec<PathBuf> {
    let folder = folder();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sockets = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "sock"));
    let mut live: Vec<PathBuf> = sockets.filter(|path| UnixStream::connect(path).is_ok()).collect();
    live.sort();
    live
}

/// The folder of this user, made where it is missing. One that others could have put there is refused.
fn own_folder() -> io::Result<PathBuf> {
    let folder = folder();
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(io::Error::new(error.kind(), format!("{}: {error}", folder.display())));
        }
        Ok(()) | Err(_) => {}
    }
    let found = fs::symlink_metadata(&folder)?;
    let safe = found.is_dir() && found.uid() == user()? && found.permissions().mode() & 0o022 == 0;
    if !safe {
        return Err(io::Error::other(format!("{}: the directory is not private to this user", folder.display())));
    }
    Ok(folder)
}

fn folder() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let user = user().unwrap_or(u32::MAX);
    match runtime {
        Some(runtime) if runtime.is_dir() => runtime.join("turnpike"),
        Some(_) | None if user == 0 => PathBuf::from("/run/turnpike"),
        Some(_) | None => std::env::temp_dir().join(format!("turnpike-{user}")),
    }
}

fn user() -> io::Result<u32> {
    Ok(fs::metadata("/proc/self")?.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_path_unless_it_takes_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let (first, _listening) = ControlSocket::bind(Some(&path), TakeOver::Refuse).expect("bound");
        let refused = ControlSocket::bind(Some(&path), TakeOver::Refuse).expect_err("in use");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let (second, _listening) = ControlSocket::bind(Some(&path), TakeOver::Predecessor).expect("bound");
        drop(first);
        assert!(UnixStream::connect(&path).is_ok());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_path_that_is_left_over_is_used_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        assert!(path.exists());
        ControlSocket::bind(Some(&path), TakeOver::Refuse).expect("bound");
    }

    #[test]
    fn a_file_is_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("precious");
        fs::write(&path, "text").expect("written");
        assert!(ControlSocket::bind(Some(&path), TakeOver::Predecessor).is_err());
        assert_eq!(fs::read(&path).expect("there"), b"text");
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let error = ControlSocket::bind(Some(Path::new("/nonexistent/c.sock")), TakeOver::Refuse).expect_err("missing");
        assert!(error.to_string().contains("/nonexistent/c.sock"), "{error}");
    }
}
