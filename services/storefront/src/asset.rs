//! The files that pages name: in the binary, under names that change with their content, so that a
//! browser may keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::page::HOME;

/// Digits of the content's hash in a name.
const HASH_DIGITS: usize = 16;

struct Source {
    name: &'static str,
    extension: &'static str,
    kind: &'static str,
    text: &'static str,
}

const SOURCES: [Source; 3] = [
    Source {
        name: "shop",
        extension: "js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("../assets/shop.js"),
    },
    Source {
        name: "shop",
        extension: "css",
        kind: "text/css; charset=utf-8",
        text: include_str!("../assets/shop.css"),
    },
    Source {
        name: "icon",
        extension: "svg",
        kind: "image/svg+xml",
        text: include_str!("../assets/icon.svg"),
    },
];

static FILES: LazyLock<Vec<(String, &'static Source)>> = LazyLock::new(|| {
    let file = |source: &'static Source| {
        let hash = Sha256::digest(source.text);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let hash: String = hash.chars().take(HASH_DIGITS).collect();
        (format!("{}-{hash}.{}", source.name, source.extension), source)
    };
    SOURCES.iter().map(file).collect()
});

/// Returns the address of an asset, such as `shop.css`.
pub(crate) fn href(name: &str) -> String {
    let is_named = |source: &Source| name.rsplit_once('.') == Some((source.name, source.extension));
    let found = FILES.iter().find(|(_, source)| is_named(source));
    found.map(|(file, _)| format!("{HOME}/assets/{file}")).unwrap_or_default()
}

/// Answers with an asset.
pub(crate) async fn serve(Path(file): Path<String>) -> Response {
    let Some((_, source)) = FILES.iter().find(|(known, _)| *known == file) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, source.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, source.text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_the_content() {
        for name in ["shop.js", "shop.css", "icon.svg"] {
            assert!(href(name).starts_with("/shop/assets/"), "{name}");
        }
        assert_eq!(href("nothing.js"), "");
    }
}
