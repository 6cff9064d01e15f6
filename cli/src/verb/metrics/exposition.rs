//! The text that Prometheus reads: OpenMetrics 1.0, or its predecessor, the Prometheus text format 0.0.4, which is all
//! that node_exporter takes from files. They differ in where a counter's `_total` stands, and in what each has besides.

use std::fmt::{Display, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// OpenMetrics 1.0.
    Openmetrics,
    /// The Prometheus text format 0.0.4.
    Prometheus,
}

impl Format {
    /// As HTTP names it.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Openmetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A name, and what it is.
pub type Label<'a> = (&'static str, &'a str);

/// A family of metrics.
#[derive(Debug, Clone, Copy)]
pub struct Family<'a> {
    /// Without a counter's `_total`.
    pub name: &'a str,
    /// What its figures do.
    pub kind: Kind,
    /// What it says, in one line.
    pub help: &'a str,
    /// Since when a counter counts, where that is known.
    pub since: Option<SystemTime>,
}

/// What the figures of a family do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They go up only.
    Counter,
    /// They go up and down.
    Gauge,
    /// They are counted by their size.
    Histogram,
}

/// The text as far as it has come.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    text: String,
}

impl Exposition {
    pub fn new(format: Format) -> Exposition {
        Exposition {
            format,
            text: String::new(),
        }
    }

    /// Writes a family, if there is anything in it.
    pub fn family<'a, V: Display>(
        &mut self,
        family: Family<'_>,
        samples: impl IntoIterator<Item = (Vec<Label<'a>>, Option<V>)>,
    ) {
        let mut begun = false;
        for (labels, value) in samples {
            let Some(value) = value else { continue };
            if !begun {
                self.head(family);
                begun = true;
            }
            let suffix = match family.kind {
                Kind::Counter => "_total",
                Kind::Gauge | Kind::Histogram => "",
            };
            self.sample(family.name, suffix, &labels, value);
            self.created(family.name, &labels, family.since);
        }
    }

    /// Beside what it is about: all that has the same labels stands together.
    fn created(&mut self, name: &str, labels: &[Label<'_>], since: Option<SystemTime>) {
        let since = since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
        if let Some(since) = since.filter(|_| self.format == Format::Openmetrics) {
            self.sample(name, "_created", labels, since.as_secs_f64());
        }
    }

    /// Writes a histogram without labels. `counts` are those between the bounds, and one more beyond the last.
    pub fn histogram(
        &mut self,
        family: Family<'_>,
        bounds: impl Iterator<Item = f64>,
        counts: impl Iterator<Item = u64>,
        sum: f64,
    ) {
        let Family { name, since, .. } = family;
        self.head(family);
        let mut total = 0_u64;
        let bounds = bounds.map(|bound| format!("{bound:?}"));
        for (bound, count) in bounds.chain(["+Inf".into()]).zip(counts) {
            total = total.saturating_add(count);
            self.sample(name, "_bucket", &[("le", &bound)], total);
        }
        self.sample(name, "_sum", &[], sum);
        self.sample(name, "_count", &[], total);
        self.created(name, &[], since);
    }

    pub fn finish(mut self) -> String {
        if self.format == Format::Openmetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn head(&mut self, family: Family<'_>) {
        let Family {
            name, kind, help, ..
        } = family;
        let (kind, suffix) = match (kind, self.format) {
            (Kind::Counter, Format::Openmetrics) => ("counter", ""),
            (Kind::Counter, Format::Prometheus) => ("counter", "_total"),
            (Kind::Gauge, _) => ("gauge", ""),
            (Kind::Histogram, _) => ("histogram", ""),
        };
        let _ = writeln!(self.text, "# TYPE {name}{suffix} {kind}"); // a string takes all
        let unit = ["seconds", "bytes"]
            .into_iter()
            .find(|unit| name.ends_with(unit));
        if let Some(unit) = unit.filter(|_| self.format == Format::Openmetrics) {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.text, "# HELP {name}{suffix} {help}");
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &[Label<'_>], value: impl Display) {
        let _ = write!(self.text, "{name}{suffix}");
        for (nth, (label, text)) in labels.iter().enumerate() {
            let before = if nth == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(text));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{after} {value}");
    }
}

/// A label's value. All that is escaped in either format; any other character may stand for itself.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\");
    text.replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn text(format: Format) -> String {
        let mut exposition = Exposition::new(format);
        let family = |name, kind| Family {
            name,
            kind,
            help: "Help.",
            since: (kind != Kind::Gauge).then(|| UNIX_EPOCH + Duration::from_millis(1500)),
        };
        let labels = vec![("user", "a\\b\"c\nd"), ("uid", "7")];
        let both = [(labels, Some(1.5)), (vec![], Some(2.0))];
        exposition.family(family("x_seconds", Kind::Counter), both);
        let one = [(vec![], Some(2)), (vec![], None)];
        exposition.family(family("y", Kind::Gauge), one);
        exposition.family(family("nothing", Kind::Gauge), [(vec![], None::<u64>)]);
        exposition.histogram(
            family("h", Kind::Histogram),
            [0.001, 1.0].into_iter(),
            [1, 2, 3].into_iter(),
            9.5,
        );
        exposition.finish()
    }

    #[test]
    fn openmetrics_has_total_on_the_sample_alone() {
        assert_eq!(
            text(Format::Openmetrics),
            "\
# TYPE x_seconds counter
# UNIT x_seconds seconds
# HELP x_seconds Help.
x_seconds_total{user=\"a\\\\b\\\"c\\nd\",uid=\"7\"} 1.5
x_seconds_created{user=\"a\\\\b\\\"c\\nd\",uid=\"7\"} 1.5
x_seconds_total 2
x_seconds_created 1.5
# TYPE y gauge
# HELP y Help.
y 2
# TYPE h histogram
# HELP h Help.
h_bucket{le=\"0.001\"} 1
h_bucket{le=\"1.0\"} 3
h_bucket{le=\"+Inf\"} 6
h_sum 9.5
h_count 6
h_created 1.5
# EOF
"
        );
    }

    #[test]
    fn the_older_text_has_total_in_the_name() {
        let text = text(Format::Prometheus);
        assert!(text.starts_with(
            "# TYPE x_seconds_total counter\n# HELP x_seconds_total Help.\nx_seconds_total{user="
        ));
        for word in ["EOF", "UNIT", "_created"] {
            assert!(!text.contains(word), "{text}");
        }
    }
}
