//! HTTP requests with bounds, repeated at the next address while a registry is away.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Outage, Result};

use super::config::{Credentials, RestConfig};

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// Answers longer than this are not read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const MESSAGE_CHARS_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Transport {
    http: Client,
    urls: Vec<String>,
    /// Index of the address that answered last.
    current: AtomicUsize,
    config: RestConfig,
}

/// A registry's answer that it will not do something.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// Confluent's error code.
    pub(super) code: u32,
    pub(super) message: String,
}

impl Refusal {
    /// The status is what counts: servers differ in the code, 409 or 40901.
    pub(super) fn is_conflict(&self) -> bool {
        self.status == 409
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error_code: u32,
    #[serde(default)]
    message: String,
}

impl Transport {
    pub(super) fn new(mut config: RestConfig) -> Result<Self> {
        let mut urls = Vec::with_capacity(config.urls.len());
        for url in &config.urls {
            let (url, credentials) = parse_url(url)?;
            if matches!(config.credentials, Credentials::None) {
                config.credentials = credentials;
            }
            urls.push(url);
        }
        if urls.is_empty() || config.rounds_max == 0 {
            return Err(invalid("url", "there must be at least one"));
        }
        // Credentials may be in them.
        config.urls.clear();
        let is_secure = urls.iter().any(|url| url.starts_with("https:"));
        let http = Client::builder()
            .use_preconfigured_tls(tls(is_secure, config.ca_file.as_deref())?)
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("penstock/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| invalid("tls", &root_cause(&error)))?;
        Ok(Self { http, urls, current: AtomicUsize::new(0), config })
    }

    pub(super) fn url(&self) -> &str {
        self.urls.first().map_or("", String::as_str)
    }

    /// Sends a request until a registry answers it, however it answers, or the rounds are used up.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> Result<Result<T, Refusal>> {
        self.call_for(method, path, body, |answer| serde_json::from_slice(&answer).ok()).await
    }

    /// As [`Transport::call`]; what `read` does not understand is no registry's answer.
    pub(super) async fn call_for<T>(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
        read: fn(Vec<u8>) -> Option<T>,
    ) -> Result<Result<T, Refusal>> {
        let mut pause = self.config.backoff_initial;
        let mut round = 1;
        loop {
            let (error, asked) = match self.round(&method, path, body, read).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let is_worth_it = matches!(error, Error::Unavailable { .. } | Error::Malformed { .. });
            if !is_worth_it || round >= self.config.rounds_max {
                return Err(error);
            }
            tracing::debug!(error = %error, round, "registry did not answer");
            let wait = pause.max(asked.unwrap_or_default()).min(self.config.backoff_max);
            tokio::time::sleep(wait).await;
            pause = pause.saturating_mul(2);
            round += 1;
        }
    }

    /// Asks each address once, beginning with the one that answered last. The error comes with the
    /// pause that the server asked for.
    async fn round<T>(
        &self,
        method: &Method,
        path: &str,
        body: Option<&str>,
        read: fn(Vec<u8>) -> Option<T>,
    ) -> Result<Result<T, Refusal>, (Error, Option<Duration>)> {
        let first = self.current.load(Ordering::Relaxed);
        let mut failure = None;
        for step in 0..self.urls.len() {
            let index = (first + step) % self.urls.len();
            let url = &self.urls[index];
            let mut asked = None;
            let request = self.request(method, &format!("{url}{path}"), body);
            match self.answer(url, request, &mut asked, read).await {
                Ok(answer) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => failure = Some((error, asked)),
            }
        }
        Err(failure.expect("invariant: there is at least one address"))
    }

    fn request(&self, method: &Method, url: &str, body: Option<&str>) -> RequestBuilder {
        let mut request = self.http.request(method.clone(), url).header(ACCEPT, MEDIA_TYPE);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, MEDIA_TYPE).body(body.to_owned());
        }
        match &self.config.credentials {
            Credentials::None => request,
            Credentials::Basic { user, password } => request.basic_auth(user, Some(password)),
            Credentials::Bearer(token) => request.bearer_auth(token),
        }
    }

    async fn answer<T>(
        &self,
        url: &str,
        request: RequestBuilder,
        asked: &mut Option<Duration>,
        read: fn(Vec<u8>) -> Option<T>,
    ) -> Result<Result<T, Refusal>> {
        let outage = |error| self.outage(url, error);
        let mut response = request.send().await.map_err(outage)?;
        let status = response.status();
        *asked = retry_after(&response);
        let malformed = |reason: &str| Error::Malformed {
            url: url.to_owned(),
            status: status.as_u16(),
            reason: reason.to_owned(),
        };
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(Error::Auth { url: url.to_owned(), status: status.as_u16() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(outage)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(malformed("the answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            let unexpected = || malformed("the body is not the JSON expected");
            return read(body).map(Ok).ok_or_else(unexpected);
        }
        let told = serde_json::from_slice::<ErrorBody>(&body).ok();
        let is_away = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        if status.is_server_error() || is_away {
            let code = told.map(|told| told.error_code);
            let cause = Outage::Status { status: status.as_u16(), code };
            return Err(Error::Unavailable { url: url.to_owned(), cause });
        }
        let Some(told) = told else { return Err(malformed("the body is no error message")) };
        let message = told.message.chars().take(MESSAGE_CHARS_MAX).collect();
        Ok(Err(Refusal { status: status.as_u16(), code: told.error_code, message }))
    }

    fn outage(&self, url: &str, error: reqwest::Error) -> Error {
        let cause = if error.is_timeout() {
            Outage::Timeout(self.config.request_timeout)
        } else {
            Outage::Unreachable(root_cause(&error.without_url()))
        };
        Error::Unavailable { url: url.to_owned(), cause }
    }
}

/// Returns the address without user, password and the slash at its end, and the former two.
fn parse_url(text: &str) -> Result<(String, Credentials)> {
    let mut url = Url::parse(text).map_err(|error| invalid("url", &error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid("url", "it must be http://host or https://host"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("url", "it must have no query and no fragment"));
    }
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let credentials = match (url.username(), url.password()) {
        ("", None) => Credentials::None,
        (user, password) => Credentials::Basic {
            user: decode(user),
            password: decode(password.unwrap_or_default()),
        },
    };
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| invalid("url", "it can have no user"))?;
    Ok((url.as_str().trim_end_matches('/').to_owned(), credentials))
}

fn tls(is_secure: bool, ca_file: Option<&Path>) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    if is_secure {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if let Some(path) = ca_file {
        let wrong = |error: &dyn std::fmt::Display| {
            invalid("ca_file", &format!("{}: {error}", path.display()))
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
            let certificate = certificate.map_err(|error| wrong(&error))?;
            roots.add(certificate).map_err(|error| wrong(&error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("tls", &error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn invalid(setting: &'static str, reason: &str) -> Error {
    Error::Config { setting, reason: reason.to_owned() }
}

/// Only the form in seconds is used by registries.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
