//! Events of OpenLineage, told of a folded state.
//!
//! Names: every dataset and job of a node is in the namespace `lingqu://NODE`, with the node's id. A resource is
//! `resources/TABLE`, a product `products/TABLE`, the answers of an order `orders/ORDER/answers`; the jobs are
//! `ingest/TABLE`, `product/TABLE` and `deliver/ORDER`. A run has the UUID of its snapshot or receipt.

use jiff::Timestamp;
use lingqu_domain::event::canonical;
use lingqu_domain::id::{OrderId, ProductId, ReceiptId, ResourceId};
use lingqu_domain::node::NODE_STREAM;
use lingqu_domain::product::{ProductDetails, SourceColumn};
use lingqu_domain::receipt::{Opening, Outcome, Totals};
use lingqu_domain::resource::{DataType, ResourceDetails, Snapshot};
use lingqu_domain::state::State;
use serde_json::{Value, json};

use super::facet::{
    DatasetName, PRODUCER, answer_column, answer_lineage, dataset_documentation, error_message, job_documentation,
    job_type, output_statistics, ownership, product_lineage, schema, version,
};
use crate::recount::INTERRUPTED;

const SPECIFICATION: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/";
/// What a delivery's closing record says when the client hung up.
const CANCELLED: &str = "cancelled";

/// Tells events with the names that a state knows.
pub(super) struct Teller<'a> {
    state: &'a State,
    namespace: String,
}

