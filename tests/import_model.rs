//! Checkpoints on their way from a download into the form that runs read.

#![expect(
    clippy::unwrap_used,
    reason = "helpers outside of #[test] stop a test as it would"
)]

#[path = "support/torch_writer.rs"]
mod torch_writer;

mod import_model {
    mod command_line;
    mod damaged;
    mod download_help;
    mod folders;
    mod hostile;
    mod interrupted;
    mod room;
    mod support;
    mod torch_files;
}
