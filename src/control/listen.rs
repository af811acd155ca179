// SPDX-License-Identifier: Apache-2.0
//! All listening sockets of the process: opened or inherited here, lent to shards as duplicates, kept here so that a
//! successor can inherit them.
//!
//! A TCP address has one SO_REUSEPORT socket a shard, a Unix path one socket that all shards share. An address that two
//! plans have in common keeps its sockets; a plan whose sockets cannot all be opened changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::base::{Address, ListenerId};
use crate::config::plan::{ListenerPlan, Plan};
use crate::link::ListeningSocket;
use crate::net::sockets::{Inherited, ListenOptions, ListenSocket, listen};

/// All listening sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    shards: usize,
    inherited: Vec<Inherited>,
    /// By the address that the configuration names.
    open: BTreeMap<Address, Open>,
    /// Addresses opened for a plan that is not in use yet.
    fresh: Vec<Address>,
}

#[derive(Debug)]
struct Open {
    sockets: Vec<ListenSocket>,
    /// Device and number of a Unix socket's file: another process may have put its own in place meanwhile.
    file: Option<(u64, u64)>,
}

/// A listening socket that could not be opened.
#[derive(Debug)]
pub(super) struct ListenFault {
    /// The listener's name; `None` for the admin listener.
    pub listener: Option<String>,
    /// The address.
    pub address: Address,
    /// Why.
    pub error: io::Error,
}

