// SPDX-License-Identifier: Apache-2.0
//! Values that name something of the machine: addresses, networks, permissions, threads.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;

use crate::base::Address;
use crate::config::spec::scalar::{AutoCount, Bind, FileMode, Network, RedirectPort, Scalar, Shards};

impl Scalar for Bind {
    const NAME: &'static str = "address";
    const EXPECTED: &'static str = "an address such as \"0.0.0.0:8080\", \"[::]:8080\" or \"unix:/run/x.sock\"";

    fn parse(text: &str) -> Result<Bind, String> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // `sun_path` has 108 bytes with its end.
            return match path.len() {
                0 => Err("the path is missing".to_owned()),
                1..=107 => Ok(Bind(Address::Unix(Path::new(path).into()))),
                _ => Err("a socket's path has at most 107 bytes".to_owned()),
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Bind(Address::Inet(address)));
        }
        if text.parse::<IpAddr>().is_ok() {
            return Err("the port is missing".to_owned());
        }
        let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
        let port: u16 = port.parse().map_err(|_| "a port is a number from 0 to 65535")?;
        let host = match host {
            "" | "*" => "0.0.0.0",
            "localhost" => "127.0.0.1",
            other => other,
        };
        let ip: IpAddr = host.parse().map_err(|_| match host.contains(':') {
            true => "an IPv6 address stands in brackets: \"[::1]:8080\"",
            false => "names are not resolved here: write the address",
        })?;
        Ok(Bind(Address::Inet(SocketAddr::new(ip, port))))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Scalar for Network {
    const NAME: &'static str = "network";
    const EXPECTED: &'static str = "a network such as \"10.0.0.0/8\" or \"fd00::/8\", or one address";

    fn parse(text: &str) -> Result<Network, String> {
        let text = text.trim();
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Network(network.trunc()));
        }
        let single = text.parse::<IpAddr>().map(IpNet::from).map_err(|_| "neither a network nor an address".to_owned());
        single.map(Network)
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Scalar for FileMode {
    const NAME: &'static str = "file mode";
    const EXPECTED: &'static str = "permissions such as \"0660\"";

    fn parse(text: &str) -> Result<FileMode, String> {
        let digits = text.trim().strip_prefix("0o").unwrap_or(text.trim());
        let mode = u32::from_str_radix(digits, 8).map_err(|_| "it is not an octal number")?;
        if mode > 0o777 {
            return Err("above 0777".to_owned());
        }
        Ok(FileMode(mode))
    }

    fn show(&self) -> String {
        format!("{:04o}", self.0)
    }
}

/// Most data-plane threads.
const SHARDS_MAX: usize = 1_024;

impl Scalar for Shards {
    const NAME: &'static str = "count or \"auto\"";
    const EXPECTED: &'static str = "\"auto\" or a number from 1 to 1024";

    fn parse(text: &str) -> Result<Shards, String> {
        match text.trim() {
            "auto" => Ok(Shards(None)),
            other => other.parse().map_err(|_| "it is neither".to_owned()).and_then(Shards::of_number),
        }
    }

    fn of_number(number: i64) -> Result<Shards, String> {
        let count = usize::try_from(number).ok().filter(|count| (1..=SHARDS_MAX).contains(count));
        count.map(|count| Shards(Some(count))).ok_or_else(|| format!("{number} is outside"))
    }

    fn show(&self) -> String {
        self.0.map_or("auto".to_owned(), |count| count.to_string())
    }
}

impl Scalar for AutoCount {
    const NAME: &'static str = "number or \"auto\"";
    const EXPECTED: &'static str = "\"auto\" or a number up to 4294967295";

    fn parse(text: &str) -> Result<AutoCount, String> {
        match text.trim() {
            "auto" => Ok(AutoCount(None)),
            other => other.parse().map_err(|_| "it is neither".to_owned()).and_then(AutoCount::of_number),
        }
    }

    fn of_number(number: i64) -> Result<AutoCount, String> {
        let count = u32::try_from(number).ok();
        count.map(|count| AutoCount(Some(count))).ok_or_else(|| format!("{number} is outside"))
    }

    fn show(&self) -> String {
        self.0.map_or("auto".to_owned(), |count| count.to_string())
    }
}

impl Scalar for RedirectPort {
    const NAME: &'static str = "port or \"listener\"";
    const EXPECTED: &'static str = "\"listener\" or a number from 1 to 65535";

    fn parse(text: &str) -> Result<RedirectPort, String> {
        match text.trim() {
            "listener" => Ok(RedirectPort(None)),
            other => other.parse().map_err(|_| "it is neither".to_owned()).and_then(RedirectPort::of_number),
        }
    }

    fn of_number(number: i64) -> Result<RedirectPort, String> {
        let port = u16::try_from(number).ok().filter(|port| *port > 0);
        port.map(|port| RedirectPort(Some(port))).ok_or_else(|| format!("{number} is outside"))
    }

    fn show(&self) -> String {
        self.0.map_or("listener".to_owned(), |port| port.to_string())
    }
}
