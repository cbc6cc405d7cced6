//! Whether each row of a product is made of rows of the persons that it names, and of nobody else's.
//!
//! Consent and quotas of subjects ask the persons in a product's subject columns. A row that was joined, gathered or computed from rows
//! of others would take their data along without asking them. So every scan of a table about persons is looked at by itself (a
//! table that is joined with itself is two scans), and its rows are of a named person when
//!
//! - its subject column is named as it stands, or
//! - a join or filter demands that its subject equals the subject, or the declared key, of a scan whose rows are, or the other way
//!   round; and
//! - no aggregate, window or DISTINCT gathers rows of several persons: each groups or divides by a subject of every scan that is in it.
//!
//! A register may name a driver by his identity number, and offences name him by the register's number. So a key says whose a row is
//! where the resource's signed entry declares it (`key_names_subject`), and nothing otherwise: a mere number of rows is equal to
//! somebody's. A column that is neither, such as a spouse or a guardian, never does. Subqueries in expressions over tables about persons, and
//! limits, are not looked into: a product with one is of nobody.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, Join, JoinType, LogicalPlan, Operator, Union};
use lingqu_domain::scope::ColumnName;

/// The columns of a table about persons that say whose a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonColumns {
    /// The subject column.
    pub subject: ColumnName,
    /// The key, where it is declared to say so as well.
    pub key: Option<ColumnName>,
}

/// Who is named in a product's rows.
#[derive(Clone, Debug, Default)]
pub struct Persons {
    /// The inputs about persons, by the names that the product's SQL uses.
    pub inputs: BTreeMap<String, PersonColumns>,
    /// The output columns that name the persons.
    pub named: BTreeSet<ColumnName>,
}

/// Whether every row of a checked, unoptimised plan is made of rows of persons whom it names.
pub(super) fn is_by_person(plan: &LogicalPlan, persons: &Persons) -> bool {
    let mut walk = Walk { persons, scans: Vec::new() };
    let Some(traced) = walk.node(plan) else { return false };
    let outputs = plan.schema().fields().iter().zip(&traced.columns);
    let named = outputs.filter(|(field, _)| persons.named.iter().any(|name| name.as_str() == field.name().as_str()));
    walk.tells(named.map(|(_, column)| *column), &traced.scans)
}

/// What a column says about whose a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Says {
    /// The scan whose row it is.
    scan: usize,
    /// Whether it names the person; otherwise it is the key of a row.
    is_subject: bool,
}

/// What is known of the rows of a node.
struct Traced {
    /// For each column, in order, what it says.
    columns: Vec<Option<Says>>,
    /// The scans, or unions of scans, whose rows are in them.
    scans: BTreeSet<usize>,
}

/// A scan of a table about persons, or what a column of a union says.
struct Scan {
    /// The table's name; none for a union.
    table: Option<String>,
    /// The scans whose person is this one's in every row that has one of this one.
    same: BTreeSet<usize>,
}

struct Walk<'a> {
    persons: &'a Persons,
    scans: Vec<Scan>,
}

