//! The first five seconds: is data flowing, how late is it, is anything lost, what do I press? Pure.

use cdc_control::v1::{Projection, State};

use crate::format::{self, Quantity};
use crate::ladder::Ladder;
use crate::moment::{CAPTURE, Moment};
use crate::outlook::Outlook;

mod trouble;

pub(crate) use trouble::{Press, Trouble};

/// How something stands: shown as colour, shape and word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tone {
    Ok,
    /// On its way there: starting, a snapshot.
    Busy,
    Unknown,
    /// Held by an operator.
    Paused,
    Behind,
    Halted,
}

impl Tone {
    /// Returns how a loop's state is shown.
    pub(crate) fn of(state: State) -> Self {
        match state {
            State::Running => Self::Ok,
            State::Starting | State::Snapshot => Self::Busy,
            State::Waiting => Self::Behind,
            State::Paused => Self::Paused,
            State::Halted => Self::Halted,
            State::Stopped | State::Unspecified => Self::Unknown,
        }
    }
}

/// One of the three answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) tone: Tone,
    pub(crate) words: String,
    pub(crate) detail: String,
    /// What was verified and how long ago; the page of the source has more of it.
    pub(crate) proof: Option<String>,
}

impl Claim {
    fn new(tone: Tone, words: impl Into<String>, detail: String) -> Self {
        Self { tone, words: words.into(), detail, proof: None }
    }
}

/// The first screen's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Headline {
    pub(crate) flow: Claim,
    pub(crate) late: Claim,
    pub(crate) safe: Claim,
    /// The worst first.
    pub(crate) troubles: Vec<Trouble>,
}

/// A projection that is later than this is behind.
const BEHIND_SECONDS: f64 = 10.0;

/// One that does not run is behind as soon as it can be told.
const HELD_SECONDS: f64 = 1.0;

/// A slot that is lost sooner than this needs somebody.
const HEADROOM_SECONDS_MIN: f64 = 6.0 * 3_600.0;

/// Without an event for this long, the source is quiet.
const QUIET_MS: u64 = 5_000;

impl Headline {
    /// Reads it off a moment.
    pub(crate) fn of(moment: &Moment) -> Self {
        let mut troubles = trouble::troubles(moment);
        troubles.sort_by_key(|trouble| std::cmp::Reverse(trouble.tone));
        Self { flow: flow(moment), late: late(moment), safe: safe(moment), troubles }
    }

    /// Returns the words without their numbers, for a screen reader.
    pub(crate) fn announcement(&self) -> String {
        let late = if self.late.tone == Tone::Ok { "on time" } else { self.late.words.as_str() };
        let trouble = self.troubles.first().map_or("", |trouble| trouble.what.as_str());
        format!("{}, {late}, {}. {trouble}", self.flow.words, self.safe.words).trim().to_owned()
    }
}

fn flow(moment: &Moment) -> Claim {
    let claim = |tone, words: &str, detail: String| Claim::new(tone, words, detail);
    if moment.seats.is_empty() {
        return claim(Tone::Unknown, "Nothing is asked", "no control endpoint is set".to_owned());
    }
    if moment.is_silent() {
        let detail = moment.newest_ms().map_or_else(
            || "it has not answered since this page started".to_owned(),
            |at| format!("last answer at {}", format::absolute(at)),
        );
        let word = if moment.is_complete { "No answer" } else { "Connecting" };
        return claim(Tone::Unknown, word, detail);
    }
    let states = || {
        let capture = moment.capture().map(|capture| (CAPTURE, capture.state()));
        let projections = moment.status.projections.iter();
        let all = capture.into_iter().chain(projections.map(|p| (p.name.as_str(), p.state())));
        all.filter(|(part, state)| *state == State::Halted || !moment.is_stale(part))
    };
    let named = |state| {
        let names: Vec<&str> =
            states().filter(|(_, found)| *found == state).map(|(name, _)| name).collect();
        (!names.is_empty()).then(|| list(&names))
    };
    if let Some(names) = named(State::Halted) {
        return claim(Tone::Halted, "Halted", names);
    }
    if let Some(names) = named(State::Paused) {
        return claim(Tone::Paused, "Paused", names);
    }
    if let Some(names) = named(State::Waiting) {
        return claim(Tone::Behind, "Waiting", names);
    }
    let Some(capture) = moment.capture() else {
        let detail = "no process that is asked runs capture".to_owned();
        return claim(Tone::Unknown, "No capture", detail);
    };
    if moment.is_stale(CAPTURE) {
        let seen = moment.absent().filter(|seat| seat.label() == CAPTURE);
        let seen = seen.filter_map(|seat| seat.seen_ms).max();
        let detail =
            seen.map_or_else(String::new, |at| format!("last answer at {}", format::absolute(at)));
        return claim(Tone::Behind, "Capture is silent", detail);
    }
    let rate = format::rate(capture.events_per_second, "events/s").text();
    let age = capture.last_commit_age_ms;
    let last = age.map(|ms| format!("last one {} ago", format::millis(format::real(ms)).text()));
    match capture.state() {
        State::Starting => claim(Tone::Busy, "Starting", phase(moment)),
        State::Snapshot => claim(Tone::Busy, "Snapshot", format!("{rate}, {}", phase(moment))),
        State::Stopped => claim(Tone::Unknown, "Stopped", CAPTURE.to_owned()),
        _ if capture.events == 0 => {
            claim(Tone::Ok, "Ready", "no change has been committed yet".to_owned())
        }
        _ if age.is_some_and(|ms| ms > QUIET_MS) && capture.events_per_second < 0.05 => {
            claim(Tone::Ok, "Quiet", last.unwrap_or_default())
        }
        _ => claim(Tone::Ok, "Flowing", join(&[Some(rate), last])),
    }
}

