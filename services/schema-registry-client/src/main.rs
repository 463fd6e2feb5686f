//! The command `schema-registry-client`. Start reading at [`schema_registry_client::cli`].
//!
//! Exit codes: 0 done, 1 failed, 64 wrong usage or settings, 130 stopped by a second signal.

use std::process::ExitCode;

fn main() -> ExitCode {
    schema_registry_client::cli::main()
}
