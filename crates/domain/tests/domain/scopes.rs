//! The algebra of scopes: narrowing never widens, and combining is the same in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lingqu_domain::marking::{MarkLimits, MomentBounds, Tolerance};
use lingqu_domain::predicate::Predicate;
use lingqu_domain::privacy::{PrivacyBudget, Rho};
use lingqu_domain::scope::{ColumnName, Mode, Narrowing, Precision, Precisions, Purpose, Scope, Term, meet_purposes};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use rust_decimal::Decimal;

use crate::details::{condition, decimal, name, purpose};

/// The seed of every property test, unless `PROPTEST_RNG_SEED` names another; a failure prints it.
const SEED: u64 = 20_261_124;

/// A configuration with a fixed seed.
pub fn seeded(cases: u32) -> Config {
    let mut config = Config { cases, failure_persistence: None, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    // Captured by the test harness and shown where the test fails.
    println!("{:?}, {cases} cases", config.rng_seed);
    config
}

fn precisions_of_every_kind() -> Vec<Precision> {
    let named = [
        "exact",
        "month",
        "year",
        "county",
        "city",
        "pseudonym:permit",
        "pseudonym:consumer",
        "pseudonym:order",
        "hidden",
    ];
    let steps = ["0.5", "1", "2", "2.5", "3", "4", "6", "10", "12", "999999999999", "1000000000000", "0.000000001"];
    let named = named.iter().map(|text| text.parse().unwrap());
    named.chain(steps.iter().map(|step| format!("rounded:{step}").parse().unwrap())).collect()
}

#[test]
fn precision_is_a_partial_order_and_meet_is_its_greatest_lower_bound() {
    let all = precisions_of_every_kind();
    for &a in &all {
        assert!(a.is_within(a) && a.is_within(Precision::Exact) && Precision::Hidden.is_within(a), "{a}");
        assert_eq!(a.to_string().parse(), Ok(a));
        for &b in &all {
            assert_eq!(a.meet(b), b.meet(a), "{a} {b}");
            assert!(a.meet(b).is_within(a) && a.meet(b).is_within(b), "{a} {b}");
            assert!(a == b || !(a.is_within(b) && b.is_within(a)), "{a} {b}");
            for &c in &all {
                assert_eq!(a.meet(b).meet(c), a.meet(b.meet(c)), "{a} {b} {c}");
                if c.is_within(a) && c.is_within(b) {
                    assert!(c.is_within(a.meet(b)), "{c} is below {a} and {b}");
                }
            }
        }
    }
}

#[test]
fn the_chains_of_precision_are_those_of_the_rules() {
    let precision = |text: &str| text.parse::<Precision>().unwrap();
    for chain in [
        &["exact", "month", "year", "hidden"][..],
        &["exact", "county", "city", "hidden"],
        &["exact", "pseudonym:permit", "pseudonym:consumer", "pseudonym:order", "hidden"],
        &["exact", "rounded:5", "rounded:10", "rounded:100", "hidden"],
    ] {
        for (place, finer) in chain.iter().enumerate() {
            for coarser in &chain[place + 1..] {
                assert!(precision(coarser).is_within(precision(finer)), "{coarser} tells no more than {finer}");
                assert!(!precision(finer).is_within(precision(coarser)), "{finer} tells more than {coarser}");
            }
        }
    }
    assert_eq!(precision("month").meet(precision("county")), Precision::Hidden);
    assert_eq!(precision("rounded:4").meet(precision("rounded:6")), precision("rounded:12"));
    for bad in [
        "",
        "Exact",
        "rounded:",
        "rounded:0",
        "rounded:-1",
        "rounded:x",
        "rounded:0.0000000001",
        "rounded:1000000000001",
        "day",
    ] {
        assert!(bad.parse::<Precision>().is_err(), "{bad}");
    }
}

#[test]
fn purposes_are_a_tree() {
    for (child, parent, within) in [
        ("insurance", "any", true),
        ("insurance/claim", "insurance", true),
        ("insurance/claim/flight", "insurance", true),
        ("insurance", "insurance", true),
        ("insurance", "insurance/claim", false),
        ("insurances", "insurance", false),
        ("insurance-x", "insurance", false),
        ("any", "insurance", false),
        ("any/insurance", "insurance", false),
    ] {
        assert_eq!(purpose(child).is_within(&purpose(parent)), within, "{child} in {parent}");
    }
    for bad in ["", "/", "a/", "/a", "a//b", "A", "a b", "a\u{200b}", "保险", &"a".repeat(121)] {
        let json = serde_json::json!(bad);
        assert!(serde_json::from_value::<Purpose>(json).is_err(), "{bad:?}");
    }
    let fine = serde_json::json!("insurance/flight_delay-1");
    assert_eq!(serde_json::from_value::<Purpose>(fine).unwrap(), purpose("insurance/flight_delay-1"));
}

fn precision() -> impl Strategy<Value = Precision> {
    proptest::sample::select(precisions_of_every_kind())
}

fn mode() -> impl Strategy<Value = Mode> {
    proptest::sample::select(Mode::ALL.to_vec())
}

fn modes() -> impl Strategy<Value = BTreeSet<Mode>> {
    proptest::collection::btree_set(mode(), 0..=6)
}

fn precisions() -> impl Strategy<Value = Precisions> {
    let exact = Just(Precisions::all_of(&Mode::ALL, Precision::Exact));
    prop_oneof![exact, proptest::collection::btree_map(mode(), precision(), 0..=6).prop_map(Precisions)]
}

fn column() -> impl Strategy<Value = ColumnName> {
    proptest::sample::select(vec![name("a"), name("b"), name("c"), name("d")])
}

fn a_purpose() -> impl Strategy<Value = Purpose> {
    proptest::sample::select(["any", "a", "a/b", "a/b/c", "a/bc", "d", "d/e", "ab"].map(purpose).to_vec())
}

fn a_purpose_set() -> impl Strategy<Value = BTreeSet<Purpose>> {
    proptest::collection::btree_set(a_purpose(), 0..=4)
}

fn a_term() -> impl Strategy<Value = Term> {
    let moment = |second: i64| Timestamp::from_second(second).unwrap();
    (0..50_i64, 0..50_i64).prop_map(move |(from, until)| Term { from: moment(from), until: moment(until) })
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let leaf = (column(), "[xy]").prop_map(|(column, value)| condition(column.as_str(), &value));
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Predicate::And),
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Predicate::Or),
            inner.prop_map(|part| Predicate::Not(Box::new(part))),
        ]
    })
}

