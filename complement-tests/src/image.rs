//! The image under test: this folder's Dockerfile with the release binary and its libraries.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::Failure;
use crate::docker::{Docker, IMAGE, output_of};

/// Returns the image's name. It is removed with everything else at the end of the run.
pub(crate) async fn build(
    docker: &Docker,
    folder: &Path,
    binary: &Path,
    base: &str,
) -> Result<String, Failure> {
    let context = TempDir::new().map_err(|error| Failure::Start("a folder".to_owned(), error))?;
    let libraries = context.path().join("lib");
    fs::create_dir(&libraries).map_err(|error| Failure::File(libraries.clone(), error))?;
    let start = beside_this_program("complement-image")?;
    for (from, name) in [(binary, "aqueduct"), (start.as_path(), "complement-image")] {
        copy(from, &context.path().join(name))?;
        for (library, name) in linked_by(from).await? {
            copy(&library, &libraries.join(name))?;
        }
    }
    let name = format!("{IMAGE}:{}", std::process::id());
    let dockerfile = folder.join("Dockerfile").display().to_string();
    let base = format!("BASE={base}");
    let context = context.path().display().to_string();
    docker
        .run(&[
            "build",
            "-q",
            "-t",
            &name,
            "-f",
            &dockerfile,
            "--build-arg",
            &base,
            &context,
        ])
        .await?;
    Ok(name)
}

pub(crate) fn beside_this_program(name: &str) -> Result<PathBuf, Failure> {
    let this = std::env::current_exe()
        .map_err(|error| Failure::Start("this program's path".to_owned(), error))?;
    Ok(this.with_file_name(name))
}

/// Each library's file and the name that it has in the image: its own, or `loader`.
async fn linked_by(binary: &Path) -> Result<Vec<(PathBuf, String)>, Failure> {
    let mut ldd = Command::new("ldd");
    ldd.arg(binary);
    Ok(libraries_in(&output_of(ldd).await?))
}

/// Reads lines such as `libm.so.6 => /lib/libm.so.6 (0x7f)` and, for the loader,
/// `/lib64/ld-linux-x86-64.so.2 (0x7f)`.
fn libraries_in(listing: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for line in listing.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [name, "=>", path, ..] if path.starts_with('/') => {
                found.push((PathBuf::from(path), (*name).to_owned()));
            }
            [path, _] if path.starts_with('/') => {
                found.push((PathBuf::from(path), "loader".to_owned()));
            }
            _ => {}
        }
    }
    found
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let copied =
        fs::copy(from, to).and_then(|_| fs::set_permissions(to, fs::Permissions::from_mode(0o755)));
    copied.map_err(|error| Failure::File(from.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_read_from_ldd() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                       \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f1a)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f1b)\n";

        let found = libraries_in(listing);

        let expected = [
            ("/lib/x86_64-linux-gnu/libm.so.6", "libm.so.6"),
            ("/lib64/ld-linux-x86-64.so.2", "loader"),
        ];
        assert_eq!(
            found,
            expected.map(|(path, name)| (PathBuf::from(path), name.to_owned()))
        );
    }

    #[test]
    fn a_static_binary_has_no_libraries() {
        assert_eq!(libraries_in("\tstatically linked\n"), []);
    }
}
