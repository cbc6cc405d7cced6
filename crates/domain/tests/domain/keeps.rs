//! What a marking says its copies keep: within the rights above, of the product's own columns, and written out in the journal.

use std::collections::BTreeSet;

use lingqu_domain::command::Command;
use lingqu_domain::id::{ProductId, ResourceId};
use lingqu_domain::marking::{Dependency, KEPT_MAX, Keeps, MarkDeclaration, MarkLimits, MomentBounds};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::scope::ColumnName;

use crate::details::name;
use crate::life::Life;
use crate::marking::{declared, draft, limits, marked_product, permitted};
use crate::world::created;

fn set(names: &[&str]) -> BTreeSet<ColumnName> {
    names.iter().map(|text| name(text)).collect()
}

fn keeping(life: &Life, keeps: Keeps) -> ProductDetails {
    let mut details = marked_product(life);
    details.marking.as_mut().unwrap().keeps = Some(keeps);
    details
}

fn bounds(mean_per_million: u32, deviation_per_million: u32) -> MomentBounds {
    MomentBounds { mean_per_million, deviation_per_million, ..MomentBounds::default() }
}

#[test]
fn bounds_are_stated_as_wide_as_every_input_declares_them() {
    let stated = |life: &Life, moments| draft(life, keeping(life, Keeps { moments, ..Keeps::default() }));
    let code = |result: Result<(), Refusal>| result.map_err(|refusal| refusal.code);
    let mut life = permitted();
    assert_eq!(stated(&life, bounds(100, 1_000)), Ok(()));
    assert_eq!(stated(&life, bounds(1, 1)), Ok(()), "narrower ones bind the operator alone");
    for (mean, deviation) in [(101, 1_000), (100, 1_001)] {
        let refusal = stated(&life, bounds(mean, deviation)).unwrap_err();
        assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::ScopeTooWide, "keeps"));
        assert!(refusal.en.contains("a mean 100 and a deviation 1000 millionths off"), "{refusal}");
    }
    for moments in [bounds(0, 1_000), bounds(100, 0), bounds(1_000_001, 1_000)] {
        assert_eq!(code(stated(&life, moments)), Err(RefusalCode::Invalid), "{moments:?}");
    }
    // The product joins flights and weather: as long as the one keeps the usual bounds the other can't widen them.
    let wide = MarkLimits { moments: bounds(5_000, 9_000), ..limits() };
    let declare = |life: &mut Life, resource: &'static str, limits: MarkLimits| {
        let id = life.id::<ResourceId>(resource);
        let resource = &mut life.world.state.resources.get_mut(&id).unwrap().value;
        resource.details = declared(resource.details.clone(), limits);
    };
    declare(&mut life, "flights", wide.clone());
    assert_eq!(code(stated(&life, bounds(5_000, 9_000))), Err(RefusalCode::ScopeTooWide));
    declare(&mut life, "weather", MarkLimits { moments: wide.moments, ..MarkLimits::default() });
    assert_eq!(stated(&life, bounds(5_000, 9_000)), Ok(()));
    assert_eq!(code(stated(&life, bounds(5_001, 9_000))), Err(RefusalCode::ScopeTooWide));
    // What is left out is the usual bound and not what is declared.
    assert_eq!(draft(&life, keeping(&life, Keeps::default())), Ok(()));
    // Shares of texts narrow in the same way.
    let share = |share_per_million| MomentBounds { share_per_million, ..MomentBounds::default() };
    assert_eq!((stated(&life, share(1)), code(stated(&life, share(0)))), (Ok(()), Err(RefusalCode::Invalid)));
    let refusal = stated(&life, share(1_001)).unwrap_err();
    assert!(
        refusal.code == RefusalCode::ScopeTooWide && refusal.en.contains("1000 millionths of the rows"),
        "{refusal}"
    );
}

