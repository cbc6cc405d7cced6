//! Scopes: the form of every right to data.
//!
//! A scope says which columns at which precision per delivery mode, which rows, for which purposes, by which modes,
//! in which term, above which cohort floor, whether with consent, and what marks may change. Power only narrows: a child is written as a
//! [`Narrowing`] of its parent. [`Scope::narrow`] refuses a narrowing that names more than the parent has (used when
//! a right is created); [`Scope::restrict`] takes what both have (used when a right is exercised, since a parent may
//! have shrunk since); [`Scope::meet`] combines two scopes of the same table. Nothing here ever makes a scope larger.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::marking::{MarkLimits, MomentBounds};
use crate::order::QUOTA_MAX;
use crate::predicate::Predicate;
use crate::privacy::PrivacyBudget;
use crate::shared_quota::SharedQuota;

/// The name of a column: 1 to 64 of `a-z`, `0-9` and `_`, beginning with a letter; names that begin with `__` are
/// the engine's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
#[serde(transparent)]
pub struct ColumnName(String);

impl ColumnName {
    /// Checks and wraps a name. Errors: [`ScopeError::BadColumnName`].
    pub fn new(name: impl Into<String>) -> Result<Self, ScopeError> {
        let name = name.into();
        let mut bytes = name.bytes();
        let starts_well = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
        let goes_on_well = bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if starts_well && goes_on_well && name.len() <= 64 {
            Ok(Self(name))
        } else {
            Err(ScopeError::BadColumnName(name))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ColumnName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ColumnName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ColumnName::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// How an answer leaves, from what tells least to what tells most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Computing inside the domain (in-domain compute); nothing leaves by itself.
    Compute,
    /// 核验: a claim in; match, mismatch or not found out.
    Verification,
    /// Aggregates over declared dimensions, above the cohort floor.
    Statistics,
    /// Values of the rows of one key.
    Lookup,
    /// Rows by filter and projection.
    Rows,
    /// The data set as a file.
    File,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 6] =
        [Mode::Compute, Mode::Verification, Mode::Statistics, Mode::Lookup, Mode::Rows, Mode::File];

    /// The modes by which nothing but a verification, an aggregate or an in-domain result leaves: what a resource
    /// that is not open may at most be used by (原始数据不出域).
    pub const IN_DOMAIN: [Mode; 3] = [Mode::Compute, Mode::Verification, Mode::Statistics];

    /// The stable code, as in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Mode::Compute => "compute",
            Mode::Verification => "verification",
            Mode::Statistics => "statistics",
            Mode::Lookup => "lookup",
            Mode::Rows => "rows",
            Mode::File => "file",
        }
    }
}

/// Most decimals a rounding step may have.
pub const STEP_DECIMALS_MAX: u32 = 9;
/// Largest rounding step.
pub const STEP_MAX: i64 = 1_000_000_000_000;

/// How far a column's value is coarsened. Levels of one kind form a chain; [`Precision::meet`] of two levels of one
/// chain is the coarser, of two rounding steps the least step that both divide (so that the meet is the same in whatever
/// order it is taken), of two kinds [`Precision::Hidden`]. Written as text: `exact`, `month`, `year`, `county`,
/// `city`, `rounded:10`, `pseudonym:permit`, `pseudonym:consumer`, `pseudonym:order`, `hidden`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// As it stands.
    Exact,
    /// A date or timestamp cut to its month.
    Month,
    /// A date or timestamp cut to its year.
    Year,
    /// A division code or address cut to the county (six digits).
    County,
    /// A division code or address cut to the city (four digits, filled with zeros).
    City,
    /// A number rounded down to a multiple of the step (above 0, at most [`STEP_MAX`], at most [`STEP_DECIMALS_MAX`]
    /// decimals). Steps of a chain divide one another.
    Rounded(Decimal),
    /// An identifier replaced by a pseudonym that is the same within one permit.
    PseudonymOfPermit,
    /// … the same within one consumer.
    PseudonymOfConsumer,
    /// … the same within one order.
    PseudonymOfOrder,
    /// Not there at all.
    Hidden,
}

