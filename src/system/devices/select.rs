//! `--devices`: from numbers and UUIDs to devices.

use super::{Device, Devices, VISIBLE_VARIABLE};
use crate::error::Failure;

impl Devices {
    /// The devices that a list asks for, each once. `auto`: all whole GPUs; where every GPU is split, the largest
    /// instance, because a process can use one.
    pub fn select(&self, asked: &str) -> Result<Vec<Device>, Failure> {
        if asked == "auto" {
            return Ok(self.automatic());
        }
        let items = asked.split(',').map(str::trim);
        let mut selected: Vec<Device> = Vec::new();
        for item in items.filter(|item| !item.is_empty()) {
            let device = self.find(asked, item)?;
            if selected.iter().any(|other| is_same(other, &device)) {
                return Err(Failure::user(format!(
                    "devices is `{asked}`, which names {item} twice"
                ))
                .hint("name each device once"));
            }
            selected.push(device);
        }
        check_together(asked, &selected)?;
        Ok(selected)
    }

    fn automatic(&self) -> Vec<Device> {
        let is_whole = |device: &&Device| device.instance.is_none();
        let whole: Vec<Device> = self.list.iter().filter(is_whole).cloned().collect();
        if !whole.is_empty() {
            return whole;
        }
        // Of equal ones the first.
        let largest = self
            .list
            .iter()
            .rev()
            .max_by_key(|device| device.memory_bytes);
        largest.cloned().into_iter().collect()
    }

    fn find(&self, asked: &str, item: &str) -> Result<Device, Failure> {
        let shape = Shape::of(item).ok_or_else(|| {
            Failure::user(format!(
                "devices is `{asked}`, and `{item}` names no GPU"
            ))
            .hint("expected numbers of GPUs, GPU:INSTANCE, or UUIDs, separated by commas: --devices=0,1")
        })?;
        let mut answering = self.list.iter().filter(|device| device.answers_to(item));
        match (answering.next(), answering.next()) {
            (Some(device), None) => Ok(device.clone()),
            (Some(_), Some(_)) => Err(Failure::user(format!(
                "devices is `{asked}`, and `{item}` begins the UUID of several devices"
            ))
            .hint(self.those_there())),
            // Where nothing was detected, CUDA may still know better.
            (None, _) if !self.detected => {
                shape.undetected().ok_or_else(|| self.absent(asked, item))
            }
            (None, _) => Err(self.absent(asked, item)),
        }
    }

    fn absent(&self, asked: &str, item: &str) -> Failure {
        let mut failure = Failure::user(format!("devices is `{asked}`, but there is no `{item}`"));
        if let Some(visible) = &self.hidden_by {
            failure = failure.because(format!("{VISIBLE_VARIABLE} is `{visible}`"));
        }
        let parts = format!("{item}:");
        if self
            .list
            .iter()
            .any(|device| device.to_string().starts_with(&parts))
        {
            failure = failure.because(format!("GPU {item} is split into MIG instances"));
        }
        failure.hint(self.those_there())
    }

    fn those_there(&self) -> String {
        if self.list.is_empty() {
            return "there are no devices that this process may use".to_owned();
        }
        let line = |device: &Device| match device.uuid.as_str() {
            "" => format!("  {device}  {}", device.name),
            uuid => format!("  {device}  {uuid}  {}", device.name),
        };
        let lines: Vec<String> = self.list.iter().map(line).collect();
        format!("there are\n{}", lines.join("\n"))
    }
}

fn is_same(one: &Device, other: &Device) -> bool {
    one.to_string() == other.to_string() && one.uuid == other.uuid
}

/// What CUDA cannot do in one process.
fn check_together(asked: &str, selected: &[Device]) -> Result<(), Failure> {
    let is_instance =
        |device: &Device| device.instance.is_some() || device.uuid.starts_with("MIG-");
    if selected.len() > 1 && selected.iter().any(is_instance) {
        return Err(Failure::user(format!(
            "devices is `{asked}`, which names a MIG instance and more"
        ))
        .because("a CUDA process sees one MIG instance and no other device beside it")
        .hint(
            "name one instance; others can be used by runs of their own, each with its --log_dir",
        ));
    }
    let named = selected
        .iter()
        .filter(|device| device.cuda_name().is_some());
    if ![0, selected.len()].contains(&named.count()) {
        return Err(Failure::user(format!(
            "devices is `{asked}`, and no GPU was detected here"
        ))
        .because("numbers and UUIDs cannot be told to belong together")
        .hint("name all of them by number, or all of them by UUID"));
    }
    Ok(())
}

/// What a name looks like.
enum Shape<'a> {
    Number(u32, Option<u32>),
    Uuid(&'a str),
}

impl<'a> Shape<'a> {
    fn of(item: &'a str) -> Option<Self> {
        let rest = item.strip_prefix("GPU-").or(item.strip_prefix("MIG-"));
        if rest.is_some_and(|rest| !rest.is_empty()) {
            return Some(Self::Uuid(item));
        }
        match item.split_once(':') {
            Some((gpu, instance)) => Some(Self::Number(
                gpu.parse().ok()?,
                Some(instance.parse().ok()?),
            )),
            None => Some(Self::Number(item.parse().ok()?, None)),
        }
    }

    /// A device that CUDA may know; nobody but the driver knows the instance behind a number.
    fn undetected(&self) -> Option<Device> {
        match *self {
            Self::Number(gpu, None) => Some(Device {
                gpu,
                ..Device::default()
            }),
            Self::Number(_, Some(_)) => None,
            Self::Uuid(uuid) => Some(Device {
                uuid: uuid.to_owned(),
                ..Device::default()
            }),
        }
    }
}
