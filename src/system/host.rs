//! Reads what the kernel tells about the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Cpu, Driver, Gpu, Machine};

/// Reads the machine from the file system below `root`, which is `/` but for tests.
pub fn read(root: &Path) -> Machine {
    let usable = std::thread::available_parallelism().map_or(1, usize::from);
    let version = text(root, "proc/driver/nvidia/version");
    Machine {
        cpu: cpu(root, usable),
        memory_bytes: memory(&text(root, "proc/meminfo"), "MemTotal"),
        gpus: gpus(root),
        driver: Driver {
            version: driver_version(&version),
            ..Driver::default()
        },
        os: os(&text(root, "etc/os-release")),
        kernel: text(root, "proc/sys/kernel/osrelease").trim().to_owned(),
    }
}

/// Bytes of memory that a program could have now.
pub fn available_memory(root: &Path) -> u64 {
    memory(&text(root, "proc/meminfo"), "MemAvailable")
}

fn text(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap_or_default()
}

fn cpu(root: &Path, usable_threads: usize) -> Cpu {
    let info = text(root, "proc/cpuinfo");
    let mut sockets = BTreeSet::new();
    let mut cores = BTreeSet::new();
    let mut threads = 0;
    for processor in info
        .split("\n\n")
        .filter(|processor| field(processor, "processor").is_some())
    {
        threads += 1;
        let socket = field(processor, "physical id").unwrap_or("0");
        sockets.insert(socket);
        // Some virtual machines tell no core ids; then every processor counts as a core.
        let core = field(processor, "core id").or_else(|| field(processor, "processor"));
        cores.insert((socket, core));
    }
    let flags = field(&info, "flags").unwrap_or_default();
    Cpu {
        model: field(&info, "model name").unwrap_or_default().to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        sockets: sockets.len(),
        cores: cores.len(),
        threads,
        usable_threads,
        numa_nodes: numa_nodes(root),
        bf16: flags
            .split_whitespace()
            .any(|flag| flag == "avx512_bf16" || flag == "amx_bf16"),
    }
}

/// The first `name : value` of /proc/cpuinfo and its like.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

fn numa_nodes(root: &Path) -> usize {
    let Ok(entries) = fs::read_dir(root.join("sys/devices/system/node")) else {
        return 0;
    };
    let is_node = |name: &str| {
        name.strip_prefix("node")
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_node))
        .count()
}

fn memory(meminfo: &str, name: &str) -> u64 {
    let kib = field(meminfo, name).and_then(|value| value.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// What the driver's kernel module tells of its GPUs, for where NVML tells nothing: by bus address, as NVML has them.
fn gpus(root: &Path) -> Vec<Gpu> {
    let Ok(entries) = fs::read_dir(root.join("proc/driver/nvidia/gpus")) else {
        return Vec::new();
    };
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let gpu = |(index, folder): (u32, &std::path::PathBuf)| {
        let information = fs::read_to_string(folder.join("information")).unwrap_or_default();
        let uuid = field(&information, "GPU UUID").unwrap_or_default();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        Gpu {
            name: field(&information, "Model")
                .unwrap_or("NVIDIA GPU")
                .to_owned(),
            index,
            // Question marks stand there until the GPU is used for the first time.
            uuid: Some(uuid)
                .filter(|uuid| !uuid.contains('?'))
                .unwrap_or_default()
                .to_owned(),
            pci_bus_id: name.into_owned(),
            ..Gpu::default()
        }
    };
    (0..).zip(&folders).map(gpu).collect()
}

/// From `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6 ...`.
fn driver_version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version"))?;
    let is_version =
        |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    line.split_whitespace().find(is_version).map(str::to_owned)
}

fn os(release: &str) -> String {
    release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Machine {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        read(root.path())
    }

    fn processor(id: usize, socket: usize, core: usize) -> String {
        format!(
            "processor\t: {id}\nmodel name\t: Some CPU\nphysical id\t: {socket}\ncore id\t\t: {core}\n\
             flags\t\t: fpu sse avx512_bf16\n\n"
        )
    }

    #[test]
    fn counts_sockets_cores_and_threads() {
        // Two sockets of two cores of two threads; core ids repeat in the second socket.
        let info: String = (0..8)
            .map(|id| processor(id, id / 4, id / 2 % 2))
            .collect::<Vec<_>>()
            .concat();
        let machine = machine(&[
            ("proc/cpuinfo", &info),
            ("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n"),
            ("sys/devices/system/node/node0/x", ""),
            ("sys/devices/system/node/node1/x", ""),
            ("sys/devices/system/node/online", "0-1"),
            ("etc/os-release", "NAME=x\nPRETTY_NAME=\"Some OS 1\"\n"),
            ("proc/sys/kernel/osrelease", "6.1.0\n"),
        ]);
        let cpu = &machine.cpu;
        assert_eq!(
            (cpu.sockets, cpu.cores, cpu.threads, cpu.numa_nodes),
            (2, 4, 8, 2)
        );
        assert!(cpu.bf16 && cpu.usable_threads >= 1);
        assert_eq!(cpu.model, "Some CPU");
        assert_eq!(machine.memory_bytes, 16 << 20);
        assert_eq!(
            (machine.os.as_str(), machine.kernel.as_str()),
            ("Some OS 1", "6.1.0")
        );
    }

    #[test]
    fn lists_gpus_that_the_kernel_module_knows() {
        let information = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 1\nGPU UUID: \t GPU-0123\n";
        let unused = information.replace("GPU-0123", "GPU-????????");
        let machine = machine(&[
            (
                "proc/driver/nvidia/gpus/0000:01:00.0/information",
                information,
            ),
            ("proc/driver/nvidia/gpus/0000:02:00.0/information", &unused),
            (
                "proc/driver/nvidia/version",
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build\nGCC version: 12.3.0\n",
            ),
        ]);
        let uuids: Vec<_> = machine.gpus.iter().map(|gpu| gpu.uuid.as_str()).collect();
        assert_eq!(uuids, ["GPU-0123", ""]);
        let second = &machine.gpus[1];
        assert_eq!(
            (second.name.as_str(), second.index),
            ("NVIDIA H100 80GB HBM3", 1)
        );
        assert_eq!(second.pci_bus_id, "0000:02:00.0");
        assert_eq!(machine.driver.version.as_deref(), Some("580.159.04"));
    }

    #[test]
    fn an_unreadable_machine_is_no_error() {
        let machine = machine(&[]);
        assert_eq!(
            (
                machine.memory_bytes,
                machine.gpus.len(),
                machine.cpu.sockets
            ),
            (0, 0, 0)
        );
        assert!(!machine.cpu.bf16 && machine.driver.version.is_none());
    }

    #[test]
    fn this_machine_has_a_processor_and_memory() {
        let machine = read(Path::new("/"));
        assert!(
            machine.cpu.threads > 0 && machine.memory_bytes > 0,
            "{machine:?}"
        );
        let available = available_memory(Path::new("/"));
        assert!(available > 0 && available <= machine.memory_bytes);
    }
}
