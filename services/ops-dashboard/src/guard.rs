//! Who may look and press.
//!
//! | threat | answer |
//! |---|---|
//! | a row whose value is markup | templates escape; the policy below runs no inline script and no foreign file |
//! | another site's form | a command must come from this origin (`Sec-Fetch-Site`, else `Origin`) |
//! | another site's name that resolves to this machine | without a token, only loopback names are answered |
//! | another site's frame | `frame-ancestors 'none'` |
//! | someone on the network | loopback only, unless there is a token |
//! | guessing the token | sixteen characters at least, ten attempts a minute, compared in constant time |

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use hmac::{Hmac, Mac};
use maud::html;
use sha2::Sha256;
use tokio::time::Instant;

use crate::dashboard::Shared;
use crate::fleet::lock;
use crate::page::{self, Preferences};

/// What a browser may do with a page. uPlot and the page's script set styles through the object
/// model, which `style-src` does not forbid.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; \
                      base-uri 'none'; form-action 'self'";

/// Characters of a token.
pub(crate) const TOKEN_MIN: usize = 16;

const SESSION: &str = "penstock_session";

/// How long a session lasts.
const SESSION_MS: i64 = 12 * 3_600_000;

const ATTEMPTS_MAX: u32 = 10;
const ATTEMPTS_PERIOD: Duration = Duration::from_secs(60);

/// Paths that an orchestrator asks, which tell nothing but health.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

type Signature = Hmac<Sha256>;

/// The token, if there is one, and who tried to guess it.
pub(crate) struct Guard {
    token: Option<String>,
    attempts: Mutex<(Option<Instant>, u32)>,
}

impl Guard {
    pub(crate) fn new(token: Option<String>) -> Self {
        Self { token, attempts: Mutex::default() }
    }

    /// Returns whether a token is asked for.
    pub(crate) fn is_guarded(&self) -> bool {
        self.token.is_some()
    }

    /// Returns whether another attempt to sign in may be made now, and counts it.
    pub(crate) fn may_attempt(&self) -> bool {
        let mut attempts = lock(&self.attempts);
        let now = Instant::now();
        if attempts.0.is_none_or(|start| now.duration_since(start) > ATTEMPTS_PERIOD) {
            *attempts = (Some(now), 0);
        }
        attempts.1 += 1;
        attempts.1 <= ATTEMPTS_MAX
    }

    /// Returns a session's cookie if `given` is the token.
    pub(crate) fn sign_in(&self, given: &str, now_ms: i64, is_secure: bool) -> Option<String> {
        let token = self.token.as_deref()?;
        // Both are signed with the same key first: the comparison tells neither length nor place.
        let expected = signature(token, token).finalize().into_bytes();
        signature(token, given).verify_slice(&expected).ok()?;
        let expires = now_ms + SESSION_MS;
        let signed: String = signature(token, &session_text(expires))
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let secure = if is_secure { "; Secure" } else { "" };
        let age = SESSION_MS / 1_000;
        Some(format!(
            "{SESSION}={expires}.{signed}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}"
        ))
    }

    /// The cookie that ends a session.
    pub(crate) fn sign_out() -> String {
        format!("{SESSION}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    /// Returns whether the request carries a session, or the token itself.
    fn is_signed_in(&self, headers: &HeaderMap, now_ms: i64) -> bool {
        let Some(token) = self.token.as_deref() else { return true };
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(given) = bearer.and_then(|value| value.strip_prefix("Bearer ")) {
            let expected = signature(token, token).finalize().into_bytes();
            return signature(token, given).verify_slice(&expected).is_ok();
        }
        let Some(session) = cookie(headers, SESSION) else { return false };
        let Some((expires, signed)) = session.split_once('.') else { return false };
        let Ok(expires) = expires.parse::<i64>() else { return false };
        let Some(signed) = unhex(signed) else { return false };
        let is_genuine = signature(token, &session_text(expires)).verify_slice(&signed).is_ok();
        is_genuine && now_ms < expires
    }
}

fn session_text(expires_ms: i64) -> String {
    format!("penstock dashboard session until {expires_ms}")
}

fn signature(key: &str, text: &str) -> Signature {
    let mut signature =
        Signature::new_from_slice(key.as_bytes()).expect("invariant: any length is a key");
    signature.update(text.as_bytes());
    signature
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.map(|pair| u8::try_from(pair.first()? * 16 + pair.last()?).ok()).collect()
}

/// Returns a cookie's value.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs =
        lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Reads what a person chose.
pub(crate) fn preferences(headers: &HeaderMap) -> Preferences {
    let theme = cookie(headers, "theme").filter(|theme| matches!(*theme, "dark" | "light"));
    let is_utc = cookie(headers, "zone") == Some("utc");
    Preferences { theme: theme.map(str::to_owned), is_utc }
}

/// Returns whether a request was caused by another site.
pub(crate) fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    site.is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

/// Returns whether a command comes from a page of this origin.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok()) {
        return site == "same-origin";
    }
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, origin)| text(header::HOST) == Some(origin))
}

