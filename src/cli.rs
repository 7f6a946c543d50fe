//! The command line: clap structs with every field optional, one module for each subcommand.
