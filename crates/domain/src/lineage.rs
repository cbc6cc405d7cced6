//! Lineage of an answer (数据血缘): from which columns of its product the values of one delivery were made, and by which
//! columns its rows were chosen.
//!
//! It is worked out from the statement's plan before the first byte leaves and stands in the delivery's opening record. It
//! holds names of the product's columns and nothing that the consumer wrote: no literal, no alias. The way on from the
//! product's columns to the resources' is in the product's [shape](crate::product::ProductShape).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::product::{ProductDetails, SourceColumn};
use crate::scope::ColumnName;

/// Most columns of an answer that are told one by one; what is made of the rest is told by the last.
pub const ANSWER_COLUMNS_MAX: usize = 256;

/// Where one column of an answer comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnswerColumn {
    /// False where it is a column of the product as it stands.
    #[serde(default, skip_serializing_if = "is_false")]
    pub computed: bool,
    /// The product's columns that its values are made of; none for a constant or a count of rows.
    pub from: BTreeSet<ColumnName>,
}

/// Where an answer comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnswerLineage {
    /// True where the plan could not be followed: then every column that the session shows stands in both.
    #[serde(default, skip_serializing_if = "is_false")]
    pub at_most: bool,
    /// The answer's columns in their order, at most [`ANSWER_COLUMNS_MAX`]. They have no names here: a name may be the
    /// consumer's own text.
    pub columns: Vec<AnswerColumn>,
    /// The product's columns that the consumer chose rows by: in filters, joins, groupings and sorts.
    pub conditions: BTreeSet<ColumnName>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl AnswerLineage {
    /// An answer that may hold anything of some columns.
    pub fn at_most(columns: BTreeSet<ColumnName>) -> Self {
        let column = AnswerColumn { from: columns.clone(), computed: true };
        Self { columns: vec![column], conditions: columns, at_most: true }
    }

    /// Of many columns the first are told one by one and the rest by one that is made of all that they are made of.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        if self.columns.len() > ANSWER_COLUMNS_MAX {
            let rest = self.columns.split_off(ANSWER_COLUMNS_MAX - 1);
            let from = rest.into_iter().flat_map(|column| column.from).collect();
            self.columns.push(AnswerColumn { from, computed: true });
        }
        self
    }

    /// True when values of the answer are made of the column.
    pub fn is_made_of(&self, column: &ColumnName) -> bool {
        self.columns.iter().any(|made| made.from.contains(column))
    }
}

/// How something that was made of a resource uses one of its columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnUse {
    /// The product's columns that bear it: those whose values are made of it.
    pub columns: BTreeSet<ColumnName>,
    /// Values are made of it.
    pub values: bool,
    /// Rows are chosen by it.
    pub condition: bool,
    /// No more is known than that it may be used so.
    pub at_most: bool,
}

impl ColumnUse {
    /// How a product uses a column; none when it does not.
    pub fn by_product(product: &ProductDetails, source: &SourceColumn) -> Option<ColumnUse> {
        let made = product.shape.columns.iter().filter(|column| column.lineage.contains(source));
        let columns: BTreeSet<ColumnName> = made.map(|column| column.name.clone()).collect();
        let (values, condition) = (!columns.is_empty(), product.shape.conditions.contains(source));
        (values || condition).then_some(ColumnUse { columns, values, condition, at_most: false })
    }

