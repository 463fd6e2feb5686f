//! The service `projector`: derived stores out of Kafka. Start reading at [`projector::cli`].
//!
//! Exit codes: 0 done, 1 failed or halted, 64 wrong usage or settings, 130 stopped by a second
//! signal.

use std::process::ExitCode;

fn main() -> ExitCode {
    projector::cli::main()
}
