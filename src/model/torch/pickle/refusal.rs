//! Why pickles are refused.

/// Why a pickle is refused. Positions are bytes of the pickle.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PickleError {
    /// It names something to import that a state dictionary does not need. Python would import and perhaps call it.
    #[error(
        "it asks for `{name}` at byte {at}: loading it with Python would run code of that name"
    )]
    Global {
        /// Module and name.
        name: String,
        /// Where.
        at: usize,
    },
    /// An instruction that state dictionaries do not need.
    #[error("it has the instruction {name} at byte {at}, which is not part of a state dictionary")]
    Opcode {
        /// Its name in Python's `pickletools`, or its number.
        name: String,
        /// Where.
        at: usize,
    },
    /// It was written with another protocol than torch.save's.
    #[error("it is of pickle protocol {0}; torch.save writes protocol 2")]
    Protocol(u8),
    /// It ends within an instruction, or without its last one.
    #[error("it ends at byte {0}, in the middle")]
    Truncated(usize),
    /// An instruction finds other values than it needs.
    #[error("it is broken at byte {at}: {what}")]
    Broken {
        /// Where.
        at: usize,
        /// What is wrong.
        what: String,
    },
    /// It is no dictionary of tensors.
    #[error("it is no state dictionary: {0}")]
    NoStateDict(String),
}

/// Names of instructions that are refused, as `pickletools` has them: above all those that make or call something.
pub(super) fn opcode_name(opcode: u8) -> String {
    const NAMES: [(u8, &str); 26] = [
        (b'i', "INST"),
        (b'o', "OBJ"),
        (0x81, "NEWOBJ"),
        (0x92, "NEWOBJ_EX"),
        (0x93, "STACK_GLOBAL"),
        (0x82, "EXT1"),
        (0x83, "EXT2"),
        (0x84, "EXT4"),
        (b'P', "PERSID"),
        (b'0', "POP"),
        (b'1', "POP_MARK"),
        (b'2', "DUP"),
        (b'p', "PUT"),
        (b'g', "GET"),
        (b'd', "DICT"),
        (b'l', "LIST"),
        (b']', "EMPTY_LIST"),
        (b'a', "APPEND"),
        (b'e', "APPENDS"),
        (b'I', "INT"),
        (b'L', "LONG"),
        (b'S', "STRING"),
        (b'U', "SHORT_BINSTRING"),
        (b'V', "UNICODE"),
        (b'G', "BINFLOAT"),
        (0x8b, "LONG4"),
    ];
    match NAMES.iter().find(|(known, _)| *known == opcode) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("0x{opcode:02x}"),
    }
}
