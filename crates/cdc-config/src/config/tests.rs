//! Which settings are read, refused, or ignored.

use super::*;
use crate::file::File;

fn read(text: &str) -> Result<(Config, Vec<Warning>)> {
    let mut layers = Layers::default();
    layers.add_file(&File::new("p.toml", text))?;
    Config::from_layers(&layers)
}

fn refused(text: &str) -> String {
    let error = read(text).unwrap_err();
    format!("{error} | {}", error.remedy())
}

#[test]
fn a_connector_of_debezium_is_read() {
    let text = r#"
        "connector.class" = "io.debezium.connector.postgresql.PostgresConnector"
        database = { hostname = "db", port = 5433, user = "u", password = "p", dbname = "shop" }
        topic.prefix = "shop"
        table.include.list = "public.orders,public.items"
        slot.name = "shop_slot"
        snapshot.mode = "initial"
        heartbeat.interval.ms = 1000
        tombstones.on.delete = true
        max.batch.size = 20000
    "#;
    let (config, warnings) = read(text).unwrap();
    assert_eq!(config.hostname.as_deref(), Some("db"));
    assert_eq!(config.port, Some(5433));
    assert_eq!(config.heartbeat_interval, Some(Duration::from_secs(1)));
    assert!(matches!(config.tables, Tables::Expressions(ref e) if e.matches("public", "items")));
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].name, "max.batch.size");
    assert!(!format!("{config:?}").contains("\"p\""));
}

#[test]
fn what_would_change_the_data_is_refused_by_name() {
    for (text, expected) in [
        ("column.exclude.list = \"public.a.b\"", "column.exclude.list"),
        ("transforms = \"unwrap\"", "transforms"),
        ("transforms.unwrap.type = \"x\"", "transforms.unwrap.type"),
        ("snapshot.mode = \"never\"", "only \"initial\" is done"),
        ("decimal.handling.mode = \"double\"", "only \"precise\" is done"),
        ("skipped.operations = \"t\"", "only \"none\" is done"),
        ("value.converter = \"x\"", "format"),
    ] {
        let error = read(text).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn an_unknown_setting_is_refused_with_the_nearest() {
    assert_eq!(
        refused("slot.nmae = \"x\""),
        "unknown setting \"slot.nmae\" | Did you mean \"slot.name\"?"
    );
}

#[test]
fn values_are_checked_where_they_stand() {
    for text in [
        "slot.name = \"Upper\"",
        "slot.name = \"\"",
        "database.port = 70000",
        "listen = \"8080\"",
        "kafka = \"broker\"",
        "registry = \"localhost:8081\"",
        "format = \"xml\"",
        "snapshot.max.threads = 0",
        "status.update.interval.ms = 1",
        "heartbeat.interval.ms = -1",
        "topic.prefix = \"a b\"",
        "table.include.list = \"public.(\"",
    ] {
        let error = read(text).unwrap_err();
        assert!(matches!(error, Error::Value { .. }), "{text}: {error}");
        assert_eq!(error.origin().to_string(), "p.toml:1:1", "{text}");
    }
}

#[test]
fn a_setting_given_twice_or_against_another_is_refused() {
    let twice = read("\"slot.name\" = \"a\"\n[slot]\nname = \"b\"").unwrap_err();
    assert!(matches!(twice, Error::Twice { .. }), "{twice}");
    let both = read("tables = \"public.*\"\ntable.include.list = \"public.a\"").unwrap_err();
    assert!(matches!(both, Error::Conflict { .. }), "{both}");
}

#[test]
fn flags_beat_the_environment_and_the_environment_the_file() {
    let mut layers = Layers::default();
    layers.add_flag("--format", "format", "json");
    layers.add_environment("PENSTOCK__FORMAT", "FORMAT", "avro");
    layers.add_environment("PENSTOCK__SLOT__NAME", "SLOT__NAME", "env_slot");
    layers.add_environment("PENSTOCK__DATA_DIR", "DATA_DIR", "/d");
    layers
        .add_file(&File::new("p.toml", "slot.name = \"file_slot\"\ntopic.prefix = \"p\""))
        .unwrap();
    let (config, _) = Config::from_layers(&layers).unwrap();
    assert_eq!(config.format, Format::Json);
    assert_eq!(config.slot.as_deref(), Some("env_slot"));
    assert_eq!(config.prefix.as_deref(), Some("p"));
    assert_eq!(config.data_dir, Some(PathBuf::from("/d")));
}

#[test]
fn a_connection_string_beats_the_parts_of_weaker_layers_only() {
    let mut layers = Layers::default();
    let text = "source = \"postgres://a@h/d\"\ndatabase.hostname = \"old\"";
    layers.add_file(&File::new("p.toml", text)).unwrap();
    layers.add_environment("PENSTOCK__DATABASE__PASSWORD", "DATABASE__PASSWORD", "s");
    let (config, _) = Config::from_layers(&layers).unwrap();
    assert_eq!(config.hostname.as_deref(), Some("old"));
    layers.add_environment("PENSTOCK__SOURCE", "SOURCE", "postgres://b@h/d");
    let (config, _) = Config::from_layers(&layers).unwrap();
    assert_eq!(config.hostname, None);
    assert!(config.password.is_some());
}