impl Precision {
    /// The coarser of two precisions of one chain; [`Precision::Hidden`] for two kinds.
    #[must_use]
    pub fn meet(self, other: Precision) -> Precision {
        use Precision::{Exact, Hidden, Rounded};
        match (self, other) {
            (Exact, any) | (any, Exact) => any,
            (left, right) if left == right => left,
            (Rounded(left), Rounded(right)) => least_common_step(left, right).map_or(Hidden, Rounded),
            (left, right) => match (left.chain_place(), right.chain_place()) {
                (Some((left_chain, left_place)), Some((right_chain, right_place))) if left_chain == right_chain => {
                    if left_place > right_place {
                        left
                    } else {
                        right
                    }
                }
                _ => Hidden,
            },
        }
    }

    /// True when this precision tells no more than `parent`.
    pub fn is_within(self, parent: Precision) -> bool {
        self.meet(parent) == self
    }

    /// (chain, how coarse), for the chains of named levels.
    fn chain_place(self) -> Option<(u8, u8)> {
        match self {
            Precision::Month => Some((0, 1)),
            Precision::Year => Some((0, 2)),
            Precision::County => Some((1, 1)),
            Precision::City => Some((1, 2)),
            Precision::PseudonymOfPermit => Some((2, 1)),
            Precision::PseudonymOfConsumer => Some((2, 2)),
            Precision::PseudonymOfOrder => Some((2, 3)),
            Precision::Exact | Precision::Rounded(_) | Precision::Hidden => None,
        }
    }
}

/// The least step that two steps divide. None where it is above [`STEP_MAX`] or a step is malformed.
fn least_common_step(left: Decimal, right: Decimal) -> Option<Decimal> {
    let (left, right) = (step_in_units(left)?, step_in_units(right)?);
    let (mut divisor, mut rest) = (left, right);
    // Euclid's algorithm: at most about 100 rounds for numbers of 70 bits.
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let units = (left / divisor).checked_mul(right)?;
    let step = Decimal::try_from_i128_with_scale(units, STEP_DECIMALS_MAX).ok()?;
    step_in_units(step)?;
    Some(step.normalize())
}

/// A step in units of its last allowed decimal. None unless it is above zero, at most [`STEP_MAX`] and has at most
/// [`STEP_DECIMALS_MAX`] decimals.
fn step_in_units(step: Decimal) -> Option<i128> {
    let step = step.normalize();
    if step <= Decimal::ZERO || step > Decimal::from(STEP_MAX) || step.scale() > STEP_DECIMALS_MAX {
        return None;
    }
    Some(step.mantissa() * 10_i128.pow(STEP_DECIMALS_MAX - step.scale()))
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Precision::Exact => formatter.write_str("exact"),
            Precision::Month => formatter.write_str("month"),
            Precision::Year => formatter.write_str("year"),
            Precision::County => formatter.write_str("county"),
            Precision::City => formatter.write_str("city"),
            Precision::Rounded(step) => write!(formatter, "rounded:{step}"),
            Precision::PseudonymOfPermit => formatter.write_str("pseudonym:permit"),
            Precision::PseudonymOfConsumer => formatter.write_str("pseudonym:consumer"),
            Precision::PseudonymOfOrder => formatter.write_str("pseudonym:order"),
            Precision::Hidden => formatter.write_str("hidden"),
        }
    }
}

impl FromStr for Precision {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let named = match text {
            "exact" => Precision::Exact,
            "month" => Precision::Month,
            "year" => Precision::Year,
            "county" => Precision::County,
            "city" => Precision::City,
            "pseudonym:permit" => Precision::PseudonymOfPermit,
            "pseudonym:consumer" => Precision::PseudonymOfConsumer,
            "pseudonym:order" => Precision::PseudonymOfOrder,
            "hidden" => Precision::Hidden,
            other => {
                let step = other.strip_prefix("rounded:").and_then(|step| Decimal::from_str(step).ok());
                match step {
                    Some(step) if step_in_units(step).is_some() => Precision::Rounded(step.normalize()),
                    _ => return Err(ScopeError::BadPrecision(text.chars().take(80).collect())),
                }
            }
        };
        Ok(named)
    }
}

impl Serialize for Precision {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Precision {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Precision {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}
#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Precision {}

/// The precision of one column in each mode; a mode that is not listed is [`Precision::Hidden`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Precisions(pub BTreeMap<Mode, Precision>);

impl Precisions {
    /// The same precision in each of the modes.
    pub fn all_of(modes: &[Mode], precision: Precision) -> Self {
        Self(modes.iter().map(|mode| (*mode, precision)).collect())
    }

