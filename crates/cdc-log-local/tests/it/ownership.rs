//! One process, one pipeline, one format.

use cdc_log_local::{DataDir, LocalLog, LocalLogConfig};
use cdc_pipeline::{Classify, ErrorClass};

use crate::support::{config, open};

fn owned_by(pipeline: &str) -> LocalLogConfig {
    LocalLogConfig { pipeline: Some(pipeline.to_owned()), ..config() }
}

#[test]
fn a_directory_in_use_is_refused_naming_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let error = LocalLog::open(dir.path(), config()).unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("DATA_DIR_LOCKED")));
    let text = error.to_string();
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    assert!(error.remedy().is_some());
    drop(log);
    open(dir.path());
}

#[test]
fn another_pipelines_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(LocalLog::open(dir.path(), owned_by("7-shop-a")).unwrap());
    drop(LocalLog::open(dir.path(), owned_by("7-shop-a")).unwrap());
    let error = LocalLog::open(dir.path(), owned_by("7-shop-b")).unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("DATA_DIR_FOREIGN")));
    let text = error.to_string();
    assert!(text.contains("7-shop-a") && text.contains("7-shop-b"), "{text}");
}

#[test]
fn a_directory_is_claimed_without_a_log_too() {
    let dir = tempfile::tempdir().unwrap();
    let claimed = DataDir::claim(dir.path(), Some("p")).unwrap();
    assert_eq!(claimed.path(), dir.path());
    LocalLog::open(dir.path(), owned_by("p")).unwrap_err();
    LocalLog::open_in(claimed, owned_by("p")).unwrap();
}

#[test]
fn another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    std::fs::write(dir.path().join("log/format"), "penstock-log-2\n").unwrap();
    let error = LocalLog::open(dir.path(), config()).unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("LOG_FORMAT")));
}
