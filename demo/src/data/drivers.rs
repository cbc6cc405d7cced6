//! The SYNTHETIC strand: drivers who apply for the taxi-driver qualification, their traffic offences and the records
//! that bar them, generated from a seed over the real divisions of Guangxi, with a known truth planted.
//!
//! The rule is art. 10 of 出租汽车驾驶员从业资格管理规定 (as known generally, not checked against the gazette): a
//! licence for the class and at least three years of driving; no record of causing a traffic accident by crime, of
//! dangerous driving, of drug use or of driving after drinking; and no scoring period with twelve points among the last
//! three (最近连续3个记分周期). A scoring period (记分周期) is twelve months from the first issue of the licence
//! (道路交通安全违法行为记分管理办法); the last three are taken to be the one that runs and the two before it.
//!
//! No real person can be meant: every identity number carries the area code 4599 and the number of the city, and no
//! division 4599 was ever given out; its check digit is valid, so that checks of form pass.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::civil::Date;

use super::crosswalk::{Difference, Level, StatisticalDivision, crosswalk, national_divisions, statistical_divisions};
use super::drivers_plan::{Draw, Plan, plan};
use super::{DataError, Nature, Written, write_csv};

/// Fewest drivers that give every kind of case at least once.
pub const DRIVERS_MIN: usize = 100;
/// Most drivers that the generator makes; the form of their ids holds no more.
pub const DRIVERS_MAX: usize = 100_000;
/// First four digits of every synthetic identity number.
pub const SYNTHETIC_AREA: &str = "4599";

/// The product that answers the check, over the three tables of this strand: one row per driver with the columns
/// `driver_id`, `id_number`, `name`, `licence_class` and `qualified`. Three years have passed when the fourth scoring
/// period runs.
pub const TAXI_CHECK_SQL: &str = "\
SELECT d.driver_id, d.id_number, d.name, d.licence_class,
       d.cycle_number >= 4 AND r.driver_id IS NULL AND p.driver_id IS NULL AS qualified
FROM drivers d
LEFT JOIN (SELECT DISTINCT driver_id FROM dangerous_records) r ON r.driver_id = d.driver_id
LEFT JOIN (
  SELECT DISTINCT t.driver_id
  FROM (
    SELECT driver_id, cycle_number, sum(points) AS points
    FROM offences
    GROUP BY driver_id, cycle_number
    HAVING sum(points) >= 12
  ) t
  JOIN drivers e ON e.driver_id = t.driver_id
  WHERE t.cycle_number > e.cycle_number - 3
) p ON p.driver_id = d.driver_id";

/// What to generate. The same request gives the same bytes on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Seed of all draws.
    pub seed: u64,
    /// The day on which the truth holds; no event lies after it.
    pub as_of: Date,
    /// Drivers, [`DRIVERS_MIN`] to [`DRIVERS_MAX`].
    pub driver_count: usize,
    /// Offences of all drivers together; about four a driver is realistic.
    pub offence_count: usize,
}

impl Request {
    /// 5,000 drivers and 20,000 offences as of a day.
    pub fn standard(seed: u64, as_of: Date) -> Request {
        Request { seed, as_of, driver_count: 5_000, offence_count: 20_000 }
    }
}

/// A driver and the licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// `D000001` and on.
    pub driver_id: String,
    /// Eighteen characters with a valid check digit; area code 4599 and the city's number.
    pub id_number: String,
    /// Two or three characters.
    pub name: String,
    /// 男 or 女, as the seventeenth digit says.
    pub sex: &'static str,
    /// Day of birth.
    pub birth_on: Date,
    /// Class of licence: A1, A3, B1, C1 or C2.
    pub licence_class: &'static str,
    /// First issue of the licence.
    pub first_issued_on: Date,
    /// The scoring period that runs on the day of the request, counted from 1 at first issue.
    pub cycle_number: u32,
    /// Statistical code of the county of residence, six digits.
    pub division_code: String,
    /// Statistical code of the home township, nine digits; missing for the planted defects.
    pub home_code: Option<String>,
    /// City, county and township in words; missing with the code.
    pub home: Option<String>,
}

