//! Consent: rows of subjects who did not consent do not exist, by SQL and by lookup.

use std::sync::Arc;

use lingqu_domain::predicate::Literal;
use lingqu_domain::scope::{Mode, Precision, Precisions, Purpose, Scope, Term};
use lingqu_engine::Limits;
use lingqu_engine::consent::ConsentSet;
use lingqu_engine::governed::{GovernError, Governance, GovernedTable};
use lingqu_engine::lookup::{BlockCache, LookupTable, ProductIndex, Verdict};
use lingqu_engine::product::{Product, ProductSpec, ProductStore};
use roaring::RoaringTreemap;

use crate::data::{Place, claim, governance, keys, left, name, rows};

async fn offences(place: &Place) -> Product {
    let mut csv = String::from("offence,driver,points\n");
    for offence in 0..300 {
        let driver = if offence % 50 == 0 { String::new() } else { format!("driver-{}", offence % 20) };
        csv.push_str(&format!("{offence},{driver},{}\n", offence % 7));
    }
    product_of(place, &csv).await
}

/// The product of some offences, each of which is about its driver.
async fn product_of(place: &Place, csv: &str) -> Product {
    let snapshot = place.snapshot("res_offences", csv).await;
    let columns = [("offence", "exact"), ("driver", "exact"), ("points", "exact")];
    let input = GovernedTable::new(snapshot.files, &governance("offences", &columns, vec![], None)).expect("a table");
    let store = ProductStore::open(&place.directory.path().join("products")).expect("a store");
    let spec = ProductSpec {
        sql: "select offence, driver, points from offences".to_owned(),
        key: vec![name("offence")],
        subject: Some(name("driver")),
        further_subjects: Vec::new(),
    };
    store.materialise(&place.engine, "prd_1", "set_1", &spec, &[input], Limits::default()).await.expect("a product")
}

#[tokio::test]
async fn rows_without_consent_do_not_exist() {
    let place = Place::new();
    let product = offences(&place).await;
    let subjects = product.subject_names().expect("the subjects");
    assert_eq!(subjects.len(), 20);
    assert_eq!(product.subjects, 20);
    let ordinal = subjects.iter().position(|subject| subject == "driver-7").expect("a subject");
    let consent = Arc::new(ConsentSet::from_iter([u32::try_from(ordinal).expect("few subjects")]));
    let columns = [("offence", "exact"), ("points", "exact")];
    let governed = governance("offences", &columns, vec![], Some(consent));
    let table = GovernedTable::new(Arc::clone(&product.files), &governed).expect("a table");
    assert_eq!(table.count_rows(&place.engine).await.expect("a count"), Some(15));
    let session = place.session(&[Arc::clone(&table)]);
    assert_eq!(rows(&session, "select count(*), count(distinct offence % 20) from offences").await, ["15|1"]);
    assert_eq!(rows(&session, "select count(*) from offences where offence = 8").await, ["0"]);
    // Rows without a subject have nobody's consent.
    assert_eq!(rows(&session, "select count(*) from offences where offence = 50").await, ["0"]);

    let index = Arc::new(ProductIndex::open(&product, &Arc::new(BlockCache::new(1 << 20))).expect("an index"));
    let lookup = LookupTable::new(Arc::clone(&index), table).expect("a lookup");
    let points = claim(&[("points", Literal::Integer(0))]);
    assert_eq!(lookup.verify(&[Literal::Integer(7)], &points).expect("a verdict").verdict, Verdict::Match);
    assert_eq!(lookup.verify(&[Literal::Integer(8)], &points).expect("a verdict").verdict, Verdict::NotFound);
    assert_eq!(lookup.verify(&[Literal::Integer(50)], &points).expect("a verdict").verdict, Verdict::NotFound);

    // The same index with an empty set, as after a withdrawal: nobody is found.
    let withdrawn = governance("offences", &columns, vec![], Some(Arc::new(ConsentSet::default())));
    let table = GovernedTable::new(Arc::clone(&product.files), &withdrawn).expect("a table");
    let lookup = LookupTable::new(index, Arc::clone(&table)).expect("a lookup");
    assert_eq!(lookup.verify(&[Literal::Integer(7)], &points).expect("a verdict").verdict, Verdict::NotFound);
    assert_eq!(rows(&place.session(&[table]), "select count(*) from offences").await, ["0"]);
}

