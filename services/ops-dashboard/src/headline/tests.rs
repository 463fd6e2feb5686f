//! Each state of a pipeline, and what the first screen says of it.

use cdc_control::v1::{Capture, Halt, Source, StatusReply};

use super::*;
use crate::moment::Seat;

fn flowing() -> StatusReply {
    let mut capture = Capture {
        events: 10,
        events_per_second: 12_431.0,
        last_commit_age_ms: Some(200),
        received_p50_ms: Some(1.0),
        latency_p50_ms: Some(3.0),
        ..Capture::default()
    };
    capture.set_state(State::Running);
    let mut projection = Projection {
        name: "duckdb".to_owned(),
        lag_seconds: Some(0.0),
        lag_records: Some(0),
        read_p50_ms: Some(4.0),
        latency_p50_ms: Some(8.0),
        latency_p99_ms: Some(41.0),
        complete_age_ms: Some(0),
        ..Projection::default()
    };
    projection.set_state(State::Running);
    StatusReply {
        capture: Some(capture),
        projections: vec![projection],
        source: Some(Source {
            safe_wal_bytes: Some(1 << 30),
            server_lsn: Some("0/50".to_owned()),
            acknowledged_lsn: Some("0/50".to_owned()),
            ..Source::default()
        }),
        ..StatusReply::default()
    }
}

fn moment(status: StatusReply) -> Moment {
    let seat = Seat {
        endpoint: "a:1".to_owned(),
        status: Some(status),
        seen_ms: Some(1),
        is_fresh: true,
        trouble: None,
    };
    Moment::new(vec![seat], 1, None)
}

fn words(status: StatusReply) -> [String; 3] {
    let headline = Headline::of(&moment(status));
    [headline.flow.words, headline.late.words, headline.safe.words]
}

#[test]
fn all_is_well() {
    let headline = Headline::of(&moment(flowing()));
    assert_eq!(headline.flow.words, "Flowing");
    assert_eq!(headline.flow.detail, "12,431\u{202f}events/s · last one 200\u{202f}ms ago");
    assert_eq!(headline.late.words, "8\u{202f}ms behind");
    assert_eq!(headline.late.detail, "p99 41\u{202f}ms · slowest: read → applied (duckdb)");
    assert_eq!(headline.safe.words, "Nothing lost");
    assert_eq!(headline.safe.detail, "0 dead letters · WAL headroom 1.0\u{202f}GiB");
    assert_eq!(headline.troubles, []);
}

#[test]
fn what_is_not_verified_is_not_claimed() {
    let mut late = flowing();
    late.projections[0].complete_age_ms = None;
    let safe = Headline::of(&moment(late.clone())).safe;
    assert_eq!((safe.tone, safe.words.as_str()), (Tone::Unknown, "Not verified yet"));
    let seat = |status, seen_ms| Seat {
        endpoint: "a:1".to_owned(),
        status: Some(status),
        seen_ms: Some(seen_ms),
        is_fresh: true,
        trouble: None,
    };
    let first = Moment::new(vec![seat(flowing(), 3_000)], 3_000, None);
    let proof = |moment: &Moment| Headline::of(moment).safe.proof;
    assert_eq!(proof(&first).as_deref(), Some("verified just now"));
    let second = Moment::new(vec![seat(late.clone(), 60_000)], 60_000, Some(&first));
    assert_eq!(proof(&second).as_deref(), Some("verified 57\u{202f}s ago"));
    assert_eq!(Headline::of(&second).safe.words, "Nothing lost");
    let third = Moment::new(vec![seat(late, 600_000)], 600_000, Some(&second));
    let safe = Headline::of(&third).safe;
    assert_eq!(
        (safe.tone, safe.words.as_str()),
        (Tone::Unknown, "Nothing lost until 00:00:03 UTC")
    );
}

#[test]
fn what_is_not_known_is_not_claimed() {
    let words = words(StatusReply::default());
    assert_eq!(words, ["No capture", "Lag not known", "Not known"]);
    let headline = Headline::of(&Moment::new(vec![], 1, None));
    assert_eq!(headline.flow.words, "Nothing is asked");
}

