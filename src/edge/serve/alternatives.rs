// SPDX-License-Identifier: Apache-2.0
//! Hot. Policies of which one must identify the caller (`authenticate = { any = […] }`): the first that does ends the
//! search. Where none does, the client gets one refusal, with the challenges of all: that of the first alternative for
//! which it brought credentials, or one for all where it brought none.

use crate::config::plan::Alternatives;
use crate::policy::LocalResponse;
use crate::wire::patch::{Mark, Patch};

/// What came of the alternatives of a list so far.
#[derive(Debug)]
pub(super) struct Tried<'p> {
    among: Alternatives,
    /// Where the fields begin that alternatives added to the response.
    begin: Option<Mark>,
    refusal: Option<Refusal<'p>>,
    identified: Progress,
}

/// Has one of them succeeded?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Searching,
    Identified,
}

/// A refusal, and the fields that belong to it.
#[derive(Debug)]
struct Refusal<'p> {
    response: LocalResponse<'p>,
    weight: Weight,
    fields: (Mark, Mark),
}

/// What a refusal says, from the least to the most. Of several the client gets the first that says most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// There were no credentials of this kind, and no challenge asks for them.
    Unasked,
    /// There were no credentials of this kind.
    Absent,
    /// There were none, and a person is sent to a page to sign in.
    Invites,
    /// There were, and they are wrong.
    Refused,
    /// They could not be judged: the request may pass later.
    Undecided,
}

impl Weight {
    fn of(response: &LocalResponse<'_>) -> Weight {
        match response.status {
            500.. => Weight::Undecided,
            403 if response.lacks_credentials() => Weight::Unasked,
            _ if response.lacks_credentials() => Weight::Absent,
            300..400 => Weight::Invites,
            _ => Weight::Refused,
        }
    }
}

impl<'p> Tried<'p> {
    /// Nothing was tried of these.
    pub(super) fn new(among: Alternatives) -> Tried<'p> {
        Tried { among, begin: None, refusal: None, identified: Progress::Searching }
    }

    /// Is the policy at this place of the list an alternative?
    pub(super) fn is_alternative(&self, at: usize) -> bool {
        self.among.contains(at)
    }

    /// Is it one that needs not be asked, because another has identified the caller?
    pub(super) fn is_settled(&self, at: usize) -> bool {
        self.identified == Progress::Identified && self.among.contains(at)
    }

    /// An alternative is asked. Returns what `refused` is told.
    pub(super) fn begin(&mut self, to_client: &Patch) -> Mark {
        let mark = to_client.mark();
        self.begin.get_or_insert(mark);
        mark
    }

    /// The alternative that was begun at `mark` has identified the caller: what the others added to the response goes.
    /// Nothing where it is none, or was not asked.
    pub(super) fn passed(&mut self, mark: Option<Mark>, to_client: &mut Patch) {
        let Some(mark) = mark else { return };
        self.identified = Progress::Identified;
        self.refusal = None;
        if let Some(begin) = self.begin {
            to_client.keep_added((begin, mark), |_| false);
        }
    }

    /// The alternative that was begun at `mark` refuses.
    pub(super) fn refused(&mut self, response: LocalResponse<'p>, mark: Mark, to_client: &mut Patch) {
        let (weight, fields) = (Weight::of(&response), (mark, to_client.mark()));
        let lesser = match &self.refusal {
            Some(chosen) if chosen.weight >= weight => fields,
            Some(chosen) => chosen.fields,
            None => (mark, mark),
        };
        to_client.keep_added(lesser, |name| name.eq_ignore_ascii_case(CHALLENGE));
        if self.refusal.as_ref().is_none_or(|chosen| chosen.weight < weight) {
            self.refusal = Some(Refusal { response, weight, fields });
        }
    }

    /// What the client gets, where the policy at this place is behind the alternatives and none of them identified the
    /// caller. The challenges of all of them belong to a 401 and to nothing else.
    #[inline]
    pub(super) fn refusal(&mut self, at: usize, to_client: &mut Patch) -> Option<LocalResponse<'p>> {
        let refused = self.refusal.is_some() && at >= self.among.end();
        if refused { self.refusal_of_all(to_client) } else { None }
    }

    #[inline(never)]
    fn refusal_of_all(&mut self, to_client: &mut Patch) -> Option<LocalResponse<'p>> {
        let Refusal { response, weight, fields: (first, behind) } = self.refusal.take()?;
        if response.status != 401
            && let Some(begin) = self.begin
        {
            let end = to_client.mark();
            to_client.keep_added((begin, first), |_| false);
            to_client.keep_added((behind, end), |_| false);
        }
        // Which kind of credentials it should have brought is the client's choice.
        let any = weight == Weight::Absent && self.among.are_several();
        Some(if any { LocalResponse::NO_CREDENTIALS } else { response })
    }
}

