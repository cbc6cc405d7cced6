//! How large a statement is once everything that it names is written out.
//!
//! A name of WITH stands for its query wherever it is used, and DataFusion (55.2) puts that query there: `b AS (SELECT … FROM a x, a y)`
//! doubles what `a` is, and thirty of these are a plan of a thousand million nodes, made before anybody looks at it. The name of a column
//! in GROUP BY, HAVING or ORDER BY stands for its expression, that of a window for its definition, and CUBE for two to the power of its
//! columns. So the size is reckoned on the syntax tree, in which each of these stands once, before anything is planned.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, GroupByWithModifier, Ident, ObjectName, OrderByKind, Query, Select, SelectItem, SetExpr,
    Statement as SqlStatement, Value, Visit, Visitor, WindowType,
};

use super::{Refusal, RefusalCode};

/// Most SELECTs and tables of a statement, each as often as it stands there when it is written out.
const RELATIONS_MAX: u64 = 256;
/// Most expressions of a statement, each part of one for itself, counted in the same way.
const PARTS_MAX: u64 = 32_768;

/// Most SELECTs one within another, also by way of names. Plans are walked by recursion, and of three hundred the stack was too small.
const DEPTH_MAX: u64 = 32;
/// What a SELECT within an expression counts for there: its planning takes as much of the stack as that of so many in FROM.
const SUBQUERY_DEPTH: u64 = 6;

/// The names of WITH that are known at some place, the innermost last, and how large what they stand for is.
type Names = Vec<(String, Size)>;

/// How large a part of a statement is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    relations: u64,
    parts: u64,
    /// SELECTs one within another.
    depth: u64,
}

impl Size {
    const RELATION: Size = Size { relations: 1, parts: 1, depth: 0 };
    const PART: Size = Size { relations: 0, parts: 1, depth: 0 };

    fn and(self, other: Size) -> Size {
        Size {
            relations: self.relations.saturating_add(other.relations),
            parts: self.parts.saturating_add(other.parts),
            depth: self.depth.max(other.depth),
        }
    }

    fn times(self, count: u64) -> Size {
        let (relations, parts) = (self.relations.saturating_mul(count), self.parts.saturating_mul(count));
        Size { relations, parts, depth: self.depth }
    }

    fn larger(self, other: Size) -> Size {
        let (relations, parts) = (self.relations.max(other.relations), self.parts.max(other.parts));
        Size { relations, parts, depth: self.depth.max(other.depth) }
    }
}

/// What a SELECT names.
#[derive(Default)]
struct Named {
    /// Its columns, by which clauses may call them.
    columns: BTreeMap<String, Size>,
    /// The largest of them, which a clause may call by its place.
    largest: Size,
    /// The definitions of its windows together.
    windows: Size,
}

/// Refuses a statement that is too large when it is written out.
pub(super) fn check(statement: &SqlStatement) -> Result<(), Refusal> {
    match statement {
        SqlStatement::Query(query) => of_query(query, &mut Names::new()).map(|_| ()),
        _ => Ok(()),
    }
}

/// Each part is measured once: what is nested would double with each level else.
fn of_query(query: &Query, names: &mut Names) -> Result<Size, Refusal> {
    let known = names.len();
    for defined in query.with.iter().flat_map(|with| &with.cte_tables) {
        let size = of_query(&defined.query, names)?;
        names.push((name_of(&defined.alias.name), size));
    }
    let (mut size, named) = of_set(&query.body, names)?;
    match query.order_by.as_ref().map(|sorted| &sorted.kind) {
        Some(OrderByKind::Expressions(sorted)) => {
            for by in sorted {
                size = size.and(of_item(&by.expr, names, &named)?);
            }
        }
        Some(OrderByKind::All(_)) => size = size.and(size),
        None => {}
    }
    size = size.and(measured(&query.limit_clause, names, &Named::default())?);
    size = size.and(measured(&query.fetch, names, &Named::default())?);
    names.truncate(known);
    checked(size)
}

fn of_set(set: &SetExpr, names: &mut Names) -> Result<(Size, Named), Refusal> {
    Ok(match set {
        SetExpr::Select(select) => of_select(select, names)?,
        SetExpr::Query(query) => (of_query(query, names)?, Named::default()),
        SetExpr::SetOperation { left, right, .. } => {
            let (left, right) = (of_set(left, names)?.0, of_set(right, names)?.0);
            (checked(left.and(right))?, Named::default())
        }
        other => (measured(other, names, &Named::default())?.and(Size::RELATION), Named::default()),
    })
}

