//! The facets that events carry, each by the version of its published schema.

use lingqu_domain::lineage::AnswerLineage;
use lingqu_domain::product::{ProductDetails, SourceColumn};
use serde_json::{Map, Value, json};

/// Who wrote an event.
pub(super) const PRODUCER: &str = concat!("urn:lingqu:node:", env!("CARGO_PKG_VERSION"));

/// A column as it stands.
const IDENTITY: (&str, &str) = ("DIRECT", "IDENTITY");
/// A value that is computed of columns.
const TRANSFORMATION: (&str, &str) = ("DIRECT", "TRANSFORMATION");
/// A column that decides which rows there are: filter, join, grouping or sort, which are not told apart.
const CONDITION: (&str, &str) = ("INDIRECT", "FILTER");

/// A dataset's name: OpenLineage's namespace and name.
#[derive(Clone, Debug)]
pub(super) struct DatasetName {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A facet by its schema, such as `SchemaDatasetFacet` in version `1-2-0`.
pub(super) fn facet(schema: &str, version: &str, mut fields: Value) -> Value {
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("_producer".to_owned(), PRODUCER.into());
        let url = format!("https://openlineage.io/spec/facets/{version}/{schema}.json#/$defs/{schema}");
        fields.insert("_schemaURL".to_owned(), url.into());
    }
    fields
}

/// Columns by name, type and meaning.
pub(super) fn schema<'a>(columns: impl Iterator<Item = (&'a str, String, Option<&'a str>)>) -> Value {
    let mut fields = Vec::new();
    for (place, (name, data_type, meaning)) in (1..).zip(columns) {
        let mut field = json!({ "name": name, "type": data_type, "ordinal_position": place });
        if let Some(meaning) = meaning {
            field["description"] = meaning.into();
        }
        fields.push(field);
    }
    facet("SchemaDatasetFacet", "1-2-0", json!({ "fields": fields }))
}

pub(super) fn dataset_documentation(text: &str) -> Value {
    facet("DocumentationDatasetFacet", "1-1-0", json!({ "description": text }))
}

pub(super) fn job_documentation(text: &str) -> Value {
    facet("DocumentationJobFacet", "1-1-0", json!({ "description": text }))
}

pub(super) fn ownership(name: &str, kind: &str) -> Value {
    facet("OwnershipDatasetFacet", "1-0-1", json!({ "owners": [{ "name": name, "type": kind }] }))
}

pub(super) fn version(version: impl ToString) -> Value {
    facet("DatasetVersionDatasetFacet", "1-0-1", json!({ "datasetVersion": version.to_string() }))
}

pub(super) fn job_type(kind: &str) -> Value {
    let fields = json!({ "processingType": "BATCH", "integration": "LINGQU", "jobType": kind });
    facet("JobTypeJobFacet", "2-0-4", fields)
}

pub(super) fn output_statistics(rows: u64, bytes: Option<u64>) -> Value {
    let mut fields = json!({ "rowCount": rows });
    if let Some(bytes) = bytes {
        fields["size"] = bytes.into();
    }
    facet("OutputStatisticsOutputDatasetFacet", "1-0-2", fields)
}

/// Why a run ended early: a stable code, never a text of the engine.
pub(super) fn error_message(code: &str) -> Value {
    facet("ErrorMessageRunFacet", "1-0-1", json!({ "message": code, "programmingLanguage": "none" }))
}

fn input_field(dataset: &DatasetName, field: &str, (kind, subtype): (&str, &str)) -> Value {
    json!({
        "namespace": dataset.namespace,
        "name": dataset.name,
        "field": field,
        "transformations": [{ "type": kind, "subtype": subtype }],
    })
}

fn column_lineage(fields: Map<String, Value>, conditions: Vec<Value>) -> Value {
    facet("ColumnLineageDatasetFacet", "1-2-0", json!({ "fields": fields, "dataset": conditions }))
}

/// Where a product's columns come from.
pub(super) fn product_lineage(product: &ProductDetails, name_of: impl Fn(&SourceColumn) -> DatasetName) -> Value {
    let field = |source: &SourceColumn, use_| input_field(&name_of(source), source.column.as_str(), use_);
    let mut fields = Map::new();
    for column in &product.shape.columns {
        let how = if column.computed { TRANSFORMATION } else { IDENTITY };
        let inputs: Vec<Value> = column.lineage.iter().map(|source| field(source, how)).collect();
        fields.insert(column.name.to_string(), json!({ "inputFields": inputs }));
    }
    column_lineage(fields, product.shape.conditions.iter().map(|source| field(source, CONDITION)).collect())
}

/// Name of a column of an answer: its place, counted from 1.
pub(super) fn answer_column(place: usize) -> String {
    format!("column_{place}")
}

/// Where an answer's columns come from.
pub(super) fn answer_lineage(lineage: &AnswerLineage, product: &DatasetName) -> Value {
    let mut fields = Map::new();
    for (place, column) in (1..).zip(&lineage.columns) {
        let how = if column.computed { TRANSFORMATION } else { IDENTITY };
        let inputs: Vec<Value> = column.from.iter().map(|name| input_field(product, name.as_str(), how)).collect();
        fields.insert(answer_column(place), json!({ "inputFields": inputs }));
    }
    let conditions = lineage.conditions.iter().map(|name| input_field(product, name.as_str(), CONDITION)).collect();
    column_lineage(fields, conditions)
}
