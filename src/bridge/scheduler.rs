//! Rust's schedulers, as C++ calls them. A panic must not unwind into C++, where it would end the process: it comes
//! back as an error.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::ffi::{Decision, EngineLimits, RunningRequest, Scenario, WaitingRequest};
use crate::scheduler::{self, Scheduler, SchedulerState, UnknownScheduler};

/// A scheduler behind a type that has a size, which the bridge needs.
pub struct RustScheduler(Box<dyn Scheduler>);

/// A panic of a scheduler.
#[derive(Debug, thiserror::Error)]
#[error("the scheduler panicked: {0}")]
pub struct SchedulerPanic(String);

/// The scheduler with that name.
pub fn new_rust_scheduler(name: &str) -> Result<Box<RustScheduler>, UnknownScheduler> {
    Ok(Box::new(RustScheduler(scheduler::by_name(name)?)))
}

impl RustScheduler {
    /// See [`Scheduler::order`].
    pub fn order(
        &self,
        scenario: Scenario,
        arrivals: &mut [WaitingRequest],
    ) -> Result<(), SchedulerPanic> {
        guard(|| self.0.order(scenario, arrivals))
    }

    /// See [`Scheduler::decide`].
    pub fn decide(
        &self,
        waiting: &[WaitingRequest],
        running: &[RunningRequest],
        limits: &EngineLimits,
        decision: &mut Decision,
    ) -> Result<(), SchedulerPanic> {
        let state = SchedulerState { waiting, running };
        guard(|| self.0.decide(state, limits, decision))
    }
}

/// Schedulers keep no state, and what they write is thrown away after a panic, so nothing broken is seen afterwards.
fn guard(call: impl FnOnce()) -> Result<(), SchedulerPanic> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| SchedulerPanic(message(panic.as_ref())))
}

fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Panics;

    impl Scheduler for Panics {
        fn order(&self, _: Scenario, _: &mut [WaitingRequest]) {
            panic!("in order");
        }

        fn decide(&self, state: SchedulerState<'_>, _: &EngineLimits, _: &mut Decision) {
            panic!("with {} waiting", state.waiting.len());
        }
    }

    #[test]
    fn a_panic_comes_back_as_an_error() {
        let scheduler = RustScheduler(Box::new(Panics));
        let error = scheduler.order(Scenario::Offline, &mut []).unwrap_err();
        assert_eq!(error.to_string(), "the scheduler panicked: in order");
        let error = scheduler
            .decide(&[], &[], &EngineLimits::default(), &mut Decision::default())
            .unwrap_err();
        assert_eq!(error.to_string(), "the scheduler panicked: with 0 waiting");
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let error = new_rust_scheduler("fifo").err().unwrap();
        assert!(error.to_string().contains("`fifo`"), "{error}");
    }
}
