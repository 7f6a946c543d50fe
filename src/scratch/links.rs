//! `link_dirs`: the folders of the scratch space, and links to them under build/.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::{Kind, Places, SCRATCH_VARIABLE};
use crate::error::Failure;

/// What became of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// There was nothing; now there is a link.
    Created,
    /// The link was there already.
    Kept,
    /// The link pointed elsewhere.
    Moved {
        /// Where it pointed.
        from: PathBuf,
    },
    /// Something that is no link has the name; it was not touched, and is what runs will use.
    LeftAlone,
}

/// One link under build/.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// The link.
    pub link: PathBuf,
    /// The folder in the scratch space.
    pub target: PathBuf,
    /// What became of it.
    pub state: LinkState,
}

impl fmt::Display for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (link, target) = (self.link.display(), self.target.display());
        match &self.state {
            LinkState::Created | LinkState::Kept => write!(f, "{link} -> {target}"),
            LinkState::Moved { from } => {
                write!(f, "{link} -> {target} (was {})", from.display())
            }
            LinkState::LeftAlone => write!(
                f,
                "{link} is not a link and was left alone; it is used instead of {target} (to link \
                 it, move its content there and remove it)"
            ),
        }
    }
}

/// What [`link_dirs`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkReport {
    /// The scratch space, as an absolute path.
    pub scratch: PathBuf,
    /// `data`, `models` and `preprocessed_data`.
    pub links: Vec<Linked>,
    /// Those of the folders that this process may not write to.
    pub read_only: Vec<PathBuf>,
}

/// Makes the folders of the scratch space and links them under build/. Doing it again changes nothing.
pub fn link_dirs(places: &Places) -> Result<LinkReport, Failure> {
    check_surroundings(places)?;
    make_folder(&places.scratch, places)?;
    // Links must hold wherever they are read from. Without symbolic links in between, `ls -l build/` also says which
    // disk it really is.
    let scratch = fs::canonicalize(&places.scratch).map_err(|error| {
        refused("resolve the path of", &places.scratch, &error).hint(remedy(places))
    })?;
    let build = places.root.join("build");
    fs::create_dir_all(&build).map_err(|error| {
        refused("create the folder", &build, &error)
            .hint("work in a copy of the repository that you may write to")
    })?;
    let mut links = Vec::new();
    let mut read_only = Vec::new();
    for kind in Kind::ALL {
        let target = scratch.join(kind.name());
        make_folder(&target, places)?;
        let link = places.link(kind);
        let state = make_link(&link, &target).map_err(|error| {
            refused("link", &link, &error)
                .hint("work in a copy of the repository that you may write to")
        })?;
        // Data and models may well be on a disk that cannot be written to; a run tells no sooner than it has to write.
        if rustix::fs::access(&link, Access::WRITE_OK).is_err() {
            read_only.push(fs::canonicalize(&link).unwrap_or_else(|_| link.clone()));
        }
        links.push(Linked {
            link,
            target,
            state,
        });
    }
    Ok(LinkReport {
        scratch,
        links,
        read_only,
    })
}

/// Refuses a scratch space whose surroundings are missing: a disk that is not mounted, or a slip of the pen. Making all
/// folders of such a path would put models and data where nobody looks for them.
fn check_surroundings(places: &Places) -> Result<(), Failure> {
    match places.scratch.parent() {
        Some(parent) if places.scratch_given && !parent.exists() => Err(Failure::user(format!(
            "there is no folder `{}`",
            parent.display()
        ))
        .because(format!("the scratch space is {}", source(places)))
        .hint(format!(
            "mount its disk, correct {SCRATCH_VARIABLE}, or make the folder: mkdir -p '{}'",
            parent.display()
        ))),
        _ => Ok(()),
    }
}

fn make_folder(path: &Path, places: &Places) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| {
        refused("create the folder", path, &error)
            .because(format!("the scratch space is {}", source(places)))
            .hint(remedy(places))
    })
}

fn refused(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::user(format!("cannot {what} `{}`", path.display())).because(error)
}

fn source(places: &Places) -> String {
    match places.scratch_given {
        true => format!(
            "`{}`, from {SCRATCH_VARIABLE}",
            places.scratch.to_string_lossy()
        ),
        false => format!(
            "`{}`, because {SCRATCH_VARIABLE} is not set",
            places.scratch.to_string_lossy()
        ),
    }
}

fn remedy(places: &Places) -> String {
    match places.scratch_given {
        true => format!(
            "set {SCRATCH_VARIABLE} to a folder that you may write to, or unset it to use \
             `{}`",
            places.own().display()
        ),
        false => format!("set {SCRATCH_VARIABLE} to a folder that you may write to"),
    }
}

/// What `ln -sfn target link` does, save for what is in the way and no link.
fn make_link(link: &Path, target: &Path) -> io::Result<LinkState> {
    match fs::symlink_metadata(link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            symlink(target, link)?;
            Ok(LinkState::Created)
        }
        Err(error) => Err(error),
        Ok(found) if !found.is_symlink() => Ok(LinkState::LeftAlone),
        Ok(_) => {
            let from = fs::read_link(link)?;
            if from == target {
                return Ok(LinkState::Kept);
            }
            // Renaming replaces the old link in one step, so that a run beside us always finds one.
            let fresh = link.with_extension(format!("new-{}", std::process::id()));
            symlink(target, &fresh)?;
            fs::rename(&fresh, link).inspect_err(|_| {
                // The rename failed, which is what is reported; a leftover link does no harm.
                let _ = fs::remove_file(&fresh);
            })?;
            Ok(LinkState::Moved { from })
        }
    }
}
