//! Parse, resolve, run, exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    mlperf_gptj::cli::run(std::env::args_os()).unwrap_or_else(|failure| {
        eprint!("{}", failure.render());
        ExitCode::from(failure.exit_code())
    })
}