impl fmt::Display for ListenFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.listener {
            Some(name) => write!(out, "listener `{name}`")?,
            None => write!(out, "the admin listener")?,
        }
        write!(out, " cannot listen on {}: {}", self.address, self.error)?;
        match self.error.kind() {
            io::ErrorKind::AddrInUse => write!(out, " (another process listens there)"),
            io::ErrorKind::PermissionDenied => write!(out, " (ports below 1024 need CAP_NET_BIND_SERVICE)"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ListenFault {}

/// New sockets, by shard.
pub(super) type ByShard = Vec<Vec<ListeningSocket<ListenSocket>>>;

impl Sockets {
    /// For so many shards; `inherited` are used before new ones are opened.
    pub(super) fn new(shards: usize, inherited: Vec<Inherited>) -> Sockets {
        Sockets { shards, inherited, open: BTreeMap::new(), fresh: Vec::new() }
    }

    /// Opens the plan's addresses that are not open yet, and returns each shard's sockets. `commit` or `discard` must
    /// follow.
    pub(super) fn prepare(&mut self, plan: &Plan) -> Result<ByShard, ListenFault> {
        let mut by_shard: ByShard = (0..self.shards).map(|_| Vec::new()).collect();
        for (id, listener) in (0..).map(ListenerId).zip(&plan.listeners) {
            for address in &listener.bind {
                let opened = self.open_one(id, listener, address, &mut by_shard);
                if let Err(error) = opened {
                    self.discard();
                    return Err(ListenFault {
                        listener: Some(listener.name.to_string()),
                        address: address.clone(),
                        error,
                    });
                }
            }
        }
        Ok(by_shard)
    }

    /// Takes a socket that the process was started with and that is at this address, for the admin listener.
    pub(super) fn inherited_at(&mut self, address: &Address) -> Option<ListenSocket> {
        let place = self.inherited.iter().position(|inherited| inherited.socket.address == *address)?;
        Some(self.inherited.remove(place).socket)
    }

    /// The prepared plan is in use: closes what it does not name.
    pub(super) fn commit(&mut self, plan: &Plan) {
        self.fresh.clear();
        let named = |address: &Address| plan.listeners.iter().any(|listener| listener.bind.contains(address));
        let gone: Vec<Address> = self.open.keys().filter(|address| !named(address)).cloned().collect();
        gone.iter().for_each(|address| self.close_one(address));
        for unused in self.inherited.drain(..) {
            let address = &unused.socket.address;
            tracing::warn!(%address, "an inherited socket belongs to no listener; it is closed");
        }
    }

    /// The prepared plan will not be used: closes what was opened for it.
    pub(super) fn discard(&mut self) {
        for address in std::mem::take(&mut self.fresh) {
            self.close_one(&address);
        }
    }

    /// Every socket, for a successor.
    pub(super) fn all(&self) -> impl Iterator<Item = &ListenSocket> {
        self.open.values().flat_map(|open| &open.sockets)
    }

    /// Where an address of the configuration really is: the same, but for port 0.
    pub(super) fn actual(&self, address: &Address) -> Option<&Address> {
        self.open.get(address)?.sockets.first().map(|socket| &socket.address)
    }

    /// Closes all sockets after a handover to the successor, without removing the paths of Unix sockets.
    pub(super) fn hand_over(&mut self) {
        self.open.clear();
    }

    /// Closes all sockets and removes the paths of Unix sockets.
    pub(super) fn close(&mut self) {
        let addresses: Vec<Address> = self.open.keys().cloned().collect();
        addresses.iter().for_each(|address| self.close_one(address));
    }

    fn open_one(
        &mut self,
        id: ListenerId,
        listener: &ListenerPlan,
        address: &Address,
        by_shard: &mut ByShard,
    ) -> io::Result<()> {
        if self.open.contains_key(address) {
            return Ok(());
        }
        let inherited = self.take_inherited(listener, address);
        let sockets = match address {
            Address::Inet(place) => {
                if inherited.is_empty() && !self.uses_port(place.port()) {
                    // SO_REUSEPORT lets two processes of one user listen on the same port without a word; nobody wants
                    // that by accident. A socket without it can be opened only where nobody else listens.
                    listen(address, &ListenOptions { reuse_port: false, ..options(listener) })?;
                }
                open_tcp(listener, address, inherited, self.shards)?
            }
            Address::Unix(_) => match inherited.into_iter().next() {
                Some(socket) => vec![socket],
                None => vec![listen(address, &options(listener))?],
            },
        };
        for place in 0..sockets.len().max(self.shards) {
            let socket = sockets[place % sockets.len()].duplicate()?;
            let lent = ListeningSocket { listener: id, address: address.clone(), socket };
            by_shard[place % self.shards].push(lent);
        }
        let file = file_of(address);
        self.open.insert(address.clone(), Open { sockets, file });
        self.fresh.push(address.clone());
        Ok(())
    }

    /// Takes what was inherited for an address: by the address itself, else by the listener's name.
    fn take_inherited(&mut self, listener: &ListenerPlan, address: &Address) -> Vec<ListenSocket> {
        let by_address = |inherited: &mut Inherited| inherited.socket.address == *address;
        let mut taken: Vec<Inherited> = self.inherited.extract_if(.., by_address).collect();
        if taken.is_empty() {
            let same_kind = |inherited: &Inherited| match (&inherited.socket.address, address) {
                (Address::Inet(_), Address::Inet(_)) | (Address::Unix(_), Address::Unix(_)) => true,
                (Address::Inet(_), Address::Unix(_)) | (Address::Unix(_), Address::Inet(_)) => false,
            };
            let by_name =
                |inherited: &mut Inherited| inherited.name.as_deref() == Some(&*listener.name) && same_kind(inherited);
            let first = self.inherited.iter_mut().position(by_name);
            taken.extend(first.map(|place| self.inherited.remove(place)));
        }
        taken.into_iter().map(|inherited| inherited.socket).collect()
    }

    fn uses_port(&self, port: u16) -> bool {
        self.all().any(|socket| match socket.address {
            Address::Inet(address) => address.port() == port,
            Address::Unix(_) => false,
        })
    }

    fn close_one(&mut self, address: &Address) {
        let Some(open) = self.open.remove(address) else { return };
        if let (Address::Unix(path), Some(file)) = (address, open.file)
            && file_of(address) == Some(file)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The inherited sockets and as many more as shards still lack one. Where no more can be opened beside inherited ones
/// (a service manager's socket without SO_REUSEPORT), shards share those.
fn open_tcp(
    listener: &ListenerPlan,
    address: &Address,
    inherited: Vec<ListenSocket>,
    shards: usize,
) -> io::Result<Vec<ListenSocket>> {
    let mut sockets = inherited;
    let options = options(listener);
    while sockets.len() < shards {
        // With port 0, the kernel chooses for the first socket and the others follow it.
        let place = sockets.first().map_or(address, |first| &first.address).clone();
        match listen(&place, &options) {
            Ok(socket) => sockets.push(socket),
            Err(error) if sockets.is_empty() => return Err(error),
            Err(error) => {
                tracing::info!(%address, %error, "fewer listening sockets than shards: the shards share them");
                break;
            }
        }
    }
    Ok(sockets)
}

fn options(listener: &ListenerPlan) -> ListenOptions {
    ListenOptions {
        backlog: i32::try_from(listener.backlog).unwrap_or(i32::MAX),
        mode: listener.unix_mode.unwrap_or_else(default_mode),
        ..ListenOptions::default()
    }
}

/// All permissions without those that the umask removes: what a bound path gets by default.
fn default_mode() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let umask = umask.and_then(|text| u32::from_str_radix(text.trim(), 8).ok());
    0o777 & !umask.unwrap_or(0o022)
}

fn file_of(address: &Address) -> Option<(u64, u64)> {
    match address {
        Address::Inet(_) => None,
        Address::Unix(path) => device_and_number(path),
    }
}

/// What distinguishes two files at the same path.
pub(super) fn device_and_number(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests;
