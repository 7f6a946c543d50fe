//! A virtual machine for the pickles in which `torch.save` describes a state dictionary.
//!
//! It knows the opcodes of pickle protocol 2 that occur there and three kinds of globals: `collections.OrderedDict`,
//! `torch._utils._rebuild_tensor_v2` and the storage classes of `torch`. To "call" one of them builds one of our own
//! values; there is nothing else that could be called. Values live in one list and refer to each other by their
//! position, so that a hostile file can neither build cycles that leak nor depths that overflow a stack. Every opcode
//! adds at most one value, and what is copied is bounded, so that memory stays in proportion to the pickle.

mod refusal;

use std::collections::HashMap;

use super::view::{Storage, StorageType, View};
pub use refusal::PickleError;
use refusal::opcode_name;

/// Longer names of tensors and storages are refused.
const LONGEST_NAME: usize = 1024;
/// PyTorch's own limit.
const MOST_DIMENSIONS: usize = 64;

/// The tensors of a pickled state dictionary, in its order.
pub(super) fn read(pickle: &[u8]) -> Result<Vec<(String, View)>, PickleError> {
    let mut machine = Machine {
        bytes: pickle,
        at: 0,
        start: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let top = machine.run()?;
    machine.state_dict(top)
}

/// Position of a value in [`Machine::values`].
type Id = usize;

#[derive(Debug)]
enum Value {
    None,
    Bool,
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    OrderedDictClass,
    StorageClass(StorageType),
    RebuildTensor,
    Storage(Box<Storage>),
    Tensor(Box<View>),
}

impl Value {
    fn what(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "a boolean",
            Self::Int(_) => "a number",
            Self::Text(_) => "text",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dictionary",
            Self::OrderedDictClass | Self::StorageClass(_) | Self::RebuildTensor => "a global",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    /// The next byte to read.
    at: usize,
    /// The instruction that is being carried out.
    start: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack, innermost mark last.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, PickleError> {
        loop {
            self.start = self.at;
            match self.byte()? {
                b'.' => return self.pop(),
                0x80 => match self.byte()? {
                    2 => {}
                    other => return Err(PickleError::Protocol(other)),
                },
                b'c' => self.global()?,
                b'R' => self.reduce()?,
                b'Q' => self.persistent_id()?,
                // BUILD sets attributes of an object. Here it is a state dictionary's `_metadata`, which says nothing
                // about tensors.
                b'b' => {
                    self.pop()?;
                    self.dict()?;
                }
                b'(' => self.marks.push(self.stack.len()),
                b'}' => self.push(Value::Dict(Vec::new())),
                b's' => self.set_items(2)?,
                b'u' => {
                    let count = self.above_mark()?;
                    self.set_items(count)?;
                }
                b')' => self.push(Value::Tuple(Vec::new())),
                b't' => {
                    let count = self.above_mark()?;
                    self.tuple(count)?;
                }
                opcode @ 0x85..=0x87 => self.tuple(usize::from(opcode - 0x84))?,
                b'N' => self.push(Value::None),
                0x88 | 0x89 => self.push(Value::Bool),
                b'K' => {
                    let value = self.byte()?;
                    self.push(Value::Int(value.into()));
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.push(Value::Int(value.into()));
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.push(Value::Int(value.into()));
                }
                0x8a => self.long()?,
                b'X' => self.text()?,
                b'q' => {
                    let key = self.byte()?;
                    self.remember(key.into())?;
                }
                b'r' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.remember(key)?;
                }
                b'h' => {
                    let key = self.byte()?;
                    self.recall(key.into())?;
                }
                b'j' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.recall(key)?;
                }
                other => {
                    return Err(PickleError::Opcode {
                        name: opcode_name(other),
                        at: self.start,
                    });
                }
            }
        }
    }

    fn global(&mut self) -> Result<(), PickleError> {
        let module = self.line()?;
        let name = self.line()?;
        let value = match (module.as_str(), name.as_str()) {
            ("collections", "OrderedDict") => Value::OrderedDictClass,
            ("torch._utils", "_rebuild_tensor_v2") => Value::RebuildTensor,
            ("torch", class) => match StorageType::from_class(class) {
                Some(kind) => Value::StorageClass(kind),
                None => return Err(self.refused(&module, &name)),
            },
            _ => return Err(self.refused(&module, &name)),
        };
        self.push(value);
        Ok(())
    }

    fn refused(&self, module: &str, name: &str) -> PickleError {
        PickleError::Global {
            name: format!("{module}.{name}").escape_debug().to_string(),
            at: self.start,
        }
    }

    /// Calls what lies below the arguments.
    fn reduce(&mut self) -> Result<(), PickleError> {
        let arguments = self.pop_tuple()?;
        let callable = self.pop()?;
        let value = match &self.values[callable] {
            Value::OrderedDictClass if arguments.is_empty() => Value::Dict(Vec::new()),
            Value::OrderedDictClass => {
                return Err(self.broken("an OrderedDict is made with arguments"));
            }
            Value::RebuildTensor => Value::Tensor(Box::new(self.tensor(&arguments)?)),
            other => {
                let what = format!("{} is called", other.what());
                return Err(self.broken(what));
            }
        };
        self.push(value);
        Ok(())
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks, metadata = None)`
    fn tensor(&self, arguments: &[Id]) -> Result<View, PickleError> {
        let &[storage, offset, shape, strides, _, _, ref metadata @ ..] = arguments else {
            return Err(self.broken("a tensor is made with too few arguments"));
        };
        // Marks tensors that are conjugated or negated when they are read.
        match metadata.iter().map(|&id| &self.values[id]).next() {
            None | Some(Value::None) => {}
            Some(Value::Dict(entries)) if entries.is_empty() => {}
            Some(_) => return Err(self.broken("a tensor has metadata that changes its values")),
        }
        let Value::Storage(storage) = &self.values[storage] else {
            return Err(self.broken("a tensor is made of something else than a storage"));
        };
        let view = View {
            storage: Storage::clone(storage),
            offset: self.size(offset)?,
            shape: self.sizes(shape)?,
            strides: self.sizes(strides)?,
        };
        if view.shape.len() != view.strides.len() {
            return Err(self.broken("a tensor's shape and strides differ in length"));
        }
        Ok(view)
    }

    /// `('storage', class, key, device, elements)`: how torch.save names an entry of the archive.
    fn persistent_id(&mut self) -> Result<(), PickleError> {
        let parts = self.pop_tuple()?;
        let &[tag, class, key, _, elements] = parts.as_slice() else {
            return Err(self.broken("a persistent id is no storage"));
        };
        let values = &self.values;
        let storage = match (&values[tag], &values[class], &values[key]) {
            (Value::Text(tag), Value::StorageClass(kind), Value::Text(key))
                if tag == "storage" && key.len() <= LONGEST_NAME =>
            {
                Storage {
                    key: key.clone(),
                    kind: *kind,
                    elements: self.size(elements)?,
                }
            }
            _ => return Err(self.broken("a persistent id is no storage")),
        };
        self.push(Value::Storage(Box::new(storage)));
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Result<(), PickleError> {
        let from = self.height_below(count)?;
        let items = self.stack.split_off(from);
        self.push(Value::Tuple(items));
        Ok(())
    }

    /// Moves `count` values, a key and a value in turn, into the dictionary below them.
    fn set_items(&mut self, count: usize) -> Result<(), PickleError> {
        let from = self.height_below(count)?;
        let items = self.stack.split_off(from);
        if !items.len().is_multiple_of(2) {
            return Err(self.broken("a key without a value"));
        }
        let pairs: Vec<_> = items
            .chunks_exact(2)
            .map(|pair| (pair[0], pair[1]))
            .collect();
        self.dict()?.extend(pairs);
        Ok(())
    }

    /// The dictionary on top of the stack.
    fn dict(&mut self) -> Result<&mut Vec<(Id, Id)>, PickleError> {
        let at = self.start;
        let top = self.stack.last().map(|&id| &mut self.values[id]);
        match top {
            Some(Value::Dict(entries)) => Ok(entries),
            other => {
                let found = other.map_or("nothing", |value| value.what());
                let what = format!("a dictionary is needed, there is {found}");
                Err(PickleError::Broken { at, what })
            }
        }
    }

    /// How many values are above the innermost mark, which goes.
    fn above_mark(&mut self) -> Result<usize, PickleError> {
        let mark = self.marks.pop();
        mark.and_then(|mark| self.stack.len().checked_sub(mark))
            .ok_or_else(|| self.broken("a mark is missing"))
    }

    fn height_below(&self, count: usize) -> Result<usize, PickleError> {
        self.stack
            .len()
            .checked_sub(count)
            .ok_or_else(|| self.broken("the stack is empty"))
    }

    fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        let top = self.stack.pop();
        top.ok_or_else(|| self.broken("the stack is empty"))
    }

    fn pop_tuple(&mut self) -> Result<Vec<Id>, PickleError> {
        let top = self.pop()?;
        match &self.values[top] {
            Value::Tuple(items) => Ok(items.clone()),
            other => Err(self.broken(format!("a tuple is needed, there is {}", other.what()))),
        }
    }

    fn remember(&mut self, key: u32) -> Result<(), PickleError> {
        let Some(&top) = self.stack.last() else {
            return Err(self.broken("the stack is empty"));
        };
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), PickleError> {
        let Some(&id) = self.memo.get(&key) else {
            return Err(self.broken(format!("value {key} is recalled before it is there")));
        };
        self.stack.push(id);
        Ok(())
    }

    fn size(&self, id: Id) -> Result<u64, PickleError> {
        match &self.values[id] {
            Value::Int(value) => u64::try_from(*value)
                .map_err(|_| self.broken(format!("a size or an offset of {value}"))),
            other => Err(self.broken(format!("a number is needed, there is {}", other.what()))),
        }
    }

    fn sizes(&self, id: Id) -> Result<Vec<u64>, PickleError> {
        match &self.values[id] {
            Value::Tuple(items) if items.len() > MOST_DIMENSIONS => {
                Err(self.broken(format!("a tensor of {} dimensions", items.len())))
            }
            Value::Tuple(items) => items.iter().map(|&item| self.size(item)).collect(),
            other => Err(self.broken(format!("a tuple is needed, there is {}", other.what()))),
        }
    }

    /// An integer of any length; sizes have up to eight bytes.
    fn long(&mut self) -> Result<(), PickleError> {
        let length = usize::from(self.byte()?);
        let bytes = self.take(length)?;
        if length > 8 {
            return Err(self.broken("a number of more than 64 bits"));
        }
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut padded = [if negative { 0xff } else { 0 }; 8];
        padded[..length].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(padded)));
        Ok(())
    }

    fn text(&mut self) -> Result<(), PickleError> {
        let length = u32::from_le_bytes(self.array()?);
        // Wider than u32 on every machine that this program runs on.
        let bytes = self.take(length as usize)?;
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        let text = text.map_err(|_| self.broken("a text is not UTF-8"))?;
        self.push(Value::Text(text));
        Ok(())
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(PickleError::Truncated(self.bytes.len()));
        };
        self.at += length + 1;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..count) else {
            return Err(PickleError::Truncated(self.bytes.len()));
        };
        self.at += count;
        Ok(taken)
    }

    fn broken(&self, what: impl Into<String>) -> PickleError {
        PickleError::Broken {
            at: self.start,
            what: what.into(),
        }
    }

    fn state_dict(self, top: Id) -> Result<Vec<(String, View)>, PickleError> {
        let Value::Dict(entries) = &self.values[top] else {
            let what = self.values[top].what();
            return Err(PickleError::NoStateDict(format!("it holds {what}")));
        };
        let mut tensors = Vec::with_capacity(entries.len());
        for &(key, value) in entries {
            let Value::Text(name) = &self.values[key] else {
                let what = self.values[key].what();
                return Err(PickleError::NoStateDict(format!("{what} is a key of it")));
            };
            if name.len() > LONGEST_NAME {
                let text = format!("a name of it has {} bytes", name.len());
                return Err(PickleError::NoStateDict(text));
            }
            let Value::Tensor(view) = &self.values[value] else {
                let what = self.values[value].what();
                let text = format!("`{}` is {what}, not a tensor", name.escape_debug());
                return Err(PickleError::NoStateDict(text));
            };
            tensors.push((name.clone(), View::clone(view)));
        }
        Ok(tensors)
    }
}