#[test]
fn a_halt_names_its_code_remedy_and_what_it_means() {
    let mut status = flowing();
    let halt = Halt {
        code: "SINK_DISK_FULL".to_owned(),
        message: "no space".to_owned(),
        remedy: "Make space.".to_owned(),
    };
    status.projections[0].halt = Some(halt);
    status.projections[0].set_state(State::Halted);
    status.projections[0].lag_seconds = Some(840.0);
    status.projections[0].lag_records = Some(1_200);
    let headline = Headline::of(&moment(status));
    assert_eq!((headline.flow.tone, headline.flow.words.as_str()), (Tone::Halted, "Halted"));
    assert_eq!(headline.late.words, "14\u{202f}min behind");
    let trouble = &headline.troubles[0];
    assert_eq!(trouble.what, "duckdb halted: SINK_DISK_FULL");
    assert_eq!((trouble.reason.as_str(), trouble.remedy.as_str()), ("no space", "Make space."));
    assert!(trouble.meaning.contains("1,200 records behind"), "{}", trouble.meaning);
}

#[test]
fn what_was_said_before_the_silence_is_no_news() {
    let mut status = flowing();
    if let Some(capture) = &mut status.capture {
        capture.set_state(State::Paused);
    }
    let silent = Seat {
        endpoint: "a:1".to_owned(),
        status: Some(status),
        seen_ms: Some(1),
        is_fresh: false,
        trouble: Some(("gone".to_owned(), "Start it.".to_owned())),
    };
    let headline = Headline::of(&Moment::new(vec![silent], 9, None));
    assert_eq!(headline.flow.words, "No answer");
    let told: Vec<_> = headline.troubles.iter().map(|t| t.what.as_str()).collect();
    assert_eq!(told, ["a:1 does not answer"]);
}

#[test]
fn a_halt_is_a_last_word_that_is_kept() {
    let mut status = flowing();
    if let Some(capture) = &mut status.capture {
        capture.set_state(State::Halted);
        capture.halt = Some(Halt { code: "SLOT_MISSING".to_owned(), ..Halt::default() });
    }
    status.projections.clear();
    let gone = Seat {
        endpoint: "a:1".to_owned(),
        status: Some(status),
        seen_ms: Some(1),
        is_fresh: false,
        trouble: Some(("gone".to_owned(), "Start it.".to_owned())),
    };
    let status = Some(StatusReply { capture: None, source: None, ..flowing() });
    let answers = Seat {
        endpoint: "b:1".to_owned(),
        status,
        is_fresh: true,
        seen_ms: Some(1),
        trouble: None,
    };
    let headline = Headline::of(&Moment::new(vec![gone, answers], 9, None));
    assert_eq!(headline.flow.words, "Halted");
    let told: Vec<_> = headline.troubles.iter().map(|t| t.what.as_str()).collect();
    assert_eq!(told, ["Capture halted: SLOT_MISSING", "a:1 does not answer"]);
    assert_eq!(headline.safe.words, "Changes may be lost");
}

#[test]
fn a_capture_that_fell_silent_does_not_flow() {
    let silent = Seat {
        endpoint: "a:1".to_owned(),
        status: Some(StatusReply { projections: vec![], ..flowing() }),
        seen_ms: Some(1),
        is_fresh: false,
        trouble: Some(("gone".to_owned(), String::new())),
    };
    let status = Some(StatusReply { capture: None, source: None, ..flowing() });
    let answers = Seat {
        endpoint: "b:1".to_owned(),
        status,
        is_fresh: true,
        seen_ms: Some(1),
        trouble: None,
    };
    let headline = Headline::of(&Moment::new(vec![silent, answers], 9, None));
    assert_eq!(headline.flow.words, "Capture is silent");
    assert_eq!(headline.safe.words, "Not verified yet");
}

#[test]
fn parked_records_a_pause_and_a_full_slot_turn_the_words() {
    let mut status = flowing();
    status.projections[0].dead_letters = 12;
    status.projections[0].parked_keys = 3;
    assert_eq!(words(status)[2], "12 records parked");

    let mut status = flowing();
    if let Some(capture) = &mut status.capture {
        capture.set_state(State::Paused);
    }
    let headline = Headline::of(&moment(status));
    assert_eq!(headline.flow.words, "Paused");
    assert_eq!(headline.troubles[0].press, Some(Press::Resume("capture".to_owned())));

    let mut full = moment(flowing());
    full.outlook = Outlook::Lost;
    assert_eq!(Headline::of(&full).safe.tone, Tone::Halted);
}
