//! Parse, resolve, run, exit code; nothing else.

fn main() {}
