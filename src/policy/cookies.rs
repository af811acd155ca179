// SPDX-License-Identifier: Apache-2.0
//! Hot. Cookies that an origin sets get the attributes that protect them and are missing: `Secure`, `HttpOnly`,
//! `SameSite` (RFC 6265bis section 4.1.2).
//!
//! Nothing else of a cookie changes, and an attribute that is there stays. Each `Set-Cookie` line is one cookie, so
//! lines are never joined. Cookies of the gateway's own are made with their attributes.

use crate::base::ascii::is_name;
use crate::policy::decision::Decision;
use crate::policy::facts::{Effects, Response};
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::wire::template::{Lookup, Variable};

/// Which attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When `Secure` is added.
    pub secure: Secure,
    /// Whether `HttpOnly` is added: scripts do not see the cookie.
    pub http_only: HttpOnly,
    /// The value of `SameSite` where it is missing; `None` adds none.
    pub same_site: Option<SameSite>,
    /// Names of cookies that stay as they are.
    pub except: Box<[Box<[u8]>]>,
}

/// When `Secure` is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secure {
    /// Where the client came over TLS.
    OverTls,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Whether `HttpOnly` is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpOnly {
    /// It is.
    Added,
    /// It is not.
    Omitted,
}

/// From which sites' pages a browser sends the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Only from pages of its own site.
    Strict,
    /// Also where a user follows a link.
    Lax,
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Adapt
    }

    fn protects(&self) -> bool {
        false
    }

    fn is_sole(&self) -> bool {
        true
    }

    fn decide<L: Lookup>(&self, (): &mut (), _: Call<'_, L, ()>) -> Decision<'_> {
        Decision::Pass
    }

    fn adapt<L: Lookup>(&self, (): &mut (), response: Response<'_>, words: &L, effects: &mut Effects) {
        let Effects { to_client, scratch, .. } = effects;
        let (mut secure, mut moved) = (None, false);
        for (index, field) in response.head.fields.list.iter().enumerate() {
            if to_client.is_removed(index) || !is_name(field.name.of(response.bytes), b"set-cookie") {
                continue;
            }
            let cookie = field.value.of(response.bytes);
            let secure = *secure.get_or_insert_with(|| self.is_secure(words, scratch));
            let missing = self.missing(cookie, secure);
            // Of two cookies with one name the later counts, so what follows a line that changed is written anew too.
            if missing.is_empty() && !moved {
                continue;
            }
            let added = to_client.add_with(b"Set-Cookie", |out| {
                out.extend_from_slice(cookie);
                missing.iter().for_each(|attribute| out.extend_from_slice(attribute));
            });
            // A line for which there is no room stays as it came.
            if added {
                moved = true;
                to_client.remove_at(index);
            }
        }
    }
}

/// What a cookie lacks, as it is appended.
type Missing = smallvec::SmallVec<[&'static [u8]; 3]>;

/// Is `Secure` added to cookies of this response?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Securing {
    Yes,
    No,
}

impl Plan {
    fn is_secure<L: Lookup>(&self, words: &L, scratch: &mut Vec<u8>) -> Securing {
        match self.secure {
            Secure::Always => Securing::Yes,
            Secure::Never => Securing::No,
            Secure::OverTls => {
                scratch.clear();
                words.append(&Variable::Scheme, scratch);
                if scratch == b"https" { Securing::Yes } else { Securing::No }
            }
        }
    }