fn tolerance() -> impl Strategy<Value = Tolerance> {
    let sets = [
        vec![vec!["A", "B"]],
        vec![vec!["A", "B", "C"]],
        vec![vec!["A", "B"], vec!["C", "D"]],
        vec![vec!["A", "C"], vec!["B", "D"]],
    ];
    let texts =
        |sets: Vec<Vec<&str>>| sets.into_iter().map(|set| set.into_iter().map(str::to_owned).collect()).collect();
    prop_oneof![
        (1..=30_i64).prop_map(|tenths| Tolerance::Number(Decimal::new(tenths, 1))),
        (1..=120_i64).prop_map(|seconds| Tolerance::Seconds(seconds.into())),
        (1..=10_u32).prop_map(Tolerance::Minutes),
        (1..=50_u32).prop_map(Tolerance::Metres),
        proptest::sample::select(sets.to_vec()).prop_map(move |sets| Tolerance::Texts(texts(sets))),
    ]
}

fn limits() -> impl Strategy<Value = MarkLimits> {
    (
        proptest::collection::btree_map(column(), tolerance(), 0..=4),
        0..=100_u32,
        0..=100_u32,
        (1..=200_u32, 1..=2_000_u32, 1..=2_000_u32),
    )
        .prop_map(|(tolerances, omitted_per_million, decoys_per_million, (mean, deviation, share))| {
            let moments =
                MomentBounds { mean_per_million: mean, deviation_per_million: deviation, share_per_million: share };
            MarkLimits { tolerances, omitted_per_million, decoys_per_million, moments }
        })
}

