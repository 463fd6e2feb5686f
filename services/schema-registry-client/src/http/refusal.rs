//! Why a request is refused: HTTP status, Confluent's error code, and a message in its words, for
//! clients match on all three.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cdc_pipeline::port::{SchemaId, SchemaVersion, Subject};
use cdc_pipeline::{Classify, ErrorClass};
use cdc_registry::Error;
use cdc_registry::error::Rule;
use serde_json::json;

use super::CONTENT_TYPE;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: u32,
    pub(crate) message: String,
}

impl Refusal {
    /// Makes a refusal whose status is the first three digits of its code.
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Self {
        let status = if code < 1_000 { code } else { code / 100 };
        let status = u16::try_from(status).unwrap_or(500);
        Self { status, code, message: message.into() }
    }

    /// The journal, or the upstream, cannot be used now.
    pub(crate) fn away(code: u32, message: impl Into<String>) -> Self {
        Self { status: 503, ..Self::new(code, message) }
    }

    pub(crate) fn subject_not_found(subject: &Subject) -> Self {
        Self::new(40401, format!("Subject '{subject}' not found."))
    }

    pub(crate) fn version_not_found(version: impl std::fmt::Display) -> Self {
        Self::new(40402, format!("Version {version} not found."))
    }

    pub(crate) fn schema_not_found(id: Option<SchemaId>) -> Self {
        match id {
            Some(id) => Self::new(40403, format!("Schema {} not found", id.0)),
            None => Self::new(40403, "Schema not found"),
        }
    }

    pub(crate) fn invalid_version(version: &str) -> Self {
        Self::new(
            42202,
            format!(
                "The specified version '{version}' is not a valid version id. Allowed values are \
                 between [1, 2^31-1] and the string \"latest\""
            ),
        )
    }

    pub(crate) fn invalid_subject(subject: &Subject) -> Self {
        Self::new(42208, format!("The specified subject '{subject}' is not a valid."))
    }

    pub(crate) fn malformed(reason: impl std::fmt::Display) -> Self {
        Self::new(400, format!("the request body cannot be read: {reason}"))
    }

    pub(crate) fn invalid_schema(reason: impl std::fmt::Display) -> Self {
        Self::new(42201, format!("Invalid schema of type AVRO, details: {reason}"))
    }

    /// Tells a registry's error in Confluent's words.
    pub(crate) fn of(error: &Error, subject: &Subject, version: Option<SchemaVersion>) -> Self {
        match error {
            Error::InvalidSchema { reason, .. } => Self::invalid_schema(reason),
            Error::Incompatible(objection) | Error::Semantic(objection) => Self::new(
                40901,
                format!(
                    "Schema being registered is incompatible with an earlier schema for subject \
                     \"{subject}\", details: [{}]",
                    objection.reasons.join(", ")
                ),
            ),
            Error::UnknownId(id) => Self::schema_not_found(Some(*id)),
            Error::Refused { subject, rule } => Self::of_rule(rule, subject, version),
            Error::Unavailable { .. } | Error::Malformed { .. } | Error::Auth { .. } => {
                Self::away(50003, format!("the upstream registry cannot be asked: {error}"))
            }
            Error::Config { .. }
            | Error::IdsReset { .. }
            | Error::LevelNotRestored { .. }
            | Error::StoreLocked { .. }
            | Error::StoreCorrupt { .. }
            | Error::StoreIo { .. } => Self::new(50001, format!("Error in the store: {error}")),
        }
    }

