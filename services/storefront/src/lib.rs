//! A small shop on the source database, whose point is what happens after “Place order”: a receipt
//! that tells, rung by rung, when the order reached the log and each projection.
//!
//! ```text
//! browser ── HTTP, one SSE stream per page ── Storefront ── SQL ────────── source database
//!                                                  └─────── control.v1 ── every process asked
//! ```
//!
//! ```no_run
//! # async fn run() -> Result<(), storefront::Error> {
//! use storefront::{Endpoint, Storefront, StorefrontConfig};
//!
//! let mut config = StorefrontConfig::new("postgres://shop@127.0.0.1/shop");
//! config.control = vec![Endpoint::Address("127.0.0.1:8090".to_owned())];
//! let listener = tokio::net::TcpListener::bind(config.listen).await.unwrap();
//! let shop = Storefront::open(config).await?;
//! shop.set_rate(50.0);
//! shop.serve(listener, tokio_util::sync::CancellationToken::new()).await
//! # }
//! ```
//!
//! # Invariants
//! - An order is placed whole or not at all, and once per form, however often that is sent.
//! - Stock never falls below zero: the database refuses, not this program.
//! - The shop sells while nothing else runs: control is asked only to tell, never to sell.
//! - The business view asks the warehouse alone. What it does not know it does not show as zero.
//!
//! # Not here
//! Accounts, payment, and secrecy of receipts: whoever knows an order's number may read it.
//!
//! Start reading at [`Storefront`], then `store::order`, then `trace`.

mod asset;
mod business;
mod cart;
mod chart;
pub mod cli;
mod config;
mod control;
mod error;
mod format;
mod guard;
mod lab;
mod load;
mod metrics;
mod page;
mod picture;
mod problem;
mod route;
mod settings;
mod shop;
mod store;
mod trace;

pub use config::{Endpoint, Secret, StorefrontConfig};
pub use error::{Error, Result};
pub use shop::Storefront;
