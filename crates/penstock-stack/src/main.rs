//! The command `stack`. Start reading at [`penstock_stack::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    penstock_stack::cli::main()
}
