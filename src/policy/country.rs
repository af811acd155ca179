// SPDX-License-Identifier: Apache-2.0
//! The country of an address, by a database in MaxMind's format.
//!
//! The control plane loads it with the configuration, and all shards share it: looking up only reads.

use std::fmt;
use std::net::IpAddr;

use maxminddb::{MaxMindDbError, PathElement, Reader};

/// A database of countries.
pub struct Countries {
    reader: Reader<Vec<u8>>,
}

/// A country by its two letters (ISO 3166-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// Reads two letters in any case.
    pub fn parse(text: &str) -> Option<CountryCode> {
        let [first, second] = *text.as_bytes() else { return None };
        let letters = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
        letters.iter().all(u8::is_ascii_uppercase).then_some(CountryCode(letters))
    }

    /// The two letters, in capitals.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Countries {
    /// Reads a database.
    pub fn new(bytes: Vec<u8>) -> Result<Countries, MaxMindDbError> {
        Reader::from_source(bytes).map(|reader| Countries { reader })
    }

    /// The country of an address: where it is, or else where it is registered. `None` where the database does not say.
    pub fn of(&self, address: IpAddr) -> Option<CountryCode> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        ["country", "registered_country"].iter().find_map(|part| {
            let path = [PathElement::Key(part), PathElement::Key("iso_code")];
            let code = found.decode_path::<&str>(&path).ok()??;
            CountryCode::parse(code)
        })
    }
}

impl fmt::Debug for Countries {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Countries({})", self.reader.metadata().database_type)
    }
}
