//! Reads the repository as data, for the laws that `main.rs` holds it to.
//!
//! This package is for rules about the shape of the sources: arrows between rooms, what a pure room may not touch, names,
//! lengths, documents. It is no place for rules that the compiler or clippy can check. Data passes through in one way:
//! [`Repository::read`] lists the files of the working tree and asks `cargo metadata` for the packages; each law is a
//! test that walks over them and collects every violation before it fails, with the reason for the law in the message.

mod code;

pub use code::{code_only, without_tests};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that hold no sources of ours: build output, packages of others, git's own files.
const SKIPPED_FOLDERS: [&str; 6] = ["target", "node_modules", "dist", ".git", "lingqu-demo", "__pycache__"];

/// A file of the repository.
#[derive(Debug, Clone)]
pub struct File {
    /// Path relative to the repository's root, with `/` between its parts.
    pub path: String,
    /// The text, or nothing where the bytes are not UTF-8 (compressed data, images).
    pub text: Option<String>,
}

impl File {
    /// The file's name without its folders.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The text of a text file, the empty string for any other.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or("")
    }
}

/// A dependency as a package's manifest states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Name of the package depended on.
    pub name: String,
    /// True for `[dev-dependencies]`: used by tests only.
    pub dev: bool,
}

/// A member of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// Name as in its manifest, such as `lingqu-domain`.
    pub name: String,
    /// Folder relative to the root, such as `crates/domain`.
    pub folder: String,
    /// Every dependency, whatever its kind or target.
    pub dependencies: Vec<Dependency>,
}

/// The repository: its files and its packages.
#[derive(Debug)]
pub struct Repository {
    /// Every file outside build output, sorted by path.
    pub files: Vec<File>,
    /// The workspace's members by name.
    pub packages: BTreeMap<String, Package>,
}

impl Repository {
    /// Reads the working tree that this package stands in.
    ///
    /// # Panics
    /// When the tree cannot be read or `cargo metadata` fails: a law that cannot be checked has failed.
    pub fn read() -> Repository {
        let root = root();
        let mut paths = Vec::new();
        list(&root, &mut paths);
        paths.sort();
        let files = paths
            .into_iter()
            .map(|path| File {
                text: std::fs::read(&path).ok().and_then(|bytes| String::from_utf8(bytes).ok()),
                path: relative(&root, &path),
            })
            .collect();
        Repository { files, packages: packages(&root) }
    }

    /// The file at a path relative to the root.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok().map(|index| &self.files[index])
    }

    /// Files whose name ends in `.extension`.
    pub fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.name().rsplit_once('.').is_some_and(|(_, found)| found == extension))
    }

    /// The Rust files below a folder, such as `crates/domain/src`.
    pub fn rust_below<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a File> {
        let prefix = format!("{folder}/");
        self.with_extension("rs").filter(move |file| file.path.starts_with(&prefix))
    }

    /// True when a file or folder stands at this path.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let inside = format!("{path}/");
        self.files.iter().any(|file| file.path == path || file.path.starts_with(&inside))
    }
}

/// Fails with every violation listed under the law's sentence and its reason.
///
/// # Panics
/// When there is any violation.
#[track_caller]
pub fn hold(law: &str, reason: &str, violations: &[String]) {
    assert!(violations.is_empty(), "\n{law}\nWhy: {reason}\n  {}\n", violations.join("\n  "));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this package stands two folders below the root")
        .to_path_buf()
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).expect("the path was found below the root").to_string_lossy().replace('\\', "/")
}

fn list(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
        let kind = entry.file_type().unwrap_or_else(|error| panic!("cannot stat {}: {error}", entry.path().display()));
        if kind.is_dir() {
            let name = entry.file_name();
            if !SKIPPED_FOLDERS.iter().any(|skipped| name == *skipped) {
                list(&entry.path(), paths);
            }
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
}

/// `--no-deps` keeps this to the workspace's own manifests: no lock file is resolved, no registry asked.
fn packages(root: &Path) -> BTreeMap<String, Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo, which runs this test, can be run");
    assert!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &serde_json::Value, field: &str| -> String {
        value[field].as_str().unwrap_or_else(|| panic!("cargo metadata: {field} is not text")).to_string()
    };
    let listed = metadata["packages"].as_array().expect("cargo metadata lists packages");
    let mut packages = BTreeMap::new();
    for package in listed {
        let name = text(package, "name");
        let manifest = PathBuf::from(text(package, "manifest_path"));
        let folder = manifest.parent().expect("a manifest stands in a folder");
        let dependencies = package["dependencies"]
            .as_array()
            .expect("cargo metadata lists dependencies")
            .iter()
            .map(|dependency| Dependency {
                name: text(dependency, "name"),
                dev: dependency["kind"].as_str() == Some("dev"),
            })
            .collect();
        packages.insert(name.clone(), Package { name, folder: relative(root, folder), dependencies });
    }
    packages
}
