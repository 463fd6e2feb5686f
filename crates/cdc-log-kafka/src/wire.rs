//! The five requests of Kafka's protocol that we speak ourselves, for the client library does not
//! tell a topic's id. Pure: bytes in, bytes out.
//!
//! Source: <https://kafka.apache.org/protocol>

use bytes::{Buf, BufMut};
use rdkafka::types::RDKafkaErrorCode as Code;

/// A response that is not what the protocol says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

type Result<T> = std::result::Result<T, Malformed>;

/// A request's key and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Api {
    pub(crate) key: i16,
    pub(crate) version: i16,
    /// Whether headers and body use compact types and tag buffers.
    is_flexible: bool,
}

pub(crate) const API_VERSIONS: Api = Api { key: 18, version: 0, is_flexible: false };
/// The first version in which all topics come with their ids.
pub(crate) const METADATA: Api = Api { key: 3, version: 12, is_flexible: true };
pub(crate) const SASL_HANDSHAKE: Api = Api { key: 17, version: 1, is_flexible: false };
pub(crate) const SASL_AUTHENTICATE: Api = Api { key: 36, version: 0, is_flexible: false };

/// A topic as the broker describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicInfo {
    pub(crate) name: String,
    pub(crate) error: i16,
    pub(crate) id: [u8; 16],
    pub(crate) is_internal: bool,
    pub(crate) partitions: usize,
}

/// A cluster as the broker describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterInfo {
    pub(crate) id: Option<String>,
    pub(crate) topics: Vec<TopicInfo>,
}

/// Frames a request: its size, its header, `body`.
pub(crate) fn frame(api: Api, client_id: &str, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.put_i16(api.key);
    frame.put_i16(api.version);
    frame.put_i32(CORRELATION);
    put_string(&mut frame, client_id);
    if api.is_flexible {
        frame.put_u8(0);
    }
    frame.put_slice(body);
    let size = u32::try_from(frame.len() - 4).expect("invariant: requests are small");
    frame.splice(..4, size.to_be_bytes());
    frame
}

/// One request at a time, so one number serves all.
const CORRELATION: i32 = 1;

/// Takes a response's header off.
pub(crate) fn body(api: Api, mut response: &[u8]) -> Result<&[u8]> {
    if response.try_get_i32().map_err(|_| Malformed)? != CORRELATION {
        return Err(Malformed);
    }
    if api.is_flexible {
        skip_tags(&mut response)?;
    }
    Ok(response)
}

/// Makes a request for all topics, or for those named.
pub(crate) fn metadata_request(names: Option<&[&str]>) -> Vec<u8> {
    let mut body = Vec::new();
    match names {
        None => body.put_u8(0),
        Some(names) => {
            put_uvarint(&mut body, names.len() + 1);
            for name in names {
                body.put_slice(&[0; 16]);
                put_uvarint(&mut body, name.len() + 1);
                body.put_slice(name.as_bytes());
                body.put_u8(0);
            }
        }
    }
    // Neither create topics nor list authorized operations; no tags.
    body.put_slice(&[0, 0, 0]);
    body
}

/// Reads the answer to [`metadata_request`].
pub(crate) fn metadata_response(mut body: &[u8]) -> Result<ClusterInfo> {
    let buf = &mut body;
    take(buf, 4)?;
    for _ in 0..array(buf)? {
        take(buf, 4)?;
        compact_string(buf)?;
        take(buf, 4)?;
        compact_string(buf)?;
        skip_tags(buf)?;
    }
    let id = compact_string(buf)?;
    take(buf, 4)?;
    let mut topics = Vec::new();
    for _ in 0..array(buf)? {
        topics.push(topic(buf)?);
    }
    skip_tags(buf)?;
    Ok(ClusterInfo { id, topics })
}

fn topic(buf: &mut &[u8]) -> Result<TopicInfo> {
    let error = buf.try_get_i16().map_err(|_| Malformed)?;
    let name = compact_string(buf)?.ok_or(Malformed)?;
    let id = take(buf, 16)?.try_into().map_err(|_| Malformed)?;
    let is_internal = buf.try_get_u8().map_err(|_| Malformed)? != 0;
    let partitions = array(buf)?;
    for _ in 0..partitions {
        take(buf, 2 + 4 + 4 + 4)?;
        for _ in 0..3 {
            let brokers = array(buf)?;
            take(buf, brokers.checked_mul(4).ok_or(Malformed)?)?;
        }
        skip_tags(buf)?;
    }
    take(buf, 4)?;
    skip_tags(buf)?;
    Ok(TopicInfo { name, error, id, is_internal, partitions })
}

/// Reads the answer to an empty [`API_VERSIONS`] request: whether the broker speaks `api`.
pub(crate) fn speaks(mut body: &[u8], api: Api) -> Result<bool> {
    let buf = &mut body;
    take(buf, 2)?;
    let count = buf.try_get_i32().map_err(|_| Malformed)?;
    for _ in 0..count {
        let mut entry = take(buf, 6)?;
        let (key, min, max) = (entry.get_i16(), entry.get_i16(), entry.get_i16());
        if key == api.key {
            return Ok((min..=max).contains(&api.version));
        }
    }
    Ok(false)
}

/// Makes the request that names a SASL mechanism.
pub(crate) fn handshake_request(mechanism: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_string(&mut body, mechanism);
    body
}

