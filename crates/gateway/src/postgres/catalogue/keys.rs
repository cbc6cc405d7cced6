//! The key of the order's table where PostgreSQL's tools look for it: a constraint in `pg_constraint`, the index that PostgreSQL keeps
//! of each key in `pg_index`, `pg_class` and `pg_attribute`, and the functions that put both into words. There is an index of the product by this
//! key; of what kind it is, is nobody's business but the engine's, and tools know none but `btree`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int32Builder, ListBuilder, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use arrow_pg::datatypes::field_into_pg_type;
use datafusion::catalog::TableProvider;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{ScalarUDF, Signature, TypeSignature, Volatility};
use datafusion::scalar::ScalarValue;
use datafusion_pg_catalog::pg_catalog::{ArrowTable, PgCatalogStaticTables};

use super::OrderTable;
use super::derived::ROW_TYPE_OID;
use super::functions::{by_rows, describing, number_at, text_at};
use super::overlay::{Named, row, table_of};
use crate::postgres::statement::SCHEMA;

/// The table of relations.
pub(super) const RELATIONS: &str = "pg_class";
/// The table of their columns.
pub(super) const COLUMNS: &str = "pg_attribute";
const CONSTRAINTS: &str = "pg_constraint";
const INDEXES: &str = "pg_index";

/// The numbers of the index and the constraint, well beyond those that the library counts out.
const INDEX_OID: i32 = 90_001;
const CONSTRAINT_OID: i32 = 90_002;
/// The numbers of `btree` among the ways to reach rows, and of the order that texts are sorted in by default.
const BTREE_OID: i32 = 403;
const DEFAULT_COLLATION_OID: i32 = 100;
/// Most columns of an index, as PostgreSQL has it.
pub(super) const INDEX_COLUMNS_MAX: usize = 32;

/// Columns of `pg_constraint` that are arrays, and of what; the library has them as texts, such as `[2, 20, 3]`.
const ARRAYS: [(&str, DataType); 7] = [
    ("conkey", DataType::Int16),
    ("confkey", DataType::Int16),
    ("conpfeqop", DataType::Int32),
    ("conppeqop", DataType::Int32),
    ("conffeqop", DataType::Int32),
    ("confdelsetcols", DataType::Int16),
    ("conexclop", DataType::Int32),
];

/// The key of a table.
struct Key {
    /// As PostgreSQL would call constraint and index.
    name: String,
    parts: Vec<Part>,
}

/// A column of a key.
struct Part {
    name: String,
    /// Its number within the table, from 1.
    number: i16,
    /// Its type's number in PostgreSQL; 0 for one that PostgreSQL has not.
    type_oid: u32,
    is_text: bool,
}

impl Key {
    /// None where the order has not all of it, or where it has more columns than an index of PostgreSQL.
    fn of(table: &OrderTable) -> Option<Key> {
        let mut parts = Vec::with_capacity(table.key.len());
        for name in &table.key {
            let (index, _) = table.schema.column_with_name(name)?;
            let field = &table.schema.fields()[index];
            parts.push(Part {
                name: name.clone(),
                number: i16::try_from(index + 1).ok()?,
                type_oid: field_into_pg_type(field).map_or(0, |data_type| data_type.oid()),
                is_text: matches!(field.data_type(), DataType::Utf8),
            });
        }
        let is_one = (1..=INDEX_COLUMNS_MAX).contains(&parts.len());
        is_one.then(|| Key { name: format!("{}_pkey", table.name), parts })
    }

    /// One word for each part, as PostgreSQL writes its vectors.
    fn vector(&self, word: impl Fn(&Part) -> i32) -> ScalarValue {
        let words: Vec<String> = self.parts.iter().map(|part| word(part).to_string()).collect();
        ScalarValue::from(words.join(" ").as_str())
    }

    /// Its columns in parentheses.
    fn columns(&self) -> String {
        let names: Vec<String> = self.parts.iter().map(|part| quoted(&part.name)).collect();
        format!("({})", names.join(", "))
    }
}

/// The index of a key in words.
pub(super) struct Index {
    pub(super) name: String,
    /// The statement that would make it.
    pub(super) definition: String,
    /// The same without the schema that is looked through by default.
    for_people: String,
}

/// The index of a table's key; none where the table has none.
pub(super) fn index_of(table: &OrderTable) -> Option<Index> {
    let key = Key::of(table)?;
    let (name, on, columns) = (quoted(&key.name), quoted(&table.name), key.columns());
    let made = |schema: &str| format!("CREATE UNIQUE INDEX {name} ON {schema}{on} USING btree {columns}");
    let (definition, for_people) = (made(&format!("{SCHEMA}.")), made(""));
    Some(Index { name: key.name, definition, for_people })
}

