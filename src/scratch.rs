//! Scratch space: what is where, what is missing, and the links under build/.