fn of_select(select: &Select, names: &mut Names) -> Result<(Size, Named), Refusal> {
    let windows = measured(&select.named_window, names, &Named::default())?;
    let mut size = Size::RELATION.and(windows);
    let (mut columns, mut largest) = (BTreeMap::new(), Size::default());
    let in_columns = Named { windows, ..Named::default() };
    for item in &select.projection {
        let of_column = measured(item, names, &in_columns)?;
        size = size.and(of_column);
        largest = largest.larger(of_column);
        if let SelectItem::ExprWithAlias { alias, .. } = item {
            let known: &mut Size = columns.entry(name_of(alias)).or_default();
            *known = known.larger(of_column);
        }
    }
    let named = Named { columns, largest, windows };
    size = size.and(measured(&select.from, names, &Named::default())?);
    size = size.and(measured(&select.selection, names, &Named::default())?);
    for clause in [&select.having, &select.qualify] {
        size = size.and(measured(clause, names, &named)?);
    }
    size = size.and(measured(&select.distinct, names, &named)?);
    size = size.and(of_groups(select, names, &named)?);
    size.depth += 1;
    Ok((checked(size)?, named))
}

/// What a SELECT is grouped by, once for each grouping set.
fn of_groups(select: &Select, names: &mut Names, named: &Named) -> Result<Size, Refusal> {
    let (groups, count, modifiers) = match &select.group_by {
        GroupByExpr::All(modifiers) => {
            let each = named.largest.and(Size::PART);
            (each.times(select.projection.len() as u64), select.projection.len(), modifiers)
        }
        GroupByExpr::Expressions(groups, modifiers) => {
            let mut size = Size::default();
            for group in groups {
                size = size.and(of_item(group, names, named)?);
            }
            (size, groups.len(), modifiers)
        }
    };
    let mut sets: u64 = match &select.group_by {
        GroupByExpr::All(_) => 1,
        GroupByExpr::Expressions(groups, _) => {
            groups.iter().fold(1, |sets: u64, group| sets.saturating_mul(sets_of(group)))
        }
    };
    for modifier in modifiers {
        sets = sets.saturating_mul(match modifier {
            GroupByWithModifier::Rollup => count as u64 + 1,
            GroupByWithModifier::Cube => two_to_the(count),
            GroupByWithModifier::Totals => 2,
            GroupByWithModifier::GroupingSets(sets) => sets_of(sets),
        });
    }
    Ok(groups.times(sets))
}

/// How many grouping sets an expression of GROUP BY stands for.
fn sets_of(group: &Expr) -> u64 {
    match group {
        Expr::Cube(columns) => two_to_the(columns.len()),
        Expr::Rollup(columns) => columns.len() as u64 + 1,
        Expr::GroupingSets(sets) => sets.iter().fold(0, |count: u64, set| {
            count.saturating_add(set.iter().fold(1, |sets: u64, part| sets.saturating_mul(sets_of(part))))
        }),
        _ => 1,
    }
}

fn two_to_the(power: usize) -> u64 {
    u32::try_from(power).ok().and_then(|power| 1_u64.checked_shl(power)).unwrap_or(u64::MAX)
}

/// An expression of GROUP BY or ORDER BY, where a number is the place of a column.
fn of_item(item: &Expr, names: &mut Names, named: &Named) -> Result<Size, Refusal> {
    let size = measured(item, names, named)?;
    Ok(match item {
        Expr::Value(literal) if matches!(literal.value, Value::Number(..)) => size.and(named.largest),
        _ => size,
    })
}

fn measured<N: Visit>(node: &N, names: &mut Names, named: &Named) -> Result<Size, Refusal> {
    let mut measure = Measure { names, named, size: Size::default(), queries_open: 0, expressions_open: 0 };
    match node.visit(&mut measure) {
        ControlFlow::Break(refusal) => Err(refusal),
        ControlFlow::Continue(()) => Ok(measure.size),
    }
}

/// Adds up a part of a statement. A query within it is measured by [`of_query`], and passed over here.
struct Measure<'a> {
    names: &'a mut Names,
    named: &'a Named,
    size: Size,
    queries_open: usize,
    expressions_open: usize,
}

