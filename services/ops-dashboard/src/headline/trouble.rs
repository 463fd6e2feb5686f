//! What is not as it should be: what happened, what it means, and the one thing to press. Pure.

use cdc_control::v1::{Capture, Halt, Projection, Service, State};

use super::{HEADROOM_SECONDS_MIN, Tone, headroom, list};
use crate::format;
use crate::moment::{CAPTURE, Moment, Seat};
use crate::outlook::Outlook;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) tone: Tone,
    pub(crate) what: String,
    pub(crate) since_ms: Option<i64>,
    /// What happened, in the process's own words.
    pub(crate) reason: String,
    /// What it means, and for whom.
    pub(crate) meaning: String,
    /// What to do.
    pub(crate) remedy: String,
    /// A page or a part to go on from.
    pub(crate) press: Option<Press>,
}

/// The one thing to press.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Press {
    /// Resumes what is named.
    Resume(String),
    /// Goes to a page: label and address.
    Go(&'static str, String),
}

/// Returns what is not as it should be, in the order of the way.
pub(super) fn troubles(moment: &Moment) -> Vec<Trouble> {
    let mut troubles: Vec<Trouble> =
        moment.absent().filter_map(|seat| absence(seat, moment.is_silent())).collect();
    // What a process said before it fell silent is no news, that it is silent is; but a halt was its
    // last word.
    let is_news = |part: &str, halt: &Option<Halt>| halt.is_some() || !moment.is_stale(part);
    if let Some(capture) = moment.capture().filter(|capture| is_news(CAPTURE, &capture.halt)) {
        let meaning = match capture.state() {
            State::Halted if lost_slot(capture) => {
                "The source does not keep its log for capture any more: what was committed since its \
                 last position may be lost."
                    .to_owned()
            }
            State::Halted => format!(
                "New changes wait in the source's log, nothing more is acknowledged; {}.",
                or(&headroom(moment), "WAL headroom is not known")
            ),
            State::Paused => format!(
                "The source keeps its log until capture goes on; {}.",
                or(&headroom(moment), "WAL headroom is not known")
            ),
            _ => "New changes arrive later than usual.".to_owned(),
        };
        let told = (CAPTURE, capture.state(), capture.reason.as_str(), capture.halt.as_ref());
        troubles.extend(of_loop(moment, told, meaning));
    }
    let told = moment.status.projections.iter().filter(|p| is_news(&p.name, &p.halt));
    for projection in told {
        let name = projection.name.as_str();
        let lag = projection.lag_records.map(|n| format::plural(n, "record"));
        let lag = lag.map_or_else(String::new, |lag| format!(" and is {lag} behind"));
        let meaning =
            format!("{name} shows old rows{lag}; the log keeps what it lacks, nothing is lost.");
        let told = (name, projection.state(), projection.reason.as_str(), projection.halt.as_ref());
        troubles.extend(of_loop(moment, told, meaning));
        troubles.extend(letters(projection));
    }
    if !moment.is_stale(CAPTURE) {
        troubles.extend(of_source(moment));
    }
    troubles.extend(moment.status.services.iter().filter_map(of_service));
    troubles
}

/// What a process says of itself, beside its parts.
fn of_service(service: &Service) -> Option<Trouble> {
    let state = service.state();
    if !service.is_reachable || !matches!(state, State::Waiting | State::Halted) {
        return None;
    }
    Some(Trouble {
        tone: Tone::of(state),
        what: format!("{} is {}", service.name, state.word()),
        since_ms: None,
        reason: service.reason.clone(),
        meaning: "What it knows it goes on serving; what is new to it waits.".to_owned(),
        remedy: service.remedy.clone(),
        press: Some(Press::Go("See the services", "/services".to_owned())),
    })
}

fn absence(seat: &Seat, is_silent: bool) -> Option<Trouble> {
    let (reason, remedy) = seat.trouble.clone()?;
    Some(Trouble {
        tone: if is_silent { Tone::Halted } else { Tone::Behind },
        what: format!("{} does not answer", seat.label()),
        since_ms: seat.seen_ms,
        reason: match seat.label() == seat.endpoint {
            true => reason,
            false => format!("{}: {reason}", seat.endpoint),
        },
        meaning: "What it runs is shown as it was told last, or not at all.".to_owned(),
        remedy,
        press: Some(Press::Go("See the services", "/services".to_owned())),
    })
}

