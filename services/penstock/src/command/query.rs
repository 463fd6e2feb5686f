//! `penstock query`.

use std::process::ExitCode;

use cdc_control::v1::{QueryReply, Row};

use crate::cli::QueryArgs;
use crate::command::{connect, put, put_json};
use crate::report::Problem;
use crate::view::table::{self, Column};
use crate::view::{Paint, count};

/// Runs one SELECT on the warehouse and prints its rows.
///
/// # Errors
/// If no pipeline runs there, or the SQL is refused.
pub async fn run(args: QueryArgs) -> Result<ExitCode, Problem> {
    let mut client = connect(&args.pipeline).await?;
    let reply = match client.query(&args.sql, args.limit.max(1)).await {
        Ok(reply) => reply,
        Err(cdc_control::Error::Refused(status)) => return Err(refused(status.message())),
        Err(error) => return Err(error.into()),
    };
    if args.json {
        for row in &reply.rows {
            put_json(&object(&reply, row))?;
        }
    } else if args.csv {
        put(&csv(&reply))?;
    } else {
        put(&text(&reply))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn refused(message: &str) -> Problem {
    let fix = "Ask one SELECT; SHOW TABLES is SELECT table_name FROM information_schema.tables.";
    // DuckDB points at the place in lines of its own, which wrapping would tear.
    let mut lines = message.lines();
    let first = lines.next().unwrap_or_default();
    let mut problem = Problem::failed("the query cannot be run").because(first);
    let rest: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    problem.snippet = (!rest.is_empty()).then(|| format!("    {}\n", rest.join("\n    ")));
    problem.with_fix(Some(fix.to_owned()))
}

fn object(reply: &QueryReply, row: &Row) -> serde_json::Value {
    let cells = reply.columns.iter().zip(&row.cells);
    let fields = cells.map(|(column, cell)| {
        let text = cell.text.as_deref();
        (
            column.name.clone(),
            text.map_or(serde_json::Value::Null, |text| json(&column.r#type, text)),
        )
    });
    serde_json::Value::Object(fields.collect())
}

/// Numbers and truth values stand for themselves, exactly as written; all else is text.
fn json(ty: &str, text: &str) -> serde_json::Value {
    let as_text = || serde_json::Value::String(text.to_owned());
    if is_number(ty) || ty == "BOOLEAN" {
        serde_json::from_str(text).unwrap_or_else(|_| as_text())
    } else {
        as_text()
    }
}

fn is_number(ty: &str) -> bool {
    const NUMBERS: [&str; 13] = [
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "UHUGEINT",
        "FLOAT",
        "DOUBLE",
        "BIGNUM",
    ];
    let is_decimal = ty.starts_with("DECIMAL(") && ty.ends_with(')');
    NUMBERS.contains(&ty) || is_decimal
}

/// RFC 4180, with line feeds; NULL is empty, an empty text is "".
fn csv(reply: &QueryReply) -> String {
    let quote = |text: &str| {
        if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let heads: Vec<String> = reply.columns.iter().map(|column| quote(&column.name)).collect();
    let mut text = heads.join(",") + "\n";
    for row in &reply.rows {
        let cells =
            row.cells.iter().map(|cell| cell.text.as_deref().map(quote).unwrap_or_default());
        text.push_str(&cells.collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    text
}

fn text(reply: &QueryReply) -> String {
    let paint = Paint::stdout();
    let column = |column: &cdc_control::v1::Column| match is_number(&column.r#type) {
        true => Column::right(&column.name),
        false => Column::left(&column.name),
    };
    let columns: Vec<Column> = reply.columns.iter().map(column).collect();
    let null = || "NULL".to_owned();
    let cells = |row: &Row| row.cells.iter().map(|c| c.text.clone().unwrap_or_else(null)).collect();
    let rows: Vec<Vec<String>> = reply.rows.iter().map(cells).collect();
    let number = rows.len();
    let word = if number == 1 { "row" } else { "rows" };
    let more = if reply.is_cut { ", and more: raise --limit" } else { "" };
    let number = count(u64::try_from(number).unwrap_or(u64::MAX));
    let last = paint.dim(&format!("({number} {word}{more})"));
    format!("{}{last}\n", table::render(&columns, &rows, paint))
}

#[cfg(test)]
mod tests {
    use cdc_control::v1;

    use super::*;

    fn reply() -> QueryReply {
        let column = |name: &str, ty: &str| v1::Column { name: name.into(), r#type: ty.into() };
        let cell = |text: Option<&str>| v1::Cell { text: text.map(str::to_owned) };
        let row = |a, b| Row { cells: vec![cell(a), cell(b)] };
        QueryReply {
            columns: vec![column("total", "DECIMAL(10,2)"), column("note", "VARCHAR")],
            rows: vec![row(Some("12.50"), Some("a \"b\", c")), row(None, Some(""))],
            is_cut: false,
        }
    }

    #[test]
    fn csv_tells_null_from_empty() {
        assert_eq!(csv(&reply()), "total,note\n12.50,\"a \"\"b\"\", c\"\n,\"\"\n");
    }

    #[test]
    fn json_keeps_numbers_exactly() {
        let reply = reply();
        let text = object(&reply, &reply.rows[0]).to_string();
        assert_eq!(text, r#"{"total":12.50,"note":"a \"b\", c"}"#);
        assert_eq!(object(&reply, &reply.rows[1]).to_string(), r#"{"total":null,"note":""}"#);
    }
}
