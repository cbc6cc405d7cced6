//! What copies keep of the originals: bounds of mean and deviation, sort orders, totals, and dependencies between columns.
//!
//! What can be told from the marking alone is checked here; what hangs on the data, whoever has the data checks before the
//! product is drafted.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::chosen::{Carrier, Encoding, Mark, Marking};
use crate::product::ProductDetails;
use crate::refusal::{Refusal, RefusalCode};
use crate::scope::{ColumnName, Scope};

/// Most columns whose sort order is kept, most totals that are, and most dependencies that are not.
pub const KEPT_MAX: usize = 64;
/// Most columns of one total, and most that determine another.
const TOGETHER_MAX: usize = 16;
/// A whole, in millionths.
const MILLION: u32 = 1_000_000;
/// How far a mark may reach unless more is said: a fifth of what the other columns leave open.
const REACH_PER_MILLION: u32 = 200_000;
/// How far a text's share of the rows may be off unless more is said: a thousandth of all rows.
const SHARE_PER_MILLION: u32 = 1_000;

/// How far a copy of the whole product may be from the original: mean and standard deviation of a marked column of numbers, and the
/// shares of texts in one of categories. A copy of fewer rows may be further off, as a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MomentBounds {
    /// The mean, in millionths of the column's standard deviation.
    pub mean_per_million: u32,
    /// The standard deviation, in millionths of itself.
    pub deviation_per_million: u32,
    /// The share of the rows that each text of a marked category has, in millionths of all rows.
    #[serde(default = "usual_share", skip_serializing_if = "is_usual_share")]
    pub share_per_million: u32,
}

fn usual_share() -> u32 {
    SHARE_PER_MILLION
}

fn is_usual_share(share: &u32) -> bool {
    *share == SHARE_PER_MILLION
}

impl Default for MomentBounds {
    /// A ten-thousandth of a deviation, a thousandth of it, and a thousandth of the rows.
    fn default() -> Self {
        Self { mean_per_million: 100, deviation_per_million: 1_000, share_per_million: SHARE_PER_MILLION }
    }
}

impl MomentBounds {
    /// The narrower of both bounds.
    #[must_use]
    pub fn meet(self, other: Self) -> Self {
        Self {
            mean_per_million: self.mean_per_million.min(other.mean_per_million),
            deviation_per_million: self.deviation_per_million.min(other.deviation_per_million),
            share_per_million: self.share_per_million.min(other.share_per_million),
        }
    }

    /// True when these bounds allow nothing that `parent` does not.
    pub fn is_within(self, parent: Self) -> bool {
        self.meet(parent) == self
    }

    /// Whether it says something that can be carried out.
    pub fn is_well_formed(self) -> bool {
        let is_share = |share| (1..=MILLION).contains(&share);
        is_share(self.mean_per_million) && is_share(self.deviation_per_million) && is_share(self.share_per_million)
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A column that others determine: rows that agree in these agree in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// What determines it.
    pub by: BTreeSet<ColumnName>,
    /// What is determined.
    pub column: ColumnName,
}

/// What copies keep beside ties within a row and the domains of values. It stands in the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Keeps {
    /// Bounds of mean and deviation, for each marked column of numbers, times or coordinates, and of shares, for each of
    /// categories; over all rows of the product.
    pub moments: MomentBounds,
    /// How far a mark may reach, in millionths of what is left of a column's standard deviation when the other columns are
    /// known; and in the same measure how well these may tell the texts of a set apart. A mark that reaches beyond a fifth can be
    /// found by whoever knows how the columns hang together.
    pub reach_per_million: u32,
    /// Columns by which rows stay in their order: one that was before another stays before it.
    pub order: BTreeSet<ColumnName>,
    /// Columns whose sum is exact in each row, and so over any rows. One column alone is exact.
    pub totals: BTreeSet<BTreeSet<ColumnName>>,
    /// Dependencies that hold in the data and not in copies. Every other one goes on holding.
    pub breaks: BTreeSet<Dependency>,
}