prop_compose! {
    /// A scope as the chain makes them: without entries that say nothing.
    fn scope()(
        columns in proptest::collection::btree_map(column(), precisions(), 0..=4),
        rows in proptest::collection::btree_set(predicate(), 0..3),
        purposes in a_purpose_set(),
        modes in modes(),
        term in a_term(),
        cohort_floor in 0..30_u32,
        consent_required: bool,
        marks in limits(),
    ) -> Scope {
        let written = Scope { columns, rows, purposes, modes, term, cohort_floor, consent_required, marks };
        written.meet(&written)
    }
}

prop_compose! {
    fn narrowing()(
        columns in proptest::option::of(proptest::collection::btree_map(column(), proptest::option::of(precisions()), 0..=4)),
        rows in proptest::collection::vec(predicate(), 0..3),
        purposes in proptest::option::of(a_purpose_set()),
        modes in proptest::option::of(modes()),
        term in proptest::option::of(a_term()),
        cohort_floor in proptest::option::of(0..40_u32),
        consent_required in proptest::option::of(any::<bool>()),
        nano in proptest::option::of(1..=1_000_u64),
        marks in proptest::option::of(limits()),
    ) -> Narrowing {
        let privacy_budget = nano.and_then(Rho::from_nano).map(|rho| PrivacyBudget { rho });
        let quota = None;
        Narrowing { columns, rows, purposes, modes, term, cohort_floor, consent_required, marks, privacy_budget, quota }
    }
}

/// A scope and a narrowing of it that has a fair chance of being accepted.
fn scope_and_narrowing() -> impl Strategy<Value = (Scope, Narrowing)> {
    let likely = (scope(), narrowing(), any::<[bool; 8]>()).prop_map(|(scope, mut narrowing, fitting)| {
        let met = scope.restrict(&narrowing);
        if fitting[0] {
            let asked = narrowing.columns.take();
            narrowing.columns =
                asked.map(|_| met.columns.iter().map(|(name, kept)| (name.clone(), Some(kept.clone()))).collect());
        }
        if fitting[1] {
            narrowing.rows.clear();
        }
        if fitting[2] {
            narrowing.purposes = narrowing.purposes.map(|_| met.purposes.clone());
        }
        if fitting[3] {
            narrowing.modes = narrowing.modes.map(|_| met.modes.clone());
        }
        if fitting[4] {
            narrowing.term = narrowing.term.map(|_| met.term).filter(|term| term.from < term.until);
        }
        if fitting[5] {
            narrowing.cohort_floor = narrowing.cohort_floor.map(|_| met.cohort_floor);
        }
        if fitting[6] {
            narrowing.consent_required = narrowing.consent_required.map(|_| met.consent_required);
        }
        if fitting[7] {
            narrowing.marks = narrowing.marks.map(|_| met.marks.clone());
        }
        (scope, narrowing)
    });
    prop_oneof![3 => likely, 1 => (scope(), narrowing())]
}

/// Everything a scope allows, spelled out point by point: the meaning that the algebra must agree with.
fn allows(scope: &Scope, column: &ColumnName, mode: Mode, purpose: &Purpose, second: i64) -> Option<Precision> {
    let covered = scope.modes.contains(&mode)
        && scope.term.covers(Timestamp::from_second(second).unwrap())
        && scope.allows_purpose(purpose);
    let precision = scope.columns.get(column).map_or(Precision::Hidden, |precisions| precisions.in_mode(mode));
    (covered && precision != Precision::Hidden).then_some(precision)
}

