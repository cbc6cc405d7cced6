//! The functions of the catalogue's context: what clients ask with, and nothing that makes a long text or list of a number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Signature, SimpleScalarUDF, TypeSignature, Volatility};
use datafusion::scalar::ScalarValue;

use super::super::statement::DATABASE;
use super::super::version;

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
    "array_to_string",
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
    "pg_get_indexdef",
    "pg_get_viewdef",
    "pg_size_pretty",
    "pg_table_size",
    "pg_tablespace_location",
    "shobj_description",
];

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
    scalar.insert("pg_get_userbyid".to_owned(), Arc::new(constant("pg_get_userbyid", ScalarValue::from(DATABASE))));
    for name in ["pg_function_is_visible", "pg_type_is_visible"] {
        scalar.insert(name.to_owned(), Arc::new(constant(name, ScalarValue::from(true))));
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
