//! What costs no speed is shown by plans: the 22 TPC-H queries are planned as by DataFusion's own rules, step by step.

use std::path::Path;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::displayable;

use super::super::*;
use crate::engine::{Engine, EngineSettings, register};

/// The tables as `tpchgen-cli` writes them: a letter for each column's type, and the columns' names after the table's prefix.
const TABLES: [(&str, &str, &str); 8] = [
    ("customer", "c_", "l:custkey t:name t:address l:nationkey t:phone d:acctbal t:mktsegment t:comment"),
    (
        "lineitem",
        "l_",
        "l:orderkey l:partkey l:suppkey i:linenumber d:quantity d:extendedprice d:discount d:tax t:returnflag t:linestatus \
         y:shipdate y:commitdate y:receiptdate t:shipinstruct t:shipmode t:comment",
    ),
    ("nation", "n_", "l:nationkey t:name l:regionkey t:comment"),
    (
        "orders",
        "o_",
        "l:orderkey l:custkey t:orderstatus d:totalprice y:orderdate t:orderpriority t:clerk i:shippriority t:comment",
    ),
    ("part", "p_", "l:partkey t:name t:mfgr t:brand t:type i:size t:container d:retailprice t:comment"),
    ("partsupp", "ps_", "l:partkey l:suppkey i:availqty d:supplycost t:comment"),
    ("region", "r_", "l:regionkey t:name t:comment"),
    ("supplier", "s_", "l:suppkey t:name t:address l:nationkey t:phone d:acctbal t:comment"),
];
const QUERIES: usize = 22;

fn table(prefix: &str, columns: &str) -> MemTable {
    let field = |column: &str| {
        let (kind, name) = column.split_once(':').expect("a type and a name");
        let data_type = match kind {
            "l" => DataType::Int64,
            "i" => DataType::Int32,
            "d" => DataType::Decimal128(15, 2),
            "y" => DataType::Date32,
            _ => DataType::Utf8,
        };
        Field::new(format!("{prefix}{name}"), data_type, true)
    };
    let schema = Arc::new(Schema::new(columns.split_whitespace().map(field).collect::<Vec<_>>()));
    MemTable::try_new(schema, vec![vec![]]).expect("an empty table")
}

/// A plan without the numbers of the names that the optimiser makes: the next name is never the same.
fn unnumbered(plan: &str) -> String {
    let mut text = plan.to_owned();
    for made in ["__common_expr_", "__scalar_sq_", "__correlated_sq_"] {
        let mut parts = text.split(made);
        let first = parts.next().unwrap_or_default().to_owned();
        text =
            parts.fold(first, |whole, part| whole + made + part.trim_start_matches(|sign: char| sign.is_ascii_digit()));
    }
    text
}

#[tokio::test]
async fn the_queries_of_tpch_are_planned_as_by_their_rules() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
    let ours = engine.governed_state(2);
    for (name, prefix, columns) in TABLES {
        register(&ours, name, Arc::new(table(prefix, columns))).expect("a new name");
    }
    let with_rules = |logical, physical| {
        SessionStateBuilder::new_from_existing(ours.clone())
            .with_optimizer_rules(logical)
            .with_physical_optimizer_rules(physical)
            .build()
    };
    let theirs = with_rules(Optimizer::new().rules, PhysicalOptimizer::new().rules);
    let ours = with_rules(
        logical_rules(FallibleKeys::Early),
        PhysicalOptimizer::new().rules.into_iter().map(kept).collect::<Vec<_>>(),
    );
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/tpch");
    let mut other = Vec::new();
    for number in 1..=QUERIES {
        let sql = std::fs::read_to_string(queries.join(format!("q{number:02}.sql"))).expect("the query is there");
        let mut plans = Vec::new();
        for state in [&ours, &theirs] {
            let plan = state.create_logical_plan(sql.trim().trim_end_matches(';')).await.expect("it is planned");
            let optimised = state.optimize(&plan).expect("it is optimised");
            let physical = state.create_physical_plan(&plan).await.expect("it has a plan that runs");
            plans.push((
                unnumbered(&optimised.display_indent().to_string()),
                unnumbered(&displayable(physical.as_ref()).indent(true).to_string()),
            ));
        }
        if plans[0] != plans[1] {
            other.push(format!("q{number:02}\n{}\n{}\n{}\n{}", plans[0].0, plans[1].0, plans[0].1, plans[1].1));
        }
    }
    assert!(other.is_empty(), "{} queries are planned otherwise:\n{}", other.len(), other.join("\n"));
}
