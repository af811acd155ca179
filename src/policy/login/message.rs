// SPDX-License-Identifier: Apache-2.0
//! What a policy asks the control plane about a login, and what it is answered. The control plane alone has randomness,
//! speaks with the issuer, and seals.

use std::fmt;

/// A step of a login or of a session.
pub enum LoginStep {
    /// Somebody wants to sign in, and then go there.
    Begin {
        /// A path of the same origin.
        return_to: Box<str>,
    },
    /// The issuer sent the browser back.
    Finish(Box<Returned>),
    /// A session is to be sealed again, with new tokens where they are due.
    Renew {
        /// The session as it is sealed.
        sealed: Box<str>,
    },
    /// Somebody wants to sign out.
    End {
        /// The session as it is sealed, where there is one.
        sealed: Option<Box<str>>,
    },
    /// The issuer says that a session or a subject signed out.
    Notice {
        /// Its logout token.
        token: Box<str>,
    },
}

/// With what the issuer sent the browser back.
pub struct Returned {
    /// What was sealed when the login began.
    pub ticket: Box<str>,
    /// `state`.
    pub state: Box<str>,
    /// `code`, or an error.
    pub outcome: Result<Box<str>, LoginFault>,
    /// `iss` (RFC 9207).
    pub issuer: Option<Box<str>>,
}

impl fmt::Debug for LoginStep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All of it is secret.
        out.write_str(match self {
            LoginStep::Begin { .. } => "LoginStep(begin)",
            LoginStep::Finish(_) => "LoginStep(finish)",
            LoginStep::Renew { .. } => "LoginStep(renew)",
            LoginStep::End { .. } => "LoginStep(end)",
            LoginStep::Notice { .. } => "LoginStep(notice)",
        })
    }
}

/// What came of a step.
#[derive(Clone, PartialEq, Eq)]
pub enum LoginAnswer {
    /// The browser is to go there, with the sealed ticket in a cookie that this `state` names.
    Begun {
        /// The issuer's URL.
        location: Box<str>,
        /// `state`.
        state: Box<str>,
        /// The sealed ticket.
        ticket: Box<str>,
    },
    /// Somebody has signed in.
    Finished {
        /// The sealed session.
        sealed: Box<str>,
        /// Where the browser goes.
        return_to: Box<str>,
    },
    /// The session, sealed again.
    Renewed {
        /// The sealed session.
        sealed: Box<str>,
    },
    /// The session has ended: the issuer renews it no more, or it was revoked.
    Over,
    /// Somebody has signed out.
    Ended {
        /// Where the issuer ends its own session.
        location: Option<Box<str>>,
    },
    /// The issuer's notice was heeded.
    Noticed,
    /// The step is refused.
    Refused(LoginFault),
}

impl fmt::Debug for LoginAnswer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoginAnswer::Begun { .. } => out.write_str("Begun"),
            LoginAnswer::Finished { .. } => out.write_str("Finished"),
            LoginAnswer::Renewed { .. } => out.write_str("Renewed"),
            LoginAnswer::Over => out.write_str("Over"),
            LoginAnswer::Ended { .. } => out.write_str("Ended"),
            LoginAnswer::Noticed => out.write_str("Noticed"),
            LoginAnswer::Refused(fault) => write!(out, "Refused({fault:?})"),
        }
    }
}

/// Why a step is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFault {
    /// The issuer did not let the person in.
    Denied,
    /// The issuer says that something else is wrong.
    Issuer,
    /// What came back is not what an issuer sends.
    Malformed,
    /// This browser has begun no such login, or too long ago.
    Unknown,
    /// The login was ended before.
    Replayed,
    /// Another issuer sent the browser back.
    Mixed,
    /// The issuer's tokens do not do.
    Token,
    /// The session is larger than cookies may be.
    Large,
}
