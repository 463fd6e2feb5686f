//! Layers, bad settings, secrets.

use std::path::Path;

use cdc_runtime::report::{EXIT_USAGE, Problem};

use super::Settings;

fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Settings, Problem> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("settings.toml");
    std::fs::write(&path, file).unwrap();
    let environment: Vec<_> = environment
        .iter()
        .map(|(rest, value)| {
            (format!("PENSTOCK_REGISTRY_{rest}"), (*rest).to_owned(), (*value).to_owned())
        })
        .collect();
    let flags: Vec<_> = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Settings::load(Some(&path), &environment, &flags)
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let file = "listen = '127.0.0.1:1'\ntopic_prefix = 'file'\nbody_bytes_max = 1_000_000\n\
                [kafka_properties]\n'sasl.password' = 'a'\nsecurity.protocol = 'ssl'";
    let environment =
        [("TOPIC_PREFIX", "environment"), ("KAFKA_PROPERTIES__SASL__PASSWORD", "hunter2")];
    let settings = load(file, &environment, &[("listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(settings.listen.port(), 3);
    assert_eq!(settings.topic_prefix, "environment");
    assert_eq!(settings.body_bytes_max, 1_000_000);
    let names: Vec<_> = settings.kafka_properties.keys().collect();
    assert_eq!(names, ["sasl.password", "security.protocol"]);
    assert_eq!(settings.kafka_properties["sasl.password"].0, "hunter2");
}

#[test]
fn what_is_printed_can_be_read_again_and_holds_no_secret() {
    let environment = [
        ("UPSTREAM", "http://me:hunter2@a:1/x"),
        ("UPSTREAM_PASSWORD", "hunter2"),
        ("KAFKA_PROPERTIES__SASL__PASSWORD", "hunter2"),
        ("KAFKA_PROPERTIES__CLIENT__ID", "me"),
    ];
    let settings = load("", &environment, &[]).unwrap();
    let printed = settings.print();
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("upstream = \"http://***@a:1/x\""), "{printed}");
    assert!(printed.contains("\"client.id\" = \"me\""), "{printed}");
    assert!(!format!("{settings:?}").contains("hunter2"));
    let again = load(&printed, &[], &[]).unwrap();
    assert_eq!(again.print(), printed);
}

#[test]
fn a_bad_setting_is_told_with_its_place() {
    for (name, value, word) in [
        ("LISTEN", "nowhere", "no address"),
        ("SEMANTIC_GATE", "maybe", "neither true nor false"),
        ("BODY_BYTES_MAX", "5", "1024"),
        ("NO_SUCH", "1", "not known"),
    ] {
        let problem = load("", &[(name, value)], &[]).unwrap_err();
        assert_eq!(problem.exit, EXIT_USAGE);
        assert!(problem.what.contains(word), "{problem:?}");
        assert!(problem.cause.unwrap().contains(name));
    }
    assert!(load("listen = [", &[], &[]).unwrap_err().what.contains("settings.toml"));
    assert!(Settings::load(Some(Path::new("/none.toml")), &[], &[]).is_err());
}
