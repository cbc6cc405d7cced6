//! The marking of a product: which of the allowed changes carry its marks.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::decoys;
use super::keeps::{self, Keeps};
use super::{MarkProfile, SECONDS_DECIMALS_MAX, TEXTS_MAX, TOLERANCE_DECIMALS_MAX, Tolerance};
use crate::chain;
use crate::decide::Reader;
use crate::product::{ProductColumn, ProductDetails, SourceColumn};
use crate::refusal::{Refusal, RefusalCode};
use crate::resource::DataType;
use crate::scope::{ColumnName, Mode, Precision, Scope};

/// Most marks of one product.
pub const MARKS_MAX: usize = 256;
/// Most columns that one bit moves together.
pub const MEMBERS_MAX: usize = 16;
/// A rate of one: every cell that can bear it.
pub const RATE_PER_MILLION_MAX: u32 = 1_000_000;
/// Largest coefficient of a member, of either sign.
const COEFFICIENT_MAX: u32 = 1_000;
/// Most digits after the point of coordinates.
const COORDINATE_DECIMALS_MAX: u8 = 12;
/// Metres of a degree of latitude, of which a mark moves three steps of the last decimal at least.
const DEGREE_METRES: i64 = 111_320;
/// The modes by which values leave: whoever has one of them sees marked values in everything.
const MARKED_MODES: [Mode; 3] = [Mode::Lookup, Mode::Rows, Mode::File];

/// How copies of a product are marked. It can't be changed while copies are out, so it is part of the product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Marking {
    /// Which ciphers draw the marks.
    pub profile: MarkProfile,
    /// The marks in values. None where no value may change.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// How many rows of a million each copy lacks; the weight of the others is delivered.
    #[serde(default)]
    pub omitted_per_million: u32,
    /// How many rows that do not exist are laid among a million rows, at most; each copy has its own share of them.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub decoys_per_million: u32,
    /// What copies keep of the originals. None of a product that was drafted before there was a word for it: its copies keep
    /// ties and domains alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeps: Option<Keeps>,
}

/// One kind of position: a column, or columns that one bit moves together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Its name within the product, in the form of a column's.
    pub name: ColumnName,
    /// How many of a million cells that can bear it are marked.
    pub rate_per_million: u32,
    /// Columns that the mark hangs on instead of the row's key: rows that agree in them and in the value are marked alike, so
    /// that what these columns determine they go on determining in each copy. Empty: each row by itself.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub by: BTreeSet<ColumnName>,
    /// What carries the bit.
    pub carrier: Carrier,
}

/// What carries a bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Carrier {
    /// Numbers or times that move by some steps. Columns that a constraint ties move together by their coefficients, so that
    /// the constraint goes on holding.
    Number {
        /// The columns, the anchor first.
        members: Vec<Member>,
        /// By how many steps a coefficient of one moves.
        amplitude: u32,
    },
    /// Coordinates in degrees.
    Place {
        /// Column of the latitude.
        latitude: ColumnName,
        /// Column of the longitude.
        longitude: ColumnName,
        /// Digits after the point that they keep.
        decimals: u8,
        /// How far at most.
        metres: u32,
    },
    /// Texts that are taken for each other.
    Category {
        /// The column.
        column: ColumnName,
        /// The sets.
        sets: BTreeSet<BTreeSet<String>>,
    },
}

/// One column of a number mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub column: ColumnName,
    /// How its values are numbers.
    pub encoding: Encoding,
    /// By how much it moves when the anchor moves by one; the anchor's is 1.
    pub coefficient: i32,
    /// The least value that may be delivered, of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub least: Option<Decimal>,
    /// The greatest value that may be delivered, of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub greatest: Option<Decimal>,
}

/// How a column's values are numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Encoding {
    /// Numbers that are multiples of a step.
    Lattice {
        /// The step.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        step: Decimal,
    },
    /// Days and moments.
    Time {
        /// The step in seconds.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        step: Decimal,
    },
    /// Integers that read as hours and minutes; the step is a minute.
    HoursMinutes,
}

impl Marking {
    /// Whether a right to a product with these modes sees marked values. Where values leave at all, everything that it is
    /// given is marked; a right to verification and statistics alone sees exact ones.
    pub fn is_seen_by(modes: &BTreeSet<Mode>) -> bool {
        MARKED_MODES.iter().any(|mode| modes.contains(mode))
    }

    /// The columns whose values are changed.
    pub fn columns(&self) -> BTreeSet<&ColumnName> {
        self.marks.iter().flat_map(Mark::columns).collect()
    }
}

impl Mark {
    /// The columns that it changes.
    pub fn columns(&self) -> Vec<&ColumnName> {
        match &self.carrier {
            Carrier::Number { members, .. } => members.iter().map(|member| &member.column).collect(),
            Carrier::Place { latitude, longitude, .. } => vec![latitude, longitude],
            Carrier::Category { column, .. } => vec![column],
        }
    }