const CHALLENGE: &[u8] = b"WWW-Authenticate";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::LocalBody;

    fn response(status: u16, reason: &'static str) -> LocalResponse<'static> {
        LocalResponse { status, reason, body: LocalBody::Empty }
    }

    fn names(patch: &Patch) -> Vec<&str> {
        patch.added().map(|(_, value)| std::str::from_utf8(value).unwrap()).collect()
    }

    /// What each alternative says: a status (200 identifies) and a reason.
    type Said = &'static [(u16, &'static str)];

    /// What they say, the reason of the refusal, and the numbers of the alternatives whose challenges are sent.
    const CASES: &[(Said, Option<&str>, &[&str])] = &[
        (&[(200, "")], None, &[]),
        (&[(401, "jwt_missing"), (200, "")], None, &[]),
        (&[(401, "jwt_expired"), (200, ""), (401, "x_wrong")], None, &[]),
        (&[(401, "jwt_missing")], Some("jwt_missing"), &["0"]),
        (&[(401, "jwt_missing"), (401, "api_key_missing")], Some("credentials_missing"), &["0", "1"]),
        (&[(403, "webhook_missing"), (401, "api_key_missing")], Some("credentials_missing"), &["0", "1"]),
        (&[(401, "api_key_missing"), (303, "oidc_redirect")], Some("oidc_redirect"), &[]),
        (&[(303, "oidc_redirect"), (401, "api_key_unknown")], Some("api_key_unknown"), &["0", "1"]),
        (&[(403, "webhook_missing"), (401, "api_key_unknown")], Some("api_key_unknown"), &["0", "1"]),
        (&[(401, "jwt_missing"), (401, "api_key_unknown")], Some("api_key_unknown"), &["0", "1"]),
        (&[(401, "jwt_expired"), (401, "api_key_unknown")], Some("jwt_expired"), &["0", "1"]),
        (&[(401, "jwt_missing"), (403, "certificate_unknown")], Some("certificate_unknown"), &[]),
        (&[(401, "jwt_expired"), (503, "basic_busy"), (401, "x_missing")], Some("basic_busy"), &[]),
        (&[(503, "external_auth_failed"), (200, "")], None, &[]),
    ];

    #[test]
    fn the_first_that_succeeds_identifies_and_else_the_weightiest_refusal_is_sent() {
        for (said, reason, challenges) in CASES {
            let mut patch = Patch::default();
            patch.add(b"Vary", b"before");
            let mut tried = Tried::new(Alternatives::new(1, 1 + said.len()));
            assert!(tried.refusal(0, &mut patch).is_none() && !tried.is_alternative(0));
            for (number, (status, reason)) in said.iter().enumerate() {
                let at = number + 1;
                assert!(tried.is_alternative(at) && tried.refusal(at, &mut patch).is_none());
                if tried.is_settled(at) {
                    continue;
                }
                let mark = tried.begin(&patch);
                patch.add(b"Set-Cookie", format!("cookie {number}").as_bytes());
                if *status == 200 {
                    tried.passed(Some(mark), &mut patch);
                    continue;
                }
                patch.add(b"WWW-Authenticate", number.to_string().as_bytes());
                tried.refused(response(*status, reason), mark, &mut patch);
            }
            let refusal = tried.refusal(1 + said.len(), &mut patch);
            assert_eq!(refusal.map(|refusal| refusal.reason), *reason, "{said:?}");
            let chosen = match reason {
                Some("credentials_missing") => said.iter().position(|(status, _)| *status == 401),
                Some(reason) => said.iter().position(|(_, one)| one == reason),
                None => said.iter().position(|(status, _)| *status == 200),
            };
            let mut left = names(&patch);
            assert_eq!(left.remove(0), "before");
            let cookies: Vec<String> = chosen.iter().map(|number| format!("cookie {number}")).collect();
            let own = [chosen.filter(|_| reason.is_some()).map(|number| number.to_string())];
            // A refusal that is no 401 keeps what its own policy added.
            let mut expected: Vec<String> = match (reason, challenges) {
                (Some(_), []) => own.into_iter().flatten().collect(),
                _ => challenges.iter().map(|number| (*number).to_owned()).collect(),
            };
            expected.extend(cookies);
            expected.sort();
            left.sort_unstable();
            assert_eq!(left, expected, "{said:?}");
        }
    }
}
