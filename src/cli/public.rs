//! The command line as people know it.

use clap::CommandFactory;

use super::command::Cli;

/// The command line without what is hidden: what completions, manual pages and documents show.
pub fn public() -> clap::Command {
    let mut full = Cli::command();
    full.build();
    let without_args = |command: &clap::Command| {
        let mut public = clap::Command::new(command.get_name().to_owned())
            .about(command.get_about().cloned().unwrap_or_default())
            .after_help(command.get_after_help().cloned().unwrap_or_default())
            .disable_help_subcommand(true);
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            // clap adds them by itself.
            if !matches!(arg.get_id().as_str(), "help" | "version") {
                public = public.arg(arg.clone());
            }
        }
        public
    };
    let commands = full
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    without_args(&full)
        .version(env!("CARGO_PKG_VERSION"))
        .subcommands(commands.map(without_args))
}
