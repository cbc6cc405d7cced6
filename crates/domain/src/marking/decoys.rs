//! Decoys (诱饵行): rows of things that do not exist, among the rows of copies whose contract names them.
//!
//! Whoever may ask for single rows, claims or totals could tell them from rows that exist, and would be told falsely of the others.
//! So a product with decoys leaves by rows and files alone.

use std::collections::BTreeSet;

use super::chosen::{Marking, too_wide};
use crate::decide::Reader;
use crate::product::{ProductDetails, SourceColumn};
use crate::refusal::Refusal;
use crate::scope::{ColumnName, Mode, Scope};

/// The largest share of decoys that copies may hold, for a million rows: one in a thousand.
pub const DECOYS_PER_MILLION_MAX: u32 = 1_000;
/// The modes by which a product with decoys is not delivered.
const TELLING_MODES: [Mode; 3] = [Mode::Verification, Mode::Statistics, Mode::Lookup];

fn refused(zh: String, en: String) -> Refusal {
    Refusal::invalid("marking", zh, en)
}

/// Checks the decoys of a marking against the rights above; `conditions` are the source columns that decide which rows there are.
/// Errors: `scope_too_wide` for more than they allow; `invalid` where they would lie about what exists or be told by another mode.
pub(super) fn check(
    reader: &mut Reader<'_>,
    marking: &Marking,
    details: &ProductDetails,
    scope: &Scope,
    conditions: &BTreeSet<SourceColumn>,
) -> Result<(), Refusal> {
    if marking.decoys_per_million == 0 {
        return Ok(());
    }
    if marking.decoys_per_million > scope.marks.decoys_per_million {
        return Err(too_wide("decoys", scope.marks.decoys_per_million));
    }
    if !details.shape.row_by_row {
        return Err(refused(
            "含诱饵行的产品须逐行取自一份资源（不连接、不汇总、不限行数），否则未取的行可能与诱饵行同主键；请改写 SQL，或不设诱饵行".to_owned(),
            "a product with decoys takes each row from one row of one resource, without joins, groups or limits: a decoy could have the key of what they leave out; change its SQL, or leave the decoys out".to_owned(),
        ));
    }
    for name in &details.key {
        if !is_of_key(reader, details, name)? {
            return Err(refused(
                format!(
                    "{name} 不是资源主键的信息项，诱饵行可能与已有的行同主键而作出虚假陈述；请以资源主键为产品主键，或不设诱饵行"
                ),
                format!(
                    "{name} is no column of its resource's key: a decoy could be told of a row that exists; key the product by its resource's key, or leave the decoys out"
                ),
            ));
        }
    }
    if let Some(source) = conditions.iter().next() {
        let column = &source.column;
        return Err(refused(
            format!(
                "来源列 {column} 决定有哪些行：被排除的行确实存在，诱饵行可能与其同主键而作出虚假陈述；请去掉该条件，或不设诱饵行"
            ),
            format!(
                "source column {column} decides which rows there are: a decoy could have the key of a row that is left out, and would tell falsely of what exists; take the condition out, or leave the decoys out"
            ),
        ));
    }
    if let Some(mode) = TELLING_MODES.iter().find(|mode| scope.modes.contains(mode)) {
        return Err(refused(
            format!(
                "含诱饵行的产品只能以 rows 或 file 交付：以 {} 交付会对诱饵行作出错误回答或暴露诱饵行；请收窄交付方式，或另立产品",
                mode.code()
            ),
            format!(
                "a product with decoys is delivered by rows and files alone: {} would answer falsely of them or tell them from rows that exist; narrow the modes, or make another product for it",
                mode.code()
            ),
        ));
    }
    Ok(())
}

/// Whether a column of the product's key is one of its resource's key, as it stands: a new key is then one of something new.
fn is_of_key(reader: &mut Reader<'_>, details: &ProductDetails, name: &ColumnName) -> Result<bool, Refusal> {
    let column = details.shape.columns.iter().find(|column| column.name == *name && !column.computed);
    let Some(source) = column.and_then(|column| column.lineage.iter().next()) else { return Ok(false) };
    Ok(reader.resource(&source.resource)?.details.key.contains(&source.column))
}