proptest! {
    #![proptest_config(seeded(512))]

    #[test]
    fn meet_is_commutative_associative_and_idempotent(a in scope(), b in scope(), c in scope()) {
        prop_assert_eq!(a.meet(&b), b.meet(&a));
        prop_assert_eq!(a.meet(&b).meet(&c), a.meet(&b.meet(&c)));
        prop_assert_eq!(a.meet(&a), a.clone());
        prop_assert!(a.is_within(&a));
        prop_assert!(a.meet(&b).is_within(&a) && a.meet(&b).is_within(&b));
    }

    #[test]
    fn meet_allows_what_both_allow(a in scope(), b in scope(), column in column(), mode in mode(), purpose in a_purpose(), second in 0..50_i64) {
        let met = allows(&a.meet(&b), &column, mode, &purpose, second);
        let both = match (allows(&a, &column, mode, &purpose, second), allows(&b, &column, mode, &purpose, second)) {
            (Some(left), Some(right)) => Some(left.meet(right)).filter(|precision| *precision != Precision::Hidden),
            _ => None,
        };
        prop_assert_eq!(met, both);
    }

    /// Spelled out, without the algebra: no child changes a column by more than its parent, or lacks more rows.
    #[test]
    fn no_child_may_be_changed_by_more_than_its_parent((parent, narrowing) in scope_and_narrowing()) {
        let child = parent.restrict(&narrowing);
        prop_assert!(child.marks.omitted_per_million <= parent.marks.omitted_per_million);
        prop_assert!(child.marks.decoys_per_million <= parent.marks.decoys_per_million);
        for (column, tolerance) in &child.marks.tolerances {
            prop_assert!(child.columns.contains_key(column));
            let fits = match (tolerance, &parent.marks.tolerances[column]) {
                (Tolerance::Number(less), Tolerance::Number(more)) => less <= more,
                (Tolerance::Seconds(less), Tolerance::Seconds(more)) => less <= more,
                (Tolerance::Minutes(less), Tolerance::Minutes(more)) => less <= more,
                (Tolerance::Metres(less), Tolerance::Metres(more)) => less <= more,
                // No text is taken for another that the parent keeps apart.
                (Tolerance::Texts(less), Tolerance::Texts(more)) => {
                    less.iter().all(|set| more.iter().any(|wider| set.is_subset(wider)))
                }
                _ => false,
            };
            prop_assert!(fits, "{} {:?}", column, tolerance);
        }
    }

    #[test]
    fn a_narrowing_never_widens((parent, narrowing) in scope_and_narrowing()) {
        let restricted = parent.restrict(&narrowing);
        prop_assert!(restricted.is_within(&parent));
        if let Ok(child) = parent.narrow(&narrowing) {
            prop_assert!(child.is_within(&parent));
            // What is refused when a right is created and what is cut when it is exercised are the same.
            prop_assert_eq!(&child, &restricted);
            prop_assert_eq!(parent.restrict(&narrowing).restrict(&narrowing), restricted);
        }
    }

    #[test]
    fn an_accepted_narrowing_is_kept_as_it_is_written((parent, narrowing) in scope_and_narrowing()) {
        let Ok(child) = parent.narrow(&narrowing) else { return Ok(()) };
        for (column, asked) in narrowing.columns.iter().flatten() {
            let kept = &child.columns[column];
            for mode in Mode::ALL {
                let expected = asked.as_ref().map_or_else(|| parent.columns[column].in_mode(mode), |asked| asked.in_mode(mode));
                prop_assert_eq!(kept.in_mode(mode), expected);
            }
        }
        if let Some(columns) = &narrowing.columns {
            prop_assert_eq!(columns.len(), child.columns.len());
        }
        if let Some(asked) = &narrowing.purposes {
            prop_assert_eq!(&child.purposes, &meet_purposes(asked, asked));
        }
        prop_assert_eq!(&child.modes, narrowing.modes.as_ref().unwrap_or(&parent.modes));
        prop_assert_eq!(child.term, narrowing.term.unwrap_or(parent.term));
        prop_assert_eq!(child.cohort_floor, narrowing.cohort_floor.unwrap_or(parent.cohort_floor));
        prop_assert_eq!(child.consent_required, narrowing.consent_required.unwrap_or(parent.consent_required));
        // What may be changed is what was asked for, of the columns that are left; nothing where a column isn't named.
        let mut marks = narrowing.marks.clone().unwrap_or_else(|| parent.marks.clone());
        marks.tolerances.retain(|column, _| child.columns.contains_key(column));
        prop_assert_eq!(&child.marks, &marks);
        // No condition looks at what the parent coarsens: it would be an oracle.
        for predicate in &narrowing.rows {
            for column in predicate.columns() {
                for mode in &parent.modes {
                    prop_assert_eq!(parent.columns[column].in_mode(*mode), Precision::Exact);
                }
            }
        }
    }

    #[test]
    fn a_parent_that_shrinks_takes_its_children_along(a in scope(), b in scope(), narrowing in narrowing()) {
        let smaller = a.meet(&b);
        prop_assert!(smaller.restrict(&narrowing).is_within(&a.restrict(&narrowing)));
    }

    #[test]
    fn what_bounds_every_item_bounds_an_item_with_parts_of_its_own(parent in scope(), own in narrowing(), term in a_term(), purposes in a_purpose_set()) {
        let outer = Narrowing { term: Some(term), purposes: Some(purposes.clone()), ..Narrowing::default() };
        let both = parent.restrict(&own.within_term(term).within_purposes(&purposes));
        prop_assert_eq!(both, parent.restrict(&own).restrict(&outer));
    }

    #[test]
    fn scopes_and_narrowings_round_trip(scope in scope(), narrowing in narrowing()) {
        let text = serde_json::to_string(&scope).unwrap();
        prop_assert_eq!(serde_json::from_str::<Scope>(&text).unwrap(), scope);
        let text = serde_json::to_string(&narrowing).unwrap();
        prop_assert_eq!(serde_json::from_str::<Narrowing>(&text).unwrap(), narrowing);
    }

    #[test]
    fn texts_never_panic(text: String, near in "(rounded:)?[0-9a-z:/_.-]{0,40}") {
        for text in [text, near] {
            let _ = text.parse::<Precision>();
            let _ = ColumnName::new(text.clone());
            let _ = serde_json::from_value::<Purpose>(serde_json::json!(text));
        }
    }
}

