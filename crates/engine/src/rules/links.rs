//! What joins two parts of a tree of inner joins, directly or by way of others.

use std::collections::BTreeSet;

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};

/// Whether the conditions of a tree of inner joins bring together what two expressions over it ask for.
pub(super) fn are_joined(one: &Expr, other: &Expr, tree: &LogicalPlan) -> bool {
    let (mut leaves, mut links) = (Vec::new(), Vec::new());
    flattened(tree, &mut leaves, &mut links);
    let links: Vec<BTreeSet<usize>> = links.iter().map(|link| asked(link, &leaves)).collect();
    let mut reached = asked(&[one], &leaves);
    // Each round reaches one more, or all there is to reach has been.
    for _ in &leaves {
        for link in &links {
            if !link.is_disjoint(&reached) {
                reached.extend(link);
            }
        }
    }
    !reached.is_disjoint(&asked(&[other], &leaves))
}

/// The leaves of whose columns expressions are made.
fn asked(exprs: &[&Expr], leaves: &[&LogicalPlan]) -> BTreeSet<usize> {
    let columns: Vec<&Column> = exprs.iter().flat_map(|expr| expr.column_refs()).collect();
    let leaves = leaves.iter().enumerate();
    let is_asked = |schema: &DFSchema| columns.iter().any(|column| schema.has_column(column));
    leaves.filter(|(_, leaf)| is_asked(leaf.schema())).map(|(at, _)| at).collect()
}

/// What the joins of a tree are of, and the expressions that each of their conditions is made of.
fn flattened<'a>(plan: &'a LogicalPlan, leaves: &mut Vec<&'a LogicalPlan>, links: &mut Vec<Vec<&'a Expr>>) {
    match plan {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            links.extend(join.on.iter().map(|(left, right)| vec![left, right]));
            links.extend(join.filter.iter().flat_map(split_conjunction).map(|part| vec![part]));
            flattened(&join.left, leaves, links);
            flattened(&join.right, leaves, links);
        }
        leaf => leaves.push(leaf),
    }
}