fn phase(moment: &Moment) -> String {
    moment.status.source.as_ref().map(|source| source.phase.clone()).unwrap_or_default()
}

fn late(moment: &Moment) -> Claim {
    let claim = |tone, words: String, detail| Claim::new(tone, words, detail);
    let projections = moment.status.projections.iter().filter(|p| !moment.is_stale(&p.name));
    let projections: Vec<&Projection> = projections.collect();
    let lag = |p: &&Projection| p.lag_seconds.unwrap_or(-1.0);
    let worst = projections.iter().copied().max_by(|a, b| lag(a).total_cmp(&lag(b)));
    let limit =
        |p: &Projection| if p.state() == State::Running { BEHIND_SECONDS } else { HELD_SECONDS };
    if let Some(worst) = worst.filter(|p| p.lag_seconds.is_some_and(|s| s > limit(p))) {
        let seconds = worst.lag_seconds.unwrap_or_default();
        let words = format!("{} behind", format::seconds(seconds).text());
        let to_go = worst.lag_records.map(|records| {
            let noun = if records == 1 { "record" } else { "records" };
            format!("{} {noun} to go", format::group(records))
        });
        let tone = match worst.state() {
            State::Halted => Tone::Halted,
            State::Paused => Tone::Paused,
            _ => Tone::Behind,
        };
        return claim(tone, words, join(&[Some(worst.name.clone()), to_go, time_to_go(worst)]));
    }
    if projections.is_empty() && !moment.status.projections.is_empty() {
        let detail = "no projection answers".to_owned();
        return claim(Tone::Unknown, "Lag not known".to_owned(), detail);
    }
    let p50 = |p: &&Projection| p.latency_p50_ms.unwrap_or(-1.0);
    let slowest = projections.iter().copied().max_by(|a, b| p50(a).total_cmp(&p50(b)));
    let capture = moment.capture().filter(|_| !moment.is_stale(CAPTURE));
    let (p50, p99) = slowest
        .filter(|p| p.latency_p50_ms.is_some())
        .map(|p| (p.latency_p50_ms, p.latency_p99_ms))
        .or_else(|| capture.map(|c| (c.latency_p50_ms, c.latency_p99_ms)))
        .unwrap_or_default();
    let Some(p50) = p50 else {
        let detail = "no change was measured from commit until visible yet".to_owned();
        return claim(Tone::Unknown, "Lag not known".to_owned(), detail);
    };
    let p99 = p99.map(|ms| format!("p99 {}", format::millis(ms).text()));
    let rung = Ladder::of(moment).slowest.map(|step| format!("slowest: {step}"));
    claim(Tone::Ok, format!("{} behind", format::millis(p50).text()), join(&[p99, rung]))
}

/// How long a projection needs for what it lacks, at its present rate.
fn time_to_go(projection: &Projection) -> Option<String> {
    let records = format::real(projection.lag_records?);
    let rate = projection.events_per_second;
    (rate > 0.0 && projection.state() == State::Running)
        .then(|| format!("about {} at this rate", format::seconds(records / rate).text()))
}