/// What was written before there was a word for shares reads as the usual bound, and is written as it was.
#[test]
fn a_bound_of_shares_that_is_usual_is_not_written() {
    let had = r#"{"mean_per_million":100,"deviation_per_million":1000}"#;
    let read: MomentBounds = serde_json::from_str(had).unwrap();
    assert_eq!((read, serde_json::to_string(&read).unwrap().as_str()), (MomentBounds::default(), had));
    let other = MomentBounds { share_per_million: 7, ..read };
    let written = serde_json::to_string(&other).unwrap();
    assert!(written.contains(r#""share_per_million":7"#));
    assert_eq!(serde_json::from_str::<MomentBounds>(&written).unwrap(), other);
}

#[test]
fn a_reach_is_a_share() {
    let life = permitted();
    let reach = |reach_per_million| draft(&life, keeping(&life, Keeps { reach_per_million, ..Keeps::default() }));
    assert_eq!((reach(1), reach(1_000_000)), (Ok(()), Ok(())));
    assert!(reach(0).unwrap_err().en.contains("reach") && reach(1_000_001).unwrap_err().en.contains("reach"));
}

#[test]
fn what_is_kept_or_given_up_is_of_the_products_columns() {
    let life = permitted();
    let refusal = |keeps| draft(&life, keeping(&life, keeps)).unwrap_err();
    let broken = |by: &[&str], column: &str| BTreeSet::from([Dependency { by: set(by), column: name(column) }]);
    let none = Keeps::default;
    let known = Keeps {
        order: set(&["delay", "day"]),
        totals: BTreeSet::from([set(&["wind"])]),
        breaks: broken(&["tail", "day"], "delay"),
        ..none()
    };
    assert_eq!(draft(&life, keeping(&life, known)), Ok(()));
    for keeps in [
        Keeps { order: set(&["carrier"]), ..none() },
        Keeps { totals: BTreeSet::from([set(&["wind", "carrier"])]), ..none() },
        Keeps { breaks: broken(&["carrier"], "delay"), ..none() },
        Keeps { breaks: broken(&["tail"], "carrier"), ..none() },
    ] {
        let refused = refusal(keeps);
        assert_eq!(refused.code, RefusalCode::Invalid);
        assert!(refused.en.contains("carrier is not an output column"), "{refused}");
    }
    // Of as many as there may be, and of none at all.
    let many: Vec<String> = (0..=KEPT_MAX).map(|number| format!("c{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for keeps in [
        Keeps { order: set(&many), ..none() },
        Keeps { totals: BTreeSet::from([set(&[])]), ..none() },
        Keeps { totals: BTreeSet::from([set(&many[..17])]), ..none() },
        Keeps { breaks: broken(&[], "delay"), ..none() },
        Keeps { breaks: many.iter().flat_map(|by| broken(&[by], "delay")).collect(), ..none() },
    ] {
        assert!(refusal(keeps).en.contains("at most 64 orders"), "too many or none");
    }
    // The total of a marked column is not exact; nor is one that it is a part of.
    for total in [&["delay"][..], &["delay", "wind"]] {
        let refused = refusal(Keeps { totals: BTreeSet::from([set(total)]), ..none() });
        assert!(refused.en.contains("is to be exact and this mark moves it"), "{refused}");
    }
}

#[test]
fn what_a_draft_leaves_out_stands_in_the_journal() {
    let mut life = permitted();
    let details = marked_product(&life);
    assert_eq!(details.marking.as_ref().unwrap().keeps, None);
    let draft = Command::DraftProduct { details: Box::new(details) };
    let product: ProductId = created(&life.world.done(&life.handler("operator"), draft));
    let drafted = &life.world.state.products[&product].value.details;
    assert_eq!(drafted.marking.as_ref().unwrap().keeps, Some(Keeps::default()));
    assert_eq!(drafted.marking.as_ref().unwrap().keeps.as_ref().unwrap().moments, bounds(100, 1_000));
    let weather = MarkDeclaration { credit_data: false, limits: MarkLimits::default() };
    assert_eq!(weather.limits.moments, bounds(100, 1_000), "a declaration that says nothing of them");
}

/// What a mark hangs on is a column of the product that is exact wherever it is shown; a journal of before names none.
#[test]
fn a_mark_hangs_on_exact_columns() {
    let life = permitted();
    let by = |columns: &[&str]| {
        let mut details = marked_product(&life);
        details.marking.as_mut().unwrap().marks[0].by = set(columns);
        details
    };
    assert_eq!(draft(&life, by(&["day"])), Ok(()));
    assert_eq!(draft(&life, by(&["day", "flight_id"])), Ok(()));
    // The permit coarsens tails.
    assert!(draft(&life, by(&["day", "tail"])).unwrap_err().en.contains("tail is coarsened"));
    for strange in [&["delay"][..], &["carrier"], &["wind"], &["day", "delay"]] {
        let refusal = draft(&life, by(strange)).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::Invalid);
        assert!(refusal.en.contains("has to be an output column that is not marked"), "{strange:?}: {refusal}");
    }
    let written = serde_json::to_value(by(&[]).marking).unwrap();
    assert_eq!(written["marks"][0].get("by"), None, "{written}");
}
