//! Files that root writes belong to root, which is noticed when somebody else wants to remove them.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::scratch::existing_part;

/// Says so on stderr, once a command, where this process is root's. `folder` is where the command writes.
pub fn tell(folder: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // What does not exist yet will belong to whoever makes it; what is above it belongs to somebody.
    let existing = existing_part(folder);
    let owner = existing.metadata().map(|found| (found.uid(), found.gid()));
    eprintln!("note: {}", notice(existing, owner.unwrap_or((0, 0))));
}

fn notice(folder: &Path, (user, group): (u32, u32)) -> String {
    if user == 0 {
        return "running as root: the files that this command writes belong to root".to_owned();
    }
    let folder = folder.display();
    format!(
        "running as root: the files that this command writes belong to root, `{folder}` to user {user}; \
         `chown -R {user}:{group} {folder}` gives them to that user"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_names_the_owner_of_the_folder() {
        assert_eq!(
            notice(Path::new("/data"), (1000, 100)),
            "running as root: the files that this command writes belong to root, `/data` to user 1000; \
             `chown -R 1000:100 /data` gives them to that user"
        );
        assert!(!notice(Path::new("/data"), (0, 0)).contains("chown"));
    }
}
