// SPDX-License-Identifier: Apache-2.0
//! The Prometheus text format (version 0.0.4), written into a `String`: families with their help and type, samples
//! with labels, histograms made cumulative.
//!
//! It keeps what the format demands of its users: a family's samples stand together below one `HELP` and one `TYPE`,
//! label values and help texts are escaped, counters end in `_total`.

use std::fmt::Write;

/// The `Content-Type` of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by bucket, with a sum.
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }

    /// The type of a metric by its name: names that end in `_total` are counters, all others are gauges.
    pub(crate) fn of_name(name: &str) -> Kind {
        if name.ends_with("_total") { Kind::Counter } else { Kind::Gauge }
    }
}

/// One label of a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a>(pub &'static str, pub &'a str);

/// A text under construction.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
}

impl Exposition {
    /// An empty text.
    pub(crate) fn new() -> Exposition {
        Exposition::default()
    }

    /// Begins a family; its samples follow on what this returns.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        debug_assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
        let _ = write!(self.text, "# HELP {name} ");
        escape(&mut self.text, help, Quotes::Plain);
        let _ = writeln!(self.text, "\n# TYPE {name} {}", kind.name());
        Family { text: &mut self.text, name: name.to_owned() }
    }

    /// A family with a single sample without labels.
    pub(crate) fn single(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// The finished text.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// A family that takes samples.
#[derive(Debug)]
pub(crate) struct Family<'a> {
    text: &'a mut String,
    name: String,
}

