//! The byte stream under the protocol: TCP, a socket in the file system, or TLS over TCP.

use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::wire::error::Error;
use crate::wire::frame::put_length_prefixed;
use crate::wire::options::{ConnectOptions, Host};
use crate::wire::socket::{self, Incoming};
use crate::wire::tls;

/// The reading half.
pub(super) type BoxRead = Box<dyn Incoming>;
/// The writing half.
pub(super) type BoxWrite = Box<dyn AsyncWrite + Send + Unpin>;

impl Incoming for OwnedReadHalf {}
impl Incoming for ReadHalf<TlsStream<TcpStream>> {}

/// A dead peer is noticed after about a minute without traffic.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

const SSL_REQUEST_CODE: u32 = 80_877_103;

/// What to do about TLS on one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    Never,
    IfOffered,
    Always,
}

/// An open stream, before the first protocol message.
pub(super) struct Stream {
    pub(super) read: BoxRead,
    pub(super) write: BoxWrite,
    pub(super) is_encrypted: bool,
    /// The `tls-server-end-point` channel binding, if there is TLS and the certificate has one.
    pub(super) end_point: Option<Vec<u8>>,
}

pub(super) async fn open(
    options: &ConnectOptions,
    encryption: Encryption,
) -> Result<Stream, Error> {
    let unreachable = |source| Error::Unreachable { address: options.address(), source };
    match &options.host {
        Host::Unix(_) => {
            let path = options.socket_path();
            let socket = UnixStream::connect(&path).await.map_err(unreachable)?;
            let (read, write) = socket.into_split();
            Ok(plain(Box::new(read), Box::new(write)))
        }
        Host::Tcp(host) => {
            let socket =
                TcpStream::connect((host.as_str(), options.port)).await.map_err(unreachable)?;
            prepare(&socket).map_err(unreachable)?;
            if encryption == Encryption::Never {
                return plain_tcp(socket).map_err(unreachable);
            }
            negotiate(options, host, socket, encryption).await
        }
    }
}

/// Asks for TLS and starts it if the server agrees.
async fn negotiate(
    options: &ConnectOptions,
    host: &str,
    mut socket: TcpStream,
    encryption: Encryption,
) -> Result<Stream, Error> {
    let mut request = BytesMut::new();
    put_length_prefixed(&mut request, |body| {
        body.extend_from_slice(&SSL_REQUEST_CODE.to_be_bytes());
    });
    socket.write_all(&request).await?;
    // Exactly one byte is read: anything behind it would have been sent unprotected.
    match socket.read_u8().await {
        Ok(b'S') => {
            let (stream, end_point) = tls::connect(options, host, socket).await?;
            let (read, write) = tokio::io::split(stream);
            Ok(Stream {
                read: Box::new(read),
                write: Box::new(write),
                is_encrypted: true,
                end_point,
            })
        }
        Ok(b'N') if encryption == Encryption::IfOffered => Ok(plain_tcp(socket)?),
        Ok(b'N') => Err(Error::TlsRefused { address: options.address() }),
        Ok(other) => Err(Error::Protocol(format!("answer {other:#04x} to the request for TLS"))),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(Error::Closed),
        Err(error) => Err(error.into()),
    }
}

fn plain_tcp(socket: TcpStream) -> std::io::Result<Stream> {
    let (read, write) = socket::split(socket)?;
    Ok(plain(Box::new(read), Box::new(write)))
}

fn plain(read: BoxRead, write: BoxWrite) -> Stream {
    Stream { read, write, is_encrypted: false, end_point: None }
}

fn prepare(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}
