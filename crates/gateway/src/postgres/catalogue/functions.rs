//! The functions of the catalogue's context: what clients ask with, and nothing that makes a long text or list of a number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{internal_err, resources_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Signature, SimpleScalarUDF, TypeSignature, Volatility};
use datafusion::scalar::ScalarValue;

use super::super::statement::DATABASE;
use super::super::version;
use super::growth::CELL_BYTES_MAX;

/// Scalar functions of the engine that clients use here. None makes a long text or list of a number.
const SCALAR_FUNCTIONS: &[&str] = &[
    "abs",
    "array_element",
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_length",
    "array_position",
    "array_positions",
    "btrim",
    "cardinality",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "current_date",
    "date_part",
    "floor",
    "greatest",
    "least",
    "left",
    "lower",
    "ltrim",
    "make_array",
    "now",
    "nullif",
    "octet_length",
    "regexp_like",
    "regexp_match",
    "replace",
    "right",
    "round",
    "rtrim",
    "split_part",
    "starts_with",
    "string_to_array",
    "strpos",
    "substr",
    "upper",
];

/// Functions of PostgreSQL that have nothing to tell here.
const UNTOLD: &[&str] = &[
    "pg_database_size",
    "pg_get_expr",
    "pg_get_function_arguments",
    "pg_get_function_result",
    "pg_get_function_sqlbody",
    "pg_get_viewdef",
    "pg_size_pretty",
    "pg_table_size",
    "pg_tablespace_location",
    "shobj_description",
];

/// Whether an object is found without its schema: all of them are.
const VISIBLE: &[&str] = &[
    "pg_collation_is_visible",
    "pg_conversion_is_visible",
    "pg_function_is_visible",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_opfamily_is_visible",
    "pg_statistics_obj_is_visible",
    "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible",
    "pg_ts_parser_is_visible",
    "pg_ts_template_is_visible",
    "pg_type_is_visible",
];

/// The function that stands for an array of texts of which there are none.
pub(super) const NO_TEXTS: &str = "no_texts";

/// The state with those functions that clients use, and with what PostgreSQL has and the engine has not.
pub(super) fn restricted(state: SessionState) -> SessionState {
    let of_engine: BTreeSet<String> =
        SessionStateDefaults::default_scalar_functions().iter().map(|function| function.name().to_owned()).collect();
    let mut scalar: BTreeMap<String, _> = BTreeMap::new();
    for function in state.scalar_functions().values() {
        let name = function.name();
        if !of_engine.contains(name) || SCALAR_FUNCTIONS.contains(&name) {
            scalar.insert(name.to_owned(), Arc::clone(function));
        }
    }
    scalar.insert("version".to_owned(), Arc::new(constant("version", ScalarValue::from(version::long().as_str()))));
    // There is one owner of everything, all of it is in sight, and there is nothing that the others could tell of.
    let none = ScalarValue::List(ScalarValue::new_list(&[], &DataType::Utf8, true));
    scalar.insert(NO_TEXTS.to_owned(), Arc::new(constant(NO_TEXTS, none)));
    let two_or_three = vec![TypeSignature::Any(2), TypeSignature::Any(3)];
    let signature = Signature::one_of(two_or_three, Volatility::Immutable);
    let joining = by_rows("array_to_string", signature, DataType::Utf8, Arc::new(array_to_string));
    scalar.insert("array_to_string".to_owned(), Arc::new(joining));
    scalar.insert("pg_get_userbyid".to_owned(), Arc::new(constant("pg_get_userbyid", ScalarValue::from(DATABASE))));
    for name in VISIBLE {
        scalar.insert((*name).to_owned(), Arc::new(constant(name, ScalarValue::from(true))));
    }
    for name in UNTOLD {
        scalar.insert((*name).to_owned(), Arc::new(constant(name, ScalarValue::Utf8(None))));
    }
    let mut builder = SessionStateBuilder::new_from_existing(state);
    *builder.scalar_functions() = Some(scalar.into_values().collect());
    builder.build()
}

