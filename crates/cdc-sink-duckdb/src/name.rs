//! Names in SQL: quoting, and which names DuckDB holds to be one.

use cdc_model::TableName;

/// The column that tells by which partition a row came.
pub(crate) const PARTITION_COLUMN: &str = "_penstock_partition";

/// Quotes an identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string constant.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns the table that holds the rows of `source`.
pub(crate) fn table_name(source: &TableName) -> String {
    format!("{}_{}", source.schema, source.table)
}

/// Returns what two names share if DuckDB, which ignores case, cannot tell them apart.
pub(crate) fn folded(name: &str) -> String {
    name.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_inside_their_quotes() {
        assert_eq!(quote("a\"b; DROP TABLE x;--"), "\"a\"\"b; DROP TABLE x;--\"");
        assert_eq!(literal("it's"), "'it''s'");
    }
}