    /// How an answer over a product uses a column; none when it does not. What chooses the product's rows chooses those of
    /// each of its answers. Of an answer without recorded lineage it may use whatever the product does.
    pub fn by_answer(
        product: &ProductDetails,
        lineage: Option<&AnswerLineage>,
        source: &SourceColumn,
    ) -> Option<ColumnUse> {
        let of_product = ColumnUse::by_product(product, source)?;
        let Some(lineage) = lineage else {
            return Some(ColumnUse { condition: true, at_most: true, ..of_product });
        };
        let is_used = |column: &ColumnName| lineage.is_made_of(column) || lineage.conditions.contains(column);
        let columns: BTreeSet<ColumnName> = of_product.columns.into_iter().filter(is_used).collect();
        let values = columns.iter().any(|column| lineage.is_made_of(column));
        let condition = of_product.condition || columns.iter().any(|column| lineage.conditions.contains(column));
        (values || condition).then_some(ColumnUse { columns, values, condition, at_most: lineage.at_most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ResourceId;
    use crate::product::{ProductColumn, ProductShape};
    use crate::resource::DataType;

    fn names(text: &str) -> BTreeSet<ColumnName> {
        text.split_whitespace().map(|name| ColumnName::new(name).unwrap()).collect()
    }

    #[test]
    fn what_is_beyond_the_bound_is_told_by_the_last() {
        let column = |name: &str| AnswerColumn { from: names(name), computed: false };
        let mut columns = vec![column("a"); ANSWER_COLUMNS_MAX];
        let whole = AnswerLineage { columns: columns.clone(), ..AnswerLineage::default() };
        assert_eq!(whole.clone().bounded(), whole);
        columns.extend([column("b"), column("c")]);
        let bounded = AnswerLineage { columns, ..AnswerLineage::default() }.bounded();
        assert_eq!(bounded.columns.len(), ANSWER_COLUMNS_MAX);
        assert_eq!(bounded.columns.last(), Some(&AnswerColumn { from: names("a b c"), computed: true }));
        assert!(bounded.is_made_of(&ColumnName::new("c").unwrap()));
    }

    #[test]
    fn the_usual_takes_no_room() {
        let column = AnswerColumn { from: names("a"), computed: false };
        let lineage = AnswerLineage { columns: vec![column], conditions: names("b"), at_most: false };
        let text = serde_json::to_string(&lineage).unwrap();
        assert_eq!(text, r#"{"columns":[{"from":["a"]}],"conditions":["b"]}"#);
        assert_eq!(serde_json::from_str::<AnswerLineage>(&text).unwrap(), lineage);
    }

    fn source(column: &str) -> SourceColumn {
        let resource: ResourceId = format!("{}_{:032}", ResourceId::PREFIX, 1).parse().unwrap();
        SourceColumn { resource, column: ColumnName::new(column).unwrap() }
    }

    /// `a` as it stands, `b` of `x` and `y`; rows are chosen by `z`.
    fn product() -> ProductDetails {
        let column = |name: &str, from: &[&str]| ProductColumn {
            name: ColumnName::new(name).unwrap(),
            data_type: DataType::Text,
            lineage: from.iter().map(|from| source(from)).collect(),
            computed: from.len() > 1,
        };
        let columns = vec![column("a", &["a"]), column("b", &["x", "y"])];
        let shape = ProductShape { columns, conditions: BTreeSet::from([source("z")]), ..ProductShape::default() };
        let details = serde_json::json!({
            "name": "", "name_en": "", "summary": "", "table": "t", "inputs": {}, "sql": "", "key": [], "subject": null,
            "dimensions": [], "shape": shape,
        });
        serde_json::from_value(details).unwrap()
    }

    #[test]
    fn a_product_uses_what_it_is_made_of_and_chosen_by() {
        let product = product();
        let by = |column: &str| ColumnUse::by_product(&product, &source(column));
        assert_eq!(by("x"), Some(ColumnUse { columns: names("b"), values: true, ..ColumnUse::default() }));
        assert_eq!(by("z"), Some(ColumnUse { condition: true, ..ColumnUse::default() }));
        assert_eq!(by("b"), None, "a column of the product of the same name is another");
    }

    #[test]
    fn an_answer_uses_what_its_columns_and_its_product_use() {
        let product = product();
        let made = |from: &str| AnswerColumn { from: names(from), computed: false };
        let lineage = AnswerLineage { columns: vec![made("a")], conditions: names("b"), at_most: false };
        let by = |lineage, column: &str| ColumnUse::by_answer(&product, lineage, &source(column));
        assert_eq!(by(Some(&lineage), "a").map(|used| (used.values, used.condition)), Some((true, false)));
        assert_eq!(by(Some(&lineage), "y").map(|used| (used.values, used.condition)), Some((false, true)));
        assert_eq!(by(Some(&lineage), "z").map(|used| (used.values, used.condition)), Some((false, true)));
        let counted = AnswerLineage { columns: vec![made("")], ..AnswerLineage::default() };
        assert_eq!(by(Some(&counted), "a"), None);
        assert!(by(Some(&counted), "z").is_some(), "a count tells of what chose the rows");
        let unknown = by(None, "x").unwrap();
        assert!(unknown.values && unknown.condition && unknown.at_most);
        assert_eq!(by(None, "w"), None);
    }
}
