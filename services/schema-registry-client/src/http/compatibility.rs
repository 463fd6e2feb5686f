//! `/compatibility`: whether a schema could be registered, and if not, why.

use cdc_pipeline::port::Subject;
use cdc_registry::Catalog;
use cdc_registry::catalog::Candidate;
use cdc_registry::store::Include;
use serde_json::json;

use crate::service::Shared;

use super::refusal::Refusal;
use super::wish::{Wish, parse_version};
use super::{Answer, Answered, Call};

pub(super) fn all(shared: &Shared, subject: &str, call: &Call) -> Answered {
    let subject = Subject::new(subject);
    let wish = Wish::parse(&call.body)?;
    let reasons = shared.store.read(|catalog| {
        let draft = wish.draft(catalog, call.query.is("normalize"))?;
        Ok(reasons(shared, catalog, &subject, draft.candidate()))
    })?;
    verdict(call, &subject, reasons?)
}

/// Tells all that forbids a schema: the subject's level and, unless that is `NONE`, the gate.
pub(crate) fn reasons(
    shared: &Shared,
    catalog: &Catalog,
    subject: &Subject,
    schema: Candidate<'_>,
) -> cdc_registry::Result<Vec<String>> {
    let is_known = catalog.lookup(subject, schema, Include::Live)?.is_some();
    let mut reasons = catalog.check(subject, schema)?.map(|f| f.messages()).unwrap_or_default();
    reasons.extend(gate(shared, catalog, subject, schema, is_known)?);
    Ok(reasons)
}

fn gate(
    shared: &Shared,
    catalog: &Catalog,
    subject: &Subject,
    schema: Candidate<'_>,
    is_known: bool,
) -> cdc_registry::Result<Vec<String>> {
    let level = catalog.effective_level(subject);
    if is_known || !shared.has_semantic_gate || level == cdc_registry::Compatibility::None {
        return Ok(Vec::new());
    }
    catalog.meaning_changes(subject, schema)
}

pub(super) fn with(shared: &Shared, (subject, at): (&str, &str), call: &Call) -> Answered {
    let (subject, at) = (Subject::new(subject), parse_version(at)?);
    let wish = Wish::parse(&call.body)?;
    let reasons = shared.store.read(|catalog| {
        let draft = wish.draft(catalog, call.query.is("normalize"))?;
        let latest = || catalog.latest(&subject, Include::Live).map(|found| found.version);
        let Some(version) = at.or_else(latest) else {
            // With nothing to compare it to, it must still be a schema.
            return Ok(catalog.check(&subject, draft.candidate()).map(|_| Vec::new()));
        };
        if catalog.version(&subject, version, Include::Live).is_none() {
            return Err(Refusal::version_not_found(version.0));
        }
        let checked = catalog.check_against(&subject, draft.candidate(), version);
        Ok(checked.map(|found| found.map(|found| found.messages()).unwrap_or_default()))
    })?;
    verdict(call, &subject, reasons?)
}

fn verdict(call: &Call, subject: &Subject, reasons: cdc_registry::Result<Vec<String>>) -> Answered {
    let is_verbose = call.query.is("verbose");
    let reasons = match reasons {
        Ok(reasons) => reasons,
        Err(error) => match error.objection() {
            Some(objection) => objection.reasons.clone(),
            None => {
                let refusal = Refusal::of(&error, subject, None);
                if !is_verbose || refusal.code != 42201 {
                    return Err(refusal);
                }
                vec![refusal.message]
            }
        },
    };
    let is_compatible = reasons.is_empty();
    Ok(Answer::Json(if is_verbose {
        json!({ "is_compatible": is_compatible, "messages": reasons })
    } else {
        json!({ "is_compatible": is_compatible })
    }))
}
