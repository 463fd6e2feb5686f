//! A plain connection to a broker, to ask what the client library does not tell, and to find out
//! in good time that nobody is there.

use std::io;

use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wire::{self, Api, ClusterInfo};
use crate::{Error, KafkaConfig, Result};

/// Longest response we take, far above what a large cluster's metadata needs.
const RESPONSE_BYTES_MAX: usize = 256 << 20;

/// How the broker wants to be spoken to, as far as we can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech<'a> {
    Plaintext,
    SaslPlain {
        user: &'a str,
        password: &'a str,
    },
    /// TLS, or a mechanism we do not speak: we can connect, and no more.
    Unknown,
}

/// Asks the first broker that answers for all topics, or those named. `None` if it answers in a
/// way that we do not speak.
pub(crate) async fn ask(
    config: &KafkaConfig,
    names: Option<&[&str]>,
) -> Result<Option<ClusterInfo>> {
    let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "no address is given");
    for server in addresses(&config.bootstrap_servers) {
        match timeout(config.connect_timeout, TcpStream::connect(&server)).await {
            Err(_) => {
                let after = format!("no answer within {:?}", config.connect_timeout);
                failure = io::Error::new(io::ErrorKind::TimedOut, after);
            }
            Ok(Err(error)) => failure = error,
            Ok(Ok(stream)) => {
                let asking = timeout(config.request_timeout, converse(config, stream, names));
                match asking.await {
                    Ok(Ok(Ok(answer))) => return Ok(answer),
                    Ok(Ok(Err(code))) => return Err(refused(config, code)),
                    Ok(Err(error)) => failure = error,
                    Err(_) => failure = io::ErrorKind::TimedOut.into(),
                }
            }
        }
    }
    Err(Error::Unreachable { servers: config.bootstrap_servers.clone(), source: failure })
}

fn refused(config: &KafkaConfig, code: Code) -> Error {
    Error::of_code("signing in", &config.bootstrap_servers, code, None)
}

async fn converse(
    config: &KafkaConfig,
    stream: TcpStream,
    names: Option<&[&str]>,
) -> io::Result<Result<Option<ClusterInfo>, Code>> {
    let speech = speech(config);
    if speech == Speech::Unknown {
        return Ok(Ok(None));
    }
    stream.set_nodelay(true)?;
    let mut connection = Connection { stream, client_id: &config.prefix };
    let versions = connection.call(wire::API_VERSIONS, &[]).await?;
    if !wire::speaks(&versions, wire::METADATA).map_err(malformed)? {
        return Ok(Ok(None));
    }
    if let Speech::SaslPlain { user, password } = speech {
        for (api, body) in [
            (wire::SASL_HANDSHAKE, wire::handshake_request("PLAIN")),
            (wire::SASL_AUTHENTICATE, wire::plain_request(user, password)),
        ] {
            let answer = connection.call(api, &body).await?;
            if let Some(code) = wire::sasl_error(&answer).map_err(malformed)? {
                return Ok(Err(code));
            }
        }
    }
    let answer = connection.call(wire::METADATA, &wire::metadata_request(names)).await?;
    Ok(Ok(Some(wire::metadata_response(&answer).map_err(malformed)?)))
}

fn malformed(_: wire::Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what answers there is no Kafka broker")
}

fn speech(config: &KafkaConfig) -> Speech<'_> {
    let is = |name: &str, value: &str| {
        config.property(name).is_some_and(|set| set.eq_ignore_ascii_case(value))
    };
    let mechanism_is_plain = is("sasl.mechanism", "PLAIN") || is("sasl.mechanisms", "PLAIN");
    match config.property("security.protocol") {
        None => Speech::Plaintext,
        Some(protocol) if protocol.eq_ignore_ascii_case("plaintext") => Speech::Plaintext,
        Some(protocol) if protocol.eq_ignore_ascii_case("sasl_plaintext") && mechanism_is_plain => {
            Speech::SaslPlain {
                user: config.property("sasl.username").unwrap_or_default(),
                password: config.property("sasl.password").unwrap_or_default(),
            }
        }
        Some(_) => Speech::Unknown,
    }
}

/// Returns `host:port` of each server listed.
fn addresses(servers: &str) -> impl Iterator<Item = String> + '_ {
    servers.split(',').map(str::trim).filter(|server| !server.is_empty()).map(|server| {
        let address = server.split_once("://").map_or(server, |(_, address)| address);
        let has_port =
            address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port { address.to_owned() } else { format!("{address}:9092") }
    })
}

struct Connection<'a> {
    stream: TcpStream,
    client_id: &'a str,
}

impl Connection<'_> {
    async fn call(&mut self, api: Api, body: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.write_all(&wire::frame(api, self.client_id, body)).await?;
        let size = self.stream.read_u32().await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > RESPONSE_BYTES_MAX {
            return Err(malformed(wire::Malformed));
        }
        let mut response = Vec::new();
        let read = (&mut self.stream).take(size as u64).read_to_end(&mut response).await?;
        if read < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(wire::body(api, &response).map_err(malformed)?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_carry_a_protocol_and_lack_a_port() {
        let listed: Vec<_> = addresses("PLAINTEXT://a:1, b ,[::1]:3,").collect();
        assert_eq!(listed, ["a:1", "b:9092", "[::1]:3"]);
    }
}