    /// The precision in a mode.
    pub fn in_mode(&self, mode: Mode) -> Precision {
        self.0.get(&mode).copied().unwrap_or(Precision::Hidden)
    }

    /// Mode by mode the coarser.
    #[must_use]
    pub fn meet(&self, other: &Precisions) -> Precisions {
        let mut met = BTreeMap::new();
        for mode in Mode::ALL {
            let precision = self.in_mode(mode).meet(other.in_mode(mode));
            if precision != Precision::Hidden {
                met.insert(mode, precision);
            }
        }
        Precisions(met)
    }
}

/// Longest purpose code, in bytes.
pub const PURPOSE_BYTES_MAX: usize = 120;

/// A purpose code: parts of `a-z`, `0-9`, `_` and `-` joined by `/`, from general to special (`insurance/claim`). `any`
/// is the root of the tree. The form is checked where a purpose is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
#[serde(transparent)]
pub struct Purpose(pub String);

impl Purpose {
    /// The root: every purpose.
    pub fn any() -> Self {
        Self("any".to_owned())
    }

    /// True when this purpose lies in the subtree of `parent`.
    pub fn is_within(&self, parent: &Purpose) -> bool {
        parent.0 == "any"
            || self.0 == parent.0
            || (self.0.starts_with(&parent.0) && self.0.as_bytes().get(parent.0.len()) == Some(&b'/'))
    }
}

impl<'de> Deserialize<'de> for Purpose {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        let is_part = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
            !part.is_empty() && part.bytes().all(allowed)
        };
        if code.len() <= PURPOSE_BYTES_MAX && code.split('/').all(is_part) {
            return Ok(Self(code));
        }
        let refused = ScopeError::BadPurpose(code.chars().take(80).collect());
        Err(serde::de::Error::custom(refused))
    }
}

/// When a right holds: from (included) until (excluded). Expiry is computed from the time and is never an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Term {
    /// The first moment.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub from: Timestamp,
    /// The first moment after.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub until: Timestamp,
}

impl Term {
    /// True at a moment within the term.
    pub fn covers(&self, moment: Timestamp) -> bool {
        self.from <= moment && moment < self.until
    }

    /// True when this term lies within another.
    pub fn is_within(&self, parent: &Term) -> bool {
        parent.from <= self.from && self.until <= parent.until
    }

    /// What both cover; may be empty (`from >= until`), then it covers nothing.
    #[must_use]
    pub fn meet(&self, other: &Term) -> Term {
        Term { from: self.from.max(other.from), until: self.until.min(other.until) }
    }
}

/// A right to the data of one table (a resource's columns or a product's output columns).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The columns, each with its precision per mode.
    pub columns: BTreeMap<ColumnName, Precisions>,
    /// Conditions that all hold for a covered row; none: every row.
    pub rows: BTreeSet<Predicate>,
    /// Roots of the purpose subtrees that are allowed; none: no purpose at all.
    pub purposes: BTreeSet<Purpose>,
    /// Modes by which answers may leave.
    pub modes: BTreeSet<Mode>,
    /// When.
    pub term: Term,
    /// The smallest number of subjects an answer may describe.
    pub cohort_floor: u32,
    /// Whether a subject's consent is needed.
    pub consent_required: bool,
    /// What marks may at most change in copies.
    #[serde(default, skip_serializing_if = "MarkLimits::is_none")]
    pub marks: MarkLimits,
}

/// What a child keeps of its parent. A part that is not given is kept whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Narrowing {
    /// The columns kept; a column with `null` keeps its parent's precision.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = map_of_nullable::<Precisions>))]
    pub columns: Option<BTreeMap<ColumnName, Option<Precisions>>>,
    /// Conditions added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Predicate>,
    /// Purposes kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purposes: Option<BTreeSet<Purpose>>,
    /// Modes kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modes: Option<BTreeSet<Mode>>,
    /// Term kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<Term>,
    /// A higher floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohort_floor: Option<u32>,
    /// `true` adds the need for consent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent_required: Option<bool>,
    /// What marks may at most change; a column or share that is not given here is then exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marks: Option<MarkLimits>,
    /// A privacy budget for statistics over the resource, for each consumer: an account, debited by every use and met with
    /// nothing. Only links of the resource segment set one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy_budget: Option<PrivacyBudget>,
    /// What all orders below may use together: accounts, debited by every use and met with nothing. Mandate, permit (for
    /// the uses of the resource) and product set one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<SharedQuota>,
}

