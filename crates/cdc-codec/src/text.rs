//! Events as one line of text for people: `penstock tail`.

use cdc_model::{ChangeEvent, ColumnType, Row, TableSchema, Value};

use crate::exact;

/// Returns `event` in one line:
/// `u public.orders {id=7} before=- after={id=7,total=12.50,note=<unchanged>} @16/B374D848`.
///
/// Text that could be taken for something else is quoted.
pub fn render(event: &ChangeEvent) -> String {
    let table = &event.table;
    let before = event.before.as_ref().map(|image| &image.row);
    let newest = event.after.as_ref().or(before);
    let key = match newest {
        Some(row) if table.has_key() => columns(table, row, table.key.iter().copied()),
        _ => "-".to_owned(),
    };
    let all = |row: Option<&Row>| match row {
        Some(row) => columns(table, row, 0..table.columns.len()),
        None => "-".to_owned(),
    };
    format!(
        "{} {} {key} before={} after={} @{}",
        event.op,
        table.name,
        all(before),
        all(event.after.as_ref()),
        event.origin.lsn
    )
}

fn columns(table: &TableSchema, row: &Row, indices: impl Iterator<Item = usize>) -> String {
    let pairs = indices.filter_map(|index| table.columns.get(index).zip(row.get(index)));
    let pairs = pairs.map(|(column, shown)| format!("{}={}", column.name, value(shown)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

/// Returns a value's text: PostgreSQL's form, `null`, or `<unchanged>`.
pub fn value(shown: &Value) -> String {
    match shown {
        Value::Null => "null".to_owned(),
        Value::Unchanged => "<unchanged>".to_owned(),
        Value::Text(text) => quote(text.as_str()),
        Value::Array(array) => match &array.exact {
            Some(text) => text.as_str().to_owned(),
            None => {
                let elements = array.elements.iter().map(value).collect::<Vec<_>>();
                format!("[{}]", elements.join(","))
            }
        },
        other => exact::format(other),
    }
}

/// Quotes text that is not a plain word.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.:@/+#".contains(c);
    let is_word = !text.is_empty() && text.chars().all(plain) && text != "null";
    if is_word { text.to_owned() } else { format!("{text:?}") }
}

/// Reads a value of type `ty` from PostgreSQL's text form; `None` if it is none, or if the type is
/// an array. Intervals are read in the form `P14M3DT14706.780000S`.
pub fn parse(ty: &ColumnType, text: &str) -> Option<Value> {
    exact::parse(ty, text)
}

#[cfg(test)]
mod tests;
