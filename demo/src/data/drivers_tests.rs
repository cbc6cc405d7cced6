//! The planted truth against a computation of its own, from the CSV text alone and by days instead of periods' numbers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, date};

use super::*;

const AS_OF: Date = date(2026, 11, 24);

/// Art. 10 by days: which reasons each driver has, from the three tables as text.
fn reasons_by_days(strand: &Strand, as_of: Date) -> BTreeMap<String, BTreeSet<Reason>> {
    let [(_, drivers), (_, offences), (_, records)] = strand.tables();
    let rows = |text: &str| -> Vec<Vec<String>> {
        text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
    };
    let recorded: BTreeSet<String> = rows(&records).iter().map(|row| row[1].clone()).collect();
    let mut offences_of: BTreeMap<String, Vec<(Date, u32)>> = BTreeMap::new();
    for row in rows(&offences) {
        let event = (row[2].parse().unwrap(), row[5].parse().unwrap());
        offences_of.entry(row[1].clone()).or_default().push(event);
    }
    let mut found = BTreeMap::new();
    for row in rows(&drivers) {
        let (driver_id, issued_on): (_, Date) = (row[0].clone(), row[6].parse().unwrap());
        let anniversary = |years: i16| date(issued_on.year() + years, issued_on.month(), issued_on.day());
        let mut reasons = BTreeSet::new();
        if anniversary(3) > as_of {
            reasons.insert(Reason::Inexperienced);
        }
        if recorded.contains(&driver_id) {
            reasons.insert(Reason::Record);
        }
        // The anniversary that begins the running period, then two more back.
        let mut years = as_of.year() - issued_on.year();
        if anniversary(years) > as_of {
            years -= 1;
        }
        for back in 0..3 {
            let (start, end) = (anniversary(years - back), anniversary(years - back + 1));
            let events = offences_of.get(&driver_id).into_iter().flatten();
            let points: u32 = events.filter(|(day, _)| *day >= start && *day < end).map(|(_, points)| points).sum();
            if points >= 12 {
                reasons.insert(Reason::TwelvePoints);
            }
        }
        found.insert(driver_id, reasons);
    }
    found
}

#[test]
fn the_planted_truth_agrees_with_a_computation_by_days() {
    // Among the days: a leap day, the day after it and the last of a year.
    let days = [AS_OF, date(2028, 2, 29), date(2028, 3, 1), date(2026, 12, 31)];
    for (seed, as_of) in days.into_iter().enumerate() {
        let strand = generate(&Request::standard(seed as u64, as_of)).unwrap();
        let computed = reasons_by_days(&strand, as_of);
        assert_eq!(computed.len(), 5_000);
        for truth in &strand.truth {
            assert_eq!(computed[&truth.driver_id], truth.reasons, "{} seed {seed} as of {as_of}", truth.driver_id);
        }
        assert_eq!(strand.truth.iter().filter(|truth| truth.qualifies()).count(), 3_600);
        assert_eq!(strand.offences.len(), 20_000);
        assert!(strand.offences.iter().all(|offence| offence.occurred_on <= as_of));
    }
}

#[test]
fn the_counts_of_every_reason_are_exact() {
    let strand = generate(&Request::standard(1, AS_OF)).unwrap();
    let with = |reason: Reason| strand.truth.iter().filter(|truth| truth.reasons.contains(&reason)).count();
    assert_eq!(with(Reason::Record), 400);
    assert_eq!(with(Reason::TwelvePoints), 700);
    assert_eq!(with(Reason::Inexperienced), 400);
    assert_eq!(strand.dangerous_records.len(), 400);
    assert_eq!(strand.drivers.iter().filter(|driver| driver.home.is_none()).count(), 25);
    assert_eq!(strand.home_missing_count, 25);
    let counties: BTreeSet<String> =
        statistical_divisions().unwrap().into_iter().map(|division| division.code).collect();
    let retired = strand.offences.iter().filter(|offence| !counties.contains(&offence.division_code)).count();
    assert_eq!((retired, strand.retired_division_count), (40, 40));
}

