//! The prompt that the benchmark prescribes.

use super::cnn_eval::Sample;

/// What the model is given for a sample: the Alpaca instruction template, to the byte as MLCommons' reference
/// implementation fills it. It ends with a colon, not with a line break.
pub fn render(sample: &Sample) -> String {
    let Sample {
        instruction, input, ..
    } = sample;
    format!(
        "Below is an instruction that describes a task, paired with an input that provides further \
         context. Write a response that appropriately completes the request.\n\n\
         ### Instruction:\n{instruction}\n\n\
         ### Input:\n{input}\n\n\
         ### Response:"
    )
}