fn of_loop(
    moment: &Moment,
    (part, state, reason, halt): (&str, State, &str, Option<&Halt>),
    meaning: String,
) -> Option<Trouble> {
    let since_ms = moment.since_ms(part);
    let name = if part == CAPTURE { "Capture" } else { part };
    let href =
        if part == CAPTURE { "/source".to_owned() } else { crate::page::projection_href(part) };
    let go = |label| Some(Press::Go(label, href.clone()));
    let (what, reason, remedy, press) = match (state, halt) {
        (State::Halted, Some(halt)) => {
            let subject = halt.code.contains("SCHEMA");
            let press = if subject {
                Some(Press::Go("See the schemas", "/schemas".to_owned()))
            } else {
                go("See it")
            };
            (
                format!("{name} halted: {}", halt.code),
                halt.message.clone(),
                halt.remedy.clone(),
                press,
            )
        }
        (State::Halted, None) => {
            (format!("{name} halted"), String::new(), String::new(), go("See it"))
        }
        (State::Paused, _) => {
            let remedy = "Resume it when what it was paused for is done.".to_owned();
            (
                format!("{name} is paused"),
                reason.to_owned(),
                remedy,
                Some(Press::Resume(part.to_owned())),
            )
        }
        (State::Waiting, _) => {
            (format!("{name} is waiting"), reason.to_owned(), String::new(), go("See it"))
        }
        _ => return None,
    };
    Some(Trouble { tone: Tone::of(state), what, since_ms, reason, meaning, remedy, press })
}

fn letters(projection: &Projection) -> Option<Trouble> {
    let parked = crate::moment::parked(projection);
    if parked == 0 {
        return None;
    }
    let name = &projection.name;
    let keys = format::plural(projection.parked_keys, "key");
    Some(Trouble {
        tone: Tone::Behind,
        what: format!("{} parked in {name}", format::plural(parked, "record")),
        since_ms: None,
        reason: String::new(),
        meaning: format!("The rows of {keys} stay as they were in {name}; all others go on."),
        remedy: "Mend the cause and replay them, or give them up.".to_owned(),
        press: Some(Press::Go("Look at them", crate::page::letters_href(name))),
    })
}

fn of_source(moment: &Moment) -> Vec<Trouble> {
    let Some(source) = &moment.status.source else { return Vec::new() };
    let go = |label| Some(Press::Go(label, "/source".to_owned()));
    let mut troubles = Vec::new();
    let slot = |tone, what: String, remedy: &str| Trouble {
        tone,
        what,
        since_ms: None,
        reason: String::new(),
        meaning: "Once the server removes WAL that the slot needs, capture must begin anew with a \
                  snapshot."
            .to_owned(),
        remedy: remedy.to_owned(),
        press: go("See the slot"),
    };
    match moment.outlook {
        Outlook::Lost => troubles.push(slot(
            Tone::Halted,
            format!("Slot {} has passed its limit of WAL", source.slot),
            "Raise max_slot_wal_keep_size on the server now, and let capture go on.",
        )),
        Outlook::Left(seconds) if seconds < HEADROOM_SECONDS_MIN => troubles.push(slot(
            Tone::Behind,
            format!("Slot {} is lost in {}", source.slot, format::seconds(seconds).text()),
            "Let capture go on, or raise max_slot_wal_keep_size on the server.",
        )),
        _ => {}
    }
    let uncaptured: Vec<&str> = source.uncaptured_tables.iter().map(String::as_str).collect();
    if !uncaptured.is_empty() {
        let count = u64::try_from(uncaptured.len()).unwrap_or(u64::MAX);
        troubles.push(Trouble {
            tone: Tone::Behind,
            what: format!(
                "{} match and came too late to be captured",
                format::plural(count, "table")
            ),
            since_ms: None,
            reason: list(&uncaptured),
            meaning: "Their rows are in no topic and no projection.".to_owned(),
            remedy: "Add them to the publication and start capture anew.".to_owned(),
            press: go("See the source"),
        });
    }
    troubles
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// Whether capture halted because of its slot.
pub(super) fn lost_slot(capture: &Capture) -> bool {
    capture.halt.as_ref().is_some_and(|halt| halt.code.contains("SLOT"))
}
