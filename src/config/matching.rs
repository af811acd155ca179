// SPDX-License-Identifier: Apache-2.0
//! What a value must be (`MatchSpec`), as what is compared.

use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::route::MatchSpec;
use crate::route::{ValueMatch, WholeRegex};

/// Why a text is no matcher.
#[derive(Debug)]
pub(crate) enum Misfit {
    /// Its regular expression is none.
    Regex(Report),
    /// It has no key, or more than one.
    Keys(Report),
}

/// The one matcher that is given.
pub(crate) fn value_match(spec: &Located<MatchSpec>) -> Result<ValueMatch, Box<Misfit>> {
    let MatchSpec { exact, prefix, suffix, contains, regex, present } = &spec.value;
    let boxed = |text: &String| text.as_str().into();
    let mut given: Vec<ValueMatch> = Vec::new();
    given.extend(exact.as_ref().map(|text| ValueMatch::Exact(boxed(text))));
    given.extend(prefix.as_ref().map(|text| ValueMatch::Prefix(boxed(text))));
    given.extend(suffix.as_ref().map(|text| ValueMatch::Suffix(boxed(text))));
    given.extend(contains.as_ref().map(|text| ValueMatch::Contains(boxed(text))));
    given.extend(present.map(|present| if present { ValueMatch::Present } else { ValueMatch::Absent }));
    if let Some(regex) = regex {
        given.push(ValueMatch::Regex(WholeRegex::new(&regex.value).map_err(|fault| {
            Box::new(Misfit::Regex(Report::error(regex.location, "not a regular expression").help(fault.to_string())))
        })?));
    }
    match (given.pop(), given.pop()) {
        (Some(value), None) => Ok(value),
        _ => {
            let report = Report::error(spec.location, "a matcher has exactly one key");
            Err(Box::new(Misfit::Keys(report.help("`exact`, `prefix`, `suffix`, `contains`, `regex` or `present`"))))
        }
    }
}
