// SPDX-License-Identifier: Apache-2.0
//! The time that a limit of a plan counts in.

use crate::config::spec::scalar::{PeriodSpec, Scalar, Time};
use crate::policy::directory::Period;
use crate::policy::limit::calendar::Unit;

impl Default for PeriodSpec {
    fn default() -> PeriodSpec {
        PeriodSpec(Period::Calendar(Unit::Month))
    }
}

impl Scalar for PeriodSpec {
    const NAME: &'static str = "period";
    const EXPECTED: &'static str = "a span such as \"10s\", or \"minute\", \"hour\", \"day\", \"week\" or \"month\"";

    fn parse(text: &str) -> Result<PeriodSpec, String> {
        if let Some(unit) = Period::UNITS.iter().find(|unit| unit.name() == text) {
            return Ok(PeriodSpec(Period::Calendar(*unit)));
        }
        let Time(span) = Time::parse(text)?;
        if span.is_zero() {
            return Err("nothing fits into no time".to_owned());
        }
        Ok(PeriodSpec(Period::Rolling(span)))
    }

    fn show(&self) -> String {
        match self.0 {
            Period::Calendar(unit) => unit.name().to_owned(),
            Period::Rolling(span) => Time(span).show(),
        }
    }
}