/// The schema of a map whose values may be `null`, which the derive can't write.
#[cfg(feature = "openapi")]
pub(crate) fn map_of_nullable<T: utoipa::ToSchema>() -> utoipa::openapi::schema::Object {
    use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Schema, Type};
    use utoipa::openapi::{Ref, RefOr};
    let null = ObjectBuilder::new().schema_type(Type::Null);
    let value = OneOfBuilder::new().item(Ref::from_schema_name(T::name())).item(null).build();
    let value = AdditionalProperties::RefOr(RefOr::T(Schema::OneOf(value)));
    ObjectBuilder::new().additional_properties(Some(value)).build()
}

impl Narrowing {
    /// The narrowing of one item with a term that bounds every item: of two terms, what both cover.
    #[must_use]
    pub fn within_term(&self, term: Term) -> Narrowing {
        let met = self.term.map_or(term, |own| own.meet(&term));
        Narrowing { term: Some(met), ..self.clone() }
    }

    /// The narrowing of one item with purposes that bound every item: of two sets, what lies in both.
    #[must_use]
    pub fn within_purposes(&self, purposes: &BTreeSet<Purpose>) -> Narrowing {
        let met = self.purposes.as_ref().map_or_else(|| purposes.clone(), |own| meet_purposes(own, purposes));
        Narrowing { purposes: Some(met), ..self.clone() }
    }
}

/// Why a narrowing is refused or a part of a scope is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Not a column name.
    #[error("`{0}` is not a column name: use 1 to 64 of a-z, 0-9 and _, beginning with a letter")]
    BadColumnName(String),
    /// Not a precision.
    #[error(
        "`{0}` is not a precision: use exact, month, year, county, city, rounded:STEP, pseudonym:permit, pseudonym:consumer, pseudonym:order or hidden"
    )]
    BadPrecision(String),
    /// Not a purpose code.
    #[error("`{0}` is not a purpose: use parts of a-z, 0-9, _ and - joined by /, at most {max} characters", max = PURPOSE_BYTES_MAX)]
    BadPurpose(String),
    /// A column that the parent does not have.
    #[error("column `{0}` is not in the scope above; leave it out or have the scope above widened first")]
    ColumnNotInParent(ColumnName),
    /// A finer precision than the parent's.
    #[error("column `{column}` would be {asked} in mode {}, but the scope above allows {allowed} at most", mode.code())]
    PrecisionFiner {
        /// The column.
        column: ColumnName,
        /// The mode.
        mode: Mode,
        /// What the child asks for.
        asked: Precision,
        /// What the parent allows.
        allowed: Precision,
    },
    /// A row condition on a column that is not exact in the parent: it would be an oracle for the exact value.
    #[error("a row condition may not use column `{0}`: it is not exact in the scope above")]
    PredicateColumnNotExact(ColumnName),
    /// A row condition too deep or too large.
    #[error("a row condition is too large: at most {depth} levels and {nodes} parts", depth = crate::predicate::PREDICATE_DEPTH_MAX, nodes = crate::predicate::PREDICATE_NODES_MAX)]
    PredicateTooLarge,
    /// A purpose outside the parent's.
    #[error("purpose `{}` is not within the purposes of the scope above", .0.0)]
    PurposeNotInParent(Purpose),
    /// A mode that the parent does not have.
    #[error("mode {} is not in the scope above", .0.code())]
    ModeNotInParent(Mode),
    /// A term that is not within the parent's or is empty.
    #[error("the term must not be empty and must lie within the term of the scope above ({} to {})", .0.from, .0.until)]
    TermNotInParent(Term),
    /// A lower floor than the parent's.
    #[error("the cohort floor must be at least {0}, the floor of the scope above")]
    FloorLower(u32),
    /// Consent that the parent requires is dropped.
    #[error("the scope above requires consent; it can't be dropped")]
    ConsentDropped,
    /// A tolerance that the parent does not have, or that says nothing.
    #[error(
        "column `{0}` may be changed by marks no more than the scope above allows; lower its tolerance or leave it out"
    )]
    ToleranceWider(ColumnName),
    /// More missing rows than the parent allows.
    #[error("copies may lack at most {0} rows of a million, as the scope above allows")]
    OmissionLarger(u32),
    /// More decoys than the parent allows.
    #[error("copies may hold at most {0} decoys for a million rows, as the scope above allows")]
    DecoysMore(u32),
    /// Bounds of mean, deviation and shares that the parent does not have, or that say nothing.
    #[error(
        "mean and deviation may be off by at most {} and {} millionths in copies and the share of a text by {}, as the scope above allows",
        .0.mean_per_million, .0.deviation_per_million, .0.share_per_million
    )]
    MomentsWider(MomentBounds),
    /// A privacy budget of nothing.
    #[error("a privacy budget must be more than 0; leave it out to set none")]
    BudgetNotPositive,
    /// A quota above what is counted.
    #[error("a limit of a quota is at most {QUOTA_MAX}")]
    QuotaTooLarge,
}

