//! Makes a node with many orders, many products and a large product, by the commands that people give, through the same
//! `decide` and the same journal: nothing is put into the database past them. All of its data is made up.
//!
//! The node's clock starts in the past, so that publicity periods really pass, and ends at the machine's time. What is made is
//! told in a [`Manifest`], and kept: the same program asked for the same node again finds it there.

mod cast;
mod data;
mod market;
mod rights;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use jiff::SignedDuration;
use lingqu_app::{App, AppSettings, Clock};
use lingqu_crypto::sha256;
use lingqu_domain::id::ProductId;
use lingqu_domain::scope::Mode;

use crate::Failed;
use crate::manifest::{Manifest, ServedOrder};
use cast::Cast;
use market::{INSPECTIONS, Offer, RECORDS, small_product};
use rights::{STATIONS, Table, VEHICLES};

/// Name of the manifest's file, beside the node.
const MANIFEST: &str = "bench-node.json";
/// How far in the past the node's clock starts.
const CLOCK_BEHIND_DAYS: i64 = 200;
/// Orders that are asked for the first time, each of another small product.
pub const COLD_ORDERS: usize = 10;
/// Progress is told after so many.
const TELL_EVERY: usize = 1_000;

/// Make a node with many orders and a large product
#[derive(Debug, clap::Args)]
pub struct NodeArguments {
    /// Where it and what is told of it go; what another call made there is removed
    #[arg(long)]
    dir: PathBuf,
    /// Rows of the large product; 0 for none
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// Orders in all
    #[arg(long, default_value_t = 10_000)]
    orders: usize,
    /// Products in all
    #[arg(long, default_value_t = 1_000)]
    products: usize,
    /// Moves the made-up values
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Whether the number plates of the large product name its subjects
    #[arg(long)]
    subjects: bool,
}

impl NodeArguments {
    /// A node with few orders and a large product whose number plates name its subjects.
    pub fn with_subjects(dir: PathBuf, rows: u64, seed: u64) -> NodeArguments {
        let few = COLD_ORDERS + 4;
        NodeArguments { dir, rows, orders: few, products: few, seed, subjects: true }
    }
}

/// Makes the node, or finds it, and prints where its manifest lies.
pub async fn make(arguments: &NodeArguments) -> Result<(), Failed> {
    let manifest = made(arguments).await?;
    writeln!(std::io::stdout(), "{}", manifest.display())?;
    Ok(())
}

/// Where the manifest of a node lies that was made before.
pub fn manifest_of(arguments: &NodeArguments) -> Result<PathBuf, Failed> {
    Ok(std::path::absolute(&arguments.dir)?.join(MANIFEST))
}

/// Makes the node, or finds it; gives where its manifest lies.
pub async fn made(arguments: &NodeArguments) -> Result<PathBuf, Failed> {
    let large = usize::from(arguments.rows > 0);
    if arguments.orders < COLD_ORDERS + 2 * large || arguments.products < COLD_ORDERS + 2 * large {
        return Err(format!("name at least {} orders and products", COLD_ORDERS + 2 * large).into());
    }
    let home = std::path::absolute(&arguments.dir)?;
    let (manifest, made_by) = (home.join(MANIFEST), made_by(arguments)?);
    if !is_made(&manifest, &made_by) {
        remove(&home)?;
        std::fs::create_dir_all(&home)?;
        let begun = Instant::now();
        let made = fresh(arguments, &home, made_by).await?;
        let made = Manifest { seconds: begun.elapsed().as_secs_f64(), ..made };
        std::fs::write(&manifest, serde_json::to_string_pretty(&made)? + "\n")?;
    }
    Ok(manifest)
}

/// Names the node by the program that makes it, which holds all rules, and by what it was asked.
fn made_by(arguments: &NodeArguments) -> Result<String, Failed> {
    let program = sha256(&std::fs::read(std::env::current_exe()?)?);
    let NodeArguments { rows, orders, products, seed, subjects, .. } = arguments;
    Ok(format!("{program}/{rows}/{orders}/{products}/{seed}/{subjects}"))
}

fn is_made(manifest: &Path, made_by: &str) -> bool {
    let text = std::fs::read_to_string(manifest).unwrap_or_default();
    serde_json::from_str::<Manifest>(&text).is_ok_and(|made| made.made_by == made_by && made.directory.is_dir())
}