/// The table's columns as PostgreSQL's tables tell of them: those of a key are never missing.
pub(super) fn columns_told(table: &OrderTable) -> SchemaRef {
    let told = |field: &Arc<Field>| {
        let is_of_key = table.key.contains(field.name());
        field.as_ref().clone().with_nullable(field.is_nullable() && !is_of_key)
    };
    Arc::new(Schema::new(table.schema.fields().iter().map(told).collect::<Vec<_>>()))
}

/// The relations with their columns, the constraints and the indexes, with those of the order's table, which stands among the relations
/// and columns that are told.
pub(super) fn tables(
    of_postgres: &PgCatalogStaticTables,
    (relations, columns): (&RecordBatch, &RecordBatch),
    oid: i32,
    table: &OrderTable,
) -> DataFusionResult<Vec<Named>> {
    let key = Key::of(table);
    let relations = &with_options(relations)?;
    Ok(vec![
        (RELATIONS, relations_with(relations, key.as_ref())?),
        (COLUMNS, columns_with(columns, key.as_ref())?),
        (CONSTRAINTS, constraints_with(&of_postgres.pg_constraint, namespace(relations), oid, key.as_ref())?),
        (INDEXES, indexes_with(&of_postgres.pg_index, &of_postgres.pg_opclass, oid, key.as_ref())?),
    ])
}

/// The number of the schema that the order's table is in.
pub(super) fn namespace(relations: &RecordBatch) -> i32 {
    let numbers = relations.column_by_name("relnamespace").and_then(|column| column.as_primitive_opt::<Int32Type>());
    numbers.and_then(|numbers| numbers.iter().flatten().next()).unwrap_or_default()
}

