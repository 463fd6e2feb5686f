//! `penstock tail`.

use std::io::IsTerminal;
use std::process::ExitCode;

use cdc_control::v1::TailEvent;
use futures_util::StreamExt;

use crate::cli::TailArgs;
use crate::command::{connect, put, put_json};
use crate::report::Problem;
use crate::view::{Paint, WIDTH, fold};

/// Prints events as they arrive, until interrupted or the pipeline stops.
///
/// # Errors
/// If no pipeline runs there, or the topic does not exist.
pub async fn run(args: TailArgs) -> Result<ExitCode, Problem> {
    let mut client = connect(&args.pipeline).await?;
    let events = client.tail(args.topic.as_deref(), args.from_beginning).await?;
    let mut events = std::pin::pin!(events);
    let paint = Paint::stdout();
    let width = if std::io::stdout().is_terminal() { WIDTH } else { usize::MAX };
    while let Some(event) = events.next().await {
        let event = event?;
        if args.json { put_json(&json(&event))? } else { put(&line(&event, paint, width))? }
    }
    Ok(ExitCode::SUCCESS)
}

/// Key and envelope stand in the line as JSON, not as text that holds JSON.
fn json(event: &TailEvent) -> serde_json::Value {
    let inner = |text: &str| {
        let as_text = || serde_json::Value::String(text.to_owned());
        match text {
            "" => serde_json::Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| as_text()),
        }
    };
    serde_json::json!({
        "topic": event.topic,
        "partition": event.partition,
        "offset": event.offset,
        "timestamp_ms": event.timestamp_ms,
        "op": event.op,
        "key": inner(&event.key),
        "value": event.value_json.as_deref().map(inner),
        "text": event.text,
    })
}

/// One line of at most `width` characters: when, what, and the change, which names its table; a
/// record that is no change names its topic.
fn line(event: &TailEvent, paint: Paint, width: usize) -> String {
    let op = match event.op.as_str() {
        "c" => paint.good("+"),
        "u" => paint.warn("~"),
        "d" => paint.bad("-"),
        "t" => paint.bad("∅"),
        "r" => paint.dim("="),
        _ => " ".to_owned(),
    };
    let time = time_of_day(event.timestamp_ms);
    let text = match event.op.as_str() {
        "" => format!("{} {}", event.topic, event.text),
        op => event.text.strip_prefix(op).unwrap_or(&event.text).trim_start().to_owned(),
    };
    let text = fold(&text, width.saturating_sub(time.len() + 3));
    let (name, rest) = text.split_once(' ').unwrap_or((&text, ""));
    format!("{} {op} {} {rest}\n", paint.dim(&time), paint.head(name))
}

/// Hours, minutes, seconds and milliseconds of the day, UTC.
fn time_of_day(unix_ms: i64) -> String {
    let ms = unix_ms.rem_euclid(86_400_000);
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_eighty_columns() {
        let event = TailEvent {
            topic: "shop.public.t".into(),
            timestamp_ms: 3_661_042,
            op: "u".into(),
            text: format!("u public.t {}", "id=1 ".repeat(40)),
            ..TailEvent::default()
        };
        let line = line(&event, Paint::plain(), WIDTH);
        assert!(line.starts_with("01:01:01.042 ~ public.t id=1 "), "{line}");
        assert_eq!(line.trim_end().chars().count(), 80);
    }

    #[test]
    fn a_record_that_is_no_change_names_its_topic() {
        let event = TailEvent {
            topic: "shop.public.t".into(),
            text: "tombstone".into(),
            ..TailEvent::default()
        };
        assert_eq!(line(&event, Paint::plain(), WIDTH), "00:00:00.000   shop.public.t tombstone\n");
    }
}
