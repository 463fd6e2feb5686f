//! Which server certificates are trusted.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Checks as much of a server's certificate as `sslmode` asks for.
///
/// Whatever is left unchecked, the server must still prove that it holds the certificate's key.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    trust: Option<Trust>,
    is_name_checked: bool,
}

#[derive(Debug)]
struct Trust {
    authorities: Arc<WebPkiServerVerifier>,
    /// Certificates trusted as themselves: PostgreSQL servers are often set up with one
    /// self-signed certificate, given to clients as `sslrootcert`.
    pinned: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Trusts any certificate.
    pub(super) fn unchecked(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, trust: None, is_name_checked: false }
    }

    /// Trusts what `authorities` signed and `pinned` itself, under the host's name.
    pub(super) fn trusting(
        authorities: Arc<WebPkiServerVerifier>,
        pinned: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        Self { provider, trust: Some(Trust { authorities, pinned }), is_name_checked: true }
    }

    /// Lets the certificate carry any name.
    pub(super) fn without_name(mut self) -> Self {
        self.is_name_checked = false;
        self
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};

        let Some(trust) = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        if trust.pinned.iter().any(|pinned| pinned.as_ref() == end_entity.as_ref()) {
            if self.is_name_checked {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match trust.authorities.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name is checked after everything else.
            Err(rustls::Error::InvalidCertificate(
                NotValidForName | NotValidForNameContext { .. },
            )) if !self.is_name_checked => Ok(ServerCertVerified::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
