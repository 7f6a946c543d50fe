//! One page for one or several tests: no other file, nothing from the network.

mod chart;
mod curves;
mod labels;
mod markup;
mod notices;
mod origins;
mod page;
mod scale;
mod tables;

pub use origins::{facts, settings_of};
pub use page::{GENERATOR, headline, page};