    pub(super) fn refused(&self, zh: &str, en: &str) -> Refusal {
        Refusal::invalid("marking", format!("{}：{zh}", self.name), format!("{}: {en}", self.name))
    }

    /// Checks the carrier by itself.
    fn check_form(&self) -> Result<(), Refusal> {
        if self.rate_per_million == 0 || self.rate_per_million > RATE_PER_MILLION_MAX {
            return Err(self.refused("比率为每百万 1 至 1000000", "a rate is 1 to 1,000,000 of a million"));
        }
        match &self.carrier {
            Carrier::Number { members, amplitude } => {
                if members.is_empty() || members.len() > MEMBERS_MAX || *amplitude == 0 {
                    return Err(self.refused(
                        "须有 1 至 16 列，幅度至少为一步",
                        "it takes 1 to 16 columns and an amplitude of at least one step",
                    ));
                }
                if members.first().is_some_and(|anchor| anchor.coefficient != 1) {
                    return Err(
                        self.refused("第一列（锚）的系数为 1", "the coefficient of the first column, the anchor, is 1")
                    );
                }
                members.iter().try_for_each(|member| self.check_member(member))
            }
            Carrier::Place { decimals, metres, .. } => {
                // Three steps of the last decimal: less would not show in what is kept of the coordinates.
                let steps_metres = Decimal::new(3 * DEGREE_METRES, u32::from((*decimals).min(COORDINATE_DECIMALS_MAX)));
                if *decimals > COORDINATE_DECIMALS_MAX || Decimal::from(*metres) < steps_metres {
                    return Err(self.refused(
                        "小数至多 12 位，距离至少为末位的三步",
                        "coordinates have at most 12 decimals, and the distance is at least three steps of the last",
                    ));
                }
                Ok(())
            }
            Carrier::Category { sets, .. } => {
                if !Tolerance::Texts(sets.clone()).is_well_formed() {
                    return Err(self.refused(
                        &format!("须有互不相交的集合，每个至少两项，共至多 {TEXTS_MAX} 项"),
                        &format!(
                            "it takes sets that share nothing, each of at least two texts, at most {TEXTS_MAX} in all"
                        ),
                    ));
                }
                Ok(())
            }
        }
    }

    fn check_member(&self, member: &Member) -> Result<(), Refusal> {
        if member.coefficient == 0 || member.coefficient.unsigned_abs() > COEFFICIENT_MAX {
            return Err(self.refused("系数为 1 至 1000，可为负", "a coefficient is 1 to 1,000, of either sign"));
        }
        let decimals = match &member.encoding {
            Encoding::Lattice { .. } => TOLERANCE_DECIMALS_MAX,
            Encoding::Time { .. } => SECONDS_DECIMALS_MAX,
            Encoding::HoursMinutes => 0,
        };
        if let Encoding::Lattice { step } | Encoding::Time { step } = &member.encoding {
            let step = step.normalize();
            let is_counted =
                step > Decimal::ZERO && step.scale() <= decimals && step.mantissa() <= i128::from(u32::MAX);
            if !is_counted {
                return Err(self.refused("步长须大于零，位数不超限", "a step is above zero and has few enough digits"));
            }
        }
        let bounded = member.least.is_some() || member.greatest.is_some();
        if bounded && !matches!(member.encoding, Encoding::Lattice { .. }) {
            return Err(self.refused("只有数值列可设上下限", "bounds are given for numbers only"));
        }
        if let (Some(least), Some(greatest)) = (member.least, member.greatest)
            && least > greatest
        {
            return Err(self.refused("下限不得高于上限", "the least value is not above the greatest"));
        }
        Ok(())
    }

    /// What the mark asks of a column's tolerance; none where it can't be told.
    fn reach(&self, column: &ColumnName) -> Option<Tolerance> {
        match &self.carrier {
            Carrier::Number { members, amplitude } => {
                let member = members.iter().find(|member| member.column == *column)?;
                let steps = amplitude.checked_mul(member.coefficient.unsigned_abs())?;
                match &member.encoding {
                    Encoding::Lattice { step } => step.checked_mul(Decimal::from(steps)).map(Tolerance::Number),
                    Encoding::Time { step } => step.checked_mul(Decimal::from(steps)).map(Tolerance::Seconds),
                    Encoding::HoursMinutes => Some(Tolerance::Minutes(steps)),
                }
            }
            Carrier::Place { metres, .. } => Some(Tolerance::Metres(*metres)),
            Carrier::Category { sets, .. } => Some(Tolerance::Texts(sets.clone())),
        }
    }

