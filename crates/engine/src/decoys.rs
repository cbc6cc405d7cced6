//! Decoys: rows of things that do not exist, for copies whose contract names them.
//!
//! A product's own files never hold one. Where copies are to have decoys, a second set of files is made beside them: the same
//! rows, and the decoys where their keys put them, told by a hidden column alone. Whatever reads a
//! product, its index, its subjects, its totals, reads the first set; only the governed table of a marked order is laid over
//! the second, and its marks leave to each recipient his own share of the decoys. There is no filter that a reader could forget.
//!
//! A decoy is made of the table's own rows: columns that hang together come from one row, the others from other rows, and its
//! key is one that no row has. All of it is drawn by a secret of the node and by the keys of the rows, so the same decoys come
//! of the same data, and a snapshot in which little changed has nearly the same ones. Rows and decoys are numbered together in
//! the order of the key: receipts tell a consumer the numbers of what left, and no number tells what it is of.

mod donors;
mod groups;
mod invent;
mod keys;
mod lots;
mod room;
mod written;

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use lingqu_domain::scope::ColumnName;
use lingqu_fingerprint::FingerprintError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use crate::ROW_COLUMN;
use crate::columns::{SchemaView, decoy_field, row_field};
use crate::files::{DataFile, StorageError, TableFiles, sync_directory, write_durably};
use crate::originals::ProductOriginals;
use crate::product::{Product, ProductError, ProductStore};

pub use room::{Room, RoomTried};

/// Most decoys of one product; a copy has about half of them.
pub const DECOYS_MAX: usize = 10_000;
/// A whole, in millionths.
const MILLION: u64 = 1_000_000;
/// The folder beside a product's files.
const FOLDER: &str = "decoys";
const MANIFEST: &str = "manifest.json";

/// How many decoys a product gets, and by which secret.
#[derive(Clone)]
pub struct DecoyPlan {
    /// How many for a million rows, at most.
    pub per_million: u32,
    /// The secret of the node that draws them: who has it can tell them from rows.
    pub secret: [u8; 32],
}

impl fmt::Debug for DecoyPlan {
    /// Without the secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DecoyPlan").field("per_million", &self.per_million).finish_non_exhaustive()
    }
}

impl DecoyPlan {
    /// How many decoys are laid among so many rows.
    fn count(&self, rows: u64) -> usize {
        decoys_among(rows, self.per_million)
    }
}

/// How many decoys are laid among so many rows, at so many for a million.
pub fn decoys_among(rows: u64, per_million: u32) -> usize {
    let count = rows.saturating_mul(u64::from(per_million)) / MILLION;
    usize::try_from(count).unwrap_or(DECOYS_MAX).min(DECOYS_MAX)
}

/// A product's files with decoys, and the decoys alone.
#[derive(Clone, Debug)]
pub struct Decoyed {
    /// Rows and decoys in the order of the key. For governed tables of marked orders.
    pub files: Arc<TableFiles>,
    /// The decoys in the order of their numbers. For the node's traces, never for a consumer.
    pub(crate) decoys: Arc<TableFiles>,
    /// Rows that exist.
    pub rows: u64,
}

impl Decoyed {
    /// How many decoys there are.
    pub fn count(&self) -> u64 {
        self.decoys.rows()
    }

    /// The numbers of the decoys among the rows of [`Decoyed::files`], by which receipts name them. For the node's traces, never
    /// for a consumer.
    pub fn numbers(&self) -> Result<RoaringTreemap, ProductError> {
        let mut numbers = RoaringTreemap::new();
        for file in self.decoys.files() {
            let path = self.decoys.path_of(file);
            let damaged = || StorageError::Damaged { path: path.clone(), reason: "it can't be read".to_owned() };
            let handle = fs::File::open(&path).map_err(|error| StorageError::io(&path, "opened", &error))?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(handle).map_err(|_| damaged())?;
            let mask = ProjectionMask::columns(reader.parquet_schema(), [ROW_COLUMN]);
            for batch in reader.with_projection(mask).build().map_err(|_| damaged())? {
                let batch = batch.map_err(|_| damaged())?;
                let found = batch.column(0).as_primitive_opt::<Int64Type>().ok_or_else(damaged)?;
                numbers.extend(found.values().iter().filter_map(|number| u64::try_from(*number).ok()));
            }
        }
        Ok(numbers)
    }
}

