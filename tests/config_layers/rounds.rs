//! Rounds: their rules, and what breaks them.

use super::world::World;

#[test]
fn what_breaks_the_rules_is_not_for_submission() {
    let world = World {
        has_6b: true,
        ..World::small()
    };
    let reasons = |flags: &[(&str, &str)]| {
        let mut all = vec![("scenarios", "offline")];
        all.extend(flags);
        world.plan(&all).config.run.not_for_submission
    };
    assert_eq!(reasons(&[]), Vec::<String>::new());
    assert_eq!(
        reasons(&[("min_duration", "700000"), ("threads", "2")]),
        Vec::<String>::new()
    );
    assert_eq!(
        reasons(&[("beam_width", "2"), ("qsl_rng_seed", "1")]),
        [
            "beam_width = 2 (--beam_width), the rules ask for 4",
            "qsl_rng_seed = 1 (--qsl_rng_seed), the rules ask for 6023615788873153749"
        ]
    );
    assert_eq!(
        reasons(&[("min_duration", "599999")]),
        ["min_duration = 599999 (--min_duration), the rules ask for at least 600000"]
    );
    assert_eq!(
        reasons(&[("server_target_latency_ns", "30000000000")]),
        Vec::<String>::new()
    );
    assert_eq!(reasons(&[("engine", "fake")]), ["the engine is fake"]);
}

#[test]
fn rounds_have_their_own_seeds_counts_and_unit() {
    let world = World {
        has_6b: true,
        ..World::small()
    };
    let of = |round: &str, scenario: &str| {
        let plan = world.plan(&[("round", round), ("scenarios", scenario)]);
        let loadgen = plan.config.loadgen;
        (
            loadgen.qsl_rng_seed,
            loadgen.min_query_count,
            loadgen.sample_concatenate_permutation,
            plan.config.run.result_unit.name(),
        )
    };
    let v31 = 148_687_905_518_835_231;
    assert_eq!(of("v3.1", "offline"), (v31, 24_576, false, "samples/s"));
    assert_eq!(of("v3.1", "server"), (v31, 100, false, "samples/s"));
    assert_eq!(of("v3.1", "single_stream"), (v31, 100, true, "samples/s"));
    let v40 = 13_281_865_557_512_327_830;
    assert_eq!(of("v4.0", "offline"), (v40, 13_368, false, "samples/s"));
    assert_eq!(of("v4.0", "server"), (v40, 100, true, "samples/s"));
    let v41 = 3_066_443_479_025_735_752;
    assert_eq!(of("V4.1", "offline"), (v41, 13_368, true, "tokens/s"));
    let v50 = 6_023_615_788_873_153_749;
    assert_eq!(of("v5.0", "offline"), (v50, 13_368, true, "tokens/s"));
    // A round of its own has its own rules, and what cannot be submitted to it says why.
    let reasons = |round: &str, flags: &[(&str, &str)]| {
        let mut all = vec![("round", round), ("scenarios", "offline")];
        all.extend(flags);
        world.plan(&all).config.run.not_for_submission
    };
    assert_eq!(
        reasons("v4.1", &[]),
        ["v4.1 asks for its own LoadGen (this one is 5.0.25)"]
    );
    assert_eq!(
        reasons("v3.1", &[("min_query_count", "13368")])[1],
        "min_query_count = 13368 (--min_query_count), the rules ask for at least 24576"
    );
}

#[test]
fn a_round_that_does_not_exist_names_the_nearest_and_the_reason() {
    let failure = |round: &str| World::small().flags(&[("round", round)]).unwrap_err();
    let known = "There are v3.1, v4.0, v4.1, v5.0";
    let later = failure("v5.1");
    assert_eq!(later.message, "there is no round `v5.1`");
    assert_eq!(later.causes, ["v5.0 was the last round with GPT-J"]);
    assert_eq!(later.hint.unwrap(), format!("did you mean `v5.0`? {known}"));
    assert_eq!(
        failure("v2.1").causes,
        ["GPT-J came to MLPerf Inference with v3.1"]
    );
    let without_letter = failure("4.0");
    assert_eq!(without_letter.causes, Vec::<String>::new());
    assert_eq!(
        without_letter.hint.unwrap(),
        format!("did you mean `v4.0`? {known}")
    );
    assert_eq!(failure("latest").causes, Vec::<String>::new());
}
