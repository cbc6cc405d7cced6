//! The subjects of live rows, numbered as they come.
//!
//! A product that is made into files numbers its subjects when it is made. Of a live table nobody knows all subjects, so
//! whoever keeps the consents numbers them: those who ever consented have the ordinals by which sets of consents hold
//! them, all others numbers that no set holds. Either stands in the product's hidden subject columns, and from there on
//! consent, floors and differencing are those of any product.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use lingqu_domain::scope::ColumnName;

/// Numbers subjects by what names them.
pub trait SubjectNumbers: Send + Sync {
    /// A number for each name: the ordinal by which sets of consents hold this subject, or one of 2^32 and more, always
    /// the same for the same name. None where there is no name.
    fn numbers(&self, names: &mut dyn Iterator<Item = Option<&str>>) -> Vec<Option<i64>>;
}

/// The columns of a product that name subjects, the main one first, and who numbers them.
#[derive(Clone)]
pub struct LiveSubjects {
    /// The columns.
    pub columns: Vec<ColumnName>,
    /// Who numbers them.
    pub numbers: Arc<dyn SubjectNumbers>,
}

impl fmt::Debug for LiveSubjects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LiveSubjects").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// The numbers of the subjects that a column names. As in a product that is made into files: a subject is named by the text
/// of his column.
pub(super) fn numbers_of(numbers: &dyn SubjectNumbers, named: &ArrayRef) -> DataFusionResult<Int64Array> {
    let names = cast(named, &DataType::Utf8)?;
    let found = numbers.numbers(&mut names.as_string::<i32>().iter());
    debug_assert_eq!(found.len(), named.len(), "each name has its number");
    Ok(Int64Array::from(found))
}

/// The number of the subject that a column names.
pub(super) fn subject_number(numbers: &Arc<dyn SubjectNumbers>, named: Expr) -> Expr {
    let function = SubjectNumber { numbers: Arc::clone(numbers), signature: Signature::any(1, Volatility::Stable) };
    ScalarUDF::new_from_impl(function).call(vec![named])
}

struct SubjectNumber {
    numbers: Arc<dyn SubjectNumbers>,
    signature: Signature,
}

impl fmt::Debug for SubjectNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SubjectNumber")
    }
}

impl PartialEq for SubjectNumber {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.numbers, &other.numbers)
    }
}

impl Eq for SubjectNumber {}

impl Hash for SubjectNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.numbers).cast::<()>().hash(state);
    }
}

impl ScalarUDFImpl for SubjectNumber {
    fn name(&self) -> &'static str {
        "subject_number"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _argument_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let named = arguments.args[0].to_array(arguments.number_rows)?;
        Ok(ColumnarValue::Array(Arc::new(numbers_of(self.numbers.as_ref(), &named)?)))
    }
}
