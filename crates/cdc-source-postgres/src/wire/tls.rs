//! TLS by rustls with libpq's meaning of `sslmode`, for our own connections and for
//! `tokio-postgres`.
//!
//! Where libpq and rustls differ: a host name is looked for in the certificate's subject
//! alternative names only, never in its common name.
//!
//! Sources: [SSL support](https://www.postgresql.org/docs/current/libpq-ssl.html),
//! [channel binding](https://www.rfc-editor.org/rfc/rfc5929#section-4).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls as sql;

use crate::wire::error::Error;
use crate::wire::options::{ConnectOptions, RootCertificates, SslMode};

mod end_point;
mod verify;

use verify::Verifier;

/// Starts TLS over `socket`; returns the stream and its channel binding.
pub(super) async fn connect(
    options: &ConnectOptions,
    host: &str,
    socket: TcpStream,
) -> Result<(tokio_rustls::client::TlsStream<TcpStream>, Option<Vec<u8>>), Error> {
    let config = client_config(options)?;
    let failed = |source| Error::Tls { address: options.address(), source };
    let name = server_name(host).map_err(failed)?;
    let stream =
        tokio_rustls::TlsConnector::from(config).connect(name, socket).await.map_err(failed)?;
    let end_point = end_point_of(stream.get_ref().1);
    Ok((stream, end_point))
}

fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).map_err(io::Error::other)
}

fn end_point_of(connection: &rustls::ClientConnection) -> Option<Vec<u8>> {
    end_point::hash(connection.peer_certificates()?.first()?)
}

/// Compiles the TLS settings of `options`.
///
/// # Errors
/// Fatal if a certificate or key file cannot be used.
pub(super) fn client_config(options: &ConnectOptions) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match (options.ssl_mode, &options.ssl_root_cert) {
        (SslMode::Disable | SslMode::Prefer, _) | (SslMode::Require, None) => {
            Verifier::unchecked(provider.clone())
        }
        (SslMode::Require | SslMode::VerifyCa, roots) => {
            verifier(roots.as_ref(), provider.clone())?.without_name()
        }
        (SslMode::VerifyFull, roots) => verifier(roots.as_ref(), provider.clone())?,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("the TLS library", error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match (&options.ssl_cert, &options.ssl_key) {
        (Some(cert), Some(key)) => {
            let cert_name = format!("sslcert {}", cert.display());
            let key_name = format!("sslkey {}", key.display());
            let chain = CertificateDer::pem_file_iter(cert)
                .and_then(Iterator::collect)
                .map_err(|error| unusable(&cert_name, error))?;
            let key =
                PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(&key_name, error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable(&cert_name, error))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn verifier(
    roots: Option<&RootCertificates>,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Verifier, Error> {
    let (what, certificates) = match roots {
        Some(RootCertificates::File(path)) => {
            let what = format!("sslrootcert {}", path.display());
            let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|error| unusable(&what, error))?;
            (what, certificates)
        }
        Some(RootCertificates::System) | None => {
            ("the system's certificates".to_owned(), rustls_native_certs::load_native_certs().certs)
        }
    };
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(certificates.iter().cloned());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
        .build()
        .map_err(|error| unusable(&what, error))?;
    Ok(Verifier::trusting(inner, certificates, provider))
}

fn unusable(what: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Certificate { what: what.to_owned(), source: source.into() }
}

/// Makes TLS connections for `tokio-postgres`.
#[derive(Clone)]
pub struct MakeTls {
    config: Arc<ClientConfig>,
}

impl MakeTls {
    pub(super) fn new(config: Arc<ClientConfig>) -> Self {
        Self { config }
    }
}

impl<S> sql::MakeTlsConnect<S> for MakeTls
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Stream = TlsStream<S>;
    type TlsConnect = TlsConnect;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<TlsConnect> {
        // A socket in the file system has no name and is never asked for TLS.
        let name = if host.is_empty() { "localhost" } else { host };
        Ok(TlsConnect { config: self.config.clone(), name: server_name(name)? })
    }
}

/// One TLS handshake to be made.
pub struct TlsConnect {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl<S> sql::TlsConnect<S> for TlsConnect
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Stream = TlsStream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TlsStream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connector = tokio_rustls::TlsConnector::from(self.config);
        Box::pin(async move { connector.connect(self.name, stream).await.map(TlsStream) })
    }
}

/// A TLS stream that tells its channel binding.
pub struct TlsStream<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> sql::TlsStream for TlsStream<S> {
    fn channel_binding(&self) -> sql::ChannelBinding {
        match end_point_of(self.0.get_ref().1) {
            Some(hash) => sql::ChannelBinding::tls_server_end_point(hash),
            None => sql::ChannelBinding::none(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