impl Family<'_> {
    /// One sample.
    pub(crate) fn sample(&mut self, labels: &[Label<'_>], value: f64) {
        line(self.text, &self.name, labels, value);
    }

    /// One sample of a count, exact up to the last digit.
    pub(crate) fn count(&mut self, labels: &[Label<'_>], value: u64) {
        head(self.text, &self.name, labels);
        let _ = writeln!(self.text, " {value}");
    }

    /// One histogram: upper bounds of the buckets as they are written, counts by bucket (not cumulative, one more than
    /// bounds) and the sum.
    pub(crate) fn histogram(&mut self, labels: &[Label<'_>], bounds: &[String], counts: &[u64], sum: f64) {
        debug_assert_eq!(bounds.len() + 1, counts.len());
        let mut all = String::new();
        labels_inside(&mut all, labels);
        if !labels.is_empty() {
            all.push(',');
        }
        let mut total = 0;
        for (place, count) in counts.iter().enumerate() {
            total += count;
            let bound = bounds.get(place).map_or("+Inf", |bound| bound);
            let _ = writeln!(self.text, "{}_bucket{{{all}le=\"{bound}\"}} {total}", self.name);
        }
        line(self.text, &format!("{}_sum", self.name), labels, sum);
        line(self.text, &format!("{}_count", self.name), labels, total as f64);
    }
}

fn line(text: &mut String, name: &str, labels: &[Label<'_>], value: f64) {
    head(text, name, labels);
    let _ = writeln!(text, " {value}");
}

fn head(text: &mut String, name: &str, labels: &[Label<'_>]) {
    text.push_str(name);
    if !labels.is_empty() {
        text.push('{');
        labels_inside(text, labels);
        text.push('}');
    }
}

fn labels_inside(text: &mut String, labels: &[Label<'_>]) {
    for (place, Label(label, value)) in labels.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(label);
        text.push_str("=\"");
        escape(text, value, Quotes::Escaped);
        text.push('"');
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Plain,
    Escaped,
}

fn escape(text: &mut String, raw: &str, quotes: Quotes) {
    if !raw.bytes().any(|byte| matches!(byte, b'\\' | b'\n' | b'"')) {
        return text.push_str(raw);
    }
    for letter in raw.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes == Quotes::Escaped => text.push_str("\\\""),
            other => text.push(other),
        }
    }
}

/// A strict reader of the format, for tests of everything that writes it.
#[cfg(test)]
pub(crate) mod strict {
    use std::collections::{BTreeMap, BTreeSet};

    /// Sample name and sorted labels to value.
    #[derive(Debug, Default)]
    pub(crate) struct Parsed {
        /// Families by name, with their type.
        pub families: BTreeMap<String, String>,
        /// All samples; the key is written as `name{label="value",…}` with labels in their order in the text.
        pub samples: BTreeMap<String, f64>,
    }

    /// Reads `text` as a linter would and fails on what one would complain about.
    pub(crate) fn parse(text: &str) -> Result<Parsed, String> {
        let mut parsed = Parsed::default();
        let mut closed = BTreeSet::new();
        let (mut current, mut helped) = (String::new(), String::new());
        if !text.ends_with('\n') {
            return Err("the last line has no end".into());
        }
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or("HELP without a text")?;
                if help.trim().is_empty() || !closed.insert(name.to_owned()) {
                    return Err(format!("{name}: empty or second HELP"));
                }
                helped = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or("TYPE without a kind")?;
                check_family(name, kind, &helped)?;
                current = name.to_owned();
                parsed.families.insert(current.clone(), kind.to_owned());
            } else {
                let (key, value) = line.rsplit_once(' ').ok_or_else(|| format!("no value: {line}"))?;
                let value: f64 = value.parse().map_err(|_| format!("no number: {line}"))?;
                check_sample(key, &current, &parsed.families)?;
                if parsed.samples.insert(key.to_owned(), value).is_some() {
                    return Err(format!("twice: {key}"));
                }
            }
        }
        check_histograms(&parsed)?;
        Ok(parsed)
    }

    fn check_family(name: &str, kind: &str, helped: &str) -> Result<(), String> {
        if name != helped {
            return Err(format!("{name}: TYPE without its HELP"));
        }
        let good_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let total = name.ends_with("_total");
        let unit = !name.ends_with("_ms") && !name.ends_with("_micros") && !name.ends_with("_milliseconds");
        match kind {
            "counter" if total && good_name && unit => Ok(()),
            "gauge" | "histogram" if !total && good_name && unit => Ok(()),
            other => Err(format!("{name}: bad name for a {other}")),
        }
    }

    fn check_sample(key: &str, current: &str, families: &BTreeMap<String, String>) -> Result<(), String> {
        let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
        let family = match families.get(current).map(String::as_str) {
            Some("histogram") => {
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or("")
            }
            _ => name,
        };
        if family != current {
            return Err(format!("{key}: stands in the family {current}"));
        }
        let mut rest = labels;
        let mut seen = BTreeSet::new();
        while rest != "}" {
            let (label, behind) = rest.split_once("=\"").ok_or_else(|| format!("{key}: bad labels"))?;
            if label.is_empty() || !seen.insert(label.to_owned()) {
                return Err(format!("{key}: bad label {label}"));
            }
            let end = end_of_value(behind).ok_or_else(|| format!("{key}: value without end"))?;
            rest = behind[end + 1..].strip_prefix(',').unwrap_or(&behind[end + 1..]);
        }
        Ok(())
    }

    fn end_of_value(text: &str) -> Option<usize> {
        let mut escaped = false;
        text.bytes().position(|byte| {
            let end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            end
        })
    }

    fn check_histograms(parsed: &Parsed) -> Result<(), String> {
        for (name, _) in parsed.families.iter().filter(|(_, kind)| *kind == "histogram") {
            let prefix = format!("{name}_count");
            let counts = parsed.samples.iter().filter(|(key, _)| key.split('{').next() == Some(&prefix));
            for (key, count) in counts {
                let labels = key[prefix.len()..].trim_start_matches('{').trim_end_matches('}');
                let mut buckets: Vec<(f64, f64)> = Vec::new();
                let start = format!("{name}_bucket{{{labels}{}le=\"", if labels.is_empty() { "" } else { "," });
                for (key, value) in &parsed.samples {
                    if let Some(bound) = key.strip_prefix(&start) {
                        let bound = bound.trim_end_matches("\"}");
                        buckets.push((bound.parse().map_err(|_| format!("bad bound in {key}"))?, *value));
                    }
                }
                buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
                let grows = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
                if !grows || buckets.last() != Some(&(f64::INFINITY, *count)) {
                    return Err(format!("{key}: buckets do not add up"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_a_strict_reader_accepts() {
        let mut out = Exposition::new();
        let mut family = out.family("a_requests_total", Kind::Counter, "With \\ and\nline.");
        family.count(&[Label("route", "say \"hi\"\\\n"), Label("class", "2xx")], u64::MAX);
        family.count(&[], 3);
        out.family("a_wait_seconds", Kind::Histogram, "Waits.").histogram(
            &[Label("route", "x")],
            &["0.1".to_owned(), "1".to_owned()],
            &[1, 2, 4],
            2.5,
        );
        out.single("a_level", Kind::Gauge, "Level.", -0.5);
        let text = out.finish();
        let parsed = strict::parse(&text).expect("well formed");
        assert_eq!(parsed.samples["a_wait_seconds_bucket{route=\"x\",le=\"1\"}"], 3.0);
        assert_eq!(parsed.samples["a_wait_seconds_count{route=\"x\"}"], 7.0);
        assert_eq!(parsed.samples["a_level"], -0.5);
        assert!(
            text.contains("a_requests_total{route=\"say \\\"hi\\\"\\\\\\n\",class=\"2xx\"} 18446744073709551615\n")
        );
        assert!(text.contains("# HELP a_requests_total With \\\\ and\\nline.\n"));
    }

    #[test]
    fn the_strict_reader_refuses_what_is_wrong() {
        let family = "# HELP a_total A.\n# TYPE a_total counter\n";
        for wrong in [
            "a_total 1\n",
            "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n",
            &format!("{family}b_total 1\n"),
            &format!("{family}a_total 1"),
            &format!("{family}a_total{{x=\"1}} 1\n"),
            &format!("{family}a_total 1\na_total 1\n"),
            "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 2\nh_sum 1\n",
        ] {
            assert!(strict::parse(wrong).is_err(), "{wrong}");
        }
    }
}
