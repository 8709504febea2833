//! The `pawl` command: parse and dispatch. Exit status 0 done, 1 failed, 2 wrong usage.

use std::process::ExitCode;

fn main() -> ExitCode {
    pawl::cli::main()
}
