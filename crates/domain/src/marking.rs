//! Marks in copies (指纹水印): what may be changed so that a copy names its recipient, who says so, and who holds the keys.
//!
//! Every column is exact unless its provider declares a tolerance in the catalogue entry, which the chief data officer signs.
//! What is declared, the [`MarkLimits`], is a part of every scope and only narrows on its way to the product; there a
//! [`Marking`] is chosen within them. Data about persons and credit data are exact always: that they are right is a duty by
//! law. The mathematics of marks is `docs/fingerprinting.md`; nothing here draws one.

mod chosen;
mod consumer;
mod decoys;
mod keeps;
mod keys;

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::resource::{DataType, ResourceDetails};
use crate::scope::ColumnName;

pub(crate) use chosen::check;
pub use chosen::{Carrier, Encoding, MARKS_MAX, MEMBERS_MAX, Mark, Marking, Member, RATE_PER_MILLION_MAX};
pub(crate) use consumer::check_consumer;
pub use decoys::DECOYS_PER_MILLION_MAX;
pub use keeps::{Dependency, KEPT_MAX, Keeps, MomentBounds};
pub use keys::{CODE_EPOCH_MAX, KeyCommitments, MarkKeys, MarkProfile, code_epoch};
pub(crate) use keys::{give_shares, renew_keys};

/// The largest share of rows that copies may lack, in rows of a million: a tenth.
pub const OMITTED_PER_MILLION_MAX: u32 = 100_000;
/// The largest tolerance of a number or a time.
pub const TOLERANCE_MAX: i64 = 1_000_000_000;
/// Most decimals of a tolerance in numbers.
pub const TOLERANCE_DECIMALS_MAX: u32 = 12;
/// Most decimals of a tolerance in seconds: a microsecond is what detection can still tell.
pub const SECONDS_DECIMALS_MAX: u32 = 6;
/// The largest tolerance of a clock time in minutes.
pub const MINUTES_MAX: u32 = 720;
/// The largest tolerance of a place in metres.
pub const METRES_MAX: u32 = 100_000;
/// Most texts of all sets of one tolerance.
pub const TEXTS_MAX: usize = 4_096;
/// Longest text of a set, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;

/// By how much a column's values may be off in copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// A number, by so much at most, in the column's own unit; the last digits are allowed by their worth (`0.09` for the
    /// second digit after the point).
    Number(Decimal),
    /// A day or a moment, by so many seconds at most.
    Seconds(Decimal),
    /// A clock time that is written as hours and minutes in one integer (5:17 as 517), by so many minutes at most.
    Minutes(u32),
    /// A geographic coordinate, by so many metres at most.
    Metres(u32),
    /// A text, by another of its set: texts that are taken for each other, such as spellings of one address.
    Texts(BTreeSet<BTreeSet<String>>),
}

/// What the derive makes a schema of: it can't say that a decimal in a variant is written as text.
#[cfg(feature = "openapi")]
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum ToleranceSchema {
    /// A number as text, by so much at most.
    Number(String),
    /// A day or a moment, by so many seconds at most, as text.
    Seconds(String),
    /// A clock time, by so many minutes at most.
    Minutes(u32),
    /// A geographic coordinate, by so many metres at most.
    Metres(u32),
    /// A text, by another of its set.
    Texts(Vec<Vec<String>>),
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Tolerance {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        ToleranceSchema::schema()
    }
}
#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Tolerance {}