fn remove(directory: &Path) -> Result<(), Failed> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{} can't be removed: {error}", directory.display()).into())
        }
        _ => Ok(()),
    }
}

async fn fresh(arguments: &NodeArguments, home: &Path, made_by: String) -> Result<Manifest, Failed> {
    let (vehicles, stations) = (home.join("vehicles.parquet"), home.join("stations.parquet"));
    let mut tables = vec![Table { name: STATIONS, file: &stations }];
    data::write_stations(&stations).await?;
    if arguments.rows > 0 {
        eprintln!("writing {} made-up vehicles", arguments.rows);
        data::write_vehicles(&vehicles, arguments.rows, arguments.seed).await?;
        tables.push(Table { name: VEHICLES, file: &vehicles });
    }
    let directory = home.join("node");
    let settings = AppSettings {
        clock: Clock::behind(SignedDuration::from_hours(24 * CLOCK_BEHIND_DAYS)),
        ..AppSettings::of(directory.clone())
    };
    let cast = Cast::assemble(App::open(settings).await?).await?;
    eprintln!("reading the data into snapshots");
    let resources = rights::bring_in(&cast, &tables).await?;
    for table in &tables {
        std::fs::remove_file(table.file)?;
    }
    let permit = rights::authorise(&cast, &resources).await?;
    let offer = Offer { cast: &cast, resources: &resources, permit: &permit, has_subjects: arguments.subjects };
    let products = offer.products(arguments.products).await?;
    // What follows happens at the machine's time.
    cast.app.clock().advance(SignedDuration::from_hours(24 * CLOCK_BEHIND_DAYS));
    let orders = orders(&offer, &products, arguments).await?;
    let (lookups, export, cold) = (orders.lookups, orders.export, orders.cold);
    open(&cast.app, lookups.first(), export.as_ref(), &cold).await?;
    eprintln!("publishing the log");
    cast.app.publish_log().await?;
    cast.app.close().await?;
    Ok(Manifest {
        made_by,
        directory,
        rows: arguments.rows,
        products: products.len(),
        orders: lookups.len() + cold.len() + usize::from(export.is_some()),
        lookups,
        export,
        cold,
        seconds: 0.0,
    })
}

struct Orders {
    lookups: Vec<ServedOrder>,
    export: Option<ServedOrder>,
    cold: Vec<ServedOrder>,
}

async fn orders(
    offer: &Offer<'_>,
    products: &BTreeMap<String, ProductId>,
    arguments: &NodeArguments,
) -> Result<Orders, Failed> {
    let product = |table: &str| products.get(table).ok_or_else(|| format!("{table} is not among the products"));
    let mut orders = Orders { lookups: Vec::new(), export: None, cold: Vec::new() };
    let mut left = arguments.orders;
    for number in 0..COLD_ORDERS {
        let table = small_product(number);
        orders.cold.push(offer.order(&table, product(&table)?).await?);
        left -= 1;
    }
    if arguments.rows > 0 {
        orders.export = Some(offer.order(INSPECTIONS, product(INSPECTIONS)?).await?);
        left -= 1;
    }
    // The other orders are for the large product, or for one of the small ones where there is none.
    let table = if arguments.rows > 0 { RECORDS.to_owned() } else { small_product(0) };
    for done in 0..left {
        tell_every(done, left, "orders placed and signed");
        orders.lookups.push(offer.order(&table, product(&table)?).await?);
    }
    Ok(orders)
}

/// Has everything that is measured made: products and, for one row at a time, their index. The first answer in a
/// product's life waits for that; what is measured is what comes after.
async fn open(
    app: &Arc<App>,
    lookup: Option<&ServedOrder>,
    export: Option<&ServedOrder>,
    cold: &[ServedOrder],
) -> Result<(), Failed> {
    for order in lookup.into_iter().chain(export).chain(cold) {
        eprintln!("making {}", order.product);
        let serving = app.serving(&order.key).await?;
        if export.is_none_or(|export| export.product != order.product) {
            serving.lookup(Mode::Lookup)?;
        }
    }
    Ok(())
}

/// Tells how far long work is.
fn tell_every(done: usize, of: usize, what: &str) {
    if done > 0 && done.is_multiple_of(TELL_EVERY) {
        eprintln!("{done} of {of} {what}");
    }
}
