//! Names on the wire: what a topic and what an Avro name may hold, and what replaces the rest.

use cdc_model::TableName;

/// Returns the topic of `table`: prefix, schema and name joined by dots, each character that
/// Kafka does not allow replaced by `_`.
pub(crate) fn topic(prefix: &str, table: &TableName) -> String {
    topic_part(&format!("{prefix}.{}.{}", table.schema, table.table))
}

/// Returns `name` with each character that a topic cannot hold replaced by `_`.
pub(crate) fn topic_part(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

/// Returns `full` as an Avro full name, each part made a name as [`simple`] does. Debezium's
/// `schema.name.adjustment.mode=avro`.
pub(crate) fn full(full: &str) -> String {
    full.split('.').map(simple).collect::<Vec<_>>().join(".")
}

/// Returns `name` as an Avro name: letters, digits and `_`, not beginning with a digit. Debezium's
/// `field.name.adjustment.mode=avro`.
pub(crate) fn simple(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 1);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    out.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    out
}

/// Returns an Avro name for each of `names`, in order and different from one another.
pub(crate) fn fields<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken: Vec<String> = Vec::new();
    for name in names {
        let mut field = simple(name);
        while taken.contains(&field) {
            field.push('_');
        }
        taken.push(field);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_avro_refuses_are_adjusted_and_stay_apart() {
        let fields = fields(["id", "first name", "first-name", "1st", ""].into_iter());
        assert_eq!(fields, ["id", "first_name", "first_name_", "_1st", "_"]);
        assert_eq!(full("my-shop.public.a b"), "my_shop.public.a_b");
        assert_eq!(topic("my-shop", &TableName::new("public", "ä b")), "my-shop.public.__b");
    }
}
