//! What a page's stream sends: the parts that differ from those sent before.

use std::collections::BTreeMap;

use maud::html;

use crate::page::Parts;

/// Parts as they were sent last.
#[derive(Debug, Default)]
pub(crate) struct Sent(BTreeMap<&'static str, String>);

impl Sent {
    /// Returns the parts that changed, to be put in place by their ids; empty if none did.
    pub(crate) fn changes(&mut self, parts: Parts) -> String {
        let mut text = String::new();
        for (id, content) in parts.0 {
            let wrapped = html! { div id=(id) hx-swap-oob="innerHTML" { (content) } }.into_string();
            if self.0.get(id) == Some(&wrapped) {
                continue;
            }
            text.push_str(&wrapped);
            self.0.insert(id, wrapped);
        }
        // A stream's line ends at a carriage return too, so one in a value is sent as a reference.
        text.replace('\r', "&#13;")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_sent() {
        let parts = |text: &str| {
            let mut parts = Parts::default();
            parts.add("a", html! { (text) });
            parts.add("b", html! { "same" });
            parts
        };
        let mut sent = Sent::default();
        assert!(sent.changes(parts("1\r<")).contains("1&#13;&lt;"));
        let second = sent.changes(parts("2"));
        assert!(second.contains("2") && !second.contains("same"), "{second}");
        assert_eq!(sent.changes(parts("2")), "");
    }
}
