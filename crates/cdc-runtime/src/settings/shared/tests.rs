//! Credentials of the log and the registry, from settings and files.

use cdc_config::Layers;

use super::*;

fn config(settings: &[(&str, &str)]) -> Config {
    let mut layers = Layers::default();
    for (name, value) in settings {
        layers.add_flag("f", name, value);
    }
    Config::from_layers(&layers).unwrap().0
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn kafkas_properties_and_a_password_of_a_file_reach_its_clients() {
    let file = file("pass word\n");
    let path = file.path().display().to_string();
    let settings = [
        ("kafka", "h:9092"),
        ("kafka_properties.security.protocol", "sasl_plaintext"),
        ("kafka_password_file", &path),
    ];
    let kafka = kafka(&config(&settings)).unwrap().unwrap();
    assert_eq!(kafka.properties["security.protocol"], "sasl_plaintext");
    assert_eq!(kafka.properties["sasl.password"], "pass word");
    assert!(!format!("{kafka:?}").contains("pass word"));
}

#[test]
fn a_registrys_user_and_password_are_taken_from_settings_and_files() {
    let file = file("p:w\n");
    let path = file.path().display().to_string();
    let settings = [
        ("registry", "https://h:8081"),
        ("registry_user", "capture"),
        ("registry_password_file", &path),
        ("registry_ca_file", "/ca.pem"),
    ];
    let rest = registry(&config(&settings)).unwrap().unwrap();
    let expected = Credentials::Basic { user: "capture".to_owned(), password: "p:w".to_owned() };
    assert_eq!(rest.credentials, expected);
    assert_eq!(rest.ca_file.as_deref(), Some(Path::new("/ca.pem")));
    assert!(!format!("{rest:?}").contains("p:w"));
    let rest = registry(&config(&[("registry", "http://u:hunter2@h:1")])).unwrap().unwrap();
    assert!(!format!("{rest:?}").contains("hunter2"));
}

#[test]
fn what_contradicts_or_serves_nothing_is_refused_by_name() {
    let empty = file("\n");
    let path = empty.path().display().to_string();
    for (settings, expected) in [
        (&[("kafka_properties.acks", "1")][..], "kafka_properties.acks"),
        (&[("kafka_password_file", "/p")], "kafka_password_file"),
        (&[("kafka", "h:1"), ("kafka_password_file", &path)], "is empty"),
        (&[("kafka", "h:1"), ("kafka_password_file", "/nowhere")], "/nowhere"),
        (
            &[
                ("kafka", "h:1"),
                ("kafka_password_file", "/p"),
                ("kafka_properties.sasl.password", "x"),
            ],
            "cannot both be given",
        ),
        (&[("kafka", "h:1"), ("kafka_properties.acks", "1")], "acks"),
        (&[("kafka", "h:1"), ("kafka_properties.no.such", "1")], "no.such"),
        (&[("registry_user", "u")], "registry_user"),
        (&[("registry_ca_file", "/c")], "registry_ca_file"),
        (&[("registry", "http://h"), ("registry_password", "p")], "no user"),
    ] {
        let config = config(settings);
        let problem = kafka(&config).err().or_else(|| registry(&config).err()).unwrap();
        assert!(problem.what.contains(expected), "{settings:?}: {problem:?}");
        assert!(problem.fix.is_some() && !format!("{problem:?}").contains("\"x\""));
    }
}
