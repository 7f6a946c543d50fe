//! `tune-server`: the highest rate at which a Server test is VALID on this machine.
//!
//! [`search`] decides which rate is tried next and when it is over; it knows nothing of tests. [`judge`] says of one short
//! test whether a full one would hold. [`server`] runs them, and [`user_layer`] writes what was found into the user's file.

pub mod judge;
pub mod search;
pub mod server;
pub mod user_layer;

pub use server::{Confirming, Probe, Tuned, Tuning, tune};
pub use user_layer::{Change, UserLayer};