impl Default for Keeps {
    fn default() -> Self {
        Self {
            moments: MomentBounds::default(),
            reach_per_million: REACH_PER_MILLION,
            order: BTreeSet::new(),
            totals: BTreeSet::new(),
            breaks: BTreeSet::new(),
        }
    }
}

impl ProductDetails {
    /// The same product with what its copies keep written out where its marking left it to the defaults, so that journal and
    /// contract state it.
    #[must_use]
    pub(crate) fn with_promises(mut self) -> Self {
        if let Some(marking) = &mut self.marking {
            marking.keeps.get_or_insert_default();
        }
        self
    }
}

fn refused(zh: String, en: String) -> Refusal {
    Refusal::invalid("marking", zh, en)
}

/// Checks what a marking promises against itself and the rights above. Errors: `invalid` with what to change;
/// `scope_too_wide` for bounds that the rights above do not allow.
pub(super) fn check(marking: &Marking, details: &ProductDetails, scope: &Scope) -> Result<(), Refusal> {
    let Some(keeps) = &marking.keeps else { return Ok(()) };
    let allowed = scope.marks.moments;
    if !keeps.moments.is_well_formed() || !(1..=MILLION).contains(&keeps.reach_per_million) {
        return Err(refused(
            format!("均值、标准差、占比与幅度的界限为每百万 1 至 {MILLION}"),
            format!("bounds of mean, deviation, share and reach are 1 to {MILLION} of a million"),
        ));
    }
    if !keeps.moments.is_within(allowed) {
        let MomentBounds { mean_per_million, deviation_per_million, share_per_million } = allowed;
        return Err(Refusal::new(
            RefusalCode::ScopeTooWide,
            "keeps",
            format!(
                "上级权限只允许均值偏移每百万 {mean_per_million}、标准差变化每百万 {deviation_per_million}、各取值占比变化每百万 {share_per_million}"
            ),
            format!(
                "the rights above allow a mean {mean_per_million} and a deviation {deviation_per_million} millionths off, and the shares of texts {share_per_million} millionths of the rows; state no wider bounds, or have the provider declare them"
            ),
        ));
    }
    let dependencies = keeps.breaks.iter().map(|broken| &broken.by);
    let crowded = keeps.totals.iter().chain(dependencies).any(|columns| !(1..=TOGETHER_MAX).contains(&columns.len()));
    if crowded || [keeps.order.len(), keeps.totals.len(), keeps.breaks.len()].into_iter().any(|count| count > KEPT_MAX)
    {
        return Err(refused(
            format!("顺序、合计、依赖各至多 {KEPT_MAX} 项，每项 1 至 {TOGETHER_MAX} 列"),
            format!("at most {KEPT_MAX} orders, totals and dependencies each, of 1 to {TOGETHER_MAX} columns"),
        ));
    }
    let outputs: BTreeSet<&ColumnName> = details.shape.columns.iter().map(|column| &column.name).collect();
    let broken = keeps.breaks.iter().flat_map(|broken| broken.by.iter().chain([&broken.column]));
    let mut named = keeps.order.iter().chain(keeps.totals.iter().flatten()).chain(broken);
    if let Some(stranger) = named.find(|column| !outputs.contains(column)) {
        return Err(refused(
            format!("{stranger} 不是产品的输出列"),
            format!("{stranger} is not an output column; name columns of the product in `keeps`"),
        ));
    }
    marking.marks.iter().try_for_each(|mark| check_mark(mark, keeps))
}

