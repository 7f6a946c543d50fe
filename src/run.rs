//! One LoadGen test from start to parsed result, in a child process of its own.