    /// Whether the column's type can be read as the mark reads it.
    fn fits(&self, column: &ProductColumn) -> bool {
        let Some(reach) = self.reach(&column.name) else { return false };
        let whole = |step: &Decimal, unit: i64| (step / Decimal::from(unit)).is_integer();
        let step_fits = match &self.carrier {
            Carrier::Number { members, .. } => {
                members.iter().filter(|member| member.column == column.name).all(|member| {
                    match (&member.encoding, column.data_type) {
                        (Encoding::Lattice { step }, DataType::Integer) => whole(step, 1),
                        (Encoding::Time { step }, DataType::Date) => whole(step, 86_400),
                        _ => true,
                    }
                })
            }
            Carrier::Place { .. } | Carrier::Category { .. } => true,
        };
        reach.fits(column.data_type) && step_fits
    }
}

/// Checks the marking of a product against what its rights allow. Errors: `invalid` with the mark and what to change;
/// `scope_too_wide` where a mark would change more than the rights above allow.
pub(crate) fn check(reader: &mut Reader<'_>, details: &ProductDetails, scope: &Scope) -> Result<(), Refusal> {
    let Some(marking) = &details.marking else { return Ok(()) };
    let conditions = conditions(reader, details)?;
    let refused = |zh: String, en: String| Err(Refusal::invalid("marking", zh, en));
    if marking.marks.is_empty() && marking.omitted_per_million == 0 && marking.decoys_per_million == 0 {
        return refused("没有任何标记；请省略 marking".to_owned(), "it marks nothing; leave it out".to_owned());
    }
    if details.key.is_empty() {
        return refused(
            "水印依附于行的主键，请声明 key".to_owned(),
            "marks hang on the key of a row; name one".to_owned(),
        );
    }
    if details.names_subjects() {
        return refused(
            "指明主体的产品，其各行是关于个人的信息，须准确、完整（个人信息保护法第八条），不能加标记；请省略 marking".to_owned(),
            "the rows of a product that names subjects are about persons and accurate and complete by law (PIPL art. 8), whatever resource a column comes from; leave the marking out"
                .to_owned(),
        );
    }
    for resource in details.inputs.keys() {
        if reader.resource(resource)?.snapshot.as_ref().is_some_and(|snapshot| snapshot.live.is_some()) {
            return refused(
                format!("{resource} 的数据不入库，没有可供溯源对照的原件，不能加标记"),
                format!("the data of {resource} is not stored here, so there would be no originals to trace a copy by"),
            );
        }
    }
    if !Marking::is_seen_by(&scope.modes) {
        return refused(
            "产品不以 lookup、rows 或 file 交付，无人得到带标记的值；请省略 marking".to_owned(),
            "no values leave by this product's modes, so nobody would see a mark; leave it out".to_owned(),
        );
    }
    if marking.marks.len() > MARKS_MAX {
        return refused(format!("至多 {MARKS_MAX} 个标记"), format!("at most {MARKS_MAX} marks"));
    }
    if marking.omitted_per_million > scope.marks.omitted_per_million {
        return Err(too_wide("rows", scope.marks.omitted_per_million));
    }
    let (mut names, mut columns) = (BTreeSet::new(), BTreeSet::new());
    for mark in &marking.marks {
        mark.check_form()?;
        if !names.insert(&mark.name) {
            return Err(mark.refused("名称重复", "the name is there twice"));
        }
        for column in mark.columns() {
            if !columns.insert(column) {
                return Err(mark.refused(
                    "一列只能属于一个标记；相关联的列请列入同一标记",
                    "a column is in one mark only, once; tie columns in one mark",
                ));
            }
            check_column(details, scope, mark, column)?;
        }
        check_sources(details, mark, &conditions)?;
    }
    for mark in &marking.marks {
        check_by(details, scope, mark, &columns)?;
    }
    decoys::check(reader, marking, details, scope, &conditions)?;
    keeps::check(marking, details, scope)
}

pub(super) fn too_wide(subject: &str, allowed: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        RefusalCode::ScopeTooWide,
        subject,
        format!("{subject} 的改动超出上级权限所允许的范围（{allowed}）"),
        format!("{subject} would be changed by more than the rights above allow ({allowed})"),
    )
}

/// What a mark hangs on is a column of the product that is exact wherever it is shown: marks that are alike tell where it is
/// equal.
fn check_by(
    details: &ProductDetails,
    scope: &Scope,
    mark: &Mark,
    marked: &BTreeSet<&ColumnName>,
) -> Result<(), Refusal> {
    if mark.by.len() > MEMBERS_MAX {
        return Err(mark.refused("至多依 16 列", "it hangs on at most 16 columns"));
    }
    for name in &mark.by {
        let column = details.shape.columns.iter().find(|column| column.name == *name);
        if marked.contains(name) || column.is_none_or(|column| column.data_type == DataType::Float) {
            return Err(mark.refused(
                &format!("{name} 须是产品未加标记的输出列，且不是浮点数"),
                &format!("{name} has to be an output column that is not marked and no floating-point number"),
            ));
        }
        must_be_exact(scope, mark, name)?;
    }
    Ok(())
}