impl<'a> Teller<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        let node = state.node.get(NODE_STREAM).map(|node| node.value.id.to_string()).unwrap_or_default();
        Self { state, namespace: format!("lingqu://{node}") }
    }

    /// A snapshot of a resource that was taken: the run's beginning and its end, which the journal does not tell apart.
    pub(super) fn snapshot(&self, id: &ResourceId, snapshot: &Snapshot, at: Timestamp) -> Option<Vec<Value>> {
        let resource = &self.state.resources.get(id)?.value;
        let mut output = self.resource(id, &resource.details);
        output["facets"]["version"] = version(snapshot.version);
        output["outputFacets"] = json!({ "outputStatistics": output_statistics(snapshot.rows, None) });
        let facets = json!({ "jobType": job_type("INGESTION") });
        let job = self.job(format!("ingest/{}", resource.details.table), facets);
        let mut events = Vec::new();
        for kind in ["START", "COMPLETE"] {
            events.push(self.run_event(kind, at, snapshot.id.as_str(), &job, Vec::new(), vec![output.clone()]));
        }
        Some(events)
    }

    /// A product that was drafted: what it is made of, known before it ever runs.
    pub(super) fn product(&self, id: &ProductId, details: &ProductDetails, at: Timestamp) -> Value {
        let inputs: Vec<Value> = details.inputs.keys().filter_map(|resource| self.input(resource)).collect();
        let facets = json!({ "jobType": job_type("PRODUCT"), "documentation": job_documentation(&details.summary) });
        json!({
            "eventTime": at.to_string(),
            "producer": PRODUCER,
            "schemaURL": format!("{SPECIFICATION}JobEvent"),
            "job": self.job(format!("product/{}", details.table), facets),
            "inputs": inputs,
            "outputs": [self.product_dataset(id, details)],
        })
    }

    /// A delivery that began.
    pub(super) fn delivery_begun(&self, receipt: &ReceiptId, opening: &Opening, at: Timestamp) -> Value {
        let product = self.state.products.get(&opening.product).map(|product| &product.value.details);
        let input = product.map(|details| {
            let mut dataset = self.product_dataset(&opening.product, details);
            dataset["facets"]["version"] = version(opening.snapshots.join(","));
            dataset
        });
        let mut output = self.answers(&opening.order);
        if let (Some(lineage), Some(details)) = (&opening.lineage, product) {
            let columns: Vec<String> = (1..=lineage.columns.len()).map(answer_column).collect();
            output["facets"]["columnLineage"] = answer_lineage(lineage, &self.product_name(details));
            // The types of an answer's columns are not recorded, their names are the consumer's.
            output["facets"]["schema"] = schema(columns.iter().map(|name| (name.as_str(), "UNKNOWN".to_owned(), None)));
        }
        self.run_event(
            "START",
            at,
            receipt.as_str(),
            &self.delivery(&opening.order),
            Vec::from_iter(input),
            vec![output],
        )
    }

    /// A delivery that ended: how, or none where it is a single record. None for an order that is not known.
    pub(super) fn delivery_ended(
        &self,
        receipt: &ReceiptId,
        order: &OrderId,
        outcome: Option<&Outcome>,
        totals: &Totals,
        at: Timestamp,
    ) -> Option<Value> {
        let details = &self.state.orders.get(order)?.value.details;
        let product = self.state.products.get(&details.product).map(|product| &product.value.details);
        let input =
            product.map(|details| json!({ "namespace": self.namespace, "name": self.product_name(details).name }));
        let mut output = self.answers(order);
        output["outputFacets"] =
            json!({ "outputStatistics": output_statistics(totals.answer_rows, Some(totals.bytes)) });
        let stopped = match outcome {
            Some(Outcome::Stopped { code }) => Some(code.as_str()),
            Some(Outcome::Delivered) | None => None,
        };
        let kind = match stopped {
            None => "COMPLETE",
            Some(CANCELLED | INTERRUPTED) => "ABORT",
            Some(_) => "FAIL",
        };
        let job = self.delivery(order);
        let mut event = self.run_event(kind, at, receipt.as_str(), &job, Vec::from_iter(input), vec![output]);
        if let Some(code) = stopped {
            event["run"]["facets"] = json!({ "errorMessage": error_message(code) });
        }
        Some(event)
    }

    fn run_event(
        &self,
        kind: &str,
        at: Timestamp,
        id: &str,
        job: &Value,
        inputs: Vec<Value>,
        outputs: Vec<Value>,
    ) -> Value {
        json!({
            "eventType": kind,
            "eventTime": at.to_string(),
            "producer": PRODUCER,
            "schemaURL": format!("{SPECIFICATION}RunEvent"),
            "run": { "runId": uuid_of(id) },
            "job": job,
            "inputs": inputs,
            "outputs": outputs,
        })
    }

    fn job(&self, name: String, facets: Value) -> Value {
        json!({ "namespace": self.namespace, "name": name, "facets": facets })
    }

    fn delivery(&self, order: &OrderId) -> Value {
        self.job(format!("deliver/{order}"), json!({ "jobType": job_type("DELIVERY") }))
    }

    /// The answers that an order's consumer received.
    fn answers(&self, order: &OrderId) -> Value {
        let mut facets = json!({});
        let consumer = self.state.orders.get(order).and_then(|order| self.state.parties.get(&order.value.consumer));
        if let Some(consumer) = consumer {
            facets["ownership"] = ownership(&consumer.value.name, "CONSUMER");
        }
        json!({ "namespace": self.namespace, "name": format!("orders/{order}/answers"), "facets": facets })
    }

    fn input(&self, id: &ResourceId) -> Option<Value> {
        Some(self.resource(id, &self.state.resources.get(id)?.value.details))
    }

    fn resource(&self, id: &ResourceId, details: &ResourceDetails) -> Value {
        let columns = details.columns.iter();
        let columns =
            columns.map(|column| (column.name.as_str(), word(column.data_type), Some(column.meaning.as_str())));
        let mut facets = json!({
            "schema": schema(columns),
            "documentation": dataset_documentation(&details.summary),
        });
        let provider =
            self.state.resources.get(id).and_then(|resource| self.state.parties.get(&resource.value.provider));
        if let Some(provider) = provider {
            facets["ownership"] = ownership(&provider.value.name, "PROVIDER");
        }
        json!({ "namespace": self.namespace, "name": resource_name(details), "facets": facets })
    }

    fn product_dataset(&self, id: &ProductId, details: &ProductDetails) -> Value {
        let columns = details.shape.columns.iter();
        let columns = columns.map(|column| (column.name.as_str(), word(column.data_type), None));
        let name_of = |source: &SourceColumn| self.source_name(source);
        let mut facets = json!({
            "schema": schema(columns),
            "documentation": dataset_documentation(&details.summary),
            "columnLineage": product_lineage(details, name_of),
        });
        let operator = self.state.products.get(id).and_then(|product| self.state.parties.get(&product.value.operator));
        if let Some(operator) = operator {
            facets["ownership"] = ownership(&operator.value.name, "OPERATOR");
        }
        let DatasetName { namespace, name } = self.product_name(details);
        json!({ "namespace": namespace, "name": name, "facets": facets })
    }

    fn product_name(&self, details: &ProductDetails) -> DatasetName {
        DatasetName { namespace: self.namespace.clone(), name: format!("products/{}", details.table) }
    }

    fn source_name(&self, source: &SourceColumn) -> DatasetName {
        let known = self.state.resources.get(&source.resource);
        let name = known.map_or_else(|| source.resource.to_string(), |resource| resource_name(&resource.value.details));
        DatasetName { namespace: self.namespace.clone(), name }
    }
}

fn resource_name(details: &ResourceDetails) -> String {
    format!("resources/{}", details.table)
}

/// A type's word in the domain's own language.
fn word(data_type: DataType) -> String {
    canonical(&data_type).trim_matches('"').to_owned()
}

/// The UUID of an id: its digits in groups.
fn uuid_of(id: &str) -> String {
    let digits = id.rsplit('_').next().unwrap_or_default();
    let groups: Vec<&str> =
        [0..8, 8..12, 12..16, 16..20, 20..32].iter().filter_map(|group| digits.get(group.clone())).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::uuid_of;

    #[test]
    fn an_id_bears_a_uuid() {
        assert_eq!(uuid_of("rcp_0193a1b2c3d47e8f9012a3b4c5d6e7f8"), "0193a1b2-c3d4-7e8f-9012-a3b4c5d6e7f8");
    }
}
