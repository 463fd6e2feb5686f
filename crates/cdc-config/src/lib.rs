//! The settings of a pipeline: Debezium's connector properties and a few of our own, from a TOML
//! file, the environment and flags, parsed and checked in one place.
//!
//! ```
//! use cdc_config::{Config, File, Layers};
//!
//! let file = File::new("penstock.toml", "topic.prefix = \"shop\"\n[slot]\nname = \"shop_slot\"\n");
//! let mut layers = Layers::default();
//! layers.add_file(&file).unwrap();
//! layers.add_flag("--tables", "tables", "public.*");
//! let (config, warnings) = Config::from_layers(&layers).unwrap();
//! assert_eq!(config.slot.as_deref(), Some("shop_slot"));
//! assert!(warnings.is_empty());
//! ```
//!
//! # Invariants
//! - file < environment < flag.
//! - A property that is known to Debezium, not supported here, and would change the data, is
//!   refused by name; one that would not is a warning; any other name is an error.
//! - No message and no `Debug` output shows a password.
//!
//! Start reading at [`Config`], then [`property`].

mod config;
mod error;
mod file;
mod layer;
mod print;
pub mod property;
mod secret;
mod tables;
mod value;

pub use config::{Config, Format, Projection, Warning};
pub use error::{Error, Result};
pub use file::{File, Span};
pub use layer::{Layers, Origin, Setting};
pub use print::print;
pub use secret::Secret;
pub use tables::{Tables, TablesError};