fn check_column(details: &ProductDetails, scope: &Scope, mark: &Mark, name: &ColumnName) -> Result<(), Refusal> {
    let Some(column) = details.shape.columns.iter().find(|column| column.name == *name) else {
        return Err(mark.refused(&format!("{name} 不是产品的输出列"), &format!("{name} is not an output column")));
    };
    let named = details.key.iter().chain(&details.subject).chain(&details.further_subjects).chain(&details.dimensions);
    if named.clone().any(|other| other == name) {
        return Err(mark.refused(
            &format!("{name} 是主键、主体或统计维度，须保持原值"),
            &format!("{name} is a key, a subject or a dimension of statistics, which are exact"),
        ));
    }
    if !mark.fits(column) {
        return Err(mark.refused(
            &format!("{name} 的类型不适用该载体或步长"),
            &format!("the type of {name} doesn't fit this carrier or its step"),
        ));
    }
    let reach = mark.reach(name);
    match (scope.marks.tolerances.get(name), reach) {
        (Some(allowed), Some(reach)) if reach.is_within(allowed) => {}
        (Some(_), _) => return Err(too_wide(name.as_str(), "its tolerance")),
        (None, _) => return Err(too_wide(name.as_str(), "exact")),
    }
    must_be_exact(scope, mark, name)
}

/// Refuses a column that is shown coarsened in some mode.
fn must_be_exact(scope: &Scope, mark: &Mark, name: &ColumnName) -> Result<(), Refusal> {
    let precisions = scope.columns.get(name);
    for mode in scope.modes.iter().filter(|mode| **mode != Mode::Compute) {
        let precision = precisions.map_or(Precision::Hidden, |precisions| precisions.in_mode(*mode));
        let is_left_out = precision == Precision::Hidden && !MARKED_MODES.contains(mode);
        if precision != Precision::Exact && !is_left_out {
            return Err(mark.refused(
                &format!("{name} 以 {} 交付时已脱敏（{precision}），不能再加标记", mode.code()),
                &format!("{name} is coarsened in mode {} ({precision}) and carries no mark", mode.code()),
            ));
        }
    }
    Ok(())
}

/// Source columns that decide which rows there are: by the product's SQL, by its own conditions on output columns, or by those of a
/// right above it, in force or not: what was given while it was is still with whoever got it.
pub(super) fn conditions(reader: &mut Reader<'_>, details: &ProductDetails) -> Result<BTreeSet<SourceColumn>, Refusal> {
    let mut conditions = details.shape.conditions.clone();
    for predicate in &details.narrowing.rows {
        for name in predicate.columns() {
            let columns = details.shape.columns.iter().filter(|column| column.name == *name);
            conditions.extend(columns.flat_map(|column| column.lineage.clone()));
        }
    }
    for (resource, permit) in &details.inputs {
        for (_, narrowing) in chain::narrowings(reader, permit, resource)? {
            let columns = narrowing.rows.iter().flat_map(|predicate| predicate.columns());
            conditions
                .extend(columns.map(|column| SourceColumn { resource: resource.clone(), column: column.clone() }));
        }
    }
    Ok(conditions)
}

/// What a mark changes must not be told by anything else in the product: a second column of the same source, or rows that are
/// there for its exact value.
fn check_sources(details: &ProductDetails, mark: &Mark, conditions: &BTreeSet<SourceColumn>) -> Result<(), Refusal> {
    let members: BTreeSet<&ColumnName> = mark.columns().into_iter().collect();
    let of_mark = details.shape.columns.iter().filter(|column| members.contains(&column.name));
    let sources: BTreeSet<&SourceColumn> = of_mark.flat_map(|column| &column.lineage).collect();
    for column in details.shape.columns.iter().filter(|column| !members.contains(&column.name)) {
        if column.lineage.iter().any(|source| sources.contains(source)) {
            return Err(mark.refused(
                &format!("输出列 {} 出自同一来源列，会泄露原值；请列入同一标记或去掉", column.name),
                &format!("output column {} comes from the same source and would tell the original; tie it in this mark or leave it out", column.name),
            ));
        }
    }
    if let Some(source) = conditions.iter().find(|source| sources.contains(source)) {
        return Err(mark.refused(
            &format!("来源列 {} 决定有哪些行，会泄露原值", source.column),
            &format!("source column {} decides which rows there are and would tell the original", source.column),
        ));
    }
    Ok(())
}
