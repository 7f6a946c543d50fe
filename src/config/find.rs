//! Where the layers are: a `configs` folder, or the copies built into the program.

use std::path::{Path, PathBuf};

use super::file::{self, LayerFile, Rules};
use super::key::nearest;
use crate::error::Failure;

/// The layers of the repository as they were when the program was built, so that it works without them.
const BUILT_IN: &[(&str, &str)] = &[
    (
        "gptj/base.toml",
        include_str!("../../configs/gptj/base.toml"),
    ),
    (
        "gptj/offline.toml",
        include_str!("../../configs/gptj/offline.toml"),
    ),
    (
        "gptj/server.toml",
        include_str!("../../configs/gptj/server.toml"),
    ),
    (
        "gptj/single_stream.toml",
        include_str!("../../configs/gptj/single_stream.toml"),
    ),
    (
        "rounds/v3.1.toml",
        include_str!("../../configs/rounds/v3.1.toml"),
    ),
    (
        "rounds/v4.0.toml",
        include_str!("../../configs/rounds/v4.0.toml"),
    ),
    (
        "rounds/v4.1.toml",
        include_str!("../../configs/rounds/v4.1.toml"),
    ),
    (
        "rounds/v5.0.toml",
        include_str!("../../configs/rounds/v5.0.toml"),
    ),
    (
        "systems/dgx_h100_x1.toml",
        include_str!("../../configs/systems/dgx_h100_x1.toml"),
    ),
    (
        "systems/dgx_h100_x8.toml",
        include_str!("../../configs/systems/dgx_h100_x8.toml"),
    ),
    (
        "systems/generic_cpu.toml",
        include_str!("../../configs/systems/generic_cpu.toml"),
    ),
    (
        "systems/generic_cuda.toml",
        include_str!("../../configs/systems/generic_cuda.toml"),
    ),
    (
        "systems/h200_x1.toml",
        include_str!("../../configs/systems/h200_x1.toml"),
    ),
    (
        "systems/h200_x8.toml",
        include_str!("../../configs/systems/h200_x8.toml"),
    ),
    (
        "systems/l40s.toml",
        include_str!("../../configs/systems/l40s.toml"),
    ),
    (
        "systems/nc_h100_v5.toml",
        include_str!("../../configs/systems/nc_h100_v5.toml"),
    ),
    (
        "systems/nd_h100_v5.toml",
        include_str!("../../configs/systems/nd_h100_v5.toml"),
    ),
    (
        "workloads/cnn_dailymail.toml",
        include_str!("../../configs/workloads/cnn_dailymail.toml"),
    ),
    (
        "workloads/custom.toml",
        include_str!("../../configs/workloads/custom.toml"),
    ),
    (
        "workloads/gptj-mini.toml",
        include_str!("../../configs/workloads/gptj-mini.toml"),
    ),
];

/// A file that marks a folder as ours.
const MARKER: &str = "gptj/base.toml";

/// Where layers are read from.
#[derive(Debug, Clone, PartialEq)]
pub enum Layers {
    /// A folder.
    Folder(PathBuf),
    /// The copies built into the program.
    BuiltIn,
}

impl Layers {
    /// The folder that was asked for; else `configs` above the program; else above the working folder; else the
    /// built-in copies.
    pub fn find(
        asked: Option<&Path>,
        program: Option<&Path>,
        working: &Path,
    ) -> Result<Self, Failure> {
        if let Some(folder) = asked {
            if folder.join(MARKER).is_file() {
                return Ok(Self::Folder(folder.to_owned()));
            }
            return Err(Failure::user(format!("`{}` is no configuration folder", folder.display()))
                .because(format!("there is no {MARKER} in it"))
                .hint("leave out --config_dir and GPTJ_CONFIG_DIR to use the configuration that comes with the program"));
        }
        let starts = program.and_then(Path::parent).into_iter().chain([working]);
        let found = starts
            .flat_map(Path::ancestors)
            .map(|folder| folder.join("configs"))
            .find(|folder| folder.join(MARKER).is_file());
        Ok(found.map_or(Self::BuiltIn, Self::Folder))
    }