/// Returns whether the host that was asked for is this machine by a name nobody else can give.
fn is_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let is_address = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || name.eq_ignore_ascii_case("localhost")
}

/// Lets a request through, or says why not; adds the policy to every answer.
pub(crate) async fn admit(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match obstacle(&shared, &request) {
        Some(response) => response,
        None => next.run(request).await,
    };
    shared.metrics.answered(response.status());
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn obstacle(shared: &Shared, request: &Request) -> Option<Response> {
    let (path, headers) = (request.uri().path(), request.headers());
    if OPEN.contains(&path) {
        return None;
    }
    if !shared.guard.is_guarded() && !is_loopback(headers) {
        return Some(refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "This name is not this dashboard’s",
            "Without a token it answers to localhost and 127.0.0.1 only. Open it by one of these, or \
             start it with --token-file.",
        ));
    }
    let is_query = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_query && !is_own(headers) {
        return Some(refusal(
            StatusCode::FORBIDDEN,
            "This command did not come from this page",
            "Press the button on the page itself. A program sends the header Sec-Fetch-Site: \
             same-origin.",
        ));
    }
    let is_public = path == "/login" || path.starts_with("/assets/");
    if is_public || shared.guard.is_signed_in(headers, shared.fleet.now_ms()) {
        return None;
    }
    if path == "/metrics" || path.starts_with("/live") || path == "/history" || !is_query {
        return Some(refusal(
            StatusCode::UNAUTHORIZED,
            "Nobody is signed in",
            "Sign in at /login, or send the token as Authorization: Bearer.",
        ));
    }
    let here = request.uri().path_and_query().map_or("/", |here| here.as_str());
    Some(Redirect::to(&page::address("/login", &[("back", here)])).into_response())
}

/// A page that says why not.
pub(crate) fn refusal(status: StatusCode, what: &str, remedy: &str) -> Response {
    let body = html! { h1 { (what) } p { (remedy) } p { a href="/" { "To the overview" } } };
    (status, Html(page::bare(what, &body).into_string())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), HeaderValue::from_static(value))
        });
        pairs.collect()
    }

    #[test]
    fn commands_come_from_this_origin_only() {
        for (given, expected) in [
            (headers(&[("sec-fetch-site", "same-origin")]), true),
            (
                headers(&[("sec-fetch-site", "cross-site"), ("origin", "http://a"), ("host", "a")]),
                false,
            ),
            (headers(&[("origin", "http://a:1"), ("host", "a:1")]), true),
            (headers(&[("origin", "http://b:1"), ("host", "a:1")]), false),
            (headers(&[("origin", "null"), ("host", "a:1")]), false),
            (headers(&[("host", "a:1")]), false),
        ] {
            assert_eq!(is_own(&given), expected, "{given:?}");
        }
    }

    #[test]
    fn only_loopback_has_loopback_names() {
        for (host, expected) in [
            ("localhost:8084", true),
            ("127.0.0.1:8084", true),
            ("[::1]:8084", true),
            ("127.0.0.1.evil.example:8084", false),
            ("evil.example", false),
            ("10.0.0.1:8084", false),
        ] {
            assert_eq!(is_loopback(&headers(&[("host", host)])), expected, "{host}");
        }
    }

    #[test]
    fn a_session_ends_and_cannot_be_made() {
        let guard = Guard::new(Some("0123456789abcdef".to_owned()));
        assert_eq!(guard.sign_in("0123456789abcdeg", 0, false), None);
        let cookie = guard.sign_in("0123456789abcdef", 0, false).unwrap();
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let mut given = HeaderMap::new();
        given.insert(header::COOKIE, HeaderValue::from_str(&cookie).unwrap());
        assert!(guard.is_signed_in(&given, SESSION_MS - 1));
        assert!(!guard.is_signed_in(&given, SESSION_MS));
        let later = cookie.replacen(&SESSION_MS.to_string(), "99999999999999", 1);
        given.insert(header::COOKIE, HeaderValue::from_str(&later).unwrap());
        assert!(!guard.is_signed_in(&given, 0));
        assert!(!guard.is_signed_in(&HeaderMap::new(), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_is_slow() {
        let guard = Guard::new(None);
        assert!((0..ATTEMPTS_MAX).all(|_| guard.may_attempt()));
        assert!(!guard.may_attempt());
        tokio::time::advance(ATTEMPTS_PERIOD * 2).await;
        assert!(guard.may_attempt());
    }
}
