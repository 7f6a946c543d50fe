//! One calibration from start to finished figures: the model in float on the CPU, over the prompts of a calibration set.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use indicatif::HumanDuration;

use super::inputs::failed;
use super::progress_line::ProgressLine;
use crate::bridge::ffi;
use crate::config::ResolvedConfig;
use crate::dataset::{Dataset, Prepared, PromptLimits, Request, TextTokenizer, prepare};
use crate::error::Failure;
use crate::model::calibration::{
    Calibrated, LayerRanges, Magnitudes, Recipe, SCHEMA_VERSION, Scales,
};
use crate::model::{Checkpoint, Fingerprint, ModelConfig, check_tensors, fingerprint};
use crate::report::timestamp;
use crate::system;

/// How often the progress is looked at, and how often a plain line appears: hours of them are read by nobody.
const LOOK: Duration = Duration::from_millis(200);
const PLAIN: Duration = Duration::from_secs(60);

/// As in `cpp/cpu/magnitude_histogram.h`.
const BINS_PER_BINADE: u32 = 256;

/// What is to be calibrated, with what.
pub struct CalibrationRequest<'a> {
    /// Model, limits and generation; the engine must be `cpu` in `f32`.
    pub config: &'a ResolvedConfig,
    /// A file in the form of cnn_eval.json.
    pub dataset: &'a Path,
    /// Only the first samples of it.
    pub samples: Option<usize>,
}

/// What is read for it.
struct Inputs {
    model: ModelConfig,
    checkpoint: Checkpoint,
    dataset: Dataset,
    prompts: Prepared,
}

/// Measures the ranges of every activation that fp8 stores in 8 bits.
pub fn calibrate(request: &CalibrationRequest<'_>) -> Result<Scales, Failure> {
    let config = request.config;
    let mut line = ProgressLine::new(&config.report, PLAIN);
    line.show(|| "calibration: reading model and data".to_owned());
    let calibrated = read(request).and_then(|inputs| {
        let fingerprint = fingerprint::of_model(&config.paths.model, &inputs.checkpoint, &|_| {})?;
        let settings = settings(config, &inputs.model)?;
        let ranges = measure(&settings, &inputs, &mut line)?;
        scales(&settings, config, &inputs, fingerprint, &ranges)
    });
    line.finish();
    calibrated
}

fn read(request: &CalibrationRequest<'_>) -> Result<Inputs, Failure> {
    let config = request.config;
    let mut dataset = Dataset::read(request.dataset)?;
    let there = dataset.samples.len();
    if let Some(asked) = request.samples {
        if asked > there {
            return Err(Failure::user(format!(
                "{asked} samples are asked for, the calibration set `{}` has {there}",
                request.dataset.display()
            ))
            .hint(format!(
                "use --samples={there} or less, or leave it out to take all"
            )));
        }
        dataset.samples.truncate(asked);
    }
    let model = ModelConfig::read(&config.paths.model)?;
    let tokenizer = TextTokenizer::open(&config.paths.model, &model)?;
    let request = Request {
        dataset: &dataset,
        tokenizer: &tokenizer,
        model: &model,
        limits: PromptLimits {
            max_prompt_tokens: config.engine.max_prompt_tokens,
            max_new_tokens: config.generation.max_new_tokens,
        },
        cache: None,
        force: false,
    };
    let prompts = prepare(&request, &|| {})?;
    let checkpoint = Checkpoint::open(&config.paths.model)?;
    check_tensors(&checkpoint, &model)?;
    Ok(Inputs {
        model,
        checkpoint,
        dataset,
        prompts,
    })
}

fn settings(
    config: &ResolvedConfig,
    model: &ModelConfig,
) -> Result<ffi::CalibrationSettings, Failure> {
    let engine = config.engine.to_settings().into_iter().next();
    Ok(ffi::CalibrationSettings {
        engine: engine
            .ok_or_else(|| Failure::harness("the configuration names no engine to calibrate on"))?,
        shape: model.into(),
        generation: config.generation.to_settings(model.eos_token),
        scheduler: (&config.scheduler).into(),
    })
}