/// The relations with who may do what and with their options, of which the library knows nothing and there is nothing.
fn with_options(relations: &RecordBatch) -> DataFusionResult<RecordBatch> {
    let mut fields = relations.schema().fields().to_vec();
    let mut columns = relations.columns().to_vec();
    // Where PostgreSQL has them: some clients go by the place.
    let mut place = relations.schema().index_of("relpartbound").unwrap_or(columns.len());
    for name in ["relacl", "reloptions"] {
        if relations.column_by_name(name).is_none() {
            let texts = DataType::new_list(DataType::Utf8, true);
            columns.insert(place, new_null_array(&texts, relations.num_rows()));
            fields.insert(place, Arc::new(Field::new(name, texts, true)));
            place += 1;
        }
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The columns of relations, with those of the index.
fn columns_with(columns: &RecordBatch, key: Option<&Key>) -> DataFusionResult<Arc<dyn TableProvider>> {
    let schema = columns.schema();
    let mut rows = vec![columns.clone()];
    for (number, part) in (1..).zip(key.iter().flat_map(|key| &key.parts)) {
        // There is one table, so a column's row stands where its number says.
        let column = columns.slice(usize::try_from(part.number - 1).unwrap_or_default(), 1);
        let mut cells = column.columns().to_vec();
        for (name, value) in [
            ("attrelid", ScalarValue::Int32(Some(INDEX_OID))),
            ("attnum", ScalarValue::Int16(Some(number))),
            ("attnotnull", ScalarValue::Boolean(Some(false))),
        ] {
            if let Ok(place) = schema.index_of(name) {
                cells[place] = value.to_array()?;
            }
        }
        rows.push(RecordBatch::try_new(Arc::clone(&schema), cells)?);
    }
    table_of(schema, rows)
}

fn relations_with(relations: &RecordBatch, key: Option<&Key>) -> DataFusionResult<Arc<dyn TableProvider>> {
    let schema = relations.schema();
    let mut columns = relations.columns().to_vec();
    for (name, value) in
        [("reltype", ScalarValue::from(ROW_TYPE_OID)), ("relhasindex", ScalarValue::from(key.is_some()))]
    {
        if let Ok(place) = schema.index_of(name) {
            columns[place] = value.to_array_of_size(relations.num_rows())?;
        }
    }
    let told = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let Some(key) = key else { return table_of(schema, vec![told]) };
    let index = row(
        &schema,
        &[
            ("oid", INDEX_OID.into()),
            ("relname", key.name.as_str().into()),
            ("relnamespace", namespace(relations).into()),
            ("relam", BTREE_OID.into()),
            ("relfilenode", INDEX_OID.into()),
            ("relpages", 1.into()),
            ("relpersistence", "p".into()),
            ("relkind", "i".into()),
            ("relnatts", (key.parts.len() as i32).into()),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
        ],
    )?;
    table_of(schema, vec![told, index])
}

fn constraints_with(
    of_postgres: &ArrowTable,
    namespace: i32,
    oid: i32,
    key: Option<&Key>,
) -> DataFusionResult<Arc<dyn TableProvider>> {
    let schema = with_arrays(&of_postgres.schema());
    let mut rows = Vec::with_capacity(of_postgres.data().len() + 1);
    for batch in of_postgres.data() {
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (column, field) in batch.columns().iter().zip(schema.fields()) {
            columns.push(match field.data_type() {
                DataType::List(_) => arrays(column, field.data_type())?,
                _ => Arc::clone(column),
            });
        }
        rows.push(RecordBatch::try_new(Arc::clone(&schema), columns)?);
    }
    if let Some(key) = key {
        let numbers: Vec<ScalarValue> = key.parts.iter().map(|part| part.number.into()).collect();
        let numbers = ScalarValue::List(ScalarValue::new_list(&numbers, &DataType::Int16, true));
        rows.push(row(
            &schema,
            &[
                ("oid", CONSTRAINT_OID.into()),
                ("conname", key.name.as_str().into()),
                ("connamespace", namespace.into()),
                ("contype", "p".into()),
                ("convalidated", true.into()),
                ("conrelid", oid.into()),
                ("conindid", INDEX_OID.into()),
                ("confupdtype", " ".into()),
                ("confdeltype", " ".into()),
                ("confmatchtype", " ".into()),
                ("conislocal", true.into()),
                ("connoinherit", true.into()),
                ("conkey", numbers),
            ],
        )?);
    }
    table_of(schema, rows)
}

/// The columns of a table with arrays where PostgreSQL has arrays.
fn with_arrays(schema: &Schema) -> SchemaRef {
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let items = ARRAYS.iter().find(|(name, _)| name == field.name()).map(|(_, items)| items.clone());
        fields.push(match items {
            Some(items) => Arc::new(Field::new_list(field.name(), Field::new_list_field(items, true), true)),
            None => Arc::clone(field),
        });
    }
    Arc::new(Schema::new(fields))
}

/// The numbers of texts as arrays of a type.
fn arrays(texts: &ArrayRef, wanted: &DataType) -> DataFusionResult<ArrayRef> {
    let texts = cast(texts, &DataType::Utf8)?;
    let mut lists = ListBuilder::new(Int32Builder::new());
    for text in texts.as_string::<i32>() {
        if let Some(text) = text {
            numbers_in(text).for_each(|number| lists.values().append_value(number));
        }
        lists.append(text.is_some());
    }
    let lists: ArrayRef = Arc::new(lists.finish());
    Ok(cast(&lists, wanted)?)
}

/// The numbers that a vector or an array in words is made of.
fn numbers_in(text: &str) -> impl Iterator<Item = i32> {
    text.split(|letter: char| !letter.is_ascii_digit() && letter != '-').filter_map(|number| number.parse().ok())
}

fn indexes_with(
    of_postgres: &ArrowTable,
    classes: &ArrowTable,
    oid: i32,
    key: Option<&Key>,
) -> DataFusionResult<Arc<dyn TableProvider>> {
    let schema = of_postgres.schema();
    let mut rows = of_postgres.data().to_vec();
    if let Some(key) = key {
        let count = key.parts.len() as i32;
        rows.push(row(
            &schema,
            &[
                ("indexrelid", INDEX_OID.into()),
                ("indrelid", oid.into()),
                ("indnatts", count.into()),
                ("indnkeyatts", count.into()),
                ("indisunique", true.into()),
                ("indisprimary", true.into()),
                ("indimmediate", true.into()),
                ("indisvalid", true.into()),
                ("indisready", true.into()),
                ("indislive", true.into()),
                ("indkey", key.vector(|part| i32::from(part.number))),
                ("indcollation", key.vector(|part| if part.is_text { DEFAULT_COLLATION_OID } else { 0 })),
                ("indclass", key.vector(|part| class_of(classes, part.type_oid))),
                ("indoption", key.vector(|_| 0)),
            ],
        )?);
    }
    table_of(schema, rows)
}

/// The number of the operators by which PostgreSQL sorts a type in an index; 0 where it has none.
fn class_of(classes: &ArrowTable, type_oid: u32) -> i32 {
    for batch in classes.data() {
        let numbers = |name: &str| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int32Type>());
        let (Some(oid), Some(method), Some(of_type)) = (numbers("oid"), numbers("opcmethod"), numbers("opcintype"))
        else {
            continue;
        };
        let Some(by_default) = batch.column_by_name("opcdefault").and_then(|column| column.as_boolean_opt()) else {
            continue;
        };
        let is_it = |row: &usize| {
            method.value(*row) == BTREE_OID
                && i64::from(of_type.value(*row)) == i64::from(type_oid)
                && by_default.value(*row)
        };
        if let Some(row) = (0..batch.num_rows()).find(is_it) {
            return oid.value(row);
        }
    }
    0
}

