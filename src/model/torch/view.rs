//! Tensors as PyTorch has them: views of storages.

use std::fmt;

/// The element type of a storage; the names are those of PyTorch's storage classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageType {
    /// torch.float64.
    Double,
    /// torch.float32.
    Float,
    /// torch.float16.
    Half,
    /// torch.bfloat16.
    BFloat16,
    /// torch.int64.
    Long,
    /// torch.int32.
    Int,
    /// torch.int16.
    Short,
    /// torch.int8.
    Char,
    /// torch.uint8.
    Byte,
    /// torch.bool.
    Bool,
}

impl StorageType {
    /// All of them.
    const ALL: [Self; 10] = [
        Self::Double,
        Self::Float,
        Self::Half,
        Self::BFloat16,
        Self::Long,
        Self::Int,
        Self::Short,
        Self::Char,
        Self::Byte,
        Self::Bool,
    ];

    /// Bytes of one element.
    pub fn size(self) -> u64 {
        match self {
            Self::Double | Self::Long => 8,
            Self::Float | Self::Int => 4,
            Self::Half | Self::BFloat16 | Self::Short => 2,
            Self::Char | Self::Byte | Self::Bool => 1,
        }
    }

    /// From the name of a class in the module `torch`.
    pub(super) fn from_class(name: &str) -> Option<Self> {
        let kind = name.strip_suffix("Storage")?;
        Self::ALL
            .into_iter()
            .find(|storage| format!("{storage:?}") == kind)
    }
}

impl fmt::Display for StorageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Double => "float64",
            Self::Float => "float32",
            Self::Half => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Long => "int64",
            Self::Int => "int32",
            Self::Short => "int16",
            Self::Char => "int8",
            Self::Byte => "uint8",
            Self::Bool => "bool",
        })
    }
}

/// The elements that a tensor looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Name of the archive's entry behind `data/`.
    pub key: String,
    /// Type of the elements.
    pub kind: StorageType,
    /// How many there are.
    pub elements: u64,
}

/// A tensor: a strided view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The elements.
    pub storage: Storage,
    /// The first one, counted in elements.
    pub offset: u64,
    /// Outermost dimension first.
    pub shape: Vec<u64>,
    /// Elements from one index to the next, for each dimension.
    pub strides: Vec<u64>,
}

impl View {
    /// How many elements it has; `None` beyond what a file can hold.
    pub fn elements(&self) -> Option<u64> {
        self.shape
            .iter()
            .try_fold(1u64, |count, &size| count.checked_mul(size))
    }

    /// Its elements follow each other in row-major order.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = Some(1u64);
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            // The stride of a dimension with one index is never used.
            if size != 1 && Some(stride) != expected {
                return self.elements() == Some(0);
            }
            expected = expected.and_then(|expected| expected.checked_mul(size));
        }
        true
    }

    /// Every element is within the storage.
    pub(super) fn fits(&self) -> bool {
        let Some(count) = self.elements() else {
            return false;
        };
        if count == 0 {
            return self.offset <= self.storage.elements;
        }
        let steps = self.shape.iter().zip(&self.strides);
        let last = steps.map(|(&size, &stride)| (size - 1).checked_mul(stride));
        last.chain([Some(self.offset)])
            .try_fold(0u64, |sum, part| sum.checked_add(part?))
            .is_some_and(|last| last < self.storage.elements)
    }
}
