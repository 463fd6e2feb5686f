//! What somebody wants to buy. Pure.
//!
//! The cart lives with the browser, as `3x2.7x1` in a cookie: two of product 3, one of product 7. It
//! needs no signature, for there is nothing in it that its owner may not choose: names, prices and
//! stock come from the database whenever it is shown, and are checked again when it is ordered.

use std::collections::BTreeMap;

use crate::format::folded;

/// The cookie's name.
pub(crate) const COOKIE: &str = "storefront_cart";

/// Different products in one cart.
pub(crate) const LINES_MAX: usize = 20;

/// Pieces of one product in one order.
pub(crate) const QUANTITY_MAX: u32 = 99;

/// Products and how many of each, by the products' ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cart(pub(crate) BTreeMap<i64, u32>);

impl Cart {
    /// Reads a cookie; what cannot be read is not in the cart.
    pub(crate) fn parse(text: &str) -> Self {
        let line = |part: &str| {
            let (product, quantity) = part.split_once('x')?;
            let product = product.parse().ok().filter(|product| *product > 0)?;
            Some((product, quantity_of(quantity).ok()?))
        };
        Self(text.split('.').filter_map(line).take(LINES_MAX).collect())
    }

    /// Writes the cookie.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.iter().map(|(product, quantity)| format!("{product}x{quantity}"));
        lines.collect::<Vec<_>>().join(".")
    }

    /// Adds pieces of a product.
    pub(crate) fn add(&mut self, product: i64, quantity: u32) -> Result<(), String> {
        if !self.0.contains_key(&product) && self.0.len() >= LINES_MAX {
            return Err(format!("A cart holds {LINES_MAX} different things. Order these first."));
        }
        let held = self.0.get(&product).copied().unwrap_or(0);
        let sum = held.saturating_add(quantity);
        if sum > QUANTITY_MAX {
            return Err(format!(
                "At most {QUANTITY_MAX} of one thing go into an order, and {held} are in the cart."
            ));
        }
        self.0.insert(product, sum);
        Ok(())
    }

    /// Returns the pieces of all products.
    pub(crate) fn pieces(&self) -> u64 {
        self.0.values().copied().map(u64::from).sum()
    }
}

/// Reads a quantity as somebody typed it, or says what is wrong with it.
pub(crate) fn quantity_of(text: &str) -> Result<u32, String> {
    let text = text.trim();
    let shown = folded(text, 20);
    if text.is_empty() {
        return Err("Say how many: the quantity is empty.".to_owned());
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.chars().all(|c| c.is_ascii_digit()) || digits.is_empty() {
        return Err(format!("“{shown}” is no whole number. Type one from 1 to {QUANTITY_MAX}."));
    }
    if digits.chars().all(|c| c == '0') {
        return Err("A quantity of 0 orders nothing. Remove the line instead.".to_owned());
    }
    if text.starts_with('-') {
        return Err(format!("{shown} is below zero. Type a number from 1 to {QUANTITY_MAX}."));
    }
    let quantity = text.parse().ok().filter(|quantity| *quantity <= QUANTITY_MAX);
    quantity.ok_or_else(|| format!("{shown} is too many: at most {QUANTITY_MAX} of one thing."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_as_far_as_it_makes_sense() {
        let rows = [
            ("3x2.7x1", "3x2.7x1"),
            ("", ""),
            ("3x0.4x-1.5x100.0x1.-2x1.x.9x", ""),
            ("1x1.<script>.2x2", "1x1.2x2"),
        ];
        for (cookie, expected) in rows {
            assert_eq!(Cart::parse(cookie).text(), expected, "{cookie}");
        }
        let many: Vec<String> = (1..100).map(|product| format!("{product}x1")).collect();
        assert_eq!(Cart::parse(&many.join(".")).0.len(), LINES_MAX);
    }

    #[test]
    fn quantities_are_whole_and_within_bounds() {
        assert_eq!(quantity_of(" 99 "), Ok(99));
        let rows = [
            ("", "empty"),
            ("0", "nothing"),
            ("-0", "nothing"),
            ("-1", "below zero"),
            ("100", "too many"),
            ("99999999999999999999999", "too many"),
            ("1.5", "no whole number"),
            ("1e3", "no whole number"),
            ("٣", "no whole number"),
            ("-", "no whole number"),
            ("two", "no whole number"),
        ];
        for (text, word) in rows {
            let said = quantity_of(text).unwrap_err();
            assert!(said.contains(word), "{text}: {said}");
        }
    }

    #[test]
    fn a_cart_is_bounded() {
        let mut cart = Cart::parse("1x98");
        assert!(cart.add(1, 2).is_err());
        assert_eq!(cart.add(1, 1), Ok(()));
        for product in 2..=20 {
            assert_eq!(cart.add(product, 1), Ok(()));
        }
        assert!(cart.add(21, 1).is_err());
        assert_eq!(cart.pieces(), 118);
    }
}