/// What puts a key into words, and what stands for the functions over vectors that the catalogue's tables can't have: `key_place` tells
/// which place in a vector a number has, `key_places` all places that a vector has.
pub(super) fn functions(table: &OrderTable) -> [ScalarUDF; 4] {
    let key = Key::of(table);
    let columns = key.as_ref().map(Key::columns).unwrap_or_default();
    let constraint = key.as_ref().map(|_| format!("PRIMARY KEY {columns}"));
    let index = index_of(table);
    let names: Vec<String> = key.iter().flat_map(|key| &key.parts).map(|part| quoted(&part.name)).collect();
    let tell_constraint = move |arguments: &[ArrayRef], row: usize| {
        if number_at(arguments.first()?, row)? == i64::from(CONSTRAINT_OID) { constraint.clone() } else { None }
    };
    let tell_index = move |arguments: &[ArrayRef], row: usize| {
        if number_at(arguments.first()?, row)? != i64::from(INDEX_OID) {
            return None;
        }
        // The whole of it, or the column of a place.
        let place = match arguments.get(1) {
            Some(places) => number_at(places, row)?,
            None => 0,
        };
        let Some(at) = usize::try_from(place).ok()?.checked_sub(1) else {
            let index = index.as_ref()?;
            // The schema that is looked through by default is left out for people.
            let is_for_people =
                arguments.get(2).is_some_and(|told| text_at(told, row).is_some_and(|told| told == "true"));
            return Some(if is_for_people { index.for_people.clone() } else { index.definition.clone() });
        };
        names.get(at).cloned()
    };
    let of = |counts: &[usize]| {
        Signature::one_of(counts.iter().map(|count| TypeSignature::Any(*count)).collect(), Volatility::Immutable)
    };
    [
        describing("pg_get_constraintdef", of(&[1, 2]), Arc::new(tell_constraint)),
        describing("pg_get_indexdef", of(&[1, 3]), Arc::new(tell_index)),
        by_rows("key_place", of(&[2]), DataType::Int32, Arc::new(key_place)),
        by_rows("key_places", of(&[1]), places_type(), Arc::new(key_places)),
    ]
}

/// A name as SQL has it.
fn quoted(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    if name.chars().all(is_plain) && !name.starts_with(|letter: char| letter.is_ascii_digit()) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn places_type() -> DataType {
    DataType::new_list(DataType::Int32, true)
}

/// The first numbers of a vector.
fn vector_at(column: Option<&ArrayRef>, row: usize) -> Option<Vec<i32>> {
    Some(numbers_in(&text_at(column?, row)?).take(INDEX_COLUMNS_MAX).collect())
}

fn key_place(arguments: &[ArrayRef]) -> DataFusionResult<ArrayRef> {
    let rows = arguments.first().map_or(0, |argument| argument.len());
    let place = |row: usize| {
        let wanted = number_at(arguments.get(1)?, row)?;
        let vector = vector_at(arguments.first(), row)?;
        (1..).zip(vector).find(|(_, number)| i64::from(*number) == wanted).map(|(place, _): (i32, i32)| place)
    };
    Ok(Arc::new((0..rows).map(place).collect::<Int32Array>()))
}

fn key_places(arguments: &[ArrayRef]) -> DataFusionResult<ArrayRef> {
    let rows = arguments.first().map_or(0, |argument| argument.len());
    let mut lists = ListBuilder::new(Int32Builder::new());
    for row in 0..rows {
        let vector = vector_at(arguments.first(), row);
        for (place, _) in (1..).zip(vector.iter().flatten()) {
            lists.values().append_value(place);
        }
        lists.append(vector.is_some());
    }
    let lists: ArrayRef = Arc::new(lists.finish());
    Ok(cast(&lists, &places_type())?)
}
