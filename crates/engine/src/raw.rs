//! What lies below a governed table: the files of a snapshot or product, a live table, or a product over one.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::Expr;

use crate::federation::{LiveProduct, LiveTable};
use crate::files::TableFiles;

/// The data that a grant is applied to. Never registered where a consumer's statement is planned.
#[derive(Clone, Debug)]
pub enum RawTable {
    /// Files of one version.
    Files(Arc<TableFiles>),
    /// A table that stays in its department's database.
    Live(Arc<LiveTable>),
    /// A product that chooses columns and rows of a live table.
    Chosen(Arc<LiveProduct>),
}

impl RawTable {
    /// The columns, hidden ones included.
    pub(crate) fn arrow_schema(&self) -> SchemaRef {
        match self {
            RawTable::Files(files) => files.arrow_schema(),
            RawTable::Live(table) => table.arrow_schema(),
            RawTable::Chosen(product) => product.arrow_schema(),
        }
    }

    /// The rows for planning. `base` is the row filter that will be applied to them: a live table is asked for no others.
    pub(crate) fn provider(&self, base: Option<&Expr>) -> Arc<dyn TableProvider> {
        match self {
            RawTable::Files(files) => Arc::clone(files) as Arc<dyn TableProvider>,
            RawTable::Live(table) => LiveTable::provider(table, base),
            RawTable::Chosen(product) => LiveProduct::provider(product, base),
        }
    }

    /// How many rows there are, hidden ones included, where that is known. Never told as it is.
    pub(crate) fn rows_at_most(&self) -> Option<usize> {
        match self {
            RawTable::Files(files) => usize::try_from(files.rows()).ok(),
            RawTable::Live(_) | RawTable::Chosen(_) => None,
        }
    }

    /// Whether conditions of a consumer may be evaluated on rows that row filter and consent have not yet left out. On a
    /// live table a value that can't be read fails the query, so only if no such row comes at all; and rows without
    /// consent do come, since no database is told who consents.
    pub(crate) fn takes_conditions(&self, base: Option<&Expr>, needs_consent: bool) -> bool {
        match self {
            RawTable::Files(_) => true,
            RawTable::Live(table) => !needs_consent && table.sends_whole(base),
            RawTable::Chosen(product) => !needs_consent && product.sends_whole(base),
        }
    }
}

impl From<Arc<TableFiles>> for RawTable {
    fn from(files: Arc<TableFiles>) -> Self {
        RawTable::Files(files)
    }
}

impl From<Arc<LiveTable>> for RawTable {
    fn from(table: Arc<LiveTable>) -> Self {
        RawTable::Live(table)
    }
}

impl From<Arc<LiveProduct>> for RawTable {
    fn from(product: Arc<LiveProduct>) -> Self {
        RawTable::Chosen(product)
    }
}
