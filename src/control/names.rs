// SPDX-License-Identifier: Apache-2.0
//! Whether addresses belong to domains, by DNS: an address has a name (PTR) in a domain, and that name has the address.
//! The first alone says nothing: whoever has an address chooses its name.

use std::net::IpAddr;
use std::time::Duration;

use crate::control::resolve::{Family, Lookup};
use crate::policy::Answer;
use crate::policy::question::{AddressQuestion, Belonging};

/// Longest wait for all that DNS says of one address.
const WAIT: Duration = Duration::from_secs(5);
/// Names of one address that are looked at; the rest is left out.
const NAMES_MAX: usize = 8;

/// Does an address belong to one of the domains? `Unavailable` where DNS does not say.
pub(super) async fn belonging(lookup: &impl Lookup, question: &AddressQuestion) -> Answer {
    let asked = tokio::time::timeout(WAIT, ask(lookup, question)).await;
    asked.ok().flatten().map_or(Answer::Unavailable, Answer::Address)
}

async fn ask(lookup: &impl Lookup, AddressQuestion { address, domains }: &AddressQuestion) -> Option<Belonging> {
    let names = match lookup.names(*address).await {
        Ok(names) => names,
        Err(reason) => {
            tracing::debug!(%address, reason, "the name of an address cannot be asked for");
            return None;
        }
    };
    let mut said = Some(Belonging::Denied);
    let wanted = names.iter().filter(|name| domains.iter().any(|domain| is_within(name, domain)));
    for name in wanted.take(NAMES_MAX) {
        let answer = lookup.host(name).await;
        let family = match address {
            IpAddr::V4(_) => answer.v4,
            IpAddr::V6(_) => answer.v6,
        };
        match family {
            Family::Some(addresses) if addresses.contains(address) => return Some(Belonging::Confirmed),
            Family::Some(_) | Family::None => {}
            // Another name may still confirm it, but nothing denies it any more.
            Family::Unknown(_) => said = None,
        }
    }
    said
}

/// Is a name a domain, or below it?
fn is_within(name: &str, domain: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;
    use crate::control::resolve::{HostAnswer, Service};

    /// What DNS says: the names of the address, and the addresses of each name.
    struct Dns(Result<&'static [&'static str], ()>, &'static [(&'static str, Option<&'static str>)]);

    impl Lookup for Dns {
        async fn host(&self, name: &str) -> HostAnswer {
            let (_, address) =
                self.1.iter().find(|(known, _)| *known == name).expect("only wanted names are asked for");
            let v4 = address.map_or(Family::Unknown("no answer".to_owned()), |address| {
                Family::Some(vec![address.parse().expect("an address")])
            });
            ready(HostAnswer { v4, v6: Family::None, ttl: WAIT }).await
        }

        async fn service(&self, _: &str) -> Result<(Vec<Service>, Duration), String> {
            ready(Err("not asked".to_owned())).await
        }

        async fn names(&self, _: IpAddr) -> Result<Vec<String>, String> {
            let names = self.0.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            ready(names.map_err(|()| "no answer".to_owned())).await
        }
    }

    #[tokio::test]
    async fn a_name_counts_where_it_has_the_address() {
        let confirmed = Answer::Address(Belonging::Confirmed);
        let denied = Answer::Address(Belonging::Denied);
        let cases = [
            (Dns(Ok(&["a.bot.test."]), &[("a.bot.test.", Some("10.0.0.1"))]), &confirmed),
            (Dns(Ok(&["A.Bot.Test"]), &[("A.Bot.Test", Some("10.0.0.1"))]), &confirmed),
            (Dns(Ok(&["bot.test"]), &[("bot.test", Some("10.0.0.1"))]), &confirmed),
            // Whoever has the address chose the name.
            (Dns(Ok(&["a.bot.test"]), &[("a.bot.test", Some("10.0.0.2"))]), &denied),
            (Dns(Ok(&["evilbot.test"]), &[]), &denied),
            (Dns(Ok(&["bot.test.evil.test"]), &[]), &denied),
            (Dns(Ok(&[]), &[]), &denied),
            (Dns(Ok(&["x.test", "a.bot.test"]), &[("a.bot.test", Some("10.0.0.1"))]), &confirmed),
            (Dns(Err(()), &[]), &Answer::Unavailable),
            (Dns(Ok(&["a.bot.test"]), &[("a.bot.test", None)]), &Answer::Unavailable),
            (
                Dns(Ok(&["a.bot.test", "b.bot.test"]), &[("a.bot.test", None), ("b.bot.test", Some("10.0.0.1"))]),
                &confirmed,
            ),
        ];
        let domains = [Box::from("bot.test")].into();
        let question = AddressQuestion { address: [10, 0, 0, 1].into(), domains };
        for (dns, expected) in cases {
            assert_eq!(belonging(&dns, &question).await, *expected, "{:?} {:?}", dns.0, dns.1);
        }
    }
}
