//! Marks of places, times and categories, by both profiles of ciphers: stops of made-up journeys, SYNTHETIC.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt64Array,
};
use arrow::compute::{interleave, take_record_batch};
use arrow::datatypes::{Float64Type, TimestampMillisecondType};
use lingqu_fingerprint::{
    BiasTable, Carrier, Encoding, Mark, Marking, Member, Observation, Profile, RATE_ONE, observe,
};

use crate::chance::Chance;
use crate::found::{find, pieces, shuffled};
use crate::goal::Goal;
use crate::registry::Registry;
use crate::trial::{Failure, Found, Leak, Scene, Size};

const ROWS: usize = 20_000;
const LEAKED_ROWS: usize = 1_000;
const INNOCENT_ROWS: usize = 150;

/// Spellings that are taken for each other, two and two; the last stands in no set.
const SPELLINGS: [&str; 5] = ["路", "道", "Road", "Rd", "弄"];

/// How far marks move, and noise, in metres and in milliseconds.
const METRES: f64 = 8.0;
const MILLISECONDS: f64 = 20_000.0;

/// Metres of a degree of latitude, and the latitude of all stops within a fifth of a degree.
const DEGREE_METRES: f64 = 111_320.0;
const LATITUDE: f64 = 22.7;

/// The share of spellings that are exchanged within their set.
const EXCHANGED_SHARE: f64 = 0.2;

/// Degrees and times that attackers round to.
const DEGREES_KEPT: f64 = 1e-5;
const MINUTE: i64 = 60_000;

pub struct Stops {
    registry: Registry,
    batch: RecordBatch,
    pieces: Vec<RecordBatch>,
    marking: Marking,
}

/// Which marked columns leak.
#[derive(Clone, Copy, PartialEq)]
enum Kept {
    Place,
    Moment,
    Spelling,
    /// All but the key, in any order under names that say nothing.
    Unnamed,
}

impl Kept {
    fn columns(self) -> &'static [&'static str] {
        match self {
            Kept::Place => &["lat", "lon"],
            Kept::Moment => &["at"],
            Kept::Spelling => &["street"],
            Kept::Unnamed => &["fare", "line", "lat", "lon", "at", "street"],
        }
    }
}

/// What is done to it.
#[derive(Clone, Copy, PartialEq)]
enum Harm {
    Nothing,
    /// Normal noise as wide as a mark's reach; of spellings a fifth is exchanged within the set.
    Noise,
    /// A place to five decimals, a time to the minute.
    Rounded,
}

/// An attack on copies of stops.
struct OnStops<'a> {
    stops: &'a Stops,
    name: String,
    kept: Kept,
    harm: Harm,
    coalition: usize,
}

impl Stops {
    pub fn open(table: &'static str, profile: Profile) -> Result<Self, Failure> {
        let mut chance = Chance::new("stops");
        let mut drawn = |below: usize| -> Vec<usize> { (0..ROWS).map(|_| chance.below(below)).collect() };
        let degrees = |from: f64, drawn: Vec<usize>| {
            Arc::new(Float64Array::from_iter_values(drawn.into_iter().map(|d| ((from * 1e6).round() + d as f64) / 1e6)))
        };
        let moments = drawn(31_536_000).into_iter().map(|second| (1_700_000_000 + second as i64) * 1_000);
        let moments = TimestampMillisecondArray::from_iter_values(moments);
        let fares = Int64Array::from_iter_values(drawn(100_000).into_iter().map(|fare| fare as i64));
        let lines = StringArray::from_iter_values(drawn(900).into_iter().map(|line| format!("L{line}")));
        let streets = StringArray::from_iter_values(drawn(SPELLINGS.len()).into_iter().map(|at| SPELLINGS[at]));
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row as i64 * 3))) as ArrayRef),
            ("lat", degrees(LATITUDE, drawn(200_000))),
            ("lon", degrees(108.2, drawn(200_000))),
            ("at", Arc::new(moments)),
            ("street", Arc::new(streets)),
            ("fare", Arc::new(fares)),
            ("line", Arc::new(lines)),
        ])?;
        let pieces = pieces(&batch);
        Ok(Self { registry: Registry::open(table, profile), batch, pieces, marking: marking() })
    }

    pub fn scenes(&self) -> Vec<Box<dyn Scene + '_>> {
        let scene = |name: &str, kept, harm, coalition| {
            let name = format!("{name}, {LEAKED_ROWS} rows");
            Box::new(OnStops { stops: self, name, kept, harm, coalition }) as Box<dyn Scene + '_>
        };
        vec![
            scene("place alone", Kept::Place, Harm::Nothing, 1),
            scene("place with noise of the reach", Kept::Place, Harm::Noise, 1),
            scene("place rounded to five decimals", Kept::Place, Harm::Rounded, 1),
            scene("time alone", Kept::Moment, Harm::Nothing, 1),
            scene("time with noise of the reach", Kept::Moment, Harm::Noise, 1),
            scene("time rounded to the minute", Kept::Moment, Harm::Rounded, 1),
            scene("category alone", Kept::Spelling, Harm::Nothing, 1),
            scene("category, a fifth exchanged", Kept::Spelling, Harm::Noise, 1),
            scene("2 collude, category of either at random", Kept::Spelling, Harm::Nothing, 2),
            scene("2 collude, place of either at random", Kept::Place, Harm::Nothing, 2),
            scene("found: all but the key, noise of the reach", Kept::Unnamed, Harm::Noise, 1),
        ]
    }

    pub fn in_words(&self) -> String {
        format!(
            "{}: {ROWS} rows, place by {METRES} m, time by {} s, category of four",
            self.registry.table,
            MILLISECONDS / 1e3
        )
    }
}

