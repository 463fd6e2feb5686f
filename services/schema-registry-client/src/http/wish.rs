//! A schema in the body of a request, and versions in its path.

use cdc_pipeline::port::{SchemaId, SchemaVersion, Subject};
use cdc_registry::Catalog;
use cdc_registry::catalog::{Candidate, Reference};
use cdc_registry::store::Include;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::refusal::Refusal;

/// A use of another schema, as it is asked for.
#[derive(Debug, Clone, Deserialize)]
struct Link {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    subject: Option<String>,
    /// −1 is the latest.
    #[serde(default)]
    version: Option<i64>,
}

/// A schema that somebody wants registered, found or checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wish {
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Link>>,
    #[serde(default)]
    metadata: Option<Value>,
    #[serde(default)]
    rule_set: Option<Value>,
    #[serde(default)]
    id: Option<i64>,
    #[serde(default)]
    version: Option<i64>,
}

impl Wish {
    /// Reads a body, and refuses what this registry does not keep.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let wish: Self = read_json(body)?;
        let kind = wish.schema_type.as_deref().filter(|kind| !kind.is_empty());
        if let Some(kind) = kind.filter(|kind| *kind != "AVRO") {
            let kind: String = kind.chars().take(40).collect();
            let message = format!("Invalid schema type {kind}: this registry takes AVRO only");
            return Err(Refusal::new(42201, message));
        }
        let is_given = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
        let unsupported =
            [("metadata", is_given(&wish.metadata)), ("ruleSet", is_given(&wish.rule_set))];
        if let Some((name, _)) = unsupported.iter().find(|(_, is_given)| *is_given) {
            let message = format!("Invalid schema: \"{name}\" is not supported by this registry");
            return Err(Refusal::new(42201, message));
        }
        if wish.schema.as_deref().is_none_or(|schema| schema.trim().is_empty()) {
            return Err(Refusal::new(42201, "Empty schema"));
        }
        Ok(wish)
    }

    /// Returns the schema, normalised if that is wanted and the text is JSON. References to the
    /// latest version of something are settled by `catalog`.
    pub(crate) fn draft(&self, catalog: &Catalog, is_normalised: bool) -> Result<Draft, Refusal> {
        let text = self.schema.as_deref().unwrap_or_default();
        let normal = is_normalised.then(|| cdc_registry::canonical::respell(text)).flatten();
        let links = self.references.iter().flatten();
        let mut references: Vec<Reference> =
            links.map(|link| settled(link, catalog)).collect::<Result<_, _>>()?;
        if is_normalised {
            references.sort_unstable();
        }
        Ok(Draft { text: normal.unwrap_or_else(|| text.to_owned()), references })
    }

    /// Tells whether the schema uses others.
    pub(crate) fn has_references(&self) -> bool {
        self.references.as_ref().is_some_and(|all| !all.is_empty())
    }

    /// Returns the id asked for; below 0 is none.
    pub(crate) fn id(&self) -> Result<Option<SchemaId>, Refusal> {
        let Some(id) = self.id.filter(|id| *id >= 0) else { return Ok(None) };
        let number = u32::try_from(id).map(SchemaId);
        number.map(Some).map_err(|_| Refusal::malformed(format!("{id} is no schema id")))
    }

    /// Returns the version asked for; below 1 is none.
    pub(crate) fn version(&self) -> Result<Option<SchemaVersion>, Refusal> {
        let Some(version) = self.version.filter(|version| *version >= 1) else { return Ok(None) };
        let number = i32::try_from(version).map(|version| SchemaVersion(version.unsigned_abs()));
        number.map(Some).map_err(|_| Refusal::invalid_version(&version.to_string()))
    }
}

/// A schema as it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    text: String,
    references: Vec<Reference>,
}

impl Draft {
    pub(crate) fn candidate(&self) -> Candidate<'_> {
        Candidate { text: &self.text, references: &self.references }
    }
}

fn settled(link: &Link, catalog: &Catalog) -> Result<Reference, Refusal> {
    let (Some(name), Some(subject), Some(version)) = (&link.name, &link.subject, link.version)
    else {
        let reason = "a reference must have a name, a subject and a version";
        return Err(Refusal::invalid_schema(reason));
    };
    let place = Subject::new(subject.as_str());
    let found = match version {
        -1 => catalog.latest(&place, Include::Deleted).map(|latest| latest.version.0),
        version => u32::try_from(version).ok(),
    };
    let version = found.ok_or_else(|| {
        Refusal::invalid_schema(format!(
            "No schema reference found for subject \"{subject}\" and version {version}"
        ))
    })?;
    Ok(Reference { name: name.clone(), subject: subject.clone(), version })
}

/// Reads a body. None at all is another mistake than one that cannot be read.
pub(super) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    if body.is_empty() {
        return Err(Refusal::new(422, "the request body must not be empty"));
    }
    serde_json::from_slice(body).map_err(Refusal::malformed)
}

/// Reads a version of a path; `None` is the latest.
pub(crate) fn parse_version(text: &str) -> Result<Option<SchemaVersion>, Refusal> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("latest") {
        return Ok(None);
    }
    match text.parse::<i32>() {
        Ok(-1) => Ok(None),
        Ok(version) if version > 0 => Ok(Some(SchemaVersion(version.unsigned_abs()))),
        _ => Err(Refusal::invalid_version(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(body: &str, code: u32, word: &str) {
        let refusal = Wish::parse(body.as_bytes()).unwrap_err();
        let status = if code == 400 { 400 } else { 422 };
        assert_eq!((refusal.code, refusal.status), (code, status), "{refusal}");
        assert!(refusal.message.contains(word), "{refusal}");
    }

    #[test]
    fn what_is_not_kept_is_refused_by_name() {
        refused("{", 400, "body");
        refused("[7]", 400, "body");
        refused("", 422, "empty");
        refused("{}", 42201, "Empty schema");
        refused(r#"{"schema":" "}"#, 42201, "Empty schema");
        refused(r#"{"schema":"x","schemaType":"PROTOBUF"}"#, 42201, "PROTOBUF");
        refused(r#"{"schema":"x","metadata":{"tags":{}}}"#, 42201, "metadata");
        refused(r#"{"schema":"x","ruleSet":{}}"#, 42201, "ruleSet");
        assert!(Wish::parse(br#"{"schema":"x","references":[],"metadata":null,"a":1}"#).is_ok());
    }

    #[test]
    fn versions_are_numbers_from_one_or_the_latest() {
        assert_eq!(parse_version("latest").unwrap(), None);
        assert_eq!(parse_version("-1").unwrap(), None);
        assert_eq!(parse_version("7").unwrap(), Some(SchemaVersion(7)));
        for bad in ["0", "-2", "x", "2147483648", ""] {
            assert_eq!(parse_version(bad).unwrap_err().code, 42202, "{bad}");
        }
    }
}