/// A traffic offence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offence {
    /// `F0000001` and on, in the order of days.
    pub offence_id: String,
    /// Whose.
    pub driver_id: String,
    /// Day.
    pub occurred_on: Date,
    /// The driver's scoring period in which it lies.
    pub cycle_number: u32,
    /// What was done.
    pub kind: &'static str,
    /// 1, 3, 6, 9 or 12.
    pub points: u32,
    /// Statistical code of the county where; a code that was abolished for the planted defects.
    pub division_code: String,
}

/// A record that bars from the qualification for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DangerousRecord {
    /// `R00001` and on, in the order of days.
    pub record_id: String,
    /// Whose.
    pub driver_id: String,
    /// Day.
    pub recorded_on: Date,
    /// 交通肇事犯罪, 危险驾驶犯罪, 吸毒 or 饮酒后驾驶.
    pub kind: &'static str,
}

/// Why a driver does not qualify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Less than three years since the first issue.
    Inexperienced,
    /// A record of crime in traffic, dangerous driving, drugs or driving after drinking.
    Record,
    /// Twelve points or more in one of the last three scoring periods.
    TwelvePoints,
}

/// What was planted for one driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Who.
    pub driver_id: String,
    /// Empty for a driver who qualifies.
    pub reasons: BTreeSet<Reason>,
}