/// A row about two persons exists when both of them consent.
#[tokio::test]
async fn a_row_needs_the_consent_of_each_of_its_subjects() {
    let place = Place::new();
    let mut csv = String::from("id,seller,buyer\n");
    for id in 0..100 {
        let buyer = if id == 50 { String::new() } else { format!("person-{}", id / 10) };
        csv.push_str(&format!("{id},person-{},{buyer}\n", id % 10));
    }
    let snapshot = place.snapshot("res_deals", &csv).await;
    let columns = [("id", "exact"), ("seller", "exact"), ("buyer", "exact")];
    let input = GovernedTable::new(snapshot.files, &governance("deals", &columns, vec![], None)).expect("a table");
    let store = ProductStore::open(&place.directory.path().join("products")).expect("a store");
    let spec = ProductSpec {
        sql: "select id, seller, buyer from deals".to_owned(),
        key: vec![name("id")],
        subject: Some(name("seller")),
        further_subjects: vec![name("buyer")],
    };
    let made = store.materialise(&place.engine, "prd_1", "set_1", &spec, &[input], Limits::default()).await;
    let product = made.expect("a product");
    assert_eq!(product.subjects, 10, "sellers and buyers are the same persons");
    let names = product.subject_names().expect("the subjects");
    let mut of_rows = [Vec::new(), Vec::new()];
    let visited = product.visit_row_subjects(None, &mut |column, ordinal| of_rows[column].push(ordinal));
    visited.expect("the rows' subjects");
    let named = |column: usize, row: usize| of_rows[column][row].map(|ordinal| names[ordinal as usize].as_str());
    assert_eq!((named(0, 37), named(1, 37)), (Some("person-7"), Some("person-3")));
    assert_eq!((named(0, 50), named(1, 50)), (Some("person-0"), None));
    // Of some rows the same, and of some ordinals their names.
    for wanted in [vec![], vec![0], vec![3, 4, 5, 50], vec![37, 99, 1_000_000], (0..100).collect::<Vec<u64>>()] {
        let mut some = [Vec::new(), Vec::new()];
        let rows: RoaringTreemap = wanted.iter().copied().collect();
        let visited = product.visit_row_subjects(Some(&rows), &mut |column, ordinal| some[column].push(ordinal));
        visited.expect("some rows' subjects");
        for (some, all) in some.iter().zip(&of_rows) {
            let expected: Vec<_> =
                wanted.iter().filter_map(|row| all.get(usize::try_from(*row).expect("few"))).collect();
            assert_eq!(some.iter().collect::<Vec<_>>(), expected, "{wanted:?}");
        }
        let mut some = Vec::new();
        product.visit_subjects_of(&rows, &mut |name| some.push(name.to_owned())).expect("some names");
        let expected: Vec<_> = wanted.iter().filter_map(|row| names.get(usize::try_from(*row).expect("few"))).collect();
        assert_eq!(some.iter().collect::<Vec<_>>(), expected, "{wanted:?}");
    }
    let ordinal = |person: &str| names.iter().position(|name| name == person).map(|at| u32::try_from(at).expect("few"));
    let consent = Arc::new(["person-3", "person-7", "person-0"].iter().filter_map(|person| ordinal(person)).collect());
    let governed = governance("deals", &[("id", "exact")], vec![], Some(consent));
    let table = GovernedTable::new(Arc::clone(&product.files), &governed).expect("a table");
    let session = place.session(&[Arc::clone(&table)]);
    let ids = rows(&session, "select id from deals order by id").await;
    assert_eq!(ids, ["0", "3", "7", "30", "33", "37", "70", "73", "77"]);
    let index = Arc::new(ProductIndex::open(&product, &Arc::default()).expect("an index"));
    let lookup = LookupTable::new(index, table).expect("a lookup");
    let is_found = |id| lookup.lookup(&[Literal::Integer(id)]).expect("an answer").is_some();
    assert!(is_found(37) && !is_found(38) && !is_found(83) && !is_found(50));
}

