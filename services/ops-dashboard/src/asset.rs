//! The files that pages name: in the binary, under names that change with their content, so that a
//! browser may keep them for ever. Compressed once, at the first request.

use std::io::Write;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Digits of the content's hash in a name.
const HASH_DIGITS: usize = 16;

/// A year: the longest that caches are told.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

struct Source {
    name: &'static str,
    extension: &'static str,
    kind: &'static str,
    text: &'static str,
}

const SOURCES: [Source; 7] = [
    script("htmx", include_str!("../assets/vendor/htmx-2.0.11.min.js")),
    script("htmx-sse", include_str!("../assets/vendor/htmx-ext-sse-2.2.4.min.js")),
    script("uplot", include_str!("../assets/vendor/uPlot-1.6.32.iife.min.js")),
    script("page", include_str!("../assets/page.js")),
    sheet("uplot", include_str!("../assets/vendor/uPlot-1.6.32.min.css")),
    sheet("page", include_str!("../assets/page.css")),
    Source {
        name: "icon",
        extension: "svg",
        kind: "image/svg+xml",
        text: include_str!("../assets/icon.svg"),
    },
];

const fn script(name: &'static str, text: &'static str) -> Source {
    Source { name, extension: "js", kind: "text/javascript; charset=utf-8", text }
}

const fn sheet(name: &'static str, text: &'static str) -> Source {
    Source { name, extension: "css", kind: "text/css; charset=utf-8", text }
}

struct Asset {
    source: &'static Source,
    file: String,
    gzip: Vec<u8>,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |source: &'static Source| {
        let hash = Sha256::digest(source.text);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let hash: String = hash.chars().take(HASH_DIGITS).collect();
        let file = format!("{}-{hash}.{}", source.name, source.extension);
        Asset { source, file, gzip: gzip(source.text) }
    };
    SOURCES.iter().map(asset).collect()
});

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.expect("invariant: memory takes everything")
}

/// Returns the address of an asset, such as `page.css`.
pub(crate) fn href(name: &str) -> String {
    let is_named = |asset: &&Asset| {
        name.strip_prefix(asset.source.name).and_then(|rest| rest.strip_prefix('.'))
            == Some(asset.source.extension)
    };
    let found = ASSETS.iter().find(is_named);
    found.map(|asset| format!("/assets/{}", asset.file)).unwrap_or_default()
}

/// Answers with an asset.
pub(crate) async fn serve(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.file == file) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let common = [
        (header::CONTENT_TYPE, asset.source.kind),
        (header::CACHE_CONTROL, FOR_EVER),
        (header::VARY, "accept-encoding"),
    ];
    if accepted.is_some_and(|accepted| accepted.contains("gzip")) {
        let encoding = [(header::CONTENT_ENCODING, "gzip")];
        return (common, encoding, asset.gzip.as_slice()).into_response();
    }
    (common, asset.source.text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendored_files_are_as_noted() {
        let noted = include_str!("../assets/vendor/README.md");
        for source in SOURCES.iter().filter(|s| matches!(s.name, "htmx" | "htmx-sse" | "uplot")) {
            let sum = Sha256::digest(source.text);
            let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(noted.contains(&sum), "{}.{} is not as noted", source.name, source.extension);
        }
    }

    #[test]
    fn all_assets_together_are_small() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.gzip.len()).sum();
        assert!(bytes < 100_000, "{bytes}");
    }

    #[test]
    fn an_address_names_the_content() {
        assert!(href("page.css").starts_with("/assets/page-"));
        assert!(href("htmx-sse.js").starts_with("/assets/htmx-sse-"));
        assert_eq!(href("nothing.js"), "");
    }
}
