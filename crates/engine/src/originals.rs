//! The rows of a product, or of a snapshot of a resource, as they are, for the trace of a fragment inside the node: never for a consumer.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use arrow::array::RecordBatch;
use lingqu_fingerprint::{FingerprintError, Originals};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::BATCH_ROWS;
use crate::columns::SchemaView;
use crate::decoys::Decoyed;
use crate::files::TableFiles;
use crate::product::Product;
use crate::snapshot::Snapshot;

/// A product's or a snapshot's visible columns, read from its files as often as is asked. A row's number is the one by which receipts
/// name it.
#[derive(Clone, Debug)]
pub struct ProductOriginals {
    files: Arc<TableFiles>,
    schema: SchemaView,
}

impl ProductOriginals {
    /// The originals of a product.
    pub fn new(product: &Product) -> ProductOriginals {
        ProductOriginals { files: Arc::clone(&product.files), schema: product.schema.clone() }
    }

    /// The originals of a product and its decoys among them.
    pub fn with_decoys(product: &Product, decoyed: &Decoyed) -> ProductOriginals {
        ProductOriginals { files: Arc::clone(&decoyed.files), ..ProductOriginals::new(product) }
    }

    /// The rows of a snapshot of a resource. No receipt numbers them.
    pub fn of_snapshot(snapshot: &Snapshot) -> ProductOriginals {
        ProductOriginals { files: Arc::clone(&snapshot.files), schema: snapshot.schema.clone() }
    }

    /// The same rows with these of their columns alone.
    pub fn of_columns(&self, names: &BTreeSet<&str>) -> ProductOriginals {
        let mut schema = self.schema.clone();
        schema.columns.retain(|column| names.contains(column.name.as_str()));
        ProductOriginals { files: Arc::clone(&self.files), schema }
    }

    /// The names of the columns.
    pub fn columns(&self) -> Vec<String> {
        self.schema.columns.iter().map(|column| column.name.to_string()).collect()
    }

    /// How many rows there are, decoys included.
    pub fn rows(&self) -> u64 {
        self.files.rows()
    }
}

impl Originals for ProductOriginals {
    fn visit(
        &self,
        visitor: &mut dyn FnMut(&RecordBatch) -> Result<(), FingerprintError>,
    ) -> Result<(), FingerprintError> {
        for file in self.files.files() {
            let path = self.files.path_of(file);
            // A reader's message may quote what it read; the file's name and what to do are enough.
            let damaged = || FingerprintError::Originals {
                reason: format!(
                    "the data file {} can't be read; restore it from a backup of the node's directory",
                    path.display()
                ),
            };
            let handle = File::open(&path).map_err(|_| damaged())?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(handle).map_err(|_| damaged())?;
            let names = self.schema.columns.iter().map(|column| column.name.as_str());
            let visible = ProjectionMask::columns(reader.parquet_schema(), names);
            let reader = reader.with_projection(visible).with_batch_size(BATCH_ROWS).build().map_err(|_| damaged())?;
            for batch in reader {
                visitor(&batch.map_err(|_| damaged())?)?;
            }
        }
        Ok(())
    }
}