    fn missing(&self, cookie: &[u8], securing: Securing) -> Missing {
        let mut pieces = cookie.split(|byte| *byte == b';');
        let pair = pieces.next().unwrap_or_default();
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        let mut missing = Missing::new();
        if self.except.iter().any(|except| **except == *name) {
            return missing;
        }
        let (mut secure, mut http_only, mut same_site) = (false, false, false);
        for piece in pieces {
            let attribute = piece.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
            secure |= attribute.eq_ignore_ascii_case(b"secure");
            http_only |= attribute.eq_ignore_ascii_case(b"httponly");
            same_site |= attribute.eq_ignore_ascii_case(b"samesite");
        }
        if securing == Securing::Yes && !secure {
            missing.push(b"; Secure");
        }
        if self.http_only == HttpOnly::Added && !http_only {
            missing.push(b"; HttpOnly");
        }
        match self.same_site {
            Some(SameSite::Strict) if !same_site => missing.push(b"; SameSite=Strict"),
            Some(SameSite::Lax) if !same_site => missing.push(b"; SameSite=Lax"),
            Some(_) | None => {}
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{ResponseFixture, added};

    struct Scheme(&'static str);

    impl Lookup for Scheme {
        fn append(&self, _: &Variable, out: &mut Vec<u8>) {
            out.extend_from_slice(self.0.as_bytes());
        }
    }

    fn plan() -> Plan {
        Plan {
            secure: Secure::OverTls,
            http_only: HttpOnly::Added,
            same_site: Some(SameSite::Lax),
            except: Box::new([(*b"csrf").into()]),
        }
    }

    /// The cookies of a response as they leave.
    fn leaving(plan: &Plan, scheme: &'static str, cookies: &[&str]) -> Vec<String> {
        let reply = cookies.iter().fold(ResponseFixture::new(200), |reply, cookie| reply.field("set-cookie", cookie));
        let mut effects = Effects::default();
        plan.adapt(&mut (), reply.response(), &Scheme(scheme), &mut effects);
        let left = reply.left(&effects.to_client).into_iter().map(|(_, value)| value);
        left.chain(added(&effects.to_client).into_iter().map(|(_, value)| value.to_owned())).collect()
    }

    #[test]
    fn what_is_missing_is_added_to_each_cookie() {
        for (cookie, expected) in [
            ("a=1", "a=1; Secure; HttpOnly; SameSite=Lax"),
            ("a=1; Path=/; secure", "a=1; Path=/; secure; HttpOnly; SameSite=Lax"),
            ("a=1;HTTPONLY;samesite = None;Secure", "a=1;HTTPONLY;samesite = None;Secure"),
            ("a=b=c; SameSite=Strict", "a=b=c; SameSite=Strict; Secure; HttpOnly"),
            ("__Host-a=1; Secure; Path=/", "__Host-a=1; Secure; Path=/; HttpOnly; SameSite=Lax"),
            ("a=secure; Comment=HttpOnly", "a=secure; Comment=HttpOnly; Secure; HttpOnly; SameSite=Lax"),
            ("secure", "secure; Secure; HttpOnly; SameSite=Lax"),
            ("a=; Max-Age=0;", "a=; Max-Age=0;; Secure; HttpOnly; SameSite=Lax"),
            ("", "; Secure; HttpOnly; SameSite=Lax"),
            ("csrf=1", "csrf=1"),
            (" csrf =1", " csrf =1"),
            ("csrf2=1", "csrf2=1; Secure; HttpOnly; SameSite=Lax"),
        ] {
            assert_eq!(leaving(&plan(), "https", &[cookie]), [expected]);
        }
        let two = leaving(&plan(), "https", &["a=1", "csrf=1", "b=2"]);
        assert_eq!(two, ["a=1; Secure; HttpOnly; SameSite=Lax", "csrf=1", "b=2; Secure; HttpOnly; SameSite=Lax"]);
    }

    #[test]
    fn secure_is_for_tls_unless_it_is_forced() {
        assert_eq!(leaving(&plan(), "http", &["a=1"]), ["a=1; HttpOnly; SameSite=Lax"]);
        let always = Plan { secure: Secure::Always, http_only: HttpOnly::Omitted, same_site: None, ..plan() };
        assert_eq!(leaving(&always, "http", &["a=1"]), ["a=1; Secure"]);
        let never = Plan { secure: Secure::Never, ..always };
        assert_eq!(leaving(&never, "https", &["a=1"]), ["a=1"]);
    }
}