/// A table that has seen all of its rows answers as one that has seen none, and its receipts name the same rows: of several blocks of
/// rows, the last of them short, whatever a statement skips.
#[tokio::test]
async fn what_scans_found_before_changes_no_answer() {
    let place = Place::new();
    let mut csv = String::from("offence,driver,points\n");
    for offence in 0..20_000_u32 {
        // Some consent for long runs of rows, some for single ones, and some rows have no driver.
        let driver = match offence {
            100..5_000 | 9_000..9_900 => "a".to_owned(),
            5_000..6_000 => "b".to_owned(),
            _ if offence % 501 == 0 => String::new(),
            _ => format!("driver-{}", offence.wrapping_mul(0x9e37_79b9) % 10),
        };
        csv.push_str(&format!("{offence},{driver},{}\n", offence % 7));
    }
    let product = product_of(&place, &csv).await;
    let subjects = product.subject_names().expect("the subjects");
    // All but one of the drivers, and one of the two with long runs.
    let consents = (0..).zip(&subjects).filter(|(_, subject)| *subject != "driver-3" && *subject != "b");
    let consent: Arc<ConsentSet> = Arc::new(consents.map(|(ordinal, _)| ordinal).collect());
    let shown = [("offence", "exact"), ("points", "exact")];
    let table = || {
        let governed = governance("offences", &shown, vec![], Some(Arc::clone(&consent)));
        GovernedTable::new(Arc::clone(&product.files), &governed).expect("a table")
    };
    let remembering = place.session(&[table()]);
    for round in 0..2 {
        for sql in [
            "select offence from offences where offence > 19000 order by offence",
            "select count(*), sum(points), min(offence), max(offence) from offences",
            "select offence, points from offences",
            "select offence from offences where points = 3 order by offence desc",
            "select a.offence from offences a join offences b on a.offence = b.offence + 1 order by a.offence limit 900",
        ] {
            let anew = place.session(&[table()]);
            assert_eq!(rows(&remembering, sql).await, rows(&anew, sql).await, "{round}: {sql}");
            // By now this one has seen them too.
            assert_eq!(left(&remembering, sql).await, left(&place.session(&[table()]), sql).await, "{round}: {sql}");
        }
    }
    let of_consent = rows(&remembering, "select count(*) from offences").await;
    let expected = csv.lines().skip(1).filter(|line| {
        let driver = line.split(',').nth(1).unwrap_or_default();
        !driver.is_empty() && driver != "driver-3" && driver != "b"
    });
    assert_eq!(of_consent, [expected.count().to_string()]);
}

#[tokio::test]
async fn a_scope_that_requires_consent_is_not_served_without_it() {
    let place = Place::new();
    let people = place.people().await;
    let exact = Precisions::all_of(&[Mode::Verification], Precision::Exact);
    let scope = Scope {
        columns: [(name("id"), exact)].into(),
        rows: Default::default(),
        purposes: [Purpose::any()].into(),
        modes: [Mode::Verification].into(),
        term: Term { from: jiff::Timestamp::MIN, until: jiff::Timestamp::MAX },
        cohort_floor: 0,
        consent_required: true,
        marks: Default::default(),
    };
    let without = Governance::of_scope("people", &scope, Mode::Verification, keys(), None);
    assert!(matches!(without, Err(GovernError::ConsentUnknown { .. })));
    let set = Some(Arc::new(ConsentSet::default()));
    let governance = Governance::of_scope("people", &scope, Mode::Verification, keys(), set).expect("a governance");
    // The table does not know its subjects, so that consent can't be applied to it.
    let made = GovernedTable::new(people.files, &governance);
    assert!(matches!(made, Err(GovernError::ConsentUnknown { .. })));
    let in_rows = Governance::of_scope("people", &scope, Mode::Rows, keys(), Some(Arc::default()));
    assert!(matches!(in_rows, Err(GovernError::NothingVisible { .. })));
}
