//! The nodes with many orders and with few. `lingqu-bench-engine node` makes them by real commands; here they are only asked for.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::Bench;
use crate::failure::{BenchError, file_error};
use crate::manifest::Manifest;
use crate::program;

/// Rows that the goals speak of.
pub const ROWS: u64 = 10_000_000;
/// Orders that they speak of.
pub const ORDERS: usize = 10_000;
/// Products that they speak of.
pub const PRODUCTS: usize = 1_000;
/// Orders and products of the node beside it.
const FEW: usize = 10;
/// About how long making both takes, in seconds, with programs that are optimised.
pub const MAKING_SECONDS: u64 = 300;

/// Both nodes.
pub struct Scale {
    /// The one with many orders.
    pub many: Manifest,
    /// The one with few, over the same small products.
    pub few: Manifest,
}

impl Scale {
    /// Has them made, or found where a run of the same programs kept them.
    pub fn make(bench: &Bench) -> Result<Scale, BenchError> {
        let arguments = &bench.arguments;
        eprintln!(
            "making a node with {} rows, {} orders and {} products",
            arguments.rows, arguments.orders, arguments.products
        );
        let many = make(bench, "scale", arguments.rows, arguments.orders, arguments.products)?;
        let few = make(bench, "small", 0, FEW, FEW)?;
        Ok(Scale { many, few })
    }

    /// Whether there is as much as the goals speak of.
    pub fn is_large_enough(&self) -> bool {
        self.many.rows >= ROWS && self.has_enough_orders()
    }

    /// The same of orders and products.
    pub fn has_enough_orders(&self) -> bool {
        self.many.orders >= ORDERS && self.many.products >= PRODUCTS
    }
}

/// The program that knows Lingqu from inside.
pub fn engine(bench: &Bench) -> Result<PathBuf, BenchError> {
    if let Some(engine) = &bench.arguments.engine {
        return Ok(engine.clone());
    }
    let own = std::env::current_exe();
    let own =
        own.map_err(|error| BenchError::Unexpected(format!("it can't be told where this program lies: {error}")))?;
    Ok(own.parent().unwrap_or(Path::new(".")).join("lingqu-bench-engine"))
}

fn make(bench: &Bench, name: &str, rows: u64, orders: usize, products: usize) -> Result<Manifest, BenchError> {
    let mut command = Command::new(engine(bench)?);
    command.arg("node").arg("--dir").arg(bench.arguments.out.join(name));
    command.args(["--rows", &rows.to_string(), "--orders", &orders.to_string()]);
    command.args(["--products", &products.to_string(), "--seed", &bench.arguments.seed.to_string()]);
    let printed = program::printed(&mut command, name, &bench.arguments.out, bench.left(), true)?;
    let path = PathBuf::from(String::from_utf8_lossy(&printed).trim());
    let text = std::fs::read_to_string(&path).map_err(|error| file_error("read", &path, &error))?;
    serde_json::from_str(&text)
        .map_err(|error| BenchError::Unexpected(format!("{} can't be read: {error}", path.display())))
}
