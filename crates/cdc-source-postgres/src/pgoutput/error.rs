//! Bytes that are no message.

/// Why bytes could not be decoded. Says where, never what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message is empty.
    #[error("a pgoutput message is empty")]
    Empty,
    /// No message has this tag.
    #[error("unknown pgoutput message {:?}", char::from(*.tag))]
    UnknownMessage {
        /// The tag.
        tag: u8,
    },
    /// The message ends inside a field.
    #[error("a pgoutput message ends inside {field}")]
    Truncated {
        /// The field.
        field: &'static str,
    },
    /// A field holds a value that is not defined.
    #[error("a pgoutput message holds an undefined value in {field}")]
    Undefined {
        /// The field.
        field: &'static str,
    },
    /// A name is not UTF-8.
    #[error("a pgoutput message holds text in {field} that is not UTF-8")]
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
    /// Bytes follow the last field.
    #[error("a pgoutput message goes on after its end")]
    TrailingBytes,
    /// A message that cannot stand here: a stream block inside another, or ended outside one.
    #[error("the pgoutput message {:?} is out of place", char::from(*.tag))]
    OutOfPlace {
        /// The tag.
        tag: u8,
    },
}
