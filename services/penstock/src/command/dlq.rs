//! `penstock dlq`: what projections have parked.

use std::process::ExitCode;

use cdc_control::{Settlement, v1};

use crate::cli::{DlqListArgs, DlqSettleArgs, DlqShowArgs};
use crate::command::{connect, put, put_json, refused};
use crate::report::Problem;
use crate::view::table::{self, Column};
use crate::view::{Paint, count, wrap};

/// Records looked through for one to show.
const SHOW_LIMIT: u32 = 100_000;

/// Bytes of a value shown in hexadecimal.
const HEX_BYTES_MAX: usize = 256;

/// Lists parked records.
///
/// # Errors
/// If no pipeline runs there, or there is no such projection.
pub async fn list(args: DlqListArgs) -> Result<ExitCode, Problem> {
    let mut client = connect(&args.pipeline).await?;
    let reply = client.dead_letters(&args.projection, args.limit.max(1)).await;
    let reply = reply.map_err(|error| refused("dead letters cannot be listed", error))?;
    if args.json {
        for letter in &reply.letters {
            put_json(letter)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if reply.letters.is_empty() {
        put("no dead letters\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let columns = ["projection", "record", "key", "why"].map(Column::left);
    let row = |letter: &v1::DeadLetter| {
        vec![letter.projection.clone(), name(letter), letter.key.clone(), letter.reason.clone()]
    };
    let rows: Vec<_> = reply.letters.iter().map(row).collect();
    let shown = rows.len() as u64;
    put(&table::render(&columns, &rows, Paint::stdout()))?;
    if shown < reply.total {
        put(&format!("{} of {}; --limit shows more\n", count(shown), count(reply.total)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows one parked record.
///
/// # Errors
/// If no pipeline runs there, or the record is not parked.
pub async fn show(args: DlqShowArgs) -> Result<ExitCode, Problem> {
    let id = parse(&args.record)?;
    let mut client = connect(&args.pipeline).await?;
    let reply = client.dead_letters(&args.projection, SHOW_LIMIT).await;
    let reply = reply.map_err(|error| refused("the dead letter cannot be shown", error))?;
    let found = reply.letters.into_iter().find(|letter| {
        (letter.topic.as_str(), letter.partition, letter.offset)
            == (id.topic.as_str(), id.partition, id.offset)
    });
    let letter = found.ok_or_else(|| {
        Problem::failed(format!("{} is not parked in {}", args.record, args.projection))
            .with_fix(Some("penstock dlq list names what is.".to_owned()))
    })?;
    put(&text(&letter, Paint::stdout()))?;
    Ok(ExitCode::SUCCESS)
}

/// Replays or gives up parked records. Exits with 1 if some still cannot be applied.
///
/// # Errors
/// If no pipeline runs there, or there is no such projection.
pub async fn settle(args: DlqSettleArgs, settlement: Settlement) -> Result<ExitCode, Problem> {
    let letters = args.records.iter().map(|record| parse(record)).collect::<Result<_, _>>()?;
    let request = v1::SettleRequest { projection: args.projection.clone(), letters };
    let mut client = connect(&args.pipeline).await?;
    let reply = client.settle(request, settlement).await;
    let reply = reply.map_err(|error| refused("nothing was settled", error))?;
    let done = match settlement {
        Settlement::Replay => "replayed",
        Settlement::Discard => "given up",
    };
    put(&format!("{} {done}\n", records(reply.settled)))?;
    for letter in &reply.refused {
        let lines = wrap(&format!("still refused: {} {}", name(letter), letter.reason), 76);
        put(&format!("{}\n", lines.join("\n  ")))?;
    }
    Ok(if reply.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn records(number: u64) -> String {
    if number == 1 { "1 record".to_owned() } else { format!("{} records", count(number)) }
}

fn name(letter: &v1::DeadLetter) -> String {
    format!("{}/{}/{}", letter.topic, letter.partition, letter.offset)
}

fn parse(record: &str) -> Result<v1::LetterId, Problem> {
    let parts = record.rsplitn(3, '/').collect::<Vec<_>>();
    let id = || {
        let [offset, partition, topic] = parts[..] else { return None };
        let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
        Some(v1::LetterId { topic: topic.to_owned(), partition, offset })
    };
    id().ok_or_else(|| {
        Problem::usage(
            format!("\"{record}\" names no record"),
            "a record is TOPIC/PARTITION/OFFSET",
            "Copy it from penstock dlq list.",
        )
    })
}

fn text(letter: &v1::DeadLetter, paint: Paint) -> String {
    let mut text = String::new();
    let mut row = |label: &str, value: &str| {
        let lines = wrap(value, 66).join(&format!("\n{}", " ".repeat(14)));
        text.push_str(&format!("  {:<10}  {lines}\n", paint.head(label)));
    };
    row("record", &name(letter));
    row("why", &letter.reason);
    row("key", if letter.key.is_empty() { "-" } else { &letter.key });
    match &letter.value_json {
        Some(value) => row("value", value),
        None => row("value", "cannot be decoded"),
    }
    if let Some(id) = letter.schema_id {
        row("schema id", &id.to_string());
    }
    let bytes = letter.raw_value.as_deref().unwrap_or_default();
    let hex: Vec<String> =
        bytes.iter().take(HEX_BYTES_MAX).map(|byte| format!("{byte:02x}")).collect();
    let hex: Vec<String> = hex.chunks(4).map(<[String]>::concat).collect();
    let cut = if bytes.len() > HEX_BYTES_MAX { " …" } else { "" };
    row("bytes", &format!("{}: {}{cut}", count(bytes.len() as u64), hex.join(" ")));
    for header in &letter.headers {
        let value = String::from_utf8_lossy(&header.value);
        row("header", &format!("{} = {value}", header.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_by_topic_partition_and_offset() {
        let id = parse("shop.public.t/0/17").unwrap();
        assert_eq!((id.topic.as_str(), id.partition, id.offset), ("shop.public.t", 0, 17));
        for wrong in ["", "t", "t/0", "t/x/1", "t/0/y"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_letter_fits_eighty_columns() {
        let letter = v1::DeadLetter {
            topic: "shop.public.orders".into(),
            reason:
                "numeric value 123456789012345678901234567890123456789012 of column total does \
                     not fit DECIMAL(38,2)"
                    .into(),
            value_json: Some("{\"total\":1}".into()),
            raw_value: Some(vec![7; 500]),
            ..v1::DeadLetter::default()
        };
        let text = text(&letter, Paint::plain());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