/// Runs the calibration on a thread of its own and draws its progress meanwhile. Nothing is written before the end, so
/// that signals may do what they always do.
fn measure(
    settings: &ffi::CalibrationSettings,
    inputs: &Inputs,
    line: &mut ProgressLine,
) -> Result<Vec<ffi::ActivationRange>, Failure> {
    let prompts = &inputs.prompts;
    let samples =
        ffi::new_sample_set(&prompts.tokens, &prompts.offsets, &[], &[]).map_err(failed)?;
    let progress = ffi::new_progress();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let (sender, measured) = mpsc::channel();
        let (checkpoint, samples, shared) = (&inputs.checkpoint, &samples, &progress);
        let thread = scope.spawn(move || {
            // The receiver outlives this thread.
            let _ = sender.send(ffi::calibrate(settings, checkpoint, samples, shared));
        });
        loop {
            match measured.recv_timeout(LOOK) {
                Ok(ranges) => return ranges.map_err(failed),
                Err(RecvTimeoutError::Timeout) => {
                    let snapshot = ffi::snapshot(&progress);
                    line.show(|| describe(prompts, started.elapsed(), &snapshot));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = thread.join();
                    return Err(Failure::harness("the calibration's thread panicked"));
                }
            }
        }
    })
}

fn describe(prompts: &Prepared, elapsed: Duration, snapshot: &ffi::ProgressSnapshot) -> String {
    let rate = |count: u64| count as f64 / elapsed.as_secs_f64().max(1e-3);
    let left = match left(prompts, elapsed, snapshot) {
        Some(left) => format!(", {} left", HumanDuration(left)),
        None => String::new(),
    };
    format!(
        "calibration: {}/{} samples, {:.2} samples/s, {:.0} prompt tokens/s{left}",
        snapshot.samples_completed,
        prompts.len(),
        rate(snapshot.samples_completed),
        rate(snapshot.prompt_tokens)
    )
}

/// With several samples at once the first answers are late: half of a sample's way is its prompt, read token by token,
/// the other half is its answer.
fn left(
    prompts: &Prepared,
    elapsed: Duration,
    snapshot: &ffi::ProgressSnapshot,
) -> Option<Duration> {
    let read = snapshot.prompt_tokens as f64 / prompts.tokens.len() as f64;
    let answered = snapshot.samples_completed as f64 / prompts.len() as f64;
    let done = (read + answered) / 2.0;
    if done <= 0.0 {
        return None;
    }
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 - done).max(0.0) / done).ok()
}

fn scales(
    settings: &ffi::CalibrationSettings,
    config: &ResolvedConfig,
    inputs: &Inputs,
    model: Fingerprint,
    ranges: &[ffi::ActivationRange],
) -> Result<Scales, Failure> {
    let layers = layers(ranges)?;
    let hidden = u64::try_from(inputs.model.n_embd).unwrap_or(1);
    let rows = layers.first().map_or(0, |layer| layer.normed.elements) / hidden;
    let prompt_tokens = inputs.prompts.tokens.len() as u64;
    let file = inputs.dataset.path.file_name().unwrap_or_default();
    let generation = &settings.generation;
    let scales = Scales {
        schema_version: SCHEMA_VERSION,
        program: format!("run_harness {}", env!("CARGO_PKG_VERSION")),
        created: timestamp(),
        model,
        calibrated_with: Calibrated {
            file: file.to_string_lossy().into_owned(),
            dataset: inputs.dataset.fingerprint.clone(),
            samples: inputs.prompts.len() as u64,
            prompt_tokens,
            truncated: inputs.prompts.truncated,
            decoded_tokens: rows.saturating_sub(prompt_tokens),
        },
        recipe: Recipe {
            engine: settings.engine.engine.clone(),
            precision: settings.engine.precision.clone(),
            processor: system::detect().cpu.model,
            rows: "prompts, and the tokens of every beam".to_owned(),
            bins_per_binade: BINS_PER_BINADE,
            max_prompt_tokens: config.engine.max_prompt_tokens,
            beam_width: generation.beam_width,
            min_new_tokens: generation.min_new_tokens,
            max_new_tokens: generation.max_new_tokens,
            length_penalty: generation.length_penalty,
            beam_length: config.generation.beam_length,
        },
        layers,
        digest: Fingerprint::of_bytes(&[]),
    };
    Ok(scales.sealed())
}