#[test]
fn a_condition_has_limits() {
    let parent = Scope {
        columns: BTreeMap::from([(name("a"), Precisions::all_of(&Mode::ALL, Precision::Exact))]),
        rows: BTreeSet::new(),
        purposes: [Purpose::any()].into(),
        modes: Mode::ALL.into(),
        term: Term { from: Timestamp::UNIX_EPOCH, until: Timestamp::MAX },
        cohort_floor: 0,
        consent_required: false,
        marks: MarkLimits::default(),
    };
    let refused =
        |predicate: Predicate| parent.narrow(&Narrowing { rows: vec![predicate], ..Narrowing::default() }).is_err();
    let deep = |levels: usize| {
        let mut predicate = condition("a", "x");
        for _ in 1..levels {
            predicate = Predicate::Not(Box::new(predicate));
        }
        predicate
    };
    assert!(!refused(deep(16)));
    assert!(refused(deep(17)));
    assert!(refused(deep(10_000)));
    let wide = |parts: usize| Predicate::Or(vec![condition("a", "x"); parts]);
    assert!(!refused(wide(1_999)));
    assert!(refused(wide(2_000)));
    assert!(refused(Predicate::IsNull { column: name("z") }));
    assert_eq!(decimal("1.0"), decimal("1"), "steps are compared by value");
}
