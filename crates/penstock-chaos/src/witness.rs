//! What the operator's page says while faults happen: its first screen, read again and again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use penstock_stack::{Role, Stack};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// The first screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Screen {
    /// The answers to: is data flowing, how late, is anything lost. None if no page came.
    pub(crate) claims: Vec<String>,
    /// What is named as trouble.
    pub(crate) troubles: Vec<String>,
    /// Whether anything is marked as halted or lost.
    pub(crate) is_red: bool,
}

impl Screen {
    /// Reads it off the page's markup.
    fn parse(page: &str) -> Self {
        let after = |text: &str, mark: &str| -> Vec<String> {
            let found = text.split(mark).skip(1);
            found.filter_map(|rest| Some(unescaped(rest.split_once('<')?.0))).collect()
        };
        let words = page.split("class=\"words\">").skip(1);
        let claims = words.filter_map(|rest| after(rest, "<span>").into_iter().next()).collect();
        let troubles = page.split("class=\"what\">").skip(1);
        let troubles =
            troubles.filter_map(|rest| after(rest, "<strong>").into_iter().next()).collect();
        let is_red = page.contains("class=\"mark halted\"");
        Self { claims, troubles, is_red }
    }

    /// Whether data flows and nothing is amiss.
    pub(crate) fn is_well(&self) -> bool {
        let flows = self.claims.first().is_some_and(|flow| ["Flowing", "Quiet"].contains(&&**flow));
        flows && self.troubles.is_empty() && !self.is_red
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"")
}

/// Looks at the page until it is dropped.
pub(crate) struct Witness {
    seen: watch::Receiver<Screen>,
    red: watch::Receiver<Option<Screen>>,
    _looking: JoinSet<()>,
}

impl Witness {
    /// Begins to look.
    pub(crate) fn start(stack: Arc<Stack>) -> Self {
        let (show, seen) = watch::channel(Screen::default());
        let (accuse, red) = watch::channel(None);
        let mut looking = JoinSet::new();
        looking.spawn(async move {
            let mut ticks = tokio::time::interval(LOOK_INTERVAL);
            loop {
                ticks.tick().await;
                let page =
                    tokio::time::timeout(Duration::from_secs(2), stack.page(Role::Dashboard, "/"));
                let screen = match page.await {
                    Ok(Ok(page)) => Screen::parse(&page),
                    Ok(Err(_)) | Err(_) => Screen::default(),
                };
                if screen.is_red && accuse.borrow().is_none() {
                    accuse.send_replace(Some(screen.clone()));
                }
                show.send_replace(screen);
            }
        });
        Self { seen, red, _looking: looking }
    }

    /// Returns the first screen that was red.
    pub(crate) fn red(&self) -> Option<Screen> {
        self.red.borrow().clone()
    }

    /// Waits until the page is as wanted, and returns it with how long that took.
    pub(crate) async fn until(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Screen) -> bool,
    ) -> anyhow::Result<(Screen, Duration)> {
        let begun = Instant::now();
        let mut seen = self.seen.clone();
        let found = tokio::time::timeout(limit, seen.wait_for(|screen| wanted(screen))).await;
        match found {
            Ok(Ok(screen)) => return Ok((screen.clone(), begun.elapsed())),
            Ok(Err(_)) => bail!("nobody looks at the page"),
            Err(_) => {}
        }
        bail!("{what}: not on the page in {limit:?}, but {:?}", *self.seen.borrow());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_read() {
        let page = "<p class=\"words\"><svg class=\"mark halted\"></svg><span>Halted</span></p>\
            <p class=\"words\"><svg class=\"mark ok\"></svg><span>2 &lt; 3</span></p>\
            <p class=\"what\"><svg></svg><strong>capture does not answer</strong></p>";
        let screen = Screen::parse(page);
        assert_eq!(screen.claims, ["Halted", "2 < 3"]);
        assert_eq!(screen.troubles, ["capture does not answer"]);
        assert!(screen.is_red && !screen.is_well());
        let well = "<p class=\"words\"><svg class=\"mark ok\"></svg><span>Flowing</span></p>";
        assert!(Screen::parse(well).is_well());
        assert!(!Screen::default().is_well());
    }
}
