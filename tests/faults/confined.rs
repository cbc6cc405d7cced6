//! Running the binary where the disk is small or can't be written: a mount namespace of its own, which vanishes with it.

use std::path::Path;
use std::process::{Command, Stdio};

/// Ways to get a namespace in which one may mount: as root, or as root of a user namespace.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];

/// Mounts a file system of `$2` bytes at `$1`, copies `$3` into it, fills it when `$4` is `full`, and becomes the command.
const SMALL_DISK: &str = "set -e; mount -t tmpfs -o size=\"$2\" tmpfs \"$1\"; cp -R \"$3\"/. \"$1\"; \
    if [ \"$4\" = full ]; then cat /dev/zero >\"$1/filler\" 2>/dev/null || true; fi; shift 4; exec \"$@\"";
/// Makes `$1` read-only for what follows and becomes the command.
const READ_ONLY: &str = "set -e; mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"; shift 1; exec \"$@\"";

/// How full a small disk is at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filling {
    /// As full as the copied directory makes it.
    Roomy,
    /// To the last byte, by a file `filler`.
    Full,
}

/// A command that runs `program` with `place` being a small disk that holds a copy of `original`.
pub fn on_small_disk(place: &Path, bytes: u64, original: &Path, filling: Filling, program: &[&str]) -> Command {
    std::fs::create_dir_all(place).expect("a place to mount at can be made");
    let mut command = in_namespace(SMALL_DISK);
    command.arg(place).arg(bytes.to_string()).arg(original);
    command.arg(if filling == Filling::Full { "full" } else { "roomy" }).args(program);
    command
}

/// A command that runs `program` with `place` being read-only.
pub fn on_read_only(place: &Path, program: &[&str]) -> Command {
    let mut command = in_namespace(READ_ONLY);
    command.arg(place).args(program);
    command
}

fn in_namespace(script: &str) -> Command {
    let way = WAYS.into_iter().find(|way| may_mount(way));
    let way = way.expect("mounting needs root, or user namespaces (sysctl kernel.unprivileged_userns_clone=1)");
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-c", script, "sh"]);
    command
}

fn may_mount(way: &[&str]) -> bool {
    let mut command = Command::new("unshare");
    command.args(way).args(["mount", "-t", "tmpfs", "tmpfs", "/tmp"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
