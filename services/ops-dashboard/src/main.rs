//! The command `ops-dashboard`. Start reading at [`ops_dashboard::cli`].
//!
//! Exit codes: 0 stopped in order, 1 failed, 64 wrong usage or settings, 130 stopped by a second
//! signal.

use std::process::ExitCode;

fn main() -> ExitCode {
    ops_dashboard::cli::main()
}
