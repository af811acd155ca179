// SPDX-License-Identifier: Apache-2.0
//! Hot. Which requests a rule of `authorize` takes: by method, and by the normalised path.

use crate::policy::authorize::requirement::Requirement;
use crate::route::PathPattern;
use crate::wire::head::Request;

/// What is required of some requests.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Methods, of which `GET` includes `HEAD`; empty for all.
    pub methods: Box<[Box<str>]>,
    /// Paths; empty for all.
    pub paths: Box<[PathRule]>,
    /// What is required.
    pub requirement: Requirement,
}

/// Which paths.
#[derive(Clone, Debug)]
pub struct PathRule {
    /// The pattern, in lower case where case is ignored.
    pub pattern: PathPattern,
    /// Is the case of letters compared?
    pub case: Case,
}

/// Is the case of letters compared?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// It is.
    Compared,
    /// It is not: for origins that take `/Admin` for `/admin`.
    Ignored,
}

impl Rule {
    /// Does it take the request? `lower` is its path in lower case, where a rule ignores case.
    pub fn takes(&self, request: Request<'_>, path: &[u8], lower: &[u8]) -> bool {
        let method = request.method_text();
        let named = |own: &str| own.as_bytes() == method || (own == "GET" && method == b"HEAD");
        let of_path = |rule: &PathRule| match rule.case {
            Case::Compared => rule.pattern.takes(path),
            Case::Ignored => rule.pattern.takes(lower),
        };
        (self.methods.is_empty() || self.methods.iter().any(|own| named(own)))
            && (self.paths.is_empty() || self.paths.iter().any(of_path))
    }

    /// Does it depend on the method?
    pub fn looks_at_method(&self) -> bool {
        !self.methods.is_empty()
    }

    /// Does it depend on the path?
    pub fn looks_at_path(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Does it compare without regard to case?
    pub fn ignores_case(&self) -> bool {
        self.paths.iter().any(|path| path.case == Case::Ignored)
    }
}