    /// Names of the files in `kind`, a folder of the layers, without `.toml`; sorted.
    pub fn names(&self, kind: &str) -> Result<Vec<String>, Failure> {
        let mut names: Vec<String> = match self {
            Self::BuiltIn => BUILT_IN
                .iter()
                .filter_map(|(path, _)| {
                    path.strip_prefix(kind)?
                        .strip_prefix('/')?
                        .strip_suffix(".toml")
                })
                .map(str::to_owned)
                .collect(),
            Self::Folder(folder) => {
                // The folder's own name may contain characters that mean something in a pattern.
                let folder = glob::Pattern::escape(&folder.join(kind).to_string_lossy());
                let paths = glob::glob(&format!("{folder}/*.toml")).map_err(|error| {
                    Failure::from_error(crate::error::FailureKind::Harness, &error)
                })?;
                paths
                    .filter_map(Result::ok)
                    .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
                    .collect()
            }
        };
        names.sort();
        Ok(names)
    }

    /// Reads the file `<kind>/<name>.toml`. `what` is what such a file is called.
    pub fn read(&self, kind: &str, name: &str, rules: Rules<'_>) -> Result<LayerFile, Failure> {
        let names = self.names(kind)?;
        let Some(name) = names.iter().find(|known| known.eq_ignore_ascii_case(name)) else {
            let what = kind.trim_end_matches('s');
            let failure = Failure::user(format!("there is no {what} `{name}`"));
            let known = names.join(", ");
            return Err(match nearest(names.iter().map(String::as_str), name) {
                Some(near) => failure.hint(format!("did you mean `{near}`? There are {known}")),
                None => failure.hint(format!("there are {known}, in {}", self.shown(kind))),
            });
        };
        let relative = format!("{kind}/{name}.toml");
        match self {
            Self::Folder(folder) => {
                file::read(&folder.join(&relative), &self.shown(&relative), rules)
            }
            Self::BuiltIn => {
                let text = BUILT_IN
                    .iter()
                    .find(|(path, _)| *path == relative)
                    .map_or("", |(_, text)| text);
                file::parse(&self.shown(&relative), text, rules)
            }
        }
    }

    /// A path below the layers as it is shown: short, and the same on every machine.
    fn shown(&self, relative: &str) -> String {
        match self {
            Self::Folder(folder) if folder.ends_with("configs") => format!("configs/{relative}"),
            Self::Folder(folder) => folder.join(relative).display().to_string(),
            Self::BuiltIn => format!("built in: configs/{relative}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_copies_are_all_the_files_there_are() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        let layers = Layers::Folder(folder);
        for kind in ["gptj", "rounds", "systems", "workloads"] {
            assert_eq!(
                layers.names(kind).unwrap(),
                Layers::BuiltIn.names(kind).unwrap(),
                "{kind}"
            );
        }
    }

    #[test]
    fn built_in_copies_serve_where_there_is_no_folder() {
        let nowhere = tempfile::tempdir().unwrap();
        let layers = Layers::find(None, None, nowhere.path()).unwrap();
        assert_eq!(layers, Layers::BuiltIn);
        let rules = Rules {
            workloads: &layers.names("workloads").unwrap(),
            may_choose: false,
        };
        assert!(layers.read("systems", "nd_h100_v5", rules).is_ok());
    }

    #[test]
    fn a_folder_that_was_asked_for_must_be_one() {
        let nowhere = tempfile::tempdir().unwrap();
        let failure = Layers::find(Some(nowhere.path()), None, Path::new("/")).unwrap_err();
        assert!(
            failure.message.ends_with("is no configuration folder"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let rules = Rules {
            workloads: &[],
            may_choose: false,
        };
        let failure = Layers::BuiltIn.read("rounds", "v5.O", rules).unwrap_err();
        assert_eq!(failure.message, "there is no round `v5.O`");
        assert_eq!(
            failure.hint.unwrap(),
            "did you mean `v5.0`? There are v3.1, v4.0, v4.1, v5.0"
        );
    }
}
