//! The real data of the demo and its rule sets. The figures were counted by `demo/data/count.py`, which knows nothing
//! of this crate.

use std::path::PathBuf;

use lingqu_quality::{Dimension, RuleSet};

use crate::{Bench, by_rule};

const NOW: &str = "2026-11-24T04:00:00Z";

/// Rule, rows looked at, failing rows, failing keys.
type Count = (&'static str, u64, u64, Option<u64>);

const FLIGHTS: [Count; 37] = [
    ("flights.dep_time.present", 336_776, 8_255, None),
    ("flights.arr_time.present", 336_776, 8_713, None),
    ("flights.arr_delay.present", 336_776, 9_430, None),
    ("flights.tailnum.present", 336_776, 2_512, None),
    ("flights.air_time.present", 328_063, 717, None),
    ("flights.key.unique", 336_776, 0, Some(0)),
    ("flights.tailnum.form", 334_264, 4, None),
    ("flights.dep_time.range", 328_521, 29, None),
    ("flights.arr_time.range", 328_063, 150, None),
    ("flights.distance.range", 336_776, 0, None),
    ("flights.tailnum.registered", 334_264, 50_094, Some(721)),
    ("flights.dest.registered", 336_776, 7_602, Some(4)),
    ("flights.origin.registered", 336_776, 0, Some(0)),
    ("flights.carrier.registered", 336_776, 0, Some(0)),
    ("flights.weather.registered", 336_776, 1_556, Some(108)),
    ("weather.temp.present", 26_115, 1, None),
    ("weather.wind_dir.present", 26_115, 460, None),
    ("weather.wind_speed.present", 26_115, 4, None),
    ("weather.pressure.present", 26_115, 2_729, None),
    ("weather.utc_hour.unique", 26_115, 0, Some(0)),
    ("weather.local_hour.unique", 26_115, 6, Some(3)),
    ("weather.wind_speed.range", 26_111, 1, None),
    ("weather.humid.range", 26_114, 0, None),
    ("weather.wind_gust.at_least", 5_337, 0, None),
    ("weather.origin.registered", 26_115, 0, Some(0)),
    ("planes.tailnum.unique", 3_322, 0, Some(0)),
    ("planes.year.present", 3_322, 70, None),
    ("planes.speed.present", 3_322, 3_299, None),
    ("planes.year.range", 3_252, 0, None),
    ("planes.seats.range", 3_322, 0, None),
    ("airports.faa.unique", 1_458, 0, Some(0)),
    ("airports.tzone.present", 1_458, 3, None),
    ("airports.lat.range", 1_458, 1, None),
    ("airports.lon.range", 1_218, 3, None),
    ("airports.tz.code", 1_458, 2, None),
    ("airlines.carrier.unique", 16, 0, Some(0)),
    ("airlines.name.present", 16, 0, None),
];

const DIVISIONS: [Count; 11] = [
    ("divisions_statistical.code.unique", 1_410, 0, Some(0)),
    ("divisions_statistical.code.present", 1_410, 0, None),
    ("divisions_statistical.code.form", 126, 15, None),
    ("divisions_statistical.parent.registered", 1_409, 0, Some(0)),
    ("divisions_statistical.code.in_gb2260", 111, 9, Some(9)),
    ("divisions_statistical.name.in_gb2260", 111, 9, Some(9)),
    ("divisions_gb2260.code.unique", 145, 0, Some(0)),
    ("divisions_gb2260.code.form", 145, 0, None),
    ("divisions_gb2260.code.in_force", 145, 6, None),
    ("divisions_gb2260.code.in_statistical", 110, 8, Some(8)),
    ("divisions_gb2260.heading.in_statistical", 14, 14, Some(14)),
];

fn demo_data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../demo/data")
}

fn rule_set(name: &str) -> RuleSet {
    let text = std::fs::read_to_string(demo_data().join(format!("rules/{name}.json"))).unwrap();
    RuleSet::from_json(&text).unwrap()
}

/// Checks the counts and that every rule but those about whole tables is among them.
fn check(report: &lingqu_quality::Report, counts: &[Count]) {
    let found = by_rule(report);
    for (rule, checked, failing, keys) in counts {
        let finding = found[rule];
        let seen = (finding.checked_count, finding.failing_count, finding.failing_key_count);
        assert_eq!(seen, (*checked, *failing, *keys), "{rule}");
        assert_eq!(finding.example_rows.len() as u64, (*failing).min(20), "{rule}");
    }
    let about_tables = |rule: &str| rule.ends_with(".readable") || rule.ends_with(".newest");
    let counted = found.keys().filter(|rule| !about_tables(rule)).count();
    assert_eq!(counted, counts.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defects_of_the_flights_are_counted_exactly() {
    let mut bench = Bench::new();
    for table in ["flights", "weather", "planes", "airports", "airlines"] {
        bench.import(table, &demo_data().join(format!("{table}.csv.zst")), &["NA"]).await;
    }
    let begun = std::time::Instant::now();
    let report = bench.run(&rule_set("flights"), NOW).await.unwrap();
    println!("43 rules over 367,687 rows: {} ms", begun.elapsed().as_millis());
    check(&report, &FLIGHTS);

    let found = by_rule(&report);
    assert!(
        found.iter().filter(|(rule, _)| rule.ends_with(".readable")).all(|(_, finding)| finding.failing_count == 0)
    );
    // The newest flight left in the hour of 2014-01-01T04:00Z.
    assert_eq!(found["flights.time_hour.newest"].age_days, Some(4_710));
    assert_eq!(found["flights.time_hour.newest"].failing_count, 1);
    // The first flight without a departure time is on line 840 of the file, which has a header.
    assert_eq!(found["flights.dep_time.present"].example_rows[0], 838);
    assert_eq!(report.row_count("flights"), Some(336_776));
    let dimensions: Vec<Dimension> = report.dimensions.iter().map(|score| score.dimension).collect();
    assert_eq!(
        dimensions,
        [
            Dimension::Normative,
            Dimension::Complete,
            Dimension::Accurate,
            Dimension::Consistent,
            Dimension::Timely,
            Dimension::Accessible
        ]
    );
    let tickets = report.findings.iter().filter(|finding| finding.opens_ticket && finding.failing_count > 0).count();
    assert_eq!(tickets, 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_differences_of_the_division_codes_are_counted_exactly() {
    let mut bench = Bench::new();
    for table in ["divisions_statistical", "divisions_gb2260"] {
        bench.import(table, &demo_data().join(format!("{table}.csv.zst")), &[]).await;
    }
    let report = bench.run(&rule_set("divisions"), NOW).await.unwrap();
    check(&report, &DIVISIONS);
}