/// A check passes within seconds while all flows, and within a minute while the source is idle.
const VERIFIED_MS_MAX: i64 = 120_000;

fn safe(moment: &Moment) -> Claim {
    let proof = moment.verified_ago_ms().map(|ms| match ms {
        ..1_000 => "verified just now".to_owned(),
        ms => format!(
            "verified {} ago",
            format::millis(format::real_signed(ms / 1_000 * 1_000)).text()
        ),
    });
    Claim { proof: proof.filter(|_| !moment.is_silent()), ..unproved(moment) }
}

fn unproved(moment: &Moment) -> Claim {
    let claim = |tone, words: &str, detail| Claim::new(tone, words, detail);
    let letters = moment.dead_letters();
    let source = moment.status.source.as_ref();
    if moment.is_silent() || moment.status.projections.is_empty() && source.is_none() {
        return claim(Tone::Unknown, "Not known", "nothing tells what is lost".to_owned());
    }
    let headroom = headroom(moment);
    let halts = moment.capture().into_iter().filter_map(|capture| capture.halt.as_ref());
    if let Some(halt) = halts.into_iter().find(|halt| halt.code.contains("SLOT")) {
        return claim(Tone::Halted, "Changes may be lost", halt.code.clone());
    }
    if moment.outlook == Outlook::Lost {
        return claim(Tone::Halted, "Slot at its limit", headroom);
    }
    if let Outlook::Left(seconds) = moment.outlook
        && seconds < HEADROOM_SECONDS_MIN
    {
        let words = format!("Slot lost in {}", format::seconds(seconds).text());
        return claim(Tone::Behind, &words, headroom);
    }
    if letters > 0 {
        let words = format!("{} parked", format::plural(letters, "record"));
        let keys: u64 = moment.status.projections.iter().map(|p| p.parked_keys).sum();
        let detail = format!("of {}; none is thrown away", format::plural(keys, "key"));
        return claim(Tone::Behind, &words, join(&[Some(detail), Some(headroom)]));
    }
    let uncaptured = source.map_or(0, |source| source.uncaptured_tables.len());
    if uncaptured > 0 {
        let count = u64::try_from(uncaptured).unwrap_or(u64::MAX);
        let words = format!("{} not captured", format::plural(count, "table"));
        return claim(Tone::Behind, &words, headroom);
    }
    let detail = join(&[Some("0 dead letters".to_owned()), Some(headroom)]);
    let last = moment.verification.last.as_ref();
    match (last, moment.verified_ago_ms()) {
        (Some(_), Some(ms)) if ms <= VERIFIED_MS_MAX && moment.stale.is_empty() => {
            claim(Tone::Ok, "Nothing lost", detail)
        }
        (Some(last), _) => {
            let time: String = format::absolute(last.at_ms).chars().skip(11).take(8).collect();
            claim(Tone::Unknown, &format!("Nothing lost until {time} UTC"), detail)
        }
        (None, _) => claim(Tone::Unknown, "Not verified yet", detail),
    }
}

/// Tells how long the slot lasts.
pub(crate) fn headroom(moment: &Moment) -> String {
    let Some(source) = &moment.status.source else { return String::new() };
    let safe = source.safe_wal_bytes.and_then(|bytes| u64::try_from(bytes).ok());
    let left = safe.map(|bytes| format::bytes(bytes).text());
    match (moment.outlook, left) {
        (Outlook::Unlimited, _) if source.retained_wal_bytes.is_none() => String::new(),
        (Outlook::Unlimited, _) => "WAL without a limit".to_owned(),
        (Outlook::Lost, _) => "no WAL headroom left".to_owned(),
        (Outlook::Left(seconds), _) => {
            format!("WAL headroom {}", format::seconds(seconds).text())
        }
        (Outlook::Steady | Outlook::Unknown, Some(left)) => format!("WAL headroom {left}"),
        (Outlook::Steady | Outlook::Unknown, None) => String::new(),
    }
}

/// Names up to three, and how many more.
fn list(names: &[&str]) -> String {
    let shown = names.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(3) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn join(parts: &[Option<String>]) -> String {
    let parts: Vec<&str> =
        parts.iter().flatten().map(String::as_str).filter(|part| !part.is_empty()).collect();
    parts.join(" · ")
}

/// Returns what a projection lacks, as a share of the log.
pub(crate) fn synced(projection: &Projection) -> Option<Quantity> {
    format::percent(projection.records_applied, projection.records_total)
}

#[cfg(test)]
mod tests;