/// A function that gives the same value whatever it is asked.
pub(super) fn constant(name: &str, value: ScalarValue) -> ScalarUDF {
    let signature = Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Immutable);
    let data_type = value.data_type();
    let answer = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(value.clone()));
    ScalarUDF::from(SimpleScalarUDF::new_with_signature(name, signature, data_type, Arc::new(answer)))
}

/// What a function makes of its arguments, row by row.
pub(super) type ByRows = Arc<dyn Fn(&[ArrayRef]) -> DataFusionResult<ArrayRef> + Send + Sync>;
/// A text about a row of arguments.
pub(super) type Describe = Arc<dyn Fn(&[ArrayRef], usize) -> Option<String> + Send + Sync>;

/// A function of the rows of its arguments.
pub(super) fn by_rows(name: &str, signature: Signature, data_type: DataType, make: ByRows) -> ScalarUDF {
    let answer = move |arguments: &[ColumnarValue]| {
        let is_constant = arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let made = make(&ColumnarValue::values_to_arrays(arguments)?)?;
        Ok(if is_constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?)
        } else {
            ColumnarValue::Array(made)
        })
    };
    ScalarUDF::from(SimpleScalarUDF::new_with_signature(name, signature, data_type, Arc::new(answer)))
}

/// A function that answers with texts.
pub(super) fn describing(name: &str, signature: Signature, describe: Describe) -> ScalarUDF {
    let make = move |arguments: &[ArrayRef]| {
        let rows = arguments.first().map_or(0, |argument| argument.len());
        let texts: StringArray = (0..rows).map(|row| describe(arguments, row)).collect();
        Ok(Arc::new(texts) as ArrayRef)
    };
    by_rows(name, signature, DataType::Utf8, Arc::new(make))
}

/// A number, whatever type it has; none where it is none.
pub(super) fn number_at(column: &ArrayRef, row: usize) -> Option<i64> {
    let one = cast(&column.slice(row, 1), &DataType::Int64).ok()?;
    let one = one.as_primitive_opt::<Int64Type>()?;
    one.is_valid(0).then(|| one.value(0))
}

/// A text, whatever type it has; none where it is none.
pub(super) fn text_at(column: &ArrayRef, row: usize) -> Option<String> {
    let one = cast(&column.slice(row, 1), &DataType::Utf8).ok()?;
    let one = one.as_string_opt::<i32>()?;
    one.is_valid(0).then(|| one.value(0).to_owned())
}

/// `array_to_string`, also of arrays that the library's tables have as texts, such as `{a,b}`. Error: the text is too long.
fn array_to_string(arguments: &[ArrayRef]) -> DataFusionResult<ArrayRef> {
    let [array, separator, for_nothing @ ..] = arguments else { return internal_err!("an array and what parts it") };
    let mut texts = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        let (Some(items), Some(separator)) = (items_at(array, row), text_at(separator, row)) else {
            texts.push(None);
            continue;
        };
        let for_nothing = for_nothing.first().and_then(|text| text_at(text, row));
        let mut text = String::new();
        let items = items.into_iter().filter_map(|item| item.or_else(|| for_nothing.clone()));
        for (at, item) in items.enumerate() {
            if at > 0 {
                text.push_str(&separator);
            }
            text.push_str(&item);
            if text.len() as u64 > CELL_BYTES_MAX {
                return resources_err!("the text of an array");
            }
        }
        texts.push(Some(text));
    }
    Ok(Arc::new(StringArray::from(texts)))
}

/// The items of an array as texts; none where there is no array.
fn items_at(column: &ArrayRef, row: usize) -> Option<Vec<Option<String>>> {
    if let Some(lists) = column.as_list_opt::<i32>() {
        let items = lists.is_valid(row).then(|| lists.value(row))?;
        return Some((0..items.len()).map(|at| text_at(&items, at)).collect());
    }
    let text = text_at(column, row)?;
    let items = text.trim_start_matches('{').trim_end_matches('}').split(',').filter(|item| !item.is_empty());
    Some(items.map(|item| Some(item.to_owned())).collect())
}
