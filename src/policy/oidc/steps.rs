// SPDX-License-Identifier: Apache-2.0
//! Steps of logins that one shard has asked the control plane to take, and what came of them.

use crate::base::Tick;
use crate::base::limits::LOGIN_STEPS_MAX;
use crate::policy::awaited::Awaited;
use crate::policy::login::LoginStep;
use crate::policy::question::{Answer, Question, SourceId};

/// Steps that are under way, `LOGIN_STEPS_MAX` at most.
#[derive(Debug)]
pub(super) struct Steps {
    awaited: Awaited,
    numbered: u64,
}

/// Set in keys of sessions, so that they are never those of other steps.
const SESSION: u64 = 1 << 63;

impl Default for Steps {
    fn default() -> Steps {
        Steps { awaited: Awaited::new(LOGIN_STEPS_MAX), numbered: 0 }
    }
}

impl Steps {
    /// Asks for a step of one request alone; gives the key of its answer. `None` where too many are under way.
    pub(super) fn ask(&mut self, source: SourceId, step: LoginStep, times: (Tick, Tick)) -> Option<u64> {
        self.numbered += 1;
        self.awaited.ask(self.numbered & !SESSION, Question::Login(source, Box::new(step)), times)
    }

    /// Asks for the renewal of a session. Whoever asks while an answer is awaited waits for the same.
    pub(super) fn renew(
        &mut self,
        source: SourceId,
        (session, sealed): (u64, &str),
        (now, until): (Tick, Tick),
    ) -> Option<u64> {
        let key = session | SESSION;
        if self.awaited.has(key, now) {
            return Some(key);
        }
        let step = LoginStep::Renew { sealed: sealed.into() };
        self.awaited.ask(key, Question::Login(source, Box::new(step)), (now, until))
    }

    /// What came of the renewal of a session.
    pub(super) fn renewed(&self, session: u64, now: Tick) -> Option<&Answer> {
        self.awaited.answer(session | SESSION, now)
    }

    /// What came of a step that only one request waits for.
    pub(super) fn take(&mut self, key: u64) -> Option<Answer> {
        self.awaited.take(key)
    }

    /// The next question that is to be sent.
    pub(super) fn next_question(&mut self) -> Option<(u64, Question)> {
        self.awaited.next_question()
    }

    /// Takes an answer.
    pub(super) fn receive(&mut self, key: u64, answer: Answer) {
        self.awaited.receive(key, answer);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_session_is_renewed_once_for_all_that_wait() {
        let (mut steps, now, until) = (Steps::default(), Tick::ZERO, Tick::ZERO.after(Duration::from_secs(5)));
        let first = steps.renew(SourceId(1), (7, "sealed"), (now, until));
        assert_eq!(steps.renew(SourceId(1), (7, "sealed"), (now, until)), first);
        assert!(steps.next_question().is_some() && steps.next_question().is_none());
        steps.receive(first.expect("room"), Answer::Busy);
        assert_eq!((steps.renewed(7, now), steps.renewed(7, until)), (Some(&Answer::Busy), None));
        steps.renew(SourceId(1), (7, "sealed"), (until, until.after(Duration::from_secs(5))));
        assert!(steps.next_question().is_some(), "an answer that was lost is asked for again");
    }

    #[test]
    fn what_nobody_waits_for_makes_room() {
        let (mut steps, now) = (Steps::default(), Tick::ZERO);
        let begin = || LoginStep::Begin { return_to: "/".into() };
        let until = now.after(Duration::from_secs(1));
        for _ in 0..LOGIN_STEPS_MAX {
            assert!(steps.ask(SourceId(1), begin(), (now, until)).is_some());
        }
        assert_eq!(steps.ask(SourceId(1), begin(), (now, until)), None);
        assert!(steps.ask(SourceId(1), begin(), (until, Tick::NEVER)).is_some());
        steps.receive(u64::MAX, Answer::Busy);
        assert_eq!(steps.take(u64::MAX), None);
    }
}
