//! What was measured, as aligned text or as JSON: medians first, each with its ratio to the
//! control, then every run.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "benchmarks print their results")]

use serde_json::{Value as Json, json};

/// One measured run of one leg.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Which leg.
    pub(crate) leg: String,
    /// Named figures, in the order of the columns; names carry the unit.
    pub(crate) figures: Vec<(&'static str, f64)>,
}

/// The figure that ratios are taken of.
pub(crate) const RATE: &str = "rows/s";

/// All runs of one benchmark.
#[derive(Debug)]
pub(crate) struct Report {
    title: String,
    /// The leg that others are compared with, by which figure.
    control: Option<(String, &'static str)>,
    runs: Vec<Run>,
}

impl Run {
    /// Makes a run of `rows` rows and `bytes` bytes in `seconds`.
    pub(crate) fn timed(leg: impl Into<String>, rows: u64, bytes: u64, seconds: f64) -> Self {
        let (rows, bytes) = (rows as f64, bytes as f64);
        let figures =
            vec![("rows", rows), ("MB", bytes / 1e6), ("seconds", seconds), (RATE, rows / seconds)];
        Self { leg: leg.into(), figures }
    }

    /// Makes a run with figures of its own.
    pub(crate) fn of(leg: impl Into<String>, figures: Vec<(&'static str, f64)>) -> Self {
        Self { leg: leg.into(), figures }
    }

    /// Adds a figure.
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.figures.push((name, value));
        self
    }

    /// Returns a figure.
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
    }
}

impl Report {
    /// Makes an empty report.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), control: None, runs: Vec::new() }
    }

    /// Names the leg that others are compared with.
    pub(crate) fn compared_with(mut self, leg: impl Into<String>, figure: &'static str) -> Self {
        self.control = Some((leg.into(), figure));
        self
    }

    /// Adds a run, and says so.
    pub(crate) fn add(&mut self, run: Run) {
        let shown = run.figures.iter().map(|(name, value)| format!("{name} {}", number(*value)));
        eprintln!("  {}: {}", run.leg, shown.collect::<Vec<_>>().join(", "));
        self.runs.push(run);
    }

    /// Prints everything.
    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            println!("{:#}", self.json());
            return;
        }
        println!("\n{}\n\nMedians", self.title);
        self.table(&self.medians());
        if self.runs.len() > self.legs().len() {
            println!("\nRuns");
            self.table(&self.runs);
        }
    }

    fn legs(&self) -> Vec<&str> {
        let mut legs: Vec<&str> = Vec::new();
        for run in &self.runs {
            if !legs.contains(&&*run.leg) {
                legs.push(&run.leg);
            }
        }
        legs
    }

    fn columns(&self) -> Vec<&'static str> {
        let mut columns = Vec::new();
        for (name, _) in self.runs.iter().flat_map(|run| &run.figures) {
            if !columns.contains(name) {
                columns.push(*name);
            }
        }
        columns
    }

    fn medians(&self) -> Vec<Run> {
        let of_leg = |leg: &str| {
            let runs: Vec<&Run> = self.runs.iter().filter(|run| run.leg == leg).collect();
            let figure = |name: &&'static str| {
                let mut values: Vec<f64> = runs.iter().filter_map(|run| run.figure(name)).collect();
                values.sort_by(f64::total_cmp);
                values.get(values.len() / 2).map(|middle| (*name, *middle))
            };
            Run::of(leg, self.columns().iter().filter_map(figure).collect())
        };
        let mut medians: Vec<Run> = self.legs().into_iter().map(of_leg).collect();
        let control = self.control.as_ref().and_then(|(leg, figure)| {
            let run = medians.iter().find(|run| run.leg == *leg)?;
            Some((*figure, run.figure(figure)?))
        });
        if let Some((figure, of_control)) = control {
            for run in &mut medians {
                if let Some(value) = run.figure(figure) {
                    run.figures.insert(0, ("ratio", value / of_control));
                }
            }
        }
        medians
    }

    fn table(&self, runs: &[Run]) {
        let mut columns = self.columns();
        if runs.iter().any(|run| run.figure("ratio").is_some()) {
            columns.insert(0, "ratio");
        }
        let legs = runs.iter().map(|run| run.leg.len()).max().unwrap_or(0);
        let cell = |run: &Run, name: &str| run.figure(name).map_or("–".to_owned(), number);
        let width = |name: &&str| {
            let cells = runs.iter().map(|run| cell(run, name).chars().count());
            cells.chain([name.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = columns.iter().map(width).collect();
        print!("  {:legs$}", "");
        for (name, width) in columns.iter().zip(&widths) {
            print!("  {name:>width$}");
        }
        println!();
        for run in runs {
            print!("  {:legs$}", run.leg);
            for (name, width) in columns.iter().zip(&widths) {
                print!("  {:>width$}", cell(run, name));
            }
            println!();
        }
    }

    fn json(&self) -> Json {
        let run = |run: &Run| {
            let figures =
                run.figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
            json!({ "leg": run.leg, "figures": Json::Object(figures.collect()) })
        };
        let all = |runs: &[Run]| runs.iter().map(run).collect::<Vec<_>>();
        json!({
            "bench": self.title,
            "control": self.control.as_ref().map(|(leg, _)| leg),
            "medians": all(&self.medians()),
            "runs": all(&self.runs),
        })
    }
}

/// Says what is going on.
pub(crate) fn note(what: &str) {
    eprintln!("{what}");
}

/// Says why there is no result.
pub(crate) fn fail(error: &anyhow::Error) {
    eprintln!("bench: {error:#}");
}

/// Three significant digits, thousands grouped.
fn number(value: f64) -> String {
    if value.abs() >= 1000.0 {
        let digits = format!("{value:.0}");
        let mut grouped = String::new();
        for (index, digit) in digits.chars().enumerate() {
            let rest = digits.len() - index;
            if index > 0 && rest.is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        return grouped;
    }
    let decimals = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}