impl Tolerance {
    /// What both tolerances allow; none of two kinds, which is exact.
    pub fn meet(&self, other: &Tolerance) -> Option<Tolerance> {
        use Tolerance::{Metres, Minutes, Number, Seconds, Texts};
        match (self, other) {
            (Number(left), Number(right)) => Some(Number(*left.min(right))),
            (Seconds(left), Seconds(right)) => Some(Seconds(*left.min(right))),
            (Minutes(left), Minutes(right)) => Some(Minutes(*left.min(right))),
            (Metres(left), Metres(right)) => Some(Metres(*left.min(right))),
            (Texts(left), Texts(right)) => {
                let pairs = left.iter().flat_map(|one| right.iter().map(move |another| (one, another)));
                let met: BTreeSet<BTreeSet<String>> = pairs
                    .map(|(one, another)| one.intersection(another).cloned().collect::<BTreeSet<String>>())
                    .filter(|set| set.len() > 1)
                    .collect();
                (!met.is_empty()).then_some(Texts(met))
            }
            _ => None,
        }
    }

    /// True when this tolerance allows nothing that `parent` does not.
    pub fn is_within(&self, parent: &Tolerance) -> bool {
        self.meet(parent).as_ref() == Some(self)
    }

    /// Whether it says something that can be carried out.
    pub fn is_well_formed(&self) -> bool {
        let is_amount = |amount: &Decimal, decimals| {
            *amount > Decimal::ZERO && *amount <= Decimal::from(TOLERANCE_MAX) && amount.normalize().scale() <= decimals
        };
        match self {
            Tolerance::Number(amount) => is_amount(amount, TOLERANCE_DECIMALS_MAX),
            Tolerance::Seconds(amount) => is_amount(amount, SECONDS_DECIMALS_MAX),
            Tolerance::Minutes(minutes) => (1..=MINUTES_MAX).contains(minutes),
            Tolerance::Metres(metres) => (1..=METRES_MAX).contains(metres),
            Tolerance::Texts(sets) => {
                let mut seen = BTreeSet::new();
                let texts = sets.iter().flatten();
                !sets.is_empty()
                    && sets.iter().all(|set| set.len() > 1)
                    && texts.clone().count() <= TEXTS_MAX
                    && texts.clone().all(|text| !text.is_empty() && text.len() <= TEXT_BYTES_MAX && seen.insert(text))
            }
        }
    }

    /// Whether values of a type can be off in this way.
    pub fn fits(&self, data_type: DataType) -> bool {
        match self {
            Tolerance::Number(_) => matches!(data_type, DataType::Integer | DataType::Float | DataType::Decimal),
            Tolerance::Seconds(_) => {
                matches!(data_type, DataType::Date | DataType::LocalTimestamp | DataType::Timestamp)
            }
            Tolerance::Minutes(_) => data_type == DataType::Integer,
            Tolerance::Metres(_) => data_type == DataType::Float,
            Tolerance::Texts(_) => data_type == DataType::Text,
        }
    }
}

/// What marks may at most change in copies of a table. Nothing, unless it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct MarkLimits {
    /// The columns whose values may be off, and by how much; every other column is exact.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tolerances: BTreeMap<ColumnName, Tolerance>,
    /// How many rows of a million a copy may lack, at most [`OMITTED_PER_MILLION_MAX`].
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted_per_million: u32,
    /// How many decoys a copy may hold for a million rows, at most [`DECOYS_PER_MILLION_MAX`].
    #[serde(skip_serializing_if = "is_zero")]
    pub decoys_per_million: u32,
    /// How far mean and deviation of a marked column may be off in copies, and the share of a text; a ten-thousandth and a
    /// thousandth of the deviation, and a thousandth of the rows, unless it is said.
    #[serde(skip_serializing_if = "MomentBounds::is_default")]
    pub moments: MomentBounds,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl MarkLimits {
    /// Whether it says nothing: nothing may be changed.
    pub fn is_none(&self) -> bool {
        self.tolerances.is_empty()
            && self.omitted_per_million == 0
            && self.decoys_per_million == 0
            && self.moments.is_default()
    }

    /// Column by column what both allow, the smaller shares of rows and the narrower bounds.
    #[must_use]
    pub fn meet(&self, other: &MarkLimits) -> MarkLimits {
        let mut tolerances = BTreeMap::new();
        for (column, tolerance) in &self.tolerances {
            if let Some(met) = other.tolerances.get(column).and_then(|others| tolerance.meet(others)) {
                tolerances.insert(column.clone(), met);
            }
        }
        MarkLimits {
            tolerances,
            omitted_per_million: self.omitted_per_million.min(other.omitted_per_million),
            decoys_per_million: self.decoys_per_million.min(other.decoys_per_million),
            moments: self.moments.meet(other.moments),
        }
    }

    /// What is left of it in a scope that has these columns alone.
    #[must_use]
    pub(crate) fn kept_to<T>(mut self, columns: &BTreeMap<ColumnName, T>) -> MarkLimits {
        self.tolerances.retain(|column, _| columns.contains_key(column));
        self
    }
}

