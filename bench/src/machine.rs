//! Where it was measured: without this a figure means nothing.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde::Serialize;

use crate::failure::{BenchError, file_error};
use crate::figures::{median, quantile};

/// Syncs that are timed.
const SYNCS: usize = 1_000;
/// Bytes of each.
const SYNC_BYTES: usize = 4_096;

/// The machine and the binary.
#[derive(Debug, Default, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Operating system and kernel.
    pub system: String,
    /// The compiler on this machine.
    pub rustc: String,
    /// Profile that the binary was built with, by the directory it lies in.
    pub profile: String,
    /// What `lingqu --version` says.
    pub version: String,
    /// Median time that the disk takes to make 4 KiB durable, in microseconds: what every receipt waits for.
    pub sync_us: f64,
    /// What 99 of 100 times take at most, in microseconds.
    pub sync_p99_us: f64,
}

/// Describes the machine, the binary and the disk below `out`.
pub fn describe(binary: &Path, out: &Path) -> Result<Machine, BenchError> {
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = field(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let syncs_us = sync_times_us(out, SYNCS)?;
    let directory = binary.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    Ok(Machine {
        processor: field(&processors, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: kibibytes.unwrap_or(0) * 1_024,
        system: format!("{} {}", std::env::consts::OS, kernel.trim()),
        rustc: said_by("rustc", "rustc", &["--version"])?,
        profile: match directory.as_deref() {
            Some("release") => "release".to_owned(),
            Some("debug") => "dev (not optimised: no figure of this table says what a release does)".to_owned(),
            _ => "unknown".to_owned(),
        },
        version: said_by(binary, "lingqu", &["--version"])?,
        sync_us: median(&syncs_us),
        sync_p99_us: quantile(&syncs_us, 0.99),
    })
}

fn said_by(program: impl AsRef<std::ffi::OsStr>, name: &str, arguments: &[&str]) -> Result<String, BenchError> {
    let failed = |reason: String| BenchError::Program { program: name.to_owned(), reason };
    let output = Command::new(program).args(arguments).output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Times that the disk below `out` takes to make 4 KiB durable, in microseconds.
pub fn sync_times_us(out: &Path, count: usize) -> Result<Vec<f64>, BenchError> {
    let path = out.join("sync.probe");
    let write = || -> std::io::Result<Vec<f64>> {
        let mut file = fs::File::create(&path)?;
        let mut times_us = Vec::with_capacity(count);
        for _ in 0..count {
            let begun = Instant::now();
            file.write_all(&[0; SYNC_BYTES])?;
            file.sync_data()?;
            times_us.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        fs::remove_file(&path)?;
        Ok(times_us)
    };
    write().map_err(|error| file_error("write", &path, &error))
}
