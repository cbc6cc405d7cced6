//! Consent: rows of subjects who did not consent do not exist, by SQL and by lookup.

use std::sync::Arc;

use lingqu_domain::predicate::Literal;
use lingqu_domain::scope::{Mode, Precision, Precisions, Purpose, Scope, Term};
use lingqu_engine::Limits;
use lingqu_engine::governed::{GovernError, Governance, GovernedTable};
use lingqu_engine::lookup::{LookupTable, ProductIndex, Verdict};
use lingqu_engine::product::{Product, ProductSpec, ProductStore};
use roaring::RoaringTreemap;

use crate::data::{Place, claim, governance, keys, name, rows};

async fn offences(place: &Place) -> Product {
    let mut csv = String::from("offence,driver,points\n");
    for offence in 0..300 {
        let driver = if offence % 50 == 0 { String::new() } else { format!("driver-{}", offence % 20) };
        csv.push_str(&format!("{offence},{driver},{}\n", offence % 7));
    }
    let snapshot = place.snapshot("res_offences", &csv).await;
    let columns = [("offence", "exact"), ("driver", "exact"), ("points", "exact")];
    let input = GovernedTable::new(snapshot.files, &governance("offences", &columns, vec![], None)).expect("a table");
    let store = ProductStore::open(&place.directory.path().join("products")).expect("a store");
    let spec = ProductSpec {
        sql: "select offence, driver, points from offences".to_owned(),
        key: vec![name("offence")],
        subject: Some(name("driver")),
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
    let consent = Arc::new(RoaringTreemap::from_iter([ordinal as u64]));
    let columns = [("offence", "exact"), ("points", "exact")];
    let governed = governance("offences", &columns, vec![], Some(consent));
    let table = GovernedTable::new(Arc::clone(&product.files), &governed).expect("a table");
    let session = place.session(&[Arc::clone(&table)]);
    assert_eq!(rows(&session, "select count(*), count(distinct offence % 20) from offences").await, ["15|1"]);
    assert_eq!(rows(&session, "select count(*) from offences where offence = 8").await, ["0"]);
    // Rows without a subject have nobody's consent.
    assert_eq!(rows(&session, "select count(*) from offences where offence = 50").await, ["0"]);

    let index = Arc::new(ProductIndex::open(&product, 1 << 30).expect("an index"));
    let lookup = LookupTable::new(Arc::clone(&index), table).expect("a lookup");
    let points = claim(&[("points", Literal::Integer(0))]);
    assert_eq!(lookup.verify(&[Literal::Integer(7)], &points).expect("a verdict").verdict, Verdict::Match);
    assert_eq!(lookup.verify(&[Literal::Integer(8)], &points).expect("a verdict").verdict, Verdict::NotFound);
    assert_eq!(lookup.verify(&[Literal::Integer(50)], &points).expect("a verdict").verdict, Verdict::NotFound);

    // The same index with an empty set, as after a withdrawal: nobody is found.
    let withdrawn = governance("offences", &columns, vec![], Some(Arc::new(RoaringTreemap::new())));
    let table = GovernedTable::new(Arc::clone(&product.files), &withdrawn).expect("a table");
    let lookup = LookupTable::new(index, Arc::clone(&table)).expect("a lookup");
    assert_eq!(lookup.verify(&[Literal::Integer(7)], &points).expect("a verdict").verdict, Verdict::NotFound);
    assert_eq!(rows(&place.session(&[table]), "select count(*) from offences").await, ["0"]);
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
    };
    let without = Governance::of_scope("people", &scope, Mode::Verification, keys(), None);
    assert!(matches!(without, Err(GovernError::ConsentUnknown { .. })));
    let set = Some(Arc::new(RoaringTreemap::new()));
    let governance = Governance::of_scope("people", &scope, Mode::Verification, keys(), set).expect("a governance");
    // The table does not know its subjects, so that consent can't be applied to it.
    let made = GovernedTable::new(people.files, &governance);
    assert!(matches!(made, Err(GovernError::ConsentUnknown { .. })));
    let in_rows = Governance::of_scope("people", &scope, Mode::Rows, keys(), Some(Arc::default()));
    assert!(matches!(in_rows, Err(GovernError::NothingVisible { .. })));
}