impl Walk<'_> {
    fn add(&mut self, table: Option<String>) -> usize {
        self.scans.push(Scan { table, same: BTreeSet::new() });
        self.scans.len() - 1
    }

    /// The scans whose person is known from that of one, itself among them.
    fn known_from(&self, scan: usize) -> BTreeSet<usize> {
        let (mut known, mut next) = (BTreeSet::from([scan]), vec![scan]);
        while let Some(scan) = next.pop() {
            next.extend(self.scans[scan].same.iter().copied().filter(|same| known.insert(*same)));
        }
        known
    }

    /// Whether the subjects among such columns tell the persons of all those scans. A key may be missing where a person is not, and
    /// rows without one would be taken together.
    fn tells(&self, columns: impl Iterator<Item = Option<Says>>, scans: &BTreeSet<usize>) -> bool {
        let subjects = columns.flatten().filter(|says| says.is_subject);
        let told: BTreeSet<usize> = subjects.flat_map(|says| self.known_from(says.scan)).collect();
        scans.is_subset(&told)
    }

    /// What is known of the rows of a node; none where rows of several persons were gathered, or the node is not understood.
    fn node(&mut self, plan: &LogicalPlan) -> Option<Traced> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let table = scan.table_name.table();
                let fields = scan.projected_schema.fields().iter();
                let Some(of_person) = self.persons.inputs.get(table) else {
                    return Some(Traced { columns: fields.map(|_| None).collect(), scans: BTreeSet::new() });
                };
                let scan = self.add(Some(table.to_owned()));
                let says = |name: &str| {
                    let is_subject = of_person.subject.as_str() == name;
                    let is_key = of_person.key.as_ref().is_some_and(|key| key.as_str() == name);
                    (is_subject || is_key).then_some(Says { scan, is_subject })
                };
                Some(Traced {
                    columns: fields.map(|field| says(field.name())).collect(),
                    scans: BTreeSet::from([scan]),
                })
            }
            LogicalPlan::EmptyRelation(_) => {
                Some(Traced { columns: vec![None; plan.schema().fields().len()], scans: BTreeSet::new() })
            }
            LogicalPlan::Projection(projection) => {
                let input = self.node(&projection.input)?;
                let columns = self.columns(&projection.expr, projection.input.schema(), &input.columns)?;
                Some(Traced { columns, ..input })
            }
            LogicalPlan::Filter(filter) => {
                let input = self.node(&filter.input)?;
                let equal = self.equalities(&filter.predicate, filter.input.schema(), &input.columns)?;
                self.unite(&equal, |_, _| true);
                Some(input)
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                let input = self.node(&sort.input)?;
                sort.expr.iter().all(|key| self.is_plain(&key.expr)).then_some(input)
            }
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.node(input)?;
                // Rows that are alike become one, whose they were.
                self.tells(input.columns.iter().copied(), &input.scans).then_some(input)
            }
            LogicalPlan::Distinct(Distinct::On(distinct)) => {
                let input = self.node(&distinct.input)?;
                let schema = distinct.input.schema();
                // One of the rows that are alike in these is kept, whoever's the others were.
                let alike = self.columns(&distinct.on_expr, schema, &input.columns)?;
                let is_plain = distinct.sort_expr.iter().flatten().all(|key| self.is_plain(&key.expr));
                if !is_plain || !self.tells(alike.into_iter(), &input.scans) {
                    return None;
                }
                let columns = self.columns(&distinct.select_expr, schema, &input.columns)?;
                Some(Traced { columns, ..input })
            }
            LogicalPlan::Aggregate(aggregate) => {
                let input = self.node(&aggregate.input)?;
                let has_sets = aggregate.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_)));
                let mut columns = self.columns(&aggregate.group_expr, aggregate.input.schema(), &input.columns)?;
                let is_plain = aggregate.aggr_expr.iter().all(|expression| self.is_plain(expression));
                if has_sets || !is_plain || !self.tells(columns.iter().copied(), &input.scans) {
                    return None;
                }
                columns.extend(aggregate.aggr_expr.iter().map(|_| None));
                Some(Traced { columns, ..input })
            }
            LogicalPlan::Window(window) => {
                let mut input = self.node(&window.input)?;
                for expression in &window.window_expr {
                    let Expr::WindowFunction(function) = expression.clone().unalias() else { return None };
                    let parts = &function.params.partition_by;
                    let parts = self.columns(parts, window.input.schema(), &input.columns)?;
                    if !self.is_plain(expression) || !self.tells(parts.into_iter(), &input.scans) {
                        return None;
                    }
                }
                input.columns.extend(window.window_expr.iter().map(|_| None));
                Some(input)
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => self.union(union),
            _ => None,
        }
    }

    fn join(&mut self, join: &Join) -> Option<Traced> {
        let (left, right) = (self.node(&join.left)?, self.node(&join.right)?);
        let both: Vec<_> = left.columns.iter().chain(&right.columns).copied().collect();
        let mut equal = Vec::new();
        for (left_key, right_key) in &join.on {
            let left_key = self.column(left_key, join.left.schema(), &left.columns)?;
            let right_key = self.column(right_key, join.right.schema(), &right.columns)?;
            equal.extend(left_key.zip(right_key));
        }
        if let Some(condition) = &join.filter {
            let schema = join.left.schema().join(join.right.schema()).ok()?;
            equal.extend(self.equalities(condition, &schema, &both)?);
        }
        // A side whose rows are there without one of the other tells of the other's person, who is another's or nobody's then; of
        // its own person the other side tells nothing.
        let (left_stays, right_stays) = match join.join_type {
            JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => (false, false),
            JoinType::Left | JoinType::LeftAnti => (true, false),
            JoinType::Right | JoinType::RightAnti => (false, true),
            JoinType::Full => (true, true),
            JoinType::LeftMark | JoinType::RightMark => return None,
        };
        let stays =
            |scan: &usize| (left_stays && left.scans.contains(scan)) || (right_stays && right.scans.contains(scan));
        self.unite(&equal, |_, to| !stays(&to));
        let columns = match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => left.columns,
            JoinType::RightSemi | JoinType::RightAnti => right.columns,
            _ => both,
        };
        Some(Traced { columns, scans: &left.scans | &right.scans })
    }

    /// A column of a union says whose a row is when it does so in every part.
    fn union(&mut self, union: &Union) -> Option<Traced> {
        let parts = union.inputs.iter().map(|input| self.node(input)).collect::<Option<Vec<_>>>()?;
        let count = parts.first()?.columns.len();
        let mut columns: Vec<Option<Says>> = Vec::new();
        for place in 0..count {
            let said: Option<Vec<Says>> = parts.iter().map(|part| part.columns.get(place).copied().flatten()).collect();
            let is_subject = said.as_ref().is_some_and(|said| said.iter().all(|says| says.is_subject));
            columns.push(said.map(|_| Says { scan: self.add(None), is_subject }));
        }
        let kept: Vec<usize> = (0..count).filter(|place| columns[*place].is_some()).collect();
        for part in &parts {
            if !self.tells(kept.iter().map(|place| part.columns[*place]), &part.scans) {
                return None;
            }
        }
        for one in &kept {
            for other in &kept {
                let follows = parts.iter().all(|part| match (part.columns[*one], part.columns[*other]) {
                    (Some(one), Some(other)) => self.known_from(one.scan).contains(&other.scan),
                    _ => false,
                });
                if let (true, Some(one), Some(other)) = (follows, columns[*one], columns[*other]) {
                    self.scans[one.scan].same.insert(other.scan);
                }
            }
        }
        let scans = columns.iter().flatten().map(|says| says.scan).collect();
        Some(Traced { columns, scans })
    }

    /// Of columns that are equal, each tells the other's person, where that direction is allowed.
    fn unite(&mut self, equal: &[(Says, Says)], is_allowed: impl Fn(usize, usize) -> bool) {
        for (one, other) in equal {
            let table = &self.scans[one.scan].table;
            let is_same_row = table.is_some() && *table == self.scans[other.scan].table;
            if !one.is_subject && !other.is_subject && !is_same_row {
                continue;
            }
            for (from, to) in [(one.scan, other.scan), (other.scan, one.scan)] {
                if is_allowed(from, to) {
                    self.scans[from].same.insert(to);
                }
            }
        }
    }

    /// The columns that a condition demands to be equal. None for a condition with a subquery over tables about persons.
    fn equalities(&self, condition: &Expr, schema: &DFSchema, input: &[Option<Says>]) -> Option<Vec<(Says, Says)>> {
        if !self.is_plain(condition) {
            return None;
        }
        let mut equal = Vec::new();
        for part in split_conjunction(condition) {
            if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = part {
                equal.extend(self.column(left, schema, input)?.zip(self.column(right, schema, input)?));
            }
        }
        Some(equal)
    }

    fn columns(&self, expressions: &[Expr], schema: &DFSchema, input: &[Option<Says>]) -> Option<Vec<Option<Says>>> {
        expressions.iter().map(|expression| self.column(expression, schema, input)).collect()
    }

    /// What an expression says: as much as the column that it is, and nothing when it is computed.
    fn column(&self, expression: &Expr, schema: &DFSchema, input: &[Option<Says>]) -> Option<Option<Says>> {
        match expression {
            Expr::Alias(alias) => self.column(&alias.expr, schema, input),
            Expr::Column(column) => input.get(schema.index_of_column(column).ok()?).copied(),
            _ => self.is_plain(expression).then_some(None),
        }
    }

    /// Whether there is no subquery over tables about persons in an expression.
    fn is_plain(&self, expression: &Expr) -> bool {
        let asks_persons = |plan: &LogicalPlan| {
            let found = plan.exists(|node| {
                Ok(matches!(node, LogicalPlan::TableScan(scan) if self.persons.inputs.contains_key(scan.table_name.table()))
                    || node.expressions().iter().any(|expression| !self.is_plain(expression)))
            });
            found.unwrap_or(true)
        };
        let found = expression.exists(|part| {
            Ok(match part {
                Expr::ScalarSubquery(subquery) => asks_persons(&subquery.subquery),
                Expr::InSubquery(subquery) => asks_persons(&subquery.subquery.subquery),
                Expr::Exists(exists) => asks_persons(&exists.subquery.subquery),
                _ => false,
            })
        });
        !found.unwrap_or(true)
    }
}
