//! Bad input that needs no server: what is wrong, where, and what to do.

use std::net::TcpListener;

use crate::penstock::{program, run};

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_wrong_dsn_is_refused_without_showing_it() {
    let dir = dir();
    let ran = run(dir.path(), &["run", "--source", "mysql://root:hunter2@h/d"]);
    ran.refused(64, &["the source is not valid", "postgres://USER"]);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn a_run_without_source_says_how_to_give_one() {
    run(dir().path(), &["run"]).refused(64, &["no source is given", "--source postgres://"]);
}

#[test]
fn an_unreachable_host_is_named() {
    let dir = dir();
    // Taken and given back: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let source = format!("postgres://u@127.0.0.1:{port}/d");
    let address = format!("127.0.0.1:{port}");
    run(dir.path(), &["run", "--source", &source]).refused(1, &[&address, "refused"]);
    let ran = run(dir.path(), &["doctor", "--source", &source]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains(&address) && ran.stdout.contains('✗'), "{}", ran.stdout);
}

#[test]
fn an_unknown_setting_is_shown_in_its_place_with_the_nearest() {
    let dir = dir();
    std::fs::write(dir.path().join("p.toml"), "topic.prefix = \"shop\"\nslot.nmae = \"x\"\n")
        .unwrap();
    let ran = run(dir.path(), &["run", "--config", "p.toml"]);
    ran.refused(
        64,
        &["unknown setting \"slot.nmae\"", "p.toml:2:", "slot.name", "slot.nmae = \"x\""],
    );
}

#[test]
fn an_unknown_environment_variable_is_refused_by_name() {
    let dir = dir();
    let output = program(dir.path(), &["run", "--source", "postgres://u@h/d"])
        .env("PENSTOCK__DATADIR", "/d")
        .output()
        .unwrap();
    let ran = crate::penstock::ended(output);
    ran.refused(64, &["unknown setting \"datadir\"", "PENSTOCK__DATADIR", "data_dir"]);
}

#[test]
fn bad_toml_is_shown_with_line_and_column() {
    let dir = dir();
    std::fs::write(dir.path().join("p.toml"), "topic.prefix = \"shop\"\nslot.name = shop\n")
        .unwrap();
    let ran = run(dir.path(), &["run", "--config", "p.toml"]);
    ran.refused(64, &["p.toml:2:13", "slot.name = shop", "double quotes"]);
}

#[test]
fn a_bad_line_that_holds_a_password_is_not_shown() {
    let dir = dir();
    let text = "database.password = hunter2\n";
    std::fs::write(dir.path().join("p.toml"), text).unwrap();
    let ran = run(dir.path(), &["run", "--config", "p.toml"]);
    ran.refused(64, &["p.toml:1:"]);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn a_missing_file_is_named() {
    run(dir().path(), &["run", "--config", "no.toml"]).refused(64, &["no.toml", "No such file"]);
}

#[test]
fn a_property_that_would_change_the_data_is_refused_by_name() {
    let dir = dir();
    std::fs::write(dir.path().join("p.toml"), "column.exclude.list = \"public.a.b\"\n").unwrap();
    run(dir.path(), &["run", "--config", "p.toml"])
        .refused(64, &["column.exclude.list", "not supported"]);
}

#[test]
fn bad_patterns_addresses_and_formats_are_refused() {
    let dir = dir();
    for (flag, value) in [
        ("--tables", "a.b.c"),
        ("--listen", "8080"),
        ("--kafka", "broker"),
        ("--registry", "broker:8081"),
        ("--format", "xml"),
    ] {
        let args = ["run", "--source", "postgres://u@h/d", flag, value];
        run(dir.path(), &args).refused(64, &["not valid"]);
    }
}

#[test]
fn a_bad_flag_and_a_missing_argument_are_bad_usage() {
    for args in [&["run", "--sauce", "x"][..], &["query"], &["fly"], &["dev", "--rate", "0"]] {
        let ran = run(dir().path(), args);
        assert_eq!(ran.code, Some(64), "{ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    }
}

#[test]
fn a_port_that_is_taken_is_named_before_anything_is_made() {
    let dir = dir();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let args = ["run", "--source", "postgres://u@127.0.0.1:1/d", "--listen", &address];
    let ran = run(dir.path(), &args);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(&address) && ran.stderr.contains("--listen"), "{}", ran.stderr);
    assert!(!dir.path().join(".penstock").exists());
}

#[test]
fn commands_say_that_no_pipeline_is_running() {
    let dir = dir();
    for args in [
        &["status"][..],
        &["query", "SELECT 1"],
        &["tail"],
        &["schema", "accept", "s-value"],
        &["status", "--data-dir", "elsewhere"],
    ] {
        let ran = run(dir.path(), args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.starts_with("error: no pipeline is running in "), "{}", ran.stderr);
        assert!(ran.stderr.contains("  fix: Start it with penstock run"), "{}", ran.stderr);
    }
}

#[test]
fn settings_in_effect_are_printed_with_secrets_masked() {
    let dir = dir();
    std::fs::write(dir.path().join("p.toml"), "slot.name = \"s\"\nformat = \"json\"\n").unwrap();
    let source = "postgres://u:hunter2@h/d";
    let args = ["run", "--config", "p.toml", "--source", source, "--print-config"];
    let ran = run(dir.path(), &args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let expected = "format = \"json\" # p.toml:2:1\n\
                    slot.name = \"s\" # p.toml:1:1\n\
                    source = \"postgres://u:***@h/d\" # flag --source\n";
    assert_eq!(ran.stdout, expected);
}
