//! Importing a checkpoint of the real shapes: how fast, in how much memory, and whether it survives being killed.
//!
//!     cargo bench --bench import_model [-- LAYERS [FOLDER]]
//!
//! Writes GPT-J 6B's tensors in float32, as the fine-tuned checkpoint has them (vocabulary 50401, three files, causal
//! masks), imports them, imports them again with a `kill -9` in the middle, and compares the digests. LAYERS is 1 unless
//! given, 28 is the whole model; each layer takes 0.8 GB twice, everything else 1.7 GB twice. FOLDER, the system's
//! folder for temporary files unless given, must have that much room.

#[path = "../tests/support/torch_writer.rs"]
mod torch_writer;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mlperf_gptj::model::ModelConfig;
use mlperf_gptj::model::tensors::expected_tensors;
use serde_json::json;

use torch_writer::{Described, write_archive};

const FILES: usize = 3;
/// Memory that an import may take: it is not to depend on the model's size.
const MEMORY_LIMIT: u64 = 2 << 30;

fn main() -> Result<()> {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let layers = match arguments.next() {
        Some(text) => text.parse().context("LAYERS is a number")?,
        None => 1,
    };
    let parent = arguments.next().map_or(std::env::temp_dir(), PathBuf::from);
    let folder = tempfile::tempdir_in(parent)?;
    let from = folder.path().join("from");
    let start = Instant::now();
    let bytes = write_checkpoint(&from, layers)?;
    println!(
        "{layers} layers, {:.2} GB in {FILES} files, written in {:.0} s",
        gigabytes(bytes),
        start.elapsed().as_secs_f64()
    );

    let whole = folder.path().join("whole");
    let expected = finish(import(&from, &whole)?)?.tell("import", bytes);
    // There may not be room for three.
    fs::remove_dir_all(&whole)?;

    let killed = folder.path().join("killed");
    let mut child = import(&from, &killed)?;
    let start = Instant::now();
    while written(&killed) < bytes / 2 {
        ensure!(
            child.try_wait()?.is_none(),
            "it ended before half of it was written"
        );
        sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    let half = written(&killed);
    println!(
        "killed after {:.1} s with {:.2} GB written",
        start.elapsed().as_secs_f64(),
        gigabytes(half)
    );
    let resumed = finish(import(&from, &killed)?)?.tell("resumed", bytes);
    let digests = |sums: &str| -> Vec<String> {
        let first = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        sums.lines().map(first).collect()
    };
    ensure!(
        digests(&expected) == digests(&resumed),
        "{expected}{resumed}"
    );
    println!("equal digests:\n{}", digests(&resumed).join("\n"));
    Ok(())
}

/// What an import did.
struct Imported {
    sums: String,
    said: String,
    seconds: f64,
    peak: u64,
}

impl Imported {
    fn tell(self, what: &str, bytes: u64) -> String {
        println!(
            "{what}: {:.1} s, {:.0} MB/s of the whole, peak memory {:.0} MB; it says: {}",
            self.seconds,
            bytes as f64 / 1e6 / self.seconds,
            self.peak as f64 / 1e6,
            self.said
                .lines()
                .find(|line| line.starts_with("imported"))
                .unwrap_or_default()
        );
        self.sums
    }
}

fn import(from: &Path, to: &Path) -> Result<Child> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_run_harness"));
    command
        .arg("import-model")
        .arg(format!("--from={}", from.display()))
        .arg(format!("--to={}", to.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command.spawn()?)
}

/// Waits for an import, and watches its memory.
fn finish(mut child: Child) -> Result<Imported> {
    let start = Instant::now();
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = peak.max(peak_memory(child.id()));
        sleep(Duration::from_millis(10));
    }
    let seconds = start.elapsed().as_secs_f64();
    let output = child.wait_with_output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{said}");
    ensure!(
        peak > 0 && peak < MEMORY_LIMIT,
        "peak memory of {peak} bytes"
    );
    Ok(Imported {
        sums: String::from_utf8(output.stdout)?,
        said,
        seconds,
        peak,
    })
}

/// `VmHWM` of a process in bytes; 0 when it has ended.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

/// Bytes of weights in a folder and in the work folder below it.
fn written(to: &Path) -> u64 {
    let files = [to.to_owned(), to.join(".import")].map(fs::read_dir);
    let entries = files.into_iter().flatten().flatten().flatten();
    let weights = entries.filter(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .ends_with(".safetensors")
    });
    weights
        .map(|entry| entry.metadata().map_or(0, |data| data.len()))
        .sum()
}

/// Writes the folder; returns the bytes of the weights alone.
fn write_checkpoint(folder: &Path, layers: i32) -> Result<u64> {
    fs::create_dir(folder)?;
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenization/gpt2");
    for name in ["vocab.json", "merges.txt", "added_tokens.json"] {
        fs::copy(tokenizer.join(name), folder.join(name))?;
    }
    let config = json!({
        "model_type": "gptj", "activation_function": "gelu_new", "vocab_size": 50_401, "n_layer": layers,
        "n_embd": 4096, "n_head": 16, "n_inner": null, "n_positions": 2048, "rotary_dim": 64,
        "layer_norm_epsilon": 1e-5, "tie_word_embeddings": false, "eos_token_id": 50_256,
    });
    fs::write(folder.join("config.json"), config.to_string())?;
    let model = ModelConfig::read(folder)?;
    let mut tensors = Vec::new();
    for (name, shape) in expected_tensors(&model) {
        // Where transformers had the mask of a layer: in front of its projections.
        if let Some(layer) = name.strip_suffix("attn.q_proj.weight") {
            tensors.push(Described {
                name: format!("{layer}attn.bias"),
                shape: vec![1, 1, 2048, 2048],
                storage: "ByteStorage",
            });
        }
        tensors.push(Described {
            name,
            shape: shape.iter().map(|&size| size as u64).collect(),
            storage: "FloatStorage",
        });
    }
    let bytes = |tensor: &Described| match tensor.storage {
        "FloatStorage" => 4 * tensor.elements(),
        _ => 0,
    };
    let total: u64 = tensors.iter().map(bytes).sum();
    let mut start = 0;
    for number in 1..=FILES {
        let mut end = start;
        let mut filled = 0;
        while end < tensors.len() && (number == FILES || filled < total / FILES as u64) {
            filled += bytes(&tensors[end]);
            end += 1;
        }
        let path = folder.join(format!("pytorch_model-{number:05}-of-{FILES:05}.bin"));
        let mut seed = number as u64;
        write_archive(&path, &tensors[start..end], |tensor, out| {
            let size = if tensor.storage == "FloatStorage" {
                4
            } else {
                1
            };
            fill(size * tensor.elements(), &mut seed, out)
        })?;
        start = end;
    }
    Ok(total)
}

/// Bytes that differ everywhere.
fn fill(mut bytes: u64, seed: &mut u64, out: &mut dyn Write) -> io::Result<()> {
    let mut piece = vec![0; 1 << 20];
    while bytes > 0 {
        for word in piece.chunks_exact_mut(8) {
            *seed ^= *seed << 13;
            *seed ^= *seed >> 7;
            *seed ^= *seed << 17;
            word.copy_from_slice(&seed.to_le_bytes());
        }
        let count = bytes.min(piece.len() as u64);
        out.write_all(&piece[..count as usize])?;
        bytes -= count;
    }
    Ok(())
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
