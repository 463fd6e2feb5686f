//! The names that schemas are registered under.

use cdc_pipeline::port::Subject;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Returns the subject of a topic's keys (`TopicNameStrategy`).
pub fn key_subject(topic: &str) -> Subject {
    Subject::new(format!("{topic}-key"))
}

/// Returns the subject of a topic's values (`TopicNameStrategy`).
pub fn value_subject(topic: &str) -> Subject {
    Subject::new(format!("{topic}-value"))
}

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns `name` as one segment of a URL's path: every byte but letters, digits and `-._~` is
/// percent-encoded.
pub(crate) fn path_segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// Tells whether a subject may be used: not empty, no control characters, not one of the two names
/// that Confluent reserves, and not `.` or `..`, which no URL can name.
pub fn is_valid(subject: &Subject) -> bool {
    let name = &*subject.0;
    let reserved = ["", ".", "..", "__GLOBAL", "__EMPTY"];
    !reserved.contains(&name) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_segment_has_no_special_bytes() {
        assert_eq!(path_segment("a.b-c_d~1"), "a.b-c_d~1");
        assert_eq!(path_segment("a/b c?%é"), "a%2Fb%20c%3F%25%C3%A9");
    }

    #[test]
    fn subjects_that_no_registry_can_name_are_invalid() {
        for name in ["", ".", "..", "__GLOBAL", "__EMPTY", "a\0b", "a\nb"] {
            assert!(!is_valid(&Subject::new(name)), "{name:?}");
        }
        assert!(is_valid(&value_subject("shop.public.orders")));
        assert_eq!(key_subject("t").0.as_ref(), "t-key");
    }
}
