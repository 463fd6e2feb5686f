//! A browser without a screen: asks for pages as one does.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use testkit::server::until;

const PATIENCE: Duration = Duration::from_secs(90);

/// A dashboard, as its visitor sees it.
pub(crate) struct Site {
    client: Client,
    base: String,
}

impl Site {
    pub(crate) fn new(address: SocketAddr) -> Self {
        // Only the first call of a process has an effect.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { client, base: format!("http://{address}") }
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    /// A form of this page's.
    pub(crate) fn post(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        self.post_from("same-origin", path, form)
    }

    /// A form of a page from elsewhere.
    pub(crate) fn post_from(
        &self,
        from: &str,
        path: &str,
        form: &[(&str, &str)],
    ) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.base));
        request.header("sec-fetch-site", from).form(form)
    }

    pub(crate) async fn page(&self, path: &str) -> String {
        let response = self.get(path).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.text().await.unwrap()
    }

    /// Asks for a page until it has `text` in it.
    pub(crate) async fn page_with(&self, path: &str, text: &str) -> String {
        let mut page = String::new();
        let what = format!("{path} has {text:?}");
        until(&what, PATIENCE, async || {
            page = self.page(path).await;
            page.contains(text)
        })
        .await;
        page
    }

    /// Gives a command, and returns the page that it comes back to.
    pub(crate) async fn command(&self, path: &str, form: &[(&str, &str)]) -> String {
        let response = self.post(path, form).send().await.unwrap();
        assert_eq!(response.status(), 303, "{path}");
        self.page(&location(&response)).await
    }
}

pub(crate) fn location(response: &Response) -> String {
    response.headers().get("location").unwrap().to_str().unwrap().to_owned()
}

/// What a reader sees of a page: its text without its tags.
pub(crate) fn text(page: &str) -> String {
    let mut text = String::new();
    for piece in page.split('<') {
        text.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
    }
    text
}