impl Truth {
    /// True when the check must answer that the driver qualifies.
    pub fn qualifies(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// The whole strand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strand {
    /// In the order of ids.
    pub drivers: Vec<Driver>,
    /// In the order of days.
    pub offences: Vec<Offence>,
    /// In the order of days.
    pub dangerous_records: Vec<DangerousRecord>,
    /// One for each driver, in the same order. Never a source of the node.
    pub truth: Vec<Truth>,
    /// Drivers whose home is missing on purpose.
    pub home_missing_count: usize,
    /// Offences with an abolished division code on purpose.
    pub retired_division_count: usize,
}

/// Generates the strand. Refuses a number of drivers outside the limits and more offences than the drivers can have
/// without changing the truth.
pub fn generate(request: &Request) -> Result<Strand, DataError> {
    if !(DRIVERS_MIN..=DRIVERS_MAX).contains(&request.driver_count) {
        let reason = format!("{} drivers are asked for; ask for {DRIVERS_MIN} to {DRIVERS_MAX}", request.driver_count);
        return Err(DataError::Generator { reason });
    }
    let draw = Draw::new(request.seed);
    let statistical = statistical_divisions()?;
    let Plan { lives, mut offences, records } = plan(&draw, request)?;

    let home_missing_count = request.driver_count / 200;
    let homeless: BTreeSet<usize> =
        draw.order("home missing", request.driver_count).into_iter().take(home_missing_count).collect();
    let places = Places::of(&statistical);
    let mut numbers_given = BTreeSet::new();
    let mut drivers = Vec::with_capacity(request.driver_count);
    let mut truth = Vec::with_capacity(request.driver_count);
    for (index, life) in lives.iter().enumerate() {
        let at = index as u64;
        let county = draw.pick("county", at, &places.counties);
        let township = draw.pick("township", at, places.townships_of(county));
        let city = places.city_of(county);
        let age_years = i32::try_from(draw.below("age", at, 23)).unwrap_or(0) + 18;
        let age_days = i32::try_from(draw.below("birthday", at, 365)).unwrap_or(0);
        let birth_on = years_before(life.first_issued_on, age_years);
        let birth_on = days_before(birth_on, age_days);
        let (id_number, sequence) = identity_number(&draw, at, &city.code, birth_on, &mut numbers_given)?;
        let has_home = !homeless.contains(&index);
        drivers.push(Driver {
            driver_id: driver_id(index),
            id_number,
            name: draw.name(at),
            sex: if sequence % 2 == 1 { "男" } else { "女" },
            birth_on,
            licence_class: draw.licence_class(at),
            first_issued_on: life.first_issued_on,
            cycle_number: life.cycle_number,
            division_code: county.code.clone(),
            home_code: has_home.then(|| township.code.clone()),
            home: has_home.then(|| format!("{}{}{}", city.name, county.name, township.name)),
        });
        truth.push(Truth { driver_id: driver_id(index), reasons: life.fate.reasons() });
    }

    offences.sort_by_key(|offence| (offence.occurred_on, offence.driver, offence.points));
    let retired_division_count = request.offence_count / 500;
    let retired_at: BTreeSet<usize> =
        draw.order("retired division", offences.len()).into_iter().take(retired_division_count).collect();
    let retired_codes = retired_codes(&statistical)?;
    let mut finished = Vec::with_capacity(offences.len());
    for (index, planned) in offences.iter().enumerate() {
        let at = index as u64;
        let driver = &drivers[planned.driver];
        let division_code = if retired_at.contains(&index) {
            draw.pick("retired code", at, &retired_codes)
        } else if draw.below("away", at, 4) == 0 {
            draw.pick("offence county", at, &places.counties).code.clone()
        } else {
            driver.division_code.clone()
        };
        finished.push(Offence {
            offence_id: format!("F{:07}", index + 1),
            driver_id: driver.driver_id.clone(),
            occurred_on: planned.occurred_on,
            cycle_number: planned.cycle_number,
            kind: planned.kind,
            points: planned.points,
            division_code,
        });
    }
    let mut records = records;
    records.sort_by_key(|record| (record.recorded_on, record.driver));
    let dangerous_records = records
        .iter()
        .enumerate()
        .map(|(index, record)| DangerousRecord {
            record_id: format!("R{:05}", index + 1),
            driver_id: driver_id(record.driver),
            recorded_on: record.recorded_on,
            kind: record.kind,
        })
        .collect();
    Ok(Strand { drivers, offences: finished, dangerous_records, truth, home_missing_count, retired_division_count })
}

impl Strand {
    /// Writes `drivers.csv`, `offences.csv` and `dangerous_records.csv` into `directory`, which is created when it is
    /// missing. The truth is not written: it is no source.
    pub fn write(&self, directory: &Path) -> Result<Vec<Written>, DataError> {
        let mut written = Vec::with_capacity(3);
        for (table, content) in self.tables() {
            written.push(write_csv(directory, table, content.as_bytes(), Nature::Synthetic)?);
        }
        Ok(written)
    }

