//! A short list of steps; each lives in `build_steps/`.

fn main() {}
