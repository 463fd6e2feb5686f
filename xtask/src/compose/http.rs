//! As much of HTTP as a trial needs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;

const PATIENCE: Duration = Duration::from_secs(10);

/// Sends one request to a port of this machine, with further `headers` each ending its line, and
/// returns the whole answer.
pub(crate) fn ask(port: u16, line: &str, headers: &str, body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE)).context("setting a limit")?;
    let request = format!(
        "{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).context("sending a request")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("reading an answer")?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Returns `text` as a part of an address.
pub(crate) fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_fits_into_an_address() {
        assert_eq!(encoded("a = 'ü'"), "a%20%3D%20%27%C3%BC%27");
    }
}