fn marking() -> Marking {
    let mark = |name: &str, carrier| Mark { name: name.to_owned(), rate: RATE_ONE, by: Vec::new(), carrier };
    let at = Member {
        column: "at".to_owned(),
        encoding: Encoding::Time { nanoseconds: 1_000_000_000 },
        coefficient: 1,
        domain: None,
    };
    let seconds = (MILLISECONDS / 1e3) as u32;
    let place = Carrier::Place { latitude: "lat".to_owned(), longitude: "lon".to_owned(), decimals: 6, metres: METRES };
    let sets = SPELLINGS[..4].chunks(2).map(|set| set.iter().map(|text| (*text).to_owned()).collect()).collect();
    Marking {
        key: vec!["id".to_owned()],
        marks: vec![
            mark("place", place),
            mark("at", Carrier::Number { members: vec![at], amplitude: seconds, tolerance: seconds }),
            mark("street", Carrier::Category { column: "street".to_owned(), sets }),
        ],
        order_share: 0,
        biases: BiasTable::default(),
        presence: None,
    }
}

impl OnStops<'_> {
    /// One column of what the pirates give out: of each cell a copy at random, and what is done to it.
    fn worked(&self, name: &str, copies: &[RecordBatch], chance: &mut Chance) -> Result<ArrayRef, Failure> {
        let arrays: Option<Vec<&ArrayRef>> = copies.iter().map(|copy| copy.column_by_name(name)).collect();
        let arrays: Vec<&dyn Array> =
            arrays.ok_or("a column is missing from a copy")?.into_iter().map(|a| &**a).collect();
        let rows = arrays.first().map_or(0, |array| array.len());
        let picks: Vec<(usize, usize)> = (0..rows).map(|row| (chance.below(arrays.len()), row)).collect();
        let mixed = interleave(&arrays, &picks)?;
        Ok(match (self.harm, name) {
            (Harm::Noise, "lat") => degrees(&mixed, |degrees| degrees + METRES / DEGREE_METRES * chance.normal()),
            (Harm::Noise, "lon") => {
                let degree = DEGREE_METRES * LATITUDE.to_radians().cos();
                degrees(&mixed, |degrees| degrees + METRES / degree * chance.normal())
            }
            (Harm::Rounded, "lat" | "lon") => {
                degrees(&mixed, |degrees| (degrees / DEGREES_KEPT).round() * DEGREES_KEPT)
            }
            (Harm::Noise, "at") => moments(&mixed, |at| at + (MILLISECONDS * chance.normal()) as i64),
            (Harm::Rounded, "at") => moments(&mixed, |at| (at + MINUTE / 2).div_euclid(MINUTE) * MINUTE),
            (Harm::Noise, "street") => {
                let texts = mixed.as_string::<i32>().iter().flatten().map(|text| {
                    let place = SPELLINGS.iter().position(|spelling| *spelling == text).unwrap_or(4);
                    let is_exchanged = place < 4 && chance.uniform() < EXCHANGED_SHARE;
                    SPELLINGS[if is_exchanged { place ^ 1 } else { place }]
                });
                Arc::new(StringArray::from_iter_values(texts))
            }
            _ => mixed,
        })
    }

    fn shown(
        &self,
        truth: &[u64],
        originals: &RecordBatch,
        fragment: &RecordBatch,
    ) -> Result<(Vec<Observation>, Option<Found>), Failure> {
        let Stops { registry, pieces, marking, .. } = self.stops;
        if self.kept != Kept::Unnamed {
            return Ok((observe(marking, &registry.secrets, originals, fragment)?, None));
        }
        let unnamed = fragment.columns().iter().enumerate().map(|(at, array)| (format!("f{at}"), Arc::clone(array)));
        let unnamed = RecordBatch::try_from_iter(unnamed)?;
        let (observations, found) = find(marking, &registry.secrets, pieces, &unnamed, truth)?;
        Ok((observations, Some(found)))
    }
}

fn degrees(array: &ArrayRef, mut change: impl FnMut(f64) -> f64) -> ArrayRef {
    let values = array.as_primitive::<Float64Type>().values().iter();
    Arc::new(Float64Array::from_iter_values(values.map(|degrees| change(*degrees))))
}

fn moments(array: &ArrayRef, mut change: impl FnMut(i64) -> i64) -> ArrayRef {
    let values = array.as_primitive::<TimestampMillisecondType>().values().iter();
    Arc::new(TimestampMillisecondArray::from_iter_values(values.map(|at| change(*at))))
}

impl Scene for OnStops<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn goal(&self) -> Goal {
        Goal::None
    }

    fn registry(&self) -> &Registry {
        &self.stops.registry
    }

    fn leak(&self, size: Size, chance: &mut Chance) -> Result<Leak, Failure> {
        let Stops { registry, batch, marking, .. } = self.stops;
        let rows = if size == Size::Whole { LEAKED_ROWS } else { INNOCENT_ROWS };
        let colluders = registry.colluders(self.coalition, chance);
        let truth: Vec<u64> = chance.sample(ROWS, rows).into_iter().map(|row| row as u64).collect();
        let truth = shuffled(truth, chance);
        let originals = take_record_batch(batch, &UInt64Array::from(truth.clone()))?;
        let mut copies = Vec::new();
        for colluder in &colluders {
            copies.push(registry.marker(marking, *colluder)?.mark(&originals)?);
        }
        let mut columns = Vec::new();
        for name in self.kept.columns() {
            columns.push((*name, self.worked(name, &copies, chance)?));
        }
        let (observations, found) = self.shown(&truth, &originals, &RecordBatch::try_from_iter(columns)?)?;
        Ok(Leak { observations, colluders, rows, found, cost: f64::NAN })
    }
}
