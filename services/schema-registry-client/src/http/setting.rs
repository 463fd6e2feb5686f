//! `/config` and `/mode`: compatibility levels and modes.

use std::sync::Arc;

use cdc_pipeline::port::Subject;
use cdc_registry::Compatibility;
use cdc_registry::store::Mode;
use serde_json::{Map, Value, json};

use crate::service::Shared;
use crate::store::Store;

use super::place::Query;
use super::refusal::Refusal;
use super::wish::read_json;
use super::{Answer, Answered, Call};

fn subject_of(name: Option<&str>) -> Option<Subject> {
    name.map(Subject::new)
}

fn everything() -> Subject {
    Subject::new("")
}

pub(super) fn level(store: &Store, subject: Option<&str>, query: &Query) -> Answered {
    let subject = subject_of(subject);
    let is_defaulted = subject.is_none() || query.is("defaultToGlobal");
    let level = store.read(|catalog| {
        let global = || catalog.level(None).unwrap_or_default();
        catalog.level(subject.as_ref()).or_else(|| is_defaulted.then(global))
    })?;
    let level = level.ok_or_else(|| {
        let subject = subject.unwrap_or_else(everything);
        let what = "does not have subject-level compatibility configured";
        Refusal::new(40408, format!("Subject '{subject}' {what}"))
    })?;
    Ok(Answer::Json(json!({ "compatibilityLevel": level.name() })))
}

/// Reads a body with one setting. What else Confluent knows may be there, without a value.
fn setting(body: &[u8], name: &str) -> Result<Option<String>, Refusal> {
    let body: Map<String, Value> = read_json(body)?;
    let mut found = None;
    for (key, value) in body {
        match value {
            Value::Null => {}
            Value::String(value) if key == name => found = Some(value),
            _ => {
                let key: String = key.chars().take(60).collect();
                let message = format!("the setting \"{key}\" is not supported with this value");
                return Err(Refusal::new(422, message));
            }
        }
    }
    Ok(found)
}

fn invalid_level() -> Refusal {
    Refusal::new(
        42203,
        "Invalid compatibility level. Valid values are none, backward, forward, full, \
         backward_transitive, forward_transitive, and full_transitive",
    )
}

fn invalid_mode() -> Refusal {
    Refusal::new(
        42204,
        "Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE, and IMPORT",
    )
}

pub(super) async fn set_level(
    shared: &Arc<Shared>,
    subject: Option<String>,
    call: &Call,
) -> Answered {
    let level = setting(&call.body, "compatibility")?.ok_or_else(invalid_level)?;
    let level: Compatibility = level.to_uppercase().parse().map_err(|_| invalid_level())?;
    change_level(shared, subject, Some(level)).await?;
    Ok(Answer::Json(json!({ "compatibility": level.name() })))
}

pub(super) async fn delete_level(shared: &Arc<Shared>, subject: Option<String>) -> Answered {
    let named = subject.clone();
    let was = change_level(shared, subject, None).await?;
    match (was, named) {
        (None, Some(subject)) => Err(Refusal::subject_not_found(&Subject::new(subject))),
        (was, _) => {
            Ok(Answer::Json(json!({ "compatibilityLevel": was.unwrap_or_default().name() })))
        }
    }
}

async fn change_level(
    shared: &Arc<Shared>,
    subject: Option<String>,
    level: Option<Compatibility>,
) -> Result<Option<Compatibility>, Refusal> {
    let subject = subject_of(subject.as_deref());
    let place = subject.clone().unwrap_or_else(everything);
    let changed = shared.store.write(move |catalog| {
        let (was, changes) = catalog.set_level(subject.as_ref(), level)?;
        Ok((was, if was == level { Vec::new() } else { changes }))
    });
    changed.await.map_err(|error| error.refusal(&place, None))
}

pub(super) fn mode(store: &Store, subject: Option<&str>, query: &Query) -> Answered {
    let subject = subject_of(subject);
    let is_defaulted = subject.is_none() || query.is("defaultToGlobal");
    let mode = store.read(|catalog| {
        let global = || catalog.mode(None).unwrap_or_default();
        catalog.mode(subject.as_ref()).or_else(|| is_defaulted.then(global))
    })?;
    let mode = mode.ok_or_else(|| {
        let subject = subject.unwrap_or_else(everything);
        let what = "does not have subject-level mode configured";
        Refusal::new(40409, format!("Subject '{subject}' {what}"))
    })?;
    Ok(Answer::Json(json!({ "mode": mode.name() })))
}

pub(super) async fn set_mode(
    shared: &Arc<Shared>,
    subject: Option<String>,
    call: &Call,
) -> Answered {
    let mode = setting(&call.body, "mode")?.ok_or_else(invalid_mode)?;
    let mode: Mode = mode.to_uppercase().parse().map_err(|_| invalid_mode())?;
    change_mode(shared, subject, Some(mode), call.query.is("force")).await?;
    Ok(Answer::Json(json!({ "mode": mode.name() })))
}

pub(super) async fn delete_mode(
    shared: &Arc<Shared>,
    subject: Option<String>,
    query: &Query,
) -> Answered {
    if subject.is_none() && query.is("recursive") {
        let cleared = shared.store.write(|catalog| {
            let (was, mut changes) = catalog.set_mode(None, None, false)?;
            changes.extend(catalog.clear_modes());
            Ok((was, changes))
        });
        let was = cleared.await.map_err(|error| error.refusal(&everything(), None))?;
        return Ok(Answer::Json(json!({ "mode": was.unwrap_or_default().name() })));
    }
    let named = subject.clone();
    let was = change_mode(shared, subject, None, false).await?;
    match (was, named) {
        (None, Some(subject)) => Err(Refusal::subject_not_found(&Subject::new(subject))),
        (was, _) => Ok(Answer::Json(json!({ "mode": was.unwrap_or_default().name() }))),
    }
}

async fn change_mode(
    shared: &Arc<Shared>,
    subject: Option<String>,
    mode: Option<Mode>,
    is_forced: bool,
) -> Result<Option<Mode>, Refusal> {
    let subject = subject_of(subject.as_deref());
    let place = subject.clone().unwrap_or_else(everything);
    let changed = shared.store.write(move |catalog| {
        let (was, changes) = catalog.set_mode(subject.as_ref(), mode, is_forced)?;
        Ok((was, if was == mode { Vec::new() } else { changes }))
    });
    changed.await.map_err(|error| error.refusal(&place, None))
}
