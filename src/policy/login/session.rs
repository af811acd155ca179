// SPDX-License-Identifier: Apache-2.0
//! A session, as it lies sealed in cookies of the browser.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::Wall;
use crate::wire::jose::Members;

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// What it is known by: 128 random bits.
    #[serde(rename = "i")]
    pub id: String,
    /// When somebody signed in, in microseconds since 1970.
    #[serde(rename = "b")]
    pub begun: u64,
    /// When it was sealed last, in microseconds since 1970.
    #[serde(rename = "t")]
    pub renewed: u64,
    /// How often that was.
    #[serde(rename = "g")]
    pub generation: u32,
    /// What the issuer says of whoever signed in.
    #[serde(rename = "c")]
    pub claims: Members,
    /// The issuer's own name of its session.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The access token, where upstreams are told it.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// When the access token expires, in seconds since 1970.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub access_until: Option<u64>,
    /// What gets another access token.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// The ID token, which tells the issuer who signs out.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetime {
    /// From the login on, whatever happens.
    pub whole: Duration,
    /// From the last request on; `None` for as long as `whole`.
    pub idle: Option<Duration>,
}

/// What is to be done with a session at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// It should be sealed again, so that it does not end by being idle.
    Touch,
    /// Its access token is about to expire: another one should be had.
    Refresh,
    /// The same, and the token has expired so long ago.
    Late(Duration),
}

impl Session {
    /// `sub`.
    pub(crate) fn subject(&self) -> &str {
        self.claims.get("sub").and_then(Value::as_str).unwrap_or_default()
    }

    /// Not valid from then on.
    pub(crate) fn until(&self, lifetime: Lifetime) -> Wall {
        let whole = self.begun.saturating_add(micros(lifetime.whole));
        let idle = lifetime.idle.map_or(u64::MAX, |idle| self.renewed.saturating_add(micros(idle)));
        Wall(whole.min(idle))
    }

    /// What is to be done with it now.
    pub(crate) fn due(&self, lifetime: Lifetime, wall: Wall) -> Due {
        let until = self.access_until.filter(|_| self.refresh_token.is_some());
        if let Some(until) = until.map(|seconds| seconds.saturating_mul(1_000_000)) {
            if wall.0 >= until {
                return Due::Late(Duration::from_micros(wall.0 - until));
            }
            // A tenth of its life before its end, at most a minute.
            let life = until.saturating_sub(self.renewed);
            if wall.0.saturating_add((life / 10).min(60_000_000)) >= until {
                return Due::Refresh;
            }
        }
        // An eighth of the idle time, so that few responses carry cookies and no session ends much too early.
        let touch = lifetime.idle.map(|idle| self.renewed.saturating_add(micros(idle) / 8));
        if touch.is_some_and(|touch| wall.0 >= touch) { Due::Touch } else { Due::Nothing }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::{Due, Lifetime, Session};
    use crate::base::Wall;

    const SECOND: u64 = 1_000_000;

    pub(crate) fn session() -> Session {
        Session {
            id: "id".to_owned(),
            begun: 1_000 * SECOND,
            renewed: 1_000 * SECOND,
            generation: 0,
            claims: serde_json::from_str(r#"{"sub":"anna"}"#).expect("JSON"),
            sid: None,
            access_token: None,
            access_until: None,
            refresh_token: None,
            id_token: None,
        }
    }

    #[test]
    fn a_session_ends_by_its_age_and_by_being_idle() {
        let idle = Lifetime { whole: Duration::from_secs(100), idle: Some(Duration::from_secs(40)) };
        let mut session = session();
        assert_eq!(session.until(idle), Wall(1_040 * SECOND));
        session.renewed = 1_090 * SECOND;
        assert_eq!(session.until(idle), Wall(1_100 * SECOND));
        assert_eq!(session.until(Lifetime { idle: None, ..idle }), Wall(1_100 * SECOND));
        assert_eq!(session.due(idle, Wall(1_094 * SECOND)), Due::Nothing);
        assert_eq!(session.due(idle, Wall(1_095 * SECOND)), Due::Touch);
        assert_eq!(session.due(Lifetime { idle: None, ..idle }, Wall(1_099 * SECOND)), Due::Nothing);
    }

    #[test]
    fn a_token_is_renewed_before_it_expires_where_that_is_possible() {
        let lifetime = Lifetime { whole: Duration::from_secs(10_000), idle: None };
        let mut session = session();
        session.access_until = Some(1_300);
        assert_eq!(session.due(lifetime, Wall(2_000 * SECOND)), Due::Nothing, "nothing renews it");
        session.refresh_token = Some("r".to_owned());
        for (at, due) in [
            (1_269, Due::Nothing),
            (1_270, Due::Refresh),
            (1_299, Due::Refresh),
            (1_300, Due::Late(Duration::ZERO)),
            (1_310, Due::Late(Duration::from_secs(10))),
        ] {
            assert_eq!(session.due(lifetime, Wall(at * SECOND)), due, "{at}");
        }
    }

    #[test]
    fn a_session_is_the_same_when_it_is_read_again() {
        let session = Session { sid: Some("x".to_owned()), refresh_token: Some("r".to_owned()), ..session() };
        let text = serde_json::to_vec(&session).expect("JSON");
        assert_eq!(serde_json::from_slice::<Session>(&text).expect("a session"), session);
    }
}