/// What a provider declares of its resource: the chief data officer signs it with the catalogue entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MarkDeclaration {
    /// Whether any of it is credit information (信用信息): it is then exact. There is no default: who declares a tolerance
    /// says so.
    pub credit_data: bool,
    /// What may be changed in copies.
    pub limits: MarkLimits,
}

/// Checks what a catalogue entry declares. Error: `invalid` with the rule that it goes against.
pub(crate) fn check_declaration(details: &ResourceDetails) -> Result<(), Refusal> {
    let Some(declaration) = &details.marks else { return Ok(()) };
    let limits = &declaration.limits;
    if details.subject.is_some() {
        return Err(Refusal::invalid(
            "marks",
            "个人信息须准确、完整（个人信息保护法第八条），不得声明容差，也不得缺行",
            "personal data is accurate and complete by law (PIPL art. 8): no tolerance and no missing rows can be declared",
        ));
    }
    if declaration.credit_data {
        return Err(Refusal::invalid(
            "marks",
            "信用信息的准确是法定义务（征信业管理条例第二十三条），不得声明容差，也不得缺行",
            "that credit data is accurate is a duty by law (Regulation on the Credit Reporting Industry art. 23): no tolerance and no missing rows can be declared",
        ));
    }
    if details.key.is_empty() {
        return Err(Refusal::invalid(
            "marks",
            "水印依附于行的主键，请先声明主键",
            "marks hang on the key of a row; declare one",
        ));
    }
    if limits.omitted_per_million > OMITTED_PER_MILLION_MAX {
        return Err(Refusal::invalid(
            "marks",
            format!("缺行每百万行不超过 {OMITTED_PER_MILLION_MAX}"),
            format!("a copy lacks at most {OMITTED_PER_MILLION_MAX} rows of a million"),
        ));
    }
    if limits.decoys_per_million > DECOYS_PER_MILLION_MAX {
        return Err(Refusal::invalid(
            "marks",
            format!("诱饵行每百万行不超过 {DECOYS_PER_MILLION_MAX}"),
            format!("a copy holds at most {DECOYS_PER_MILLION_MAX} decoys for a million rows"),
        ));
    }
    if !limits.moments.is_well_formed() {
        return Err(Refusal::invalid(
            "marks",
            "均值、标准差与占比的界限为每百万 1 至 1000000",
            "bounds of mean, deviation and share are 1 to 1,000,000 of a million",
        ));
    }
    for (name, tolerance) in &limits.tolerances {
        let column = details.columns.iter().find(|column| column.name == *name);
        if !column.is_some_and(|column| tolerance.fits(column.data_type)) || !tolerance.is_well_formed() {
            return Err(Refusal::invalid(
                "marks",
                format!("信息项 {name} 不存在，或该容差不适用于其类型，或超出限值"),
                format!("there is no column {name}, or this tolerance doesn't fit its type or its limits"),
            ));
        }
        if details.key.contains(name) {
            return Err(Refusal::invalid(
                "marks",
                format!("{name} 属于主键，主键不可改动"),
                format!("{name} is part of the key, which is never changed"),
            ));
        }
    }
    Ok(())
}