/// What makes the folder complete; written last.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    per_million: u32,
    rows: u64,
    files: DataFile,
    decoys: DataFile,
}

/// The columns of a set of files that holds decoys. Such a product names no subjects.
fn stored_schema(schema: &SchemaView) -> SchemaRef {
    let mut fields = schema.arrow().fields().to_vec();
    fields.push(Arc::new(row_field()));
    fields.push(Arc::new(decoy_field()));
    Arc::new(Schema::new(fields))
}

impl ProductStore {
    /// The decoys of a product that was made, if any were laid.
    pub fn decoyed(&self, version: &str, inputs: &str, product: &Product) -> Result<Option<Decoyed>, ProductError> {
        let folder = self.product_directory(version, inputs)?.join(FOLDER);
        let path = folder.join(MANIFEST);
        let manifest = match fs::read(&path) {
            Ok(manifest) => manifest,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::io(&path, "read", &error).into()),
        };
        let manifest: Manifest = serde_json::from_slice(&manifest)
            .map_err(|error| StorageError::Damaged { path, reason: error.to_string() })?;
        let decoyed = decoyed_of(folder, manifest, &product.schema);
        decoyed.files.check_presence()?;
        decoyed.decoys.check_presence()?;
        Ok(Some(decoyed))
    }

    /// Lays decoys beside a product, or opens those that were laid before: the same product and secret always give the same.
    /// Where its keys leave no room there are fewer, or none. It reads the product several times and may take minutes. When
    /// this returns, they survive a loss of power. Errors: the product names subjects, its key is none that marks hang on, a
    /// file can't be read or written.
    pub fn lay_decoys(
        &self,
        version: &str,
        inputs: &str,
        product: &Product,
        plan: &DecoyPlan,
    ) -> Result<Decoyed, ProductError> {
        if let Some(found) = self.decoyed(version, inputs, product)? {
            return Ok(found);
        }
        if product.subject_column_count() > 0 {
            return Err(ProductError::DecoysOfSubjects);
        }
        let product_directory = self.product_directory(version, inputs)?;
        let folder = product_directory.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|error| StorageError::io(&folder, "made", &error))?;
        let originals = ProductOriginals::new(product);
        let key: Vec<String> = product.key.iter().map(ColumnName::to_string).collect();
        let wanted = plan.count(product.rows);
        if wanted == 0 {
            tracing::warn!(
                version,
                rows = product.rows,
                "a product has too few rows for a decoy; its copies have none"
            );
        }
        let invented = invent::invent(&originals, &product.schema.arrow(), &key, product.rows, wanted, &plan.secret)?;
        if invented.num_rows() < wanted {
            tracing::warn!(
                version,
                wanted,
                made = invented.num_rows(),
                "the keys of a product leave no room for all decoys"
            );
        }
        let stored = stored_schema(&product.schema);
        let (files, decoys) = written::write(&folder, &originals, &invented, &key, &stored)?;
        let manifest = Manifest { per_million: plan.per_million, rows: product.rows, files, decoys };
        let contents = serde_json::to_vec_pretty(&manifest).expect("a manifest has only string keys");
        write_durably(&folder.join(MANIFEST), &contents)?;
        sync_directory(&product_directory)?;
        Ok(decoyed_of(folder, manifest, &product.schema))
    }
}

fn decoyed_of(folder: PathBuf, manifest: Manifest, schema: &SchemaView) -> Decoyed {
    let stored = stored_schema(schema);
    let table = |file: DataFile| Arc::new(TableFiles::new(folder.clone(), vec![file], Arc::clone(&stored)));
    Decoyed { files: table(manifest.files), decoys: table(manifest.decoys), rows: manifest.rows }
}

/// An error of Arrow's without its message, which may quote a value.
fn assembly() -> FingerprintError {
    FingerprintError::Assembly { column: "*".to_owned() }
}
