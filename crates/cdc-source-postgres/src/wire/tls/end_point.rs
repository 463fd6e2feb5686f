//! The `tls-server-end-point` channel binding: a hash of the server's certificate.
//!
//! The hash is the one of the certificate's own signature, except that MD5 and SHA-1 give way to
//! SHA-256. A signature without a hash of its own (Ed25519) has no such binding.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc5929#section-4.1>

use sha2::{Digest, Sha256, Sha384, Sha512};

const TAG_SEQUENCE: u8 = 0x30;
const TAG_OID: u8 = 0x06;
const TAG_CONTEXT_0: u8 = 0xA0;

/// `1.2.840.113549.1.1`, the RSA signatures.
const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01];
/// `1.2.840.10045.4.1`, ECDSA with SHA-1.
const ECDSA_SHA1: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01];
/// `1.2.840.10045.4.3`, ECDSA with SHA-2.
const ECDSA_SHA2: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03];
/// `2.16.840.1.101.3.4.2`, the SHA-2 hashes.
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// Returns the channel binding of a DER certificate, if its signature defines one.
pub(super) fn hash(certificate: &[u8]) -> Option<Vec<u8>> {
    Some(match signature_hash(certificate)? {
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

/// `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OID, … }, … }`
fn signature_hash(certificate: &[u8]) -> Option<Hash> {
    let (certificate, _) = element(certificate, TAG_SEQUENCE)?;
    let (_, rest) = element(certificate, TAG_SEQUENCE)?;
    let (algorithm, _) = element(rest, TAG_SEQUENCE)?;
    let (oid, parameters) = element(algorithm, TAG_OID)?;
    if oid == ECDSA_SHA1 {
        return Some(Hash::Sha256);
    }
    let (&last, family) = oid.split_last()?;
    match (family, last) {
        // MD5, SHA-1, SHA-256; ECDSA with SHA-256.
        (RSA, 4 | 5 | 11) | (ECDSA_SHA2, 2) => Some(Hash::Sha256),
        (RSA, 12) | (ECDSA_SHA2, 3) => Some(Hash::Sha384),
        (RSA, 13) | (ECDSA_SHA2, 4) => Some(Hash::Sha512),
        (RSA, 10) => pss_hash(parameters),
        _ => None,
    }
}

/// `RSASSA-PSS-params ::= SEQUENCE { [0] HashAlgorithm DEFAULT sha1, … }`
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let (parameters, _) = element(parameters, TAG_SEQUENCE)?;
    let Some((hash, _)) = element(parameters, TAG_CONTEXT_0) else { return Some(Hash::Sha256) };
    let (algorithm, _) = element(hash, TAG_SEQUENCE)?;
    let (oid, _) = element(algorithm, TAG_OID)?;
    match oid.split_last()? {
        (1, family) if family == SHA2 => Some(Hash::Sha256),
        (2, family) if family == SHA2 => Some(Hash::Sha384),
        (3, family) if family == SHA2 => Some(Hash::Sha512),
        _ => None,
    }
}

/// Splits the element with `tag` off the start of `der`: its content, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    if found != tag {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7F);
        if count > 4 {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(count)?;
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    rest.split_at_checked(length)
}