    /// The three tables as CSV text: name and content. No value holds a comma, quote or line break.
    pub fn tables(&self) -> [(&'static str, String); 3] {
        let mut drivers = String::from(
            "driver_id,id_number,name,sex,birth_on,licence_class,first_issued_on,cycle_number,division_code,home_code,home\n",
        );
        for driver in &self.drivers {
            drivers.push_str(&format!(
                "{},{},{},{},{},{},{},{},{},{},{}\n",
                driver.driver_id,
                driver.id_number,
                driver.name,
                driver.sex,
                driver.birth_on,
                driver.licence_class,
                driver.first_issued_on,
                driver.cycle_number,
                driver.division_code,
                driver.home_code.as_deref().unwrap_or(""),
                driver.home.as_deref().unwrap_or(""),
            ));
        }
        let mut offences = String::from("offence_id,driver_id,occurred_on,cycle_number,kind,points,division_code\n");
        for offence in &self.offences {
            offences.push_str(&format!(
                "{},{},{},{},{},{},{}\n",
                offence.offence_id,
                offence.driver_id,
                offence.occurred_on,
                offence.cycle_number,
                offence.kind,
                offence.points,
                offence.division_code,
            ));
        }
        let mut records = String::from("record_id,driver_id,recorded_on,kind\n");
        for record in &self.dangerous_records {
            records.push_str(&format!(
                "{},{},{},{}\n",
                record.record_id, record.driver_id, record.recorded_on, record.kind
            ));
        }
        [("drivers", drivers), ("offences", offences), ("dangerous_records", records)]
    }
}

/// The check character of an identity number's first seventeen digits (GB 11643-1999, ISO 7064 MOD 11-2).
pub fn check_character(digits: &str) -> char {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHARACTERS: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];
    let mut sum = 0;
    for (digit, weight) in digits.chars().zip(WEIGHTS) {
        sum += digit.to_digit(10).unwrap_or(0) * weight;
    }
    CHARACTERS[(sum % 11) as usize]
}

/// A number nobody has yet, and its sequence. Sequences of one birthday and city are tried from a drawn one on.
fn identity_number(
    draw: &Draw,
    at: u64,
    city_code: &str,
    birth_on: Date,
    given: &mut BTreeSet<String>,
) -> Result<(String, u64), DataError> {
    let city_number = city_code.get(2..4).unwrap_or("00");
    let start = draw.below("sequence", at, 1_000);
    for step in 0..1_000 {
        let sequence = (start + step) % 1_000;
        let digits = format!("{SYNTHETIC_AREA}{city_number}{}{sequence:03}", birth_on.strftime("%Y%m%d"));
        let number = format!("{digits}{}", check_character(&digits));
        if given.insert(number.clone()) {
            return Ok((number, sequence));
        }
    }
    let reason = "a thousand drivers share one birthday and city; ask for fewer drivers or another seed".to_owned();
    Err(DataError::Generator { reason })
}

fn driver_id(index: usize) -> String {
    format!("D{:06}", index + 1)
}

/// A day some years earlier; 29 February becomes the 28th.
fn years_before(day: Date, years: i32) -> Date {
    day.saturating_sub(jiff::Span::new().years(years))
}

fn days_before(day: Date, days: i32) -> Date {
    day.saturating_sub(jiff::Span::new().days(days))
}

/// The GB/T 2260 codes that the statistical table has replaced, which old records still carry.
fn retired_codes(statistical: &[StatisticalDivision]) -> Result<Vec<String>, DataError> {
    let mut codes = Vec::new();
    for difference in crosswalk(statistical, &national_divisions()?).differences {
        if let Difference::CodeChanged { national_code, .. } = difference {
            codes.push(national_code);
        }
    }
    Ok(codes)
}

/// The divisions by level.
struct Places<'a> {
    cities: Vec<&'a StatisticalDivision>,
    counties: Vec<&'a StatisticalDivision>,
    townships: BTreeMap<&'a str, Vec<&'a StatisticalDivision>>,
}

impl<'a> Places<'a> {
    fn of(divisions: &'a [StatisticalDivision]) -> Places<'a> {
        let of = |level: Level| divisions.iter().filter(|division| division.level == level).collect::<Vec<_>>();
        let mut townships: BTreeMap<&str, Vec<&StatisticalDivision>> = BTreeMap::new();
        for township in of(Level::Township) {
            let county_code = township.parent.as_deref().unwrap_or_default();
            townships.entry(county_code).or_default().push(township);
        }
        Places { cities: of(Level::City), counties: of(Level::County), townships }
    }

    fn townships_of(&self, county: &StatisticalDivision) -> &[&'a StatisticalDivision] {
        self.townships.get(county.code.as_str()).expect("a test holds that every county of the embedded table has one")
    }

    fn city_of(&self, county: &StatisticalDivision) -> &'a StatisticalDivision {
        self.cities
            .iter()
            .find(|city| county.parent.as_deref() == Some(city.code.as_str()))
            .expect("a test holds that every county of the embedded table has its city")
    }
}

#[cfg(test)]
#[path = "drivers_tests.rs"]
mod tests;
