//! A node whose demo has been played. It is played once for all tests of a build and kept; each test serves a copy of its
//! own, so that what one test does to its node no other test sees.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use lingqu_tests::node::{Node, binary};
use serde_json::Value;
use tempfile::TempDir;

/// How long the demo of an older build is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The demo as it was played.
#[derive(Debug)]
pub struct Played {
    directory: PathBuf,
    /// What `lingqu demo --json` printed.
    pub report: Value,
}

/// An order of the demo.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: String,
    pub product: String,
    pub key: String,
    /// `REAL` or `SYNTHETIC`.
    pub nature: String,
    pub modes: Vec<String>,
}

/// A served copy.
pub struct Served {
    pub node: Node,
    pub directory: TempDir,
}

/// The demo, played by the first who asks; tests run in processes of their own, so the others wait for him at a lock.
///
/// # Panics
/// When it can't be played.
pub fn played() -> &'static Played {
    static PLAYED: OnceLock<Played> = OnceLock::new();
    PLAYED.get_or_init(|| {
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("played-demo");
        fs::create_dir_all(&kept).expect("the target directory is writable");
        let lock = File::create(kept.join("lock")).expect("the target directory is writable");
        lock.lock().expect("a file can be locked");
        let binary = binary();
        // A rebuilt binary plays anew, beside what tests of the older one may still be using.
        let built_at = binary.metadata().and_then(|metadata| metadata.modified()).expect("a file has a time");
        let age = built_at.duration_since(SystemTime::UNIX_EPOCH).expect("it was built after 1970");
        let build = kept.join(format!("{}", age.as_nanos()));
        let (directory, report_file) = (build.join("node"), build.join("report.json"));
        if !report_file.is_file() {
            remove_old(&kept);
            drop(fs::remove_dir_all(&build));
            fs::create_dir_all(&build).expect("the target directory is writable");
            let mut command = Command::new(&binary);
            command.args(["demo", "--json", "--dir"]).arg(&directory);
            let output = command.output().expect("the binary can be run");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "the demo failed: {told}");
            // Written last: where it is, the rest is too.
            fs::write(&report_file, output.stdout).expect("the target directory is writable");
        }
        let text = fs::read(&report_file).expect("the report was just seen or written");
        let report = serde_json::from_slice(&text).expect("the demo prints one JSON object");
        Played { directory, report }
    })
}

impl Played {
    /// Its orders.
    pub fn orders(&self) -> Vec<Order> {
        let text = |order: &Value, name: &str| order[name].as_str().expect("an order has this text").to_owned();
        let orders = self.report["orders"].as_array().expect("the report lists its orders");
        let mut found = Vec::with_capacity(orders.len());
        for order in orders {
            let modes = order["modes"].as_array().expect("an order has modes");
            found.push(Order {
                id: text(order, "id"),
                product: text(order, "product"),
                key: text(order, "key"),
                nature: text(order, "nature"),
                modes: modes.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            });
        }
        found
    }

    /// The first order that grants a mode, by the mode's code: `verification`, `statistics`, `lookup`, `rows`, `file`.
    ///
    /// # Panics
    /// When there is none.
    pub fn order_by(&self, mode: &str) -> Order {
        let order = self.orders().into_iter().find(|order| order.modes.iter().any(|granted| granted == mode));
        order.unwrap_or_else(|| panic!("no order of the demo grants {mode}"))
    }

    /// A copy of the node that is not served, in the folder `node` of a directory.
    pub fn copied(&self) -> TempDir {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        copy(&self.directory, &directory.path().join("node"));
        directory
    }

    /// Serves a copy of the node.
    pub fn serve(&self) -> Served {
        self.serve_with(|_| {})
    }

    /// Serves a copy of the node after something was done in its directory.
    pub fn serve_with(&self, prepare: impl FnOnce(&Path)) -> Served {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        copy(&self.directory, directory.path());
        prepare(directory.path());
        Served { node: Node::serve(directory.path()), directory }
    }
}

/// Removes what builds of more than a day ago have left.
fn remove_old(kept: &Path) {
    for entry in fs::read_dir(kept).expect("the directory was made").filter_map(Result::ok) {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        if modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > KEPT_FOR)) {
            // An error means that it is gone, or is the lock.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Copies a directory with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the temporary directory is writable");
    for entry in fs::read_dir(from).expect("the played node is there") {
        let entry = entry.expect("a directory can be read");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let metadata = entry.metadata().expect("a file has metadata");
        if metadata.is_dir() {
            copy(&source, &target);
            fs::set_permissions(&target, metadata.permissions()).expect("permissions can be set");
        } else {
            // Permissions are copied with it: the node refuses a secret that others may read.
            fs::copy(&source, &target).expect("a file can be copied");
        }
    }
}
