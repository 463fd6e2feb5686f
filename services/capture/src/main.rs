//! The service `capture`: a database's changes into Kafka. Start reading at [`capture::cli`].
//!
//! Exit codes: 0 done, 1 failed or halted, 64 wrong usage or settings, 130 stopped by a second
//! signal.

use std::process::ExitCode;

fn main() -> ExitCode {
    capture::cli::main()
}