impl Measure<'_> {
    fn add(&mut self, size: Size) -> ControlFlow<Refusal> {
        match checked(self.size.and(size)) {
            Ok(size) => {
                self.size = size;
                ControlFlow::Continue(())
            }
            Err(refusal) => ControlFlow::Break(refusal),
        }
    }
}

impl Visitor for Measure<'_> {
    type Break = Refusal;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refusal> {
        if self.queries_open == 0 {
            match of_query(query, self.names) {
                Ok(mut size) => {
                    if self.expressions_open > 0 {
                        size.depth = size.depth.saturating_add(SUBQUERY_DEPTH - 1);
                    }
                    self.add(size)?;
                }
                Err(refusal) => return ControlFlow::Break(refusal),
            }
        }
        self.queries_open += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Refusal> {
        self.queries_open -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Refusal> {
        if self.queries_open > 0 {
            return ControlFlow::Continue(());
        }
        // The planner looks among the names of WITH for all parts of a name, with dots between.
        let parts: Option<Vec<String>> = relation.0.iter().map(|part| part.as_ident().map(name_of)).collect();
        let name = parts.map(|parts| parts.join("."));
        let known = self.names.iter().rev().find(|(known, _)| name.as_ref() == Some(known));
        let size = known.map_or(Size::RELATION, |(_, size)| size.and(Size::RELATION));
        self.add(size)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Refusal> {
        if self.queries_open > 0 {
            return ControlFlow::Continue(());
        }
        self.expressions_open += 1;
        let named = match expr {
            Expr::Identifier(name) => self.named.columns.get(&name_of(name)).copied().unwrap_or_default(),
            Expr::Function(call) if has_named_window(call.over.as_ref()) => self.named.windows,
            _ => Size::default(),
        };
        self.add(named.and(Size::PART))
    }

    fn post_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<Refusal> {
        if self.queries_open == 0 {
            self.expressions_open -= 1;
        }
        ControlFlow::Continue(())
    }
}

fn has_named_window(over: Option<&WindowType>) -> bool {
    match over {
        Some(WindowType::NamedWindow(_)) => true,
        Some(WindowType::WindowSpec(window)) => window.window_name.is_some(),
        None => false,
    }
}

/// A name as the planner reads it: with the letters of ASCII small, or between quotes as it is.
pub(super) fn name_of(name: &Ident) -> String {
    match name.quote_style {
        None => name.value.to_ascii_lowercase(),
        Some(_) => name.value.clone(),
    }
}

fn checked(size: Size) -> Result<Size, Refusal> {
    if size.relations > RELATIONS_MAX {
        let what = format!(
            "the statement has more than {RELATIONS_MAX} tables and SELECTs where each name of WITH stands for its query; use such a name less often, or ask in several statements"
        );
        return Err(Refusal::new(RefusalCode::StatementTooLarge, what));
    }
    if size.depth > DEPTH_MAX {
        let what = format!(
            "the statement has more than {DEPTH_MAX} SELECTs one within another, also by way of names of WITH; compute in fewer steps"
        );
        return Err(Refusal::new(RefusalCode::StatementTooLarge, what));
    }
    if size.parts > PARTS_MAX {
        let what = format!(
            "the statement has more than {PARTS_MAX} parts where the names of queries, columns and windows stand for what they name and each grouping set for itself; group by fewer sets, or ask in several statements"
        );
        return Err(Refusal::new(RefusalCode::StatementTooLarge, what));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn size(sql: &str) -> Option<Size> {
        let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).expect("it is SQL");
        let [SqlStatement::Query(query)] = statements.as_slice() else { panic!("one query: {sql}") };
        of_query(query, &mut Names::new()).ok()
    }

    fn relations(sql: &str) -> Option<u64> {
        size(sql).map(|size| size.relations)
    }

    #[test]
    fn a_name_of_with_counts_as_what_it_stands_for() {
        assert_eq!(relations("select 1"), Some(1));
        assert_eq!(relations("select a from t"), Some(2));
        // The definition of a name that is used nowhere is not part of the statement.
        assert_eq!(relations("with a as (select 1 from t, t u) select 1"), Some(1));
        assert_eq!(relations("with a as (select 1 from t) select 1 from a x, a y"), Some(7));
        assert_eq!(relations("select 1 from (select 1 from t) x where exists (select 1 from t)"), Some(5));
        assert_eq!(relations("select 1 from t union all select 2 from t except (select 3)"), Some(5));
        // The innermost of two names, and a name between quotes, are what the planner takes.
        let shadowed =
            "with a as (select 1) select 1 from (with a as (select 1 from t, t u, t v) select 1 from a) x, a y";
        assert_eq!(relations(shadowed), Some(1 + 1 + (1 + 4) + (1 + 1)));
        assert_eq!(relations("with \"A\" as (select 1 from t, t u) select 1 from a, \"A\""), Some(1 + 1 + (1 + 3)));
        // Letters beyond ASCII stay as they are, and the planner takes all parts of a name for one of WITH.
        let of_two = Some(1 + 1 + (1 + 2));
        assert_eq!(relations("with Ä as (select 1 from t), ä as (select 1) select 1 from Ä"), Some(1 + (1 + 2)));
        assert_eq!(relations("with Ä as (select 1 from t, t u) select 1 from \"Ä\", ä"), Some(1 + (1 + 3) + 1));
        assert_eq!(relations("with \"p.c\" as (select 1 from t) select 1 from P.C, t"), of_two);
        // A name is known only within its query.
        assert_eq!(relations("select 1 from (with a as (select 1 from t) select 1 from a) x, a"), Some(1 + 4 + 1));
    }

    #[test]
    fn what_doubles_is_refused_before_it_is_large_and_a_chain_is_not() {
        let levels = |from: &str, count: usize| {
            let mut sql = "with c0 as (select 1 as v)".to_owned();
            for level in 1..=count {
                let from = from.replace('#', &format!("c{}", level - 1));
                sql.push_str(&format!(", c{level} as (select 1 as v from {from})"));
            }
            sql + &format!(" select v from c{count}")
        };
        assert!(size(&levels("# x, # y", 6)).is_some());
        assert!(size(&levels("# x, # y", 7)).is_none());
        assert!(size(&levels("# x, # y", 200)).is_none());
        assert!(size(&levels("#", 30)).is_some());
        assert!(size(&levels("#", 32)).is_none());
        // Within expressions a level counts for six.
        let within = |count: usize| {
            (0..count).fold("1".to_owned(), |inner, _| format!("(select max(v) from t where v < {inner})"))
        };
        assert_eq!(size(&format!("select {}", within(2))).map(|size| size.depth), Some(1 + 6 + 6));
        assert!(size(&format!("select {}", within(5))).is_some());
        assert!(size(&format!("select {}", within(6))).is_none());
        let side_by_side = ["select 1 as v from t"; 100].join(" union all ");
        assert_eq!(size(&side_by_side).map(|size| (size.relations, size.depth)), Some((200, 1)));
        let nested = |count: usize| (0..count).fold("t".to_owned(), |from, _| format!("(select 1 as v from {from}) x"));
        assert!(size(&format!("select v from {}", nested(12))).is_some());
    }

    #[test]
    fn names_of_columns_and_windows_and_grouping_sets_count_as_what_they_stand_for() {
        let parts = |sql: &str| size(sql).map(|size| size.parts);
        let plain = parts("select a + b + c as d from t group by a").expect("it is small");
        assert_eq!(parts("select a + b + c as d from t group by d"), Some(plain + 5));
        assert_eq!(parts("select a + b + c as d from t group by 1"), Some(plain + 5));
        assert_eq!(parts("select a + b + c as d from t group by d, d"), Some(plain + 5 + 6));
        assert!(parts("select a from t group by cube (a, b, c, d, e, f, g, h)").is_some());
        for sets in ["cube (a, b, c, d, e, f, g, h, i, j, k, l)", "cube (a, b, c, d, e, f, g), cube (h, i, j, k, l)"] {
            assert_eq!(parts(&format!("select a from t group by {sets}")), None, "{sets}");
        }
        let columns: Vec<String> = (0..64).map(|number| format!("c{number}")).collect();
        assert_eq!(parts(&format!("select 1 from t group by cube ({})", columns.join(", "))), None);
        assert!(parts(&format!("select 1 from t group by rollup ({})", columns.join(", "))).is_some());
        let many = |part: &str, count: usize| vec![part; count].join(", ");
        // Each by itself is text of a few thousand bytes; together they are a million parts.
        let wide = format!("select greatest({}) as d from t group by {}", many("a", 1_000), many("d", 1_000));
        assert_eq!(parts(&wide), None);
        let window =
            format!("select {} from t window w as (partition by {})", many("sum(a) over w", 200), many("a", 1_000));
        assert_eq!(parts(&window), None);
        assert!(parts(&format!("select a from t where a in ({})", many("1", 4_000))).is_some());
    }
}