impl Scope {
    /// What both scopes allow. Only meaningful for two scopes of one table.
    #[must_use]
    pub fn meet(&self, other: &Scope) -> Scope {
        let mut columns = BTreeMap::new();
        for (column, precisions) in &self.columns {
            if let Some(others) = other.columns.get(column) {
                columns.insert(column.clone(), precisions.meet(others));
            }
        }
        Scope {
            marks: self.marks.meet(&other.marks).kept_to(&columns),
            columns,
            rows: self.rows.union(&other.rows).cloned().collect(),
            purposes: meet_purposes(&self.purposes, &other.purposes),
            modes: self.modes.intersection(&other.modes).copied().collect(),
            term: self.term.meet(&other.term),
            cohort_floor: self.cohort_floor.max(other.cohort_floor),
            consent_required: self.consent_required || other.consent_required,
        }
    }

    /// True when this scope allows nothing that `parent` does not. Row conditions are compared as written: a child's
    /// conditions include its parent's, nothing is ever proved about them.
    pub fn is_within(&self, parent: &Scope) -> bool {
        self.meet(parent) == *self
    }

    /// The child that a narrowing describes. Errors: a [`ScopeError`] that names the first part that would be wider
    /// than this scope.
    pub fn narrow(&self, narrowing: &Narrowing) -> Result<Scope, ScopeError> {
        self.check_columns(narrowing)?;
        for predicate in &narrowing.rows {
            self.check_predicate(predicate)?;
        }
        for purpose in narrowing.purposes.iter().flatten() {
            if !self.purposes.iter().any(|parent| purpose.is_within(parent)) {
                return Err(ScopeError::PurposeNotInParent(purpose.clone()));
            }
        }
        if let Some(mode) = narrowing.modes.iter().flatten().find(|mode| !self.modes.contains(mode)) {
            return Err(ScopeError::ModeNotInParent(*mode));
        }
        if let Some(term) = &narrowing.term
            && (!term.is_within(&self.term) || term.from >= term.until)
        {
            return Err(ScopeError::TermNotInParent(self.term));
        }
        if narrowing.cohort_floor.is_some_and(|floor| floor < self.cohort_floor) {
            return Err(ScopeError::FloorLower(self.cohort_floor));
        }
        if self.consent_required && narrowing.consent_required == Some(false) {
            return Err(ScopeError::ConsentDropped);
        }
        for (column, asked) in narrowing.marks.iter().flat_map(|marks| &marks.tolerances) {
            let allowed = self.marks.tolerances.get(column);
            if !asked.is_well_formed() || !allowed.is_some_and(|allowed| asked.is_within(allowed)) {
                return Err(ScopeError::ToleranceWider(column.clone()));
            }
        }
        let omitted = self.marks.omitted_per_million;
        if narrowing.marks.as_ref().is_some_and(|marks| marks.omitted_per_million > omitted) {
            return Err(ScopeError::OmissionLarger(omitted));
        }
        let decoys = self.marks.decoys_per_million;
        if narrowing.marks.as_ref().is_some_and(|marks| marks.decoys_per_million > decoys) {
            return Err(ScopeError::DecoysMore(decoys));
        }
        if let Some(asked) = narrowing.marks.as_ref().map(|marks| marks.moments) {
            // Bounds that are not said are the usual ones or the parent's, whichever are narrower.
            let is_said = asked != MomentBounds::default();
            if is_said && !(asked.is_well_formed() && asked.is_within(self.marks.moments)) {
                return Err(ScopeError::MomentsWider(self.marks.moments));
            }
        }
        if narrowing.privacy_budget.is_some_and(|budget| budget.rho.is_zero()) {
            return Err(ScopeError::BudgetNotPositive);
        }
        if narrowing.quota.as_ref().is_some_and(|quota| !quota.is_counted()) {
            return Err(ScopeError::QuotaTooLarge);
        }
        Ok(self.restrict(narrowing))
    }

