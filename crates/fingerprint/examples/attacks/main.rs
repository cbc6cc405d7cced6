//! Attacks on copies: who is named, and whether anybody innocent is; and what copies are off by. On the flights of `demo/data`
//! and on a census-like set that is made up; marks of rows, and of places, times and categories under both profiles of ciphers,
//! on rows and stops that are made up too. Where a line's name begins with "found" its rows are found by their values, in all
//! others they come aligned.
//!
//! ```text
//! cargo run --release -p lingqu-fingerprint --example attacks -- [minutes] [most trials of a line] [words of the lines that are wanted] [file]
//! ```

mod attack;
mod chance;
mod confidence;
mod copies;
mod distortion;
mod found;
mod goal;
mod innocents;
mod kinds;
mod line;
mod models;
mod registry;
mod rows;
mod state;
mod tables;
mod trial;

use std::time::{Duration, Instant};

use copies::Office;
use goal::TRIALS_ASKED;
use innocents::Innocents;
use kinds::Stops;
use line::{Line, advance_all, title};
use lingqu_fingerprint::Profile;
use registry::REGISTERED;
use rows::Rows;
use state::State;
use trial::{Failure, Scene, processors};

/// How long it takes unless told otherwise.
const MINUTES: f64 = 25.0;

/// The share of the time that innocents may take.
const INNOCENTS_SHARE: f64 = 0.3;

/// How many equal shares of what is left of it one line may take: cheap lines leave time to dear ones.
const INNOCENT_TURNS: u32 = 6;

/// Lines under one heading.
struct Section<'a> {
    heading: String,
    lines: Vec<Line<'a>>,
}

impl<'a> Section<'a> {
    fn new(heading: String, scenes: Vec<Box<dyn Scene + 'a>>, wanted: &str, state: &'a State) -> Result<Self, Failure> {
        let scenes = scenes.into_iter().filter(|scene| title(&**scene).contains(wanted));
        let lines = scenes.map(|scene| Line::new(scene, state)).collect::<Result<_, _>>()?;
        Ok(Self { heading, lines })
    }
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let minutes: f64 = arguments.next().map_or(Ok(MINUTES), |text| text.parse())?;
    let trials: usize = arguments.next().map_or(Ok(TRIALS_ASKED), |text| text.parse())?;
    let wanted = arguments.next().unwrap_or_default();
    let state = State::open(arguments.next().as_deref())?;
    let (begun, time) = (Instant::now(), Duration::try_from_secs_f64(60.0 * minutes)?);
    println!(
        "{REGISTERED} registered recipients, bound 1e-6 for a case; {minutes} minutes on {} processors, {trials} trials of a \
         line at most",
        processors()
    );
    let offices = [Office::open(tables::flights()?)?, Office::open(tables::census()?)?];
    let rows = offices.each_ref().map(|office| {
        Rows::open(
            if office.table.name.starts_with("flights") { "flights by rows" } else { "census by rows" },
            office.table.batch.num_rows(),
        )
    });
    let stops =
        [Stops::open("stops, AES (SYNTHETIC)", Profile::Aes)?, Stops::open("stops, SM4 (SYNTHETIC)", Profile::Sm4)?];
    let mut sections = Vec::new();
    for office in &offices {
        let table = &office.table;
        println!("\n{}: {} rows, {}\n", table.name, table.batch.num_rows(), table.marks_in_words());
        if "distortion".contains(&wanted) {
            distortion::measure(office)?;
        }
        let needed = office.rows_needed()?;
        println!("\nrows at which the Neyman-Pearson test of one recipient has power 0.99 (upper bound): {needed:.0}");
        sections.push(Section::new(table.name.to_owned(), office.scenes(needed), &wanted, &state)?);
    }
    for rows in &rows {
        let heading = format!(
            "{}: {} rows with {} decoys, or with {} % left out of each copy",
            rows.registry.table,
            rows.count,
            rows.decoys,
            100.0 * rows::LEFT_OUT
        );
        sections.push(Section::new(heading, rows.scenes(), &wanted, &state)?);
    }
    for stops in &stops {
        sections.push(Section::new(stops.in_words(), stops.scenes(), &wanted, &state)?);
    }
    if sections.iter().all(|section| section.lines.is_empty()) && !"distortion".contains(&wanted) {
        return Err(
            format!("no line has the words {wanted:?}; without words all are tried, and their names printed").into()
        );
    }
    print_innocents(&sections, &state, begun + time.mul_f64(INNOCENTS_SHARE))?;
    advance_all(
        &mut sections.iter_mut().flat_map(|section| &mut section.lines).collect::<Vec<_>>(),
        trials,
        begun + time,
    )?;
    println!(
        "\nA goal is met by {TRIALS_ASKED} trials or more. In one trial of a line everybody who is registered is tested, in \
         others fewer where it would take too long; the correction counts all. Off the originals: what the attack costs the data, \
         root mean square in standard deviations."
    );
    for section in sections.iter().filter(|section| !section.lines.is_empty()) {
        println!("\n{}\n\n{}\n{}", section.heading, line::HEAD, "---|".repeat(12) + "---");
        section.lines.iter().for_each(|line| println!("{}", line.in_words()));
    }
    println!("\n{:.1} minutes", begun.elapsed().as_secs_f64() / 60.0);
    Ok(())
}

/// Innocents by all kinds of leaks: a turn for each, then the rest of the time for those that are not done.
fn print_innocents(sections: &[Section<'_>], state: &State, deadline: Instant) -> Result<(), Failure> {
    let lines = sections.iter().flat_map(|section| &section.lines);
    let innocents: Result<Vec<Innocents<'_>>, Failure> =
        lines.map(|line| Innocents::new(line.scene(), state)).collect();
    let mut innocents = innocents?;
    let count = innocents.len();
    for turns in [INNOCENT_TURNS, u32::try_from(count).unwrap_or(u32::MAX)] {
        for (at, innocents) in innocents.iter_mut().enumerate().filter(|(_, innocents)| !innocents.is_complete()) {
            let left = deadline.saturating_duration_since(Instant::now());
            let turn = left / u32::try_from(count - at).unwrap_or(u32::MAX);
            innocents.advance(Instant::now() + left.min(turns * turn))?;
        }
    }
    let mut innocents = innocents.iter();
    for section in sections.iter().filter(|section| !section.lines.is_empty()) {
        println!(
            "\ninnocents at a bound of 1e-3, {}\n\n{}\n{}",
            section.heading,
            innocents::HEAD,
            "---|".repeat(10) + "---"
        );
        innocents.by_ref().take(section.lines.len()).for_each(|innocents| println!("{}", innocents.in_words()));
    }
    Ok(())
}