/// Makes the request that carries user and password of SASL/PLAIN.
pub(crate) fn plain_request(user: &str, password: &str) -> Vec<u8> {
    let token = [b"\0", user.as_bytes(), b"\0", password.as_bytes()].concat();
    let mut body = Vec::new();
    body.put_u32(u32::try_from(token.len()).unwrap_or(u32::MAX));
    body.put_slice(&token);
    body
}

/// Reads the error code that a SASL response begins with.
pub(crate) fn sasl_error(mut body: &[u8]) -> Result<Option<Code>> {
    let code = body.try_get_i16().map_err(|_| Malformed)?;
    Ok((code != 0).then(|| code_of(code)))
}

/// Returns the client library's name for a code of the protocol.
pub(crate) fn code_of(code: i16) -> Code {
    match code {
        1 => Code::OffsetOutOfRange,
        3 => Code::UnknownTopicOrPartition,
        5 => Code::LeaderNotAvailable,
        17 => Code::InvalidTopic,
        29 => Code::TopicAuthorizationFailed,
        31 => Code::ClusterAuthorizationFailed,
        33 => Code::UnsupportedSASLMechanism,
        34 => Code::IllegalSASLState,
        58 => Code::SaslAuthenticationFailed,
        _ => Code::Unknown,
    }
}

fn put_string(buf: &mut Vec<u8>, text: &str) {
    buf.put_u16(u16::try_from(text.len()).expect("invariant: names are short"));
    buf.put_slice(text.as_bytes());
}

fn put_uvarint(buf: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        buf.put_u8(u8::try_from(value & 0x7f).expect("invariant: seven bits") | 0x80);
        value >>= 7;
    }
    buf.put_u8(u8::try_from(value).expect("invariant: seven bits"));
}

fn take<'a>(buf: &mut &'a [u8], len: usize) -> Result<&'a [u8]> {
    let (head, tail) = buf.split_at_checked(len).ok_or(Malformed)?;
    *buf = tail;
    Ok(head)
}

fn uvarint(buf: &mut &[u8]) -> Result<usize> {
    let mut value = 0_usize;
    for shift in (0..35).step_by(7) {
        let byte = buf.try_get_u8().map_err(|_| Malformed)?;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

/// Reads a compact array's length; a null array is empty.
fn array(buf: &mut &[u8]) -> Result<usize> {
    let len = uvarint(buf)?.saturating_sub(1);
    // Every element takes at least a byte, so that no length makes us loop for long.
    if len > buf.len() { Err(Malformed) } else { Ok(len) }
}

fn compact_string(buf: &mut &[u8]) -> Result<Option<String>> {
    match uvarint(buf)? {
        0 => Ok(None),
        len => {
            let text = take(buf, len - 1)?.to_vec();
            String::from_utf8(text).map(Some).map_err(|_| Malformed)
        }
    }
}

fn skip_tags(buf: &mut &[u8]) -> Result<()> {
    for _ in 0..uvarint(buf)? {
        uvarint(buf)?;
        let len = uvarint(buf)?;
        take(buf, len)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn response() -> Vec<u8> {
        let mut body = Vec::new();
        body.put_i32(0);
        body.put_slice(&[2, 0, 0, 0, 1, 10]);
        body.put_slice(b"localhost");
        body.put_slice(&[0, 0, 0x23, 0x84, 0, 0]);
        body.put_slice(&[4]);
        body.put_slice(b"abc");
        body.put_i32(1);
        body.put_slice(&[2, 0, 0, 7]);
        body.put_slice(b"orders");
        body.put_slice(&[9; 16]);
        body.put_slice(&[0, 2]);
        body.put_slice(&[0; 2 + 4 + 4 + 4]);
        body.put_slice(&[2, 0, 0, 0, 1, 2, 0, 0, 0, 1, 1, 0]);
        body.put_i32(i32::MIN);
        body.put_slice(&[0, 0]);
        body
    }

    #[test]
    fn metadata_is_read() {
        let topic = TopicInfo {
            name: "orders".to_owned(),
            error: 0,
            id: [9; 16],
            is_internal: false,
            partitions: 1,
        };
        let expected = ClusterInfo { id: Some("abc".to_owned()), topics: vec![topic] };
        assert_eq!(metadata_response(&response()), Ok(expected));
    }

    #[test]
    fn a_response_cut_short_is_malformed() {
        let whole = response();
        for len in 0..whole.len() {
            assert_eq!(metadata_response(&whole[..len]), Err(Malformed), "{len}");
        }
    }

    #[test]
    fn a_frame_begins_with_its_size() {
        let frame = frame(METADATA, "me", &metadata_request(Some(&["t"])));
        assert_eq!(frame[..4], u32::try_from(frame.len() - 4).unwrap().to_be_bytes());
        assert_eq!(frame[4..14], [0, 3, 0, 12, 0, 0, 0, 1, 0, 2]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            drop(metadata_response(&bytes));
            drop(speaks(&bytes, METADATA));
            drop(sasl_error(&bytes));
            drop(body(METADATA, &bytes));
        }

        #[test]
        fn uvarint_of_put_is_identity(value in 0_usize..1 << 34) {
            let mut buf = Vec::new();
            put_uvarint(&mut buf, value);
            prop_assert_eq!(uvarint(&mut &buf[..]), Ok(value));
        }
    }
}