fn check_mark(mark: &Mark, keeps: &Keeps) -> Result<(), Refusal> {
    let columns = mark.columns();
    if !matches!(mark.carrier, Carrier::Number { .. })
        && let Some(column) = columns.iter().find(|column| keeps.order.contains(**column))
    {
        return Err(mark.refused(
            &format!("{column} 的排序须保持，而地点与类别标记不能保持排序；请改用数值标记，或从 keeps.order 中去掉"),
            &format!(
                "the order by {column} is to be kept, which marks of places and categories can't do; leave it unmarked, or take it out of keeps.order"
            ),
        ));
    }
    for total in &keeps.totals {
        if !columns.iter().any(|column| total.contains(*column)) || moves_nothing(mark, total) {
            continue;
        }
        let names = total.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ");
        return Err(mark.refused(
            &format!(
                "{names} 的合计须逐行不变，而该标记会改动它：请把这些列以相互抵消的系数列入同一标记，或都不标记；单列合计只能不标记该列"
            ),
            &format!(
                "the total {names} is to be exact and this mark moves it: put its columns into one mark with coefficients that cancel, or mark none of them; the total of one column is exact where that column is"
            ),
        ));
    }
    Ok(())
}

/// Whether a bit of the mark leaves the sum of these columns as it is: what moves some up moves others down, in one unit.
fn moves_nothing(mark: &Mark, total: &BTreeSet<ColumnName>) -> bool {
    let Carrier::Number { members, .. } = &mark.carrier else { return false };
    let mut moved: BTreeMap<bool, Decimal> = BTreeMap::new();
    for member in members.iter().filter(|member| total.contains(&member.column)) {
        let (is_time, step) = match &member.encoding {
            Encoding::Lattice { step } => (false, *step),
            Encoding::Time { step } => (true, *step),
            // Written as hours and minutes a sum of clock times means nothing.
            Encoding::HoursMinutes => return false,
        };
        let Some(by) = step.checked_mul(Decimal::from(member.coefficient)) else { return false };
        let sum = moved.entry(is_time).or_default();
        match sum.checked_add(by) {
            Some(more) => *sum = more,
            None => return false,
        }
    }
    moved.values().all(Decimal::is_zero)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::chosen::Member;
    use super::*;

    fn name(text: &str) -> ColumnName {
        ColumnName::new(text).unwrap()
    }

    fn set(names: &[&str]) -> BTreeSet<ColumnName> {
        names.iter().map(|text| name(text)).collect()
    }

    fn lattice(step: &str) -> Encoding {
        Encoding::Lattice { step: step.parse().unwrap() }
    }

    fn time(step: &str) -> Encoding {
        Encoding::Time { step: step.parse().unwrap() }
    }

    fn mark(members: Vec<(&str, Encoding, i32)>) -> Mark {
        let member = |(column, encoding, coefficient)| Member {
            column: name(column),
            encoding,
            coefficient,
            least: None,
            greatest: None,
        };
        let members = members.into_iter().map(member).collect();
        Mark {
            name: name("m"),
            rate_per_million: 1,
            by: Default::default(),
            carrier: Carrier::Number { members, amplitude: 3 },
        }
    }

    fn place() -> Mark {
        let carrier = Carrier::Place { latitude: name("lat"), longitude: name("lon"), decimals: 4, metres: 50 };
        Mark { name: name("m"), rate_per_million: 1, by: Default::default(), carrier }
    }

    fn category() -> Mark {
        let carrier = Carrier::Category { column: name("kind"), sets: BTreeSet::new() };
        Mark { name: name("m"), rate_per_million: 1, by: Default::default(), carrier }
    }

    /// Whether a marking that keeps this total may have this mark.
    fn keeps_total(mark: &Mark, total: &[&str]) -> bool {
        check_mark(mark, &Keeps { totals: BTreeSet::from([set(total)]), ..Keeps::default() }).is_ok()
    }

    #[test]
    fn a_total_is_exact_where_moves_cancel_in_one_unit() {
        let pair = |one: &str, other: &str, coefficient| {
            mark(vec![("net", lattice(one), 1), ("tax", lattice(other), coefficient)])
        };
        let both = ["net", "tax"];
        assert!(keeps_total(&pair("1", "1", -1), &both));
        assert!(!keeps_total(&pair("1", "1", 1), &both) && !keeps_total(&pair("1", "1", -2), &both));
        // Moves are steps times coefficients.
        assert!(keeps_total(&pair("1", "0.5", -2), &both) && keeps_total(&pair("1.00", "1", -1), &both));
        assert!(!keeps_total(&pair("1", "0.5", -1), &both));
        // A column alone, one of the two, or another beside them.
        assert!(!keeps_total(&pair("1", "1", -1), &["net"]) && !keeps_total(&pair("1", "1", -1), &["net", "fee"]));
        assert!(keeps_total(&pair("1", "1", -1), &["net", "tax", "fee"]));
        assert!(keeps_total(&pair("1", "1", -1), &["fee", "toll"]), "not touched");
        // Two marks draw two bits, whatever their coefficients: each is asked by itself.
        assert!(!keeps_total(&mark(vec![("net", lattice("1"), 1)]), &both));
    }

    #[test]
    fn what_has_no_common_unit_has_no_total() {
        let mixed = mark(vec![("net", lattice("1"), 1), ("at", time("1"), -1)]);
        assert!(!keeps_total(&mixed, &["net", "at"]));
        let times = mark(vec![("from", time("1"), 1), ("till", time("1"), -1)]);
        assert!(keeps_total(&times, &["from", "till"]));
        let clocks = mark(vec![("dep", Encoding::HoursMinutes, 1), ("arr", Encoding::HoursMinutes, -1)]);
        assert!(!keeps_total(&clocks, &["dep", "arr"]));
        assert!(!keeps_total(&place(), &["lat", "lon"]) && !keeps_total(&category(), &["kind"]));
        assert!(keeps_total(&place(), &["net"]) && keeps_total(&category(), &["net"]));
        // What a decimal does not hold is no promise.
        let far = mark(vec![("net", lattice("79228162514264337593543950335"), 2), ("tax", lattice("1"), -2)]);
        assert!(!keeps_total(&far, &["net", "tax"]));
    }

    #[test]
    fn an_order_is_kept_by_numbers_alone() {
        let kept = |mark: &Mark, order: &[&str]| check_mark(mark, &Keeps { order: set(order), ..Keeps::default() });
        // How far a number moves against the distances in the data is asked of the data.
        assert_eq!(kept(&mark(vec![("net", lattice("1"), 1)]), &["net"]), Ok(()));
        for (mark, column) in [(place(), "lat"), (place(), "lon"), (category(), "kind")] {
            let refusal = kept(&mark, &["net", column]).unwrap_err();
            assert!(refusal.en.contains(&format!("the order by {column}")), "{refusal}");
            assert_eq!(kept(&mark, &["net"]), Ok(()));
        }
    }

    proptest! {
        /// By definition: what a bit adds to the columns of the total comes to nothing.
        #[test]
        fn a_total_is_kept_where_what_a_bit_adds_comes_to_nothing(
            members in prop::collection::vec((1..4u32, 0..2u32, -3..4i32), 1..5),
            in_total in prop::collection::vec(prop::bool::ANY, 5),
        ) {
            const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
            let steps: Vec<Decimal> = members.iter().map(|(step, decimals, _)| Decimal::new(i64::from(*step), *decimals)).collect();
            let mark = mark(
                members.iter().zip(&steps).zip(NAMES).map(|(((_, _, by), step), name)| (name, Encoding::Lattice { step: *step }, *by)).collect(),
            );
            let total: Vec<&str> = NAMES.iter().zip(&in_total).filter(|(_, has)| **has).map(|(name, _)| *name).collect();
            let added: Decimal = members
                .iter()
                .zip(&steps)
                .zip(&in_total)
                .filter(|(_, has)| **has)
                .map(|(((_, _, by), step), _)| step * Decimal::from(*by))
                .sum();
            prop_assert_eq!(keeps_total(&mark, &total), added.is_zero());
        }
    }
}
