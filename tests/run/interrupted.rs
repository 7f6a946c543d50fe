//! Ctrl-C, SIGTERM and a child that is killed.

use std::fs;
use std::io::Read;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::support::{Ran, World, fake};

const PATIENCE: Duration = Duration::from_secs(30);

/// A run of a minute, once LoadGen issues queries.
fn started(world: &World, scenario: &str) -> Child {
    let scenarios = format!("--scenarios={scenario}");
    let args = [
        "--min_duration=60000",
        "--offline_expected_qps=100",
        "--fake_step_us=20000",
    ];
    let args = [&args[..], &[scenarios.as_str()]].concat();
    let child = world.command(&fake(&args)).spawn().unwrap();
    let name = if scenario == "offline" {
        "Offline"
    } else {
        "Server"
    };
    let detail = world.test_dir(name).join("mlperf_log_detail.txt");
    wait_for("LoadGen to start", || {
        fs::metadata(&detail).is_ok_and(|file| file.len() > 0)
    });
    child
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

fn end(mut child: Child) -> Ran {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the run did not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut stdout)
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    Ran {
        code: child.wait().unwrap().code(),
        stdout,
        stderr,
    }
}

/// The process that runs the test: the only child.
fn test_process(parent: u32) -> u32 {
    let children = format!("/proc/{parent}/task/{parent}/children");
    fs::read_to_string(children)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn ctrl_c_ends_the_run_and_marks_it() {
    for (scenario, name, signal) in [
        ("offline", "Offline", Signal::INT),
        ("server", "Server", Signal::TERM),
    ] {
        let world = World::new();
        let child = started(&world, scenario);
        let test = test_process(child.id());
        send(child.id(), signal);
        let ran = end(child);
        ran.assert_error(130, &["error: the test was stopped before its end"]);
        assert!(
            ran.stdout
                .contains("interrupted: what is in the logs is no result"),
            "{}",
            ran.stdout
        );
        world.assert_no_result(name, "interrupted");
        assert!(
            !fs::exists(format!("/proc/{test}")).unwrap(),
            "the test's process lives on"
        );
    }
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let world = World::new();
    let child = started(&world, "server");
    let start = Instant::now();
    send(child.id(), Signal::INT);
    std::thread::sleep(Duration::from_millis(200));
    send(child.id(), Signal::INT);
    let ran = end(child);
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    ran.assert_error(130, &["stopped"]);
    world.assert_no_result("Server", "interrupted");
}

#[test]
fn a_test_whose_process_is_killed_is_told() {
    let world = World::new();
    let child = started(&world, "offline");
    send(test_process(child.id()), Signal::KILL);
    let ran = end(child);
    ran.assert_error(
        2,
        &[
            "the test's process was killed (signal 9)",
            "hint: use a smaller --gpu_batch_size",
        ],
    );
    world.assert_no_result("Offline", "failed");
}

#[test]
fn a_parent_that_is_killed_takes_its_test_with_it() {
    let world = World::new();
    let mut child = started(&world, "server");
    let test = test_process(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the test's process to end", || {
        !fs::exists(format!("/proc/{test}")).unwrap()
            || fs::read_to_string(format!("/proc/{test}/stat"))
                .is_ok_and(|stat| stat.contains(") Z "))
    });
    world.assert_no_result("Server", "interrupted");
}
