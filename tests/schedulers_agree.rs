//! How requests are batched changes no answer: in f32 both schedulers give the same tokens, with the engine's limits of
//! real runs. `benches/schedulers.rs` compares all 1,000 samples.

#[path = "support/gptj_mini.rs"]
mod gptj_mini;

use gptj_mini::GptjMini;

#[test]
fn static_and_inflight_give_the_same_tokens() {
    let mini = GptjMini::open(96).unwrap();
    let by_batches = mini.answers("static").unwrap();
    let in_flight = mini.answers("inflight").unwrap();
    assert_eq!(by_batches.len(), 96);
    for (sample, (one, other)) in by_batches.iter().zip(&in_flight).enumerate() {
        assert_eq!(one.tokens, other.tokens, "sample {sample}");
    }
}
