//! What a path names. Paths are split before they are decoded, so that a subject may hold a slash.

use percent_encoding::percent_decode_str;

/// A place of the API. Numbers are kept as text: each place has its own answer to a bad one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Root,
    Types,
    Schemas,
    SchemaById(String),
    SchemaTextById(String),
    SubjectsOfId(String),
    VersionsOfId(String),
    Subjects,
    Subject(String),
    WithMetadata(String),
    Versions(String),
    Version(String, String),
    VersionText(String, String),
    ReferencedBy(String, String),
    Compatibility(String),
    CompatibilityWith(String, String),
    Config(Option<String>),
    Mode(Option<String>),
    Contexts,
    MetadataId,
    MetadataVersion,
    MetadataDeployment,
    Preview,
    Health,
    Readiness,
    Metrics,
}

impl Place {
    /// Returns what `path` names, or `None` if nothing.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Some(Self::Root);
        }
        let segments: Option<Vec<String>> = path.split('/').map(decode).collect();
        let segments = segments?;
        let names: Vec<&str> = segments.iter().map(String::as_str).collect();
        let own = |name: &str| name.to_owned();
        Some(match names.as_slice() {
            ["schemas"] => Self::Schemas,
            ["schemas", "types"] => Self::Types,
            ["schemas", "ids", id] => Self::SchemaById(own(id)),
            ["schemas", "ids", id, "schema"] => Self::SchemaTextById(own(id)),
            ["schemas", "ids", id, "subjects"] => Self::SubjectsOfId(own(id)),
            ["schemas", "ids", id, "versions"] => Self::VersionsOfId(own(id)),
            ["subjects"] => Self::Subjects,
            ["subjects", subject] => Self::Subject(own(subject)),
            ["subjects", subject, "metadata"] => Self::WithMetadata(own(subject)),
            ["subjects", subject, "versions"] => Self::Versions(own(subject)),
            ["subjects", subject, "versions", at] => Self::Version(own(subject), own(at)),
            ["subjects", subject, "versions", at, "schema"] => {
                Self::VersionText(own(subject), own(at))
            }
            ["subjects", subject, "versions", at, "referencedby"] => {
                Self::ReferencedBy(own(subject), own(at))
            }
            ["compatibility", "subjects", subject, "versions"] => Self::Compatibility(own(subject)),
            ["compatibility", "subjects", subject, "versions", at] => {
                Self::CompatibilityWith(own(subject), own(at))
            }
            ["config"] => Self::Config(None),
            ["config", subject] => Self::Config(Some(own(subject))),
            ["mode"] => Self::Mode(None),
            ["mode", subject] => Self::Mode(Some(own(subject))),
            ["contexts"] => Self::Contexts,
            ["v1", "metadata", "id"] => Self::MetadataId,
            ["v1", "metadata", "version"] => Self::MetadataVersion,
            ["v1", "metadata", "deployment"] => Self::MetadataDeployment,
            ["preview"] => Self::Preview,
            ["healthz"] => Self::Health,
            ["readyz"] => Self::Readiness,
            ["metrics"] => Self::Metrics,
            _ => return None,
        })
    }

    /// Returns its pattern, for metrics.
    pub(crate) fn pattern(&self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::Types => "/schemas/types",
            Self::Schemas => "/schemas",
            Self::SchemaById(_) => "/schemas/ids/{id}",
            Self::SchemaTextById(_) => "/schemas/ids/{id}/schema",
            Self::SubjectsOfId(_) => "/schemas/ids/{id}/subjects",
            Self::VersionsOfId(_) => "/schemas/ids/{id}/versions",
            Self::Subjects => "/subjects",
            Self::Subject(_) => "/subjects/{subject}",
            Self::WithMetadata(_) => "/subjects/{subject}/metadata",
            Self::Versions(_) => "/subjects/{subject}/versions",
            Self::Version(..) => "/subjects/{subject}/versions/{version}",
            Self::VersionText(..) => "/subjects/{subject}/versions/{version}/schema",
            Self::ReferencedBy(..) => "/subjects/{subject}/versions/{version}/referencedby",
            Self::Compatibility(_) => "/compatibility/subjects/{subject}/versions",
            Self::CompatibilityWith(..) => "/compatibility/subjects/{subject}/versions/{version}",
            Self::Config(None) => "/config",
            Self::Config(Some(_)) => "/config/{subject}",
            Self::Mode(None) => "/mode",
            Self::Mode(Some(_)) => "/mode/{subject}",
            Self::Contexts => "/contexts",
            Self::MetadataId => "/v1/metadata/id",
            Self::MetadataVersion => "/v1/metadata/version",
            Self::MetadataDeployment => "/v1/metadata/deployment",
            Self::Preview => "/preview",
            Self::Health => "/healthz",
            Self::Readiness => "/readyz",
            Self::Metrics => "/metrics",
        }
    }

    /// Whether it is of this process, not of the registry behind it.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Preview | Self::Health | Self::Readiness | Self::Metrics)
    }
}

fn decode(segment: &str) -> Option<String> {
    percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// What follows the question mark of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Splits a query; what is no Unicode is replaced.
    pub(crate) fn parse(query: &str) -> Self {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        };
        Self(pairs.map(pair).collect())
    }

    /// Returns the first value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Returns all values of `name`.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether `name` is `true`.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Cuts a list as `offset` and `limit` say; a limit below 1 is none.
    pub(crate) fn page<T>(&self, all: Vec<T>) -> Vec<T> {
        let number = |name: &str| self.get(name).and_then(|value| value.parse::<i64>().ok());
        let size = |number: i64| usize::try_from(number).unwrap_or(0);
        let offset = size(number("offset").unwrap_or(0));
        let limit = number("limit").filter(|limit| *limit > 0).map_or(usize::MAX, size);
        all.into_iter().skip(offset).take(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_may_hold_anything_that_is_encoded() {
        let place = Place::parse("/subjects/a%2Fb%20%C3%BC/versions/latest/");
        assert_eq!(place, Some(Place::Version("a/b ü".into(), "latest".into())));
        assert_eq!(Place::parse("/subjects/%FF"), None);
        assert_eq!(Place::parse("/subjects/a/b"), None);
        assert_eq!(Place::parse("/subjects//versions"), Some(Place::Versions(String::new())));
        assert_eq!(Place::parse(""), Some(Place::Root));
    }

    #[test]
    fn a_query_is_decoded_and_pages_lists() {
        let query = Query::parse("subjectPrefix=a%26b+c&deleted=TRUE&offset=1&limit=2");
        assert_eq!(query.get("subjectPrefix"), Some("a&b c"));
        assert!(query.is("deleted") && !query.is("permanent"));
        assert_eq!(query.page(vec![1, 2, 3, 4]), [2, 3]);
        assert_eq!(Query::parse("limit=-1").page(vec![1, 2]), [1, 2]);
    }
}