    fn check_columns(&self, narrowing: &Narrowing) -> Result<(), ScopeError> {
        for (column, asked) in narrowing.columns.iter().flatten() {
            let allowed = self.columns.get(column).ok_or_else(|| ScopeError::ColumnNotInParent(column.clone()))?;
            for (mode, asked) in asked.iter().flat_map(|precisions| &precisions.0) {
                let allowed = allowed.in_mode(*mode);
                if !asked.is_within(allowed) {
                    return Err(ScopeError::PrecisionFiner {
                        column: column.clone(),
                        mode: *mode,
                        asked: *asked,
                        allowed,
                    });
                }
            }
        }
        Ok(())
    }

    /// Checks that a row condition is within its limits and looks only at columns that are exact here.
    pub(crate) fn check_predicate(&self, predicate: &Predicate) -> Result<(), ScopeError> {
        if !predicate.is_within_limits() {
            return Err(ScopeError::PredicateTooLarge);
        }
        for column in predicate.columns() {
            let precisions = self.columns.get(column).ok_or_else(|| ScopeError::ColumnNotInParent(column.clone()))?;
            if self.modes.iter().any(|mode| precisions.in_mode(*mode) != Precision::Exact) {
                return Err(ScopeError::PredicateColumnNotExact(column.clone()));
            }
        }
        Ok(())
    }

    /// What this scope and a narrowing both allow. Never fails and never widens: a part of the narrowing that this
    /// scope does not have is dropped.
    #[must_use]
    pub fn restrict(&self, narrowing: &Narrowing) -> Scope {
        let mut scope = self.clone();
        if let Some(kept) = &narrowing.columns {
            scope.columns = BTreeMap::new();
            for (column, precisions) in kept {
                if let Some(own) = self.columns.get(column) {
                    let met = precisions.as_ref().map_or_else(|| own.clone(), |asked| own.meet(asked));
                    scope.columns.insert(column.clone(), met);
                }
            }
        }
        scope.rows.extend(narrowing.rows.iter().cloned());
        if let Some(purposes) = &narrowing.purposes {
            scope.purposes = meet_purposes(&self.purposes, purposes);
        }
        if let Some(modes) = &narrowing.modes {
            scope.modes = self.modes.intersection(modes).copied().collect();
        }
        if let Some(term) = &narrowing.term {
            scope.term = self.term.meet(term);
        }
        scope.cohort_floor = self.cohort_floor.max(narrowing.cohort_floor.unwrap_or(0));
        scope.consent_required = self.consent_required || narrowing.consent_required.unwrap_or(false);
        if let Some(marks) = &narrowing.marks {
            scope.marks = self.marks.meet(marks);
        }
        scope.marks = scope.marks.kept_to(&scope.columns);
        scope
    }

    /// The columns that can be seen in a mode, with their precision there; empty when the mode is not allowed.
    pub fn visible_in(&self, mode: Mode) -> BTreeMap<&ColumnName, Precision> {
        if !self.modes.contains(&mode) {
            return BTreeMap::new();
        }
        let mut visible = BTreeMap::new();
        for (column, precisions) in &self.columns {
            let precision = precisions.in_mode(mode);
            if precision != Precision::Hidden {
                visible.insert(column, precision);
            }
        }
        visible
    }

    /// True when a purpose is allowed.
    pub fn allows_purpose(&self, purpose: &Purpose) -> bool {
        self.purposes.iter().any(|parent| purpose.is_within(parent))
    }
}

/// The subtrees that lie in both sets of subtrees, without those that lie in another of the result.
pub fn meet_purposes(left: &BTreeSet<Purpose>, right: &BTreeSet<Purpose>) -> BTreeSet<Purpose> {
    let mut met: BTreeSet<Purpose> = BTreeSet::new();
    for (one, others) in [(left, right), (right, left)] {
        for purpose in one {
            if others.iter().any(|other| purpose.is_within(other)) {
                met.insert(purpose.clone());
            }
        }
    }
    let covered = met.clone();
    met.retain(|purpose| !covered.iter().any(|other| other != purpose && purpose.is_within(other)));
    met
}