/// Four ranges are a layer, in the order of the bridge's `Activation`.
fn layers(ranges: &[ffi::ActivationRange]) -> Result<Vec<LayerRanges>, Failure> {
    let order = [
        ffi::Activation::Normed,
        ffi::Activation::Joined,
        ffi::Activation::Keys,
        ffi::Activation::Values,
    ];
    let layer = |(index, four): (usize, &[ffi::ActivationRange])| {
        let in_order = four.iter().map(|range| range.activation).eq(order)
            && four
                .iter()
                .all(|range| usize::try_from(range.layer) == Ok(index));
        match four {
            [normed, joined, keys, values] if in_order => Ok(LayerRanges {
                normed: normed.into(),
                joined: joined.into(),
                keys: keys.into(),
                values: values.into(),
            }),
            _ => Err(Failure::harness(format!(
                "the ranges of layer {index} came in the wrong order"
            ))),
        }
    };
    ranges.chunks(order.len()).enumerate().map(layer).collect()
}

impl From<&ffi::ActivationRange> for Magnitudes {
    fn from(range: &ffi::ActivationRange) -> Self {
        Self {
            elements: range.elements,
            max: range.maximum,
            p99_9: range.p99_9,
            p99_99: range.p99_99,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Source;

    fn range(layer: i32, activation: ffi::Activation) -> ffi::ActivationRange {
        ffi::ActivationRange {
            layer,
            activation,
            elements: 100,
            maximum: 4.0 + layer as f32,
            p99_9: 2.0,
            p99_99: 3.0,
        }
    }

    fn two_layers() -> Vec<ffi::ActivationRange> {
        let all = [
            ffi::Activation::Normed,
            ffi::Activation::Joined,
            ffi::Activation::Keys,
            ffi::Activation::Values,
        ];
        let layer = |layer| all.map(|activation| range(layer, activation));
        [layer(0), layer(1)].concat()
    }

    #[test]
    fn four_ranges_are_a_layer() {
        let layers = layers(&two_layers()).unwrap();
        assert_eq!(layers.len(), 2);
        assert_eq!((layers[0].keys.max, layers[1].values.max), (4.0, 5.0));
        assert_eq!(layers[1].joined.p99_99, 3.0);
    }

    #[test]
    fn ranges_out_of_order_are_a_defect() {
        let mut swapped = two_layers();
        swapped.swap(5, 6);
        let mut short = two_layers();
        short.pop();
        let mut shifted = two_layers();
        shifted.rotate_left(4);
        for ranges in [swapped, short, shifted] {
            let failure = layers(&ranges).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{failure:?}");
        }
    }

    #[test]
    fn the_time_left_counts_prompts_and_answers() {
        let prompts = Prepared {
            tokens: vec![0; 400],
            offsets: vec![0, 100, 200, 300, 400],
            truncated: 0,
            longest: 100,
            source: Source::Tokenized {
                reason: String::new(),
                written: None,
            },
        };
        let left = |prompt_tokens, samples_completed| {
            let snapshot = ffi::ProgressSnapshot {
                prompt_tokens,
                samples_completed,
                ..ffi::ProgressSnapshot::default()
            };
            left(&prompts, Duration::from_secs(10), &snapshot)
        };
        assert_eq!(left(0, 0), None);
        assert_eq!(left(200, 0), Some(Duration::from_secs(30)));
        assert_eq!(left(400, 0), Some(Duration::from_secs(10)));
        assert_eq!(left(400, 4), Some(Duration::ZERO));
    }
}
