//! Pickles that no torch.save wrote: whatever they ask for, nothing of it is done.

use std::fs::File;
use std::io::Write;

use mlperf_gptj::error::Failure;
use mlperf_gptj::model::torch::TorchFile;
use tempfile::tempdir;
use zip::ZipWriter;

use crate::torch_writer::{int, options, text};

/// A storage of two float32 in `data/0`, as a pickle names it.
fn storage(elements: u64) -> Vec<u8> {
    let mut pickle = b"(".to_vec();
    text(&mut pickle, "storage");
    pickle.extend(b"ctorch\nFloatStorage\n");
    text(&mut pickle, "0");
    text(&mut pickle, "cpu");
    int(&mut pickle, elements);
    pickle.extend(b"tQ");
    pickle
}

/// A dictionary with a tensor `w`, made of what `arguments` pushes.
fn tensor(arguments: &[u8]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}".to_vec();
    text(&mut pickle, "w");
    pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(");
    pickle.extend(arguments);
    pickle.extend(b"\x89)tRs.");
    pickle
}

/// Offset, shape and stride of one dimension.
fn view(offset: u64, size: u64, stride: u64) -> Vec<u8> {
    let mut pickle = Vec::new();
    int(&mut pickle, offset);
    int(&mut pickle, size);
    pickle.extend(b"\x85");
    int(&mut pickle, stride);
    pickle.extend(b"\x85");
    pickle
}

fn open(pickle: &[u8]) -> Result<TorchFile, String> {
    let dir = tempdir().unwrap();
    let path = dir.path().join("w.bin");
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    for (name, content) in [("w/data.pkl", pickle), ("w/data/0", &[0; 8])] {
        zip.start_file(name, options()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    TorchFile::open(&path).map_err(|error| {
        let text = Failure::from(error).render();
        text.replace(&path.display().to_string(), "FILE")
    })
}

fn refused(pickle: &[u8], message: &str) {
    let text = open(pickle).unwrap_err();
    assert!(text.contains(message), "{text}");
    assert!(text.contains("\nhint: "), "{text}");
}

#[test]
fn a_good_one_is_read() {
    let file = open(&tensor(&[storage(2), view(0, 2, 1)].concat())).unwrap();
    assert_eq!(file.tensors[0].view.shape, [2]);
}

#[test]
fn commands_are_named_and_not_run() {
    // What pickle.dumps makes of an object whose __reduce__ returns (os.system, ("touch /tmp/x",)).
    let mut pickle = b"\x80\x02cposix\nsystem\n".to_vec();
    text(&mut pickle, "touch /tmp/x");
    pickle.extend(b"\x85R.");
    refused(&pickle, "it asks for `posix.system` at byte 2");
    refused(
        b"\x80\x02c__builtin__\neval\n.",
        "it asks for `__builtin__.eval` at byte 2",
    );
    refused(
        b"\x80\x02ctorch\nload\n.",
        "it asks for `torch.load` at byte 2",
    );
    refused(
        b"\x80\x02ctorch\nEvilStorage\n.",
        "it asks for `torch.EvilStorage` at byte 2",
    );
    refused(
        b"\x80\x02cos\n\x1b[2Jsystem\n.",
        "it asks for `os.\\u{1b}[2Jsystem` at byte 2",
    );
}

#[test]
fn other_ways_to_call_are_refused() {
    for (opcode, name) in [
        (b"i".as_slice(), "INST"),
        (b"o", "OBJ"),
        (b"\x81", "NEWOBJ"),
        (b"\x92", "NEWOBJ_EX"),
        (b"\x93", "STACK_GLOBAL"),
        (b"\x82\x01", "EXT1"),
        (b"P", "PERSID"),
        (b"\xff", "0xff"),
    ] {
        let pickle = [b"\x80\x02", opcode, b"posix\nsystem\n."].concat();
        refused(&pickle, &format!("it has the instruction {name} at byte 2"));
    }
}

#[test]
fn only_the_known_globals_are_called() {
    refused(b"\x80\x02ctorch\nFloatStorage\n)R.", "a global is called");
    refused(b"\x80\x02})R.", "a dictionary is called");
    refused(
        b"\x80\x02ccollections\nOrderedDict\nN\x85R.",
        "an OrderedDict is made with arguments",
    );
}

#[test]
fn tensors_that_reach_out_of_their_storage() {
    for (offset, size, stride) in [
        (1, 2, 1),
        (0, 3, 1),
        (0, 2, 2),
        (3, 0, 1),
        (u64::MAX >> 1, 2, 1),
        (0, 1 << 62, 1 << 62),
    ] {
        let pickle = tensor(&[storage(2), view(offset, size, stride)].concat());
        refused(&pickle, "reaches beyond the 2 elements of `w/data/0`");
    }
    let pickle = tensor(&[storage(2), view(0, u64::MAX, 1)].concat());
    refused(&pickle, "a size or an offset of -1");
}

#[test]
fn storages_that_are_not_as_described() {
    let pickle = tensor(&[storage(3), view(0, 2, 1)].concat());
    refused(
        &pickle,
        "`w/data/0` has 8 bytes, but 3 elements of type float32 are described",
    );
    let mut pickle = tensor(&[storage(2), view(0, 2, 1)].concat());
    let at = pickle
        .windows(6)
        .position(|bytes| bytes == b"X\x01\0\0\x000")
        .unwrap();
    pickle[at + 5] = b'7';
    refused(
        &pickle,
        "tensor `w` has its elements in `data/7`, which is not there",
    );
}

#[test]
fn broken_ones() {
    refused(b"", "it ends at byte 0, in the middle");
    refused(
        b"\x80\x02X\xff\xff\xff\xffabc",
        "it ends at byte 10, in the middle",
    );
    refused(b"\x80\x02.", "the stack is empty");
    refused(b"\x80\x02t.", "a mark is missing");
    refused(b"\x80\x02h\x05.", "value 5 is recalled before it is there");
    refused(
        b"\x80\x02}N\x85s.",
        "a dictionary is needed, there is nothing",
    );
    refused(b"\x80\x02Ns.", "the stack is empty");
    refused(b"\x80\x02NNNs.", "a dictionary is needed, there is None");
    refused(b"\x80\x02N.", "it is no state dictionary: it holds None");
    refused(
        b"\x80\x02}NNs.",
        "it is no state dictionary: None is a key of it",
    );
    refused(b"\x80\x02)Q.", "a persistent id is no storage");
    // A dictionary within itself.
    refused(
        b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",
        "`a` is a dictionary, not a tensor",
    );
    // A tuple a million deep must not end in a crash.
    let deep = [b"\x80\x02)".to_vec(), vec![0x85; 1_000_000], b".".to_vec()].concat();
    refused(&deep, "it holds a tuple");
}
