//! What a browser may do with these pages, and from where they may be told to do something.
//!
//! A request that changes something must come from a page of this shop: browsers say so in
//! `Sec-Fetch-Site`, or over plain HTTP at other names than localhost in `Origin`. A client that sends
//! neither is no browser, and nobody's page can make it do anything.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::page::{Frame, refusal};
use crate::shop::Shared;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; \
    base-uri 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Not no-referrer: with that, browsers hide the origin of a form from us.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Refuses what other sites ask for, and adds the headers to every answer.
pub(crate) async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let mut response = if is_read || is_from_here(request.headers()) {
        next.run(request).await
    } else {
        shared.metrics.refused("cross_site");
        let frame = Frame::of(&shared, request.headers(), "");
        let text = "Another site asked for this.";
        let page = refusal(&frame, text, "Open the shop itself and press the button there.");
        (StatusCode::FORBIDDEN, page).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else { return true };
    let place = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    place.is_some() && place == text("host")
}

/// Whether the host that was asked for is this machine: a name that leads here from elsewhere is
/// how a foreign page reaches a loopback address.
pub(crate) fn is_local_name(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = given
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn only_pages_of_this_shop_may_change_something() {
        let host = ("host", "shop:8088");
        let rows = [
            (headers(&[host]), true),
            (headers(&[host, ("sec-fetch-site", "same-origin")]), true),
            (headers(&[host, ("sec-fetch-site", "same-site")]), false),
            (
                headers(&[host, ("sec-fetch-site", "cross-site"), ("origin", "http://shop:8088")]),
                false,
            ),
            (headers(&[host, ("origin", "http://shop:8088")]), true),
            (headers(&[host, ("origin", "http://evil")]), false),
            (headers(&[host, ("origin", "null")]), false),
            (headers(&[("origin", "http://shop:8088")]), false),
        ];
        for (given, expected) in rows {
            assert_eq!(is_from_here(&given), expected, "{given:?}");
        }
    }

    #[test]
    fn local_names_are_told_from_others() {
        for (host, expected) in [
            ("localhost:8088", true),
            ("127.0.0.1", true),
            ("[::1]:8088", true),
            ("evil.example:8088", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_local_name(&headers(&[("host", host)])), expected, "{host}");
        }
    }
}