    fn of_rule(rule: &Rule, subject: &Subject, version: Option<SchemaVersion>) -> Self {
        let place = match &*subject.0 {
            "" => "The registry".to_owned(),
            subject => format!("Subject {subject} in context ."),
        };
        let number = version.map_or_else(String::new, |version| version.0.to_string());
        let message = match rule {
            Rule::SubjectNotFound => return Self::subject_not_found(subject),
            Rule::VersionNotFound => return Self::version_not_found(number),
            Rule::InvalidSubject => return Self::invalid_subject(subject),
            Rule::SubjectSoftDeleted => format!(
                "Subject '{subject}' was soft deleted.Set permanent=true to delete permanently"
            ),
            Rule::SubjectNotSoftDeleted => format!(
                "Subject '{subject}' was not deleted first before being permanently deleted"
            ),
            Rule::VersionSoftDeleted => format!(
                "Subject '{subject}' Version {number} was soft deleted.Set permanent=true to \
                 delete permanently"
            ),
            Rule::VersionNotSoftDeleted => format!(
                "Subject '{subject}' Version {number} was not deleted first before being \
                 permanently deleted"
            ),
            Rule::ReadOnly => format!("{place} is in read-only mode"),
            Rule::NotReadWrite => format!("{place} is not in read-write mode"),
            Rule::NotImport => format!("{place} is not in import mode"),
            Rule::ImportNotEmpty => "Cannot import since found existing subjects".to_owned(),
            Rule::IdTaken { id } => {
                format!("Overwrite new schema with id {} in context . is not permitted.", id.0)
            }
            Rule::ReferenceExists { version } => format!(
                "One or more references exist to the schema \
                 {{magic=1,keytype=SCHEMA,subject={subject},version={}}}.",
                version.0
            ),
            Rule::SchemaTooLarge => {
                "Register operation failed because schema is too large".to_owned()
            }
            Rule::Other { message, .. } => message.clone(),
            Rule::IdsUsedUp | Rule::GlobalLevel => rule.to_string(),
        };
        Self::new(rule.error_code(), message)
    }
}

impl Classify for Refusal {
    fn class(&self) -> ErrorClass {
        if self.status >= 500 { ErrorClass::Transient } else { ErrorClass::Fatal }
    }

    fn code(&self) -> Option<&'static str> {
        (self.status < 500).then_some("REGISTRY_REFUSED")
    }

    fn remedy(&self) -> Option<String> {
        (self.status < 500).then(|| "check the subject in the registry".to_owned())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error_code": self.code, "message": self.message }).to_string();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
        if self.status == 401 {
            let scheme = HeaderValue::from_static("Basic realm=\"schema registry\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: Rule, status: u16, code: u32, message: &str) {
        let error = Error::Refused { subject: Subject::new("s"), rule };
        let refusal = Refusal::of(&error, &Subject::new("s"), Some(SchemaVersion(3)));
        assert_eq!((refusal.status, refusal.code), (status, code));
        assert_eq!(refusal.message, message);
    }

    #[test]
    fn rules_are_told_in_confluents_words() {
        check(Rule::SubjectNotFound, 404, 40401, "Subject 's' not found.");
        check(Rule::VersionNotFound, 404, 40402, "Version 3 not found.");
        let deleted = "Subject 's' was soft deleted.Set permanent=true to delete permanently";
        check(Rule::SubjectSoftDeleted, 404, 40404, deleted);
        let kept = "Subject 's' was not deleted first before being permanently deleted";
        check(Rule::SubjectNotSoftDeleted, 404, 40405, kept);
        let kept = "Subject 's' Version 3 was not deleted first before being permanently deleted";
        check(Rule::VersionNotSoftDeleted, 404, 40407, kept);
        check(Rule::ReadOnly, 422, 42205, "Subject s in context . is in read-only mode");
        let invalid = "The specified subject 's' is not a valid.";
        check(Rule::InvalidSubject, 422, 42208, invalid);
        let referred = "One or more references exist to the schema \
                        {magic=1,keytype=SCHEMA,subject=s,version=3}.";
        check(Rule::ReferenceExists { version: SchemaVersion(3) }, 422, 42206, referred);
        let large = "Register operation failed because schema is too large";
        check(Rule::SchemaTooLarge, 422, 42209, large);
    }
}