#[test]
fn the_boundary_cases_are_really_there() {
    let strand = generate(&Request::standard(1, AS_OF)).unwrap();
    let exactly = date(2023, 11, 24);
    assert!(strand.drivers.iter().any(|driver| driver.first_issued_on == exactly && driver.cycle_number == 4));
    assert!(
        strand.drivers.iter().any(|driver| driver.first_issued_on == date(2023, 11, 25) && driver.cycle_number == 3)
    );
    let mut points: BTreeMap<(&str, u32), u32> = BTreeMap::new();
    for offence in &strand.offences {
        *points.entry((&offence.driver_id, offence.cycle_number)).or_insert(0) += offence.points;
    }
    let mut by_age: BTreeMap<u32, usize> = BTreeMap::new();
    let (mut eleven, now): (usize, BTreeMap<&str, u32>) =
        (0, strand.drivers.iter().map(|driver| (driver.driver_id.as_str(), driver.cycle_number)).collect());
    for ((driver_id, cycle_number), points) in points {
        if points >= 12 {
            *by_age.entry(now[driver_id] - cycle_number).or_insert(0) += 1;
        }
        eleven += usize::from(points == 11);
    }
    assert!(by_age[&2] > 100 && by_age[&3] > 100, "both sides of the window: {by_age:?}");
    assert!(eleven > 10);
}

#[test]
fn identity_numbers_are_unique_well_formed_and_marked_as_synthetic() {
    let strand = generate(&Request::standard(7, AS_OF)).unwrap();
    let mut numbers = BTreeSet::new();
    let cities: BTreeSet<String> = statistical_divisions().unwrap().into_iter().map(|division| division.code).collect();
    assert!(!cities.contains(SYNTHETIC_AREA));
    for driver in &strand.drivers {
        let number = &driver.id_number;
        assert_eq!(number.len(), 18);
        assert!(number.starts_with(SYNTHETIC_AREA));
        assert_eq!(number[6..14], driver.birth_on.strftime("%Y%m%d").to_string());
        assert_eq!(number.chars().last().unwrap(), check_character(&number[..17]));
        assert_eq!(number[16..17].parse::<u32>().unwrap() % 2 == 1, driver.sex == "男");
        assert!(driver.birth_on.year() + 18 <= driver.first_issued_on.year());
        assert!(numbers.insert(number.clone()));
    }
    // The example of GB 11643-1999.
    assert_eq!(check_character("11010519491231002"), 'X');
}

#[test]
fn the_same_request_gives_the_same_bytes_and_another_seed_others() {
    let one = generate(&Request::standard(3, AS_OF)).unwrap();
    assert_eq!(one.tables(), generate(&Request::standard(3, AS_OF)).unwrap().tables());
    assert_ne!(one.tables(), generate(&Request::standard(4, AS_OF)).unwrap().tables());
}

#[test]
fn requests_outside_the_limits_are_refused_with_what_to_ask_for() {
    let small = Request { driver_count: 99, ..Request::standard(1, AS_OF) };
    assert!(generate(&small).unwrap_err().to_string().contains("ask for 100 to 100000"));
    let few = Request { offence_count: 10, ..Request::standard(1, AS_OF) };
    assert!(generate(&few).unwrap_err().to_string().contains("ask for more"));
    let many = Request { driver_count: 100, offence_count: 10_000, ..Request::standard(1, AS_OF) };
    assert!(generate(&many).unwrap_err().to_string().contains("ask for fewer"));
}

#[test]
fn the_files_are_written_as_synthetic() {
    let directory = tempfile::tempdir().unwrap();
    let small = Request { driver_count: 200, offence_count: 800, ..Request::standard(1, AS_OF) };
    let written = generate(&small).unwrap().write(directory.path()).unwrap();
    let tables: Vec<&str> = written.iter().map(|file| file.table.as_str()).collect();
    assert_eq!(tables, ["drivers", "offences", "dangerous_records"]);
    assert!(written.iter().all(|file| file.nature == Nature::Synthetic));
    assert_eq!(std::fs::read_to_string(&written[1].path).unwrap().lines().count(), 801);
}
