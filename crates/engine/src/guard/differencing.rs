//! No two numbers that one recipient gets may differ by a few contributors.
//!
//! Every number that leaves is recorded with a sketch of its contributors before it leaves; a new one is compared with
//! all that were recorded of the same family. Recorded are the groups that are shown, whatever HAVING, ORDER BY and
//! LIMIT make of them afterwards: whoever may write the condition can tell what it was true of. Recorded too is what
//! anybody can add up from an answer at once, the sums over each choice of its dimensions, and what such a sum would tell
//! beside the total it is a part of: the groups that were left out, taken together. So a group that was left out to hide
//! another one can't be asked for by itself afterwards.
//!
//! A sketch of the former kind is compared with the same rows sketched as then ([`former`](super::former)). Where they agree the
//! number is given again, and recorded anew if there is room. Where keys may repeat, two that agree may still differ by rows that
//! have cut each other out: there such a number is refused until its contributors have changed by the floor.
//!
//! Two products that know rows or contributors by other columns have digests of which none agree, and look as if they had nobody
//! in common. Of these a recipient gets numbers of one kind alone: the record says by what its numbers know them.

use std::collections::BTreeSet;

use super::sketch::{Kind, Sketch};
use super::suppression::{Group, lines};
use super::tally::Tally;
use crate::allow::{Refusal, RefusalCode};
use crate::execution::EngineError;
use crate::release::{Added, CELLS_PAGE_MAX, Cell, CellRange, ReleaseRecord};

/// How often an answer is compared anew because others were recorded meanwhile.
const ATTEMPTS_MAX: u32 = 32;

/// How far numbers have to be from each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    /// Fewest contributors that two of them differ by, if they differ.
    pub(crate) contributors: u64,
    /// Whether several rows may have one key.
    pub(crate) keys_may_repeat: bool,
}

/// A number to be released.
struct NewCell {
    cell: Cell,
    sketch: Sketch,
    /// The sketches that may have been recorded of it before, all of the former kind.
    former: Vec<Sketch>,
    /// At most so many contributors were counted then.
    former_max: u64,
    /// Whether it is on record in the former kind.
    is_on_record: bool,
}

/// Records the numbers of an answer. Refusals: `difference_too_small`, `release_limit_reached`.
pub(crate) async fn release(
    record: &dyn ReleaseRecord,
    groups: &[Group],
    shown: &[bool],
    families: &[String],
    floor: Floor,
) -> Result<(), EngineError> {
    let mut fresh = cells(groups, shown, families);
    let mut compared_to = 0;
    for _ in 0..ATTEMPTS_MAX {
        let head = record.head().await?;
        for family in families {
            compare(record, &mut fresh, family, compared_to..head, floor).await?;
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let mut added = record.add(head, &recordable(fresh.iter())).await?;
        if added == Added::Full {
            let needed = recordable(fresh.iter().filter(|new| !new.is_on_record));
            added = if needed.is_empty() { Added::Recorded } else { record.add(head, &needed).await? };
        }
        match added {
            Added::Recorded => return Ok(()),
            Added::Moved => compared_to = head,
            Added::Incomparable => return Err(incomparable().into()),
            Added::Full => {
                let what = "this order's consumer has been given as many different statistics of these data as are kept apart from each \
                            other; ask for one of those again";
                return Err(Refusal::new(RefusalCode::ReleaseLimitReached, what).into());
            }
        }
    }
    Err(EngineError::Busy)
}

/// What was given before knows rows or contributors by something else, so nobody can tell by how many of them an answer differs.
pub(super) fn incomparable() -> Refusal {
    let what = "this order's consumer, or one tied to it, was given statistics of these data by a product that knows rows or subjects by other \
                columns, and nobody could tell by how few subjects the answers of both differ; ask by that product, or ask the operator for one \
                with its key and subject";
    Refusal::new(RefusalCode::DifferenceTooSmall, what)
}

/// The numbers as they are recorded, each once: some differ in their sketches of the former kind alone.
fn recordable<'a>(fresh: impl Iterator<Item = &'a NewCell>) -> Vec<Cell> {
    let mut known = BTreeSet::new();
    let once = fresh.filter(|new| known.insert((&new.cell.family, &new.cell.sketch)));
    once.map(|new| new.cell.clone()).collect()
}

/// Compares what is new with what was recorded between two heads; what was recorded already is no longer new.
async fn compare(
    record: &dyn ReleaseRecord,
    fresh: &mut Vec<NewCell>,
    family: &str,
    heads: std::ops::Range<u64>,
    floor: Floor,
) -> Result<(), EngineError> {
    let mut after = heads.start;
    while after < heads.end {
        let of_family = || fresh.iter().filter(|new| new.cell.family == family);
        let Some(least) = of_family().map(|new| new.cell.contributors_min).min() else { return Ok(()) };
        let most = of_family().map(|new| new.former_max).max().unwrap_or(least);
        let range = CellRange {
            family: family.to_owned(),
            // Where the numbers of contributors differ by the floor, so do the contributors.
            contributors: least.saturating_sub(floor.contributors)..=most.saturating_add(floor.contributors),
            after,
            until: heads.end,
        };
        let page = record.cells(&range).await?;
        for recorded in &page {
            after = after.max(recorded.position);
            let Some(sketch) = Sketch::of_bytes(&recorded.cell.sketch) else {
                return Err(EngineError::Record {
                    problem: "a recorded sketch can't be read".to_owned(),
                    source: None,
                });
            };
            let mut is_refused = false;
            fresh.retain_mut(|new| {
                if new.cell.family != family {
                    return true;
                }
                let compared = new.compared_to(&recorded.cell, &sketch, floor);
                is_refused |= compared == Compared::TooNear;
                new.is_on_record |= compared == Compared::SameThen;
                compared != Compared::Same
            });
            if is_refused {
                let what = "together with an earlier answer this one would tell of a few contributors only; ask by the same filters as \
                            before, or by filters that differ by more";
                return Err(Refusal::new(RefusalCode::DifferenceTooSmall, what).into());
            }
        }
        if page.len() < CELLS_PAGE_MAX {
            return Ok(());
        }
    }
    Ok(())
}

/// How a new number stands to a recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    /// It is recorded already.
    Same,
    /// It is recorded in the former kind.
    SameThen,
    /// They differ by a few contributors, or may do so.
    TooNear,
    /// They differ by the floor.
    Fit,
}

impl NewCell {
    fn compared_to(&self, recorded: &Cell, sketch: &Sketch, floor: Floor) -> Compared {
        let most = match sketch.kind() {
            Kind::Added => self.cell.contributors_max,
            Kind::Toggled => self.former_max,
        };
        let fewest = floor.contributors;
        // Where the numbers of contributors differ by the floor, so do the contributors.
        let is_far = self.cell.contributors_min >= recorded.contributors_max.saturating_add(fewest)
            || recorded.contributors_min >= most.saturating_add(fewest);
        if is_far {
            return Compared::Fit;
        }
        let enough = fewest.max(1);
        let difference = match sketch.kind() {
            Kind::Added => self.sketch.difference(sketch, enough),
            Kind::Toggled => {
                let differences = self.former.iter().map(|former| former.difference(sketch, enough));
                differences.min().unwrap_or(0)
            }
        };
        match (difference, sketch.kind()) {
            (0, Kind::Added) => Compared::Same,
            (0, Kind::Toggled) if floor.keys_may_repeat && fewest > 1 => Compared::TooNear,
            (0, Kind::Toggled) => Compared::SameThen,
            _ if difference < fewest => Compared::TooNear,
            _ => Compared::Fit,
        }
    }
}

/// The numbers of an answer: its groups, their sums along every choice of dimensions, and what is left out along the same.
/// Each once.
fn cells(groups: &[Group], shown: &[bool], families: &[String]) -> Vec<NewCell> {
    let sums = lines(groups, |dimensions| {
        // Every proper subset of the dimensions is kept once.
        (0..(1_usize << dimensions) - 1)
            .map(|kept| (0..dimensions).map(|dimension| kept & (1 << dimension) != 0).collect())
            .collect()
    });
    let mut known: BTreeSet<(&str, Vec<u8>, Vec<u8>)> = BTreeSet::new();
    let mut cells = Vec::new();
    for (index, family) in families.iter().enumerate() {
        for (group, _) in groups.iter().zip(shown).filter(|(_, is_shown)| **is_shown) {
            add(&mut cells, &mut known, family, &[&group.tallies[index]]);
        }
        for members in &sums {
            let (part, rest): (Vec<usize>, Vec<usize>) = members.iter().partition(|member| shown[**member]);
            if part.is_empty() {
                continue;
            }
            for members in [part, rest] {
                let tallies: Vec<&Tally> = members.iter().map(|member| &groups[*member].tallies[index]).collect();
                add(&mut cells, &mut known, family, &tallies);
            }
        }
    }
    cells
}

fn add<'a>(
    cells: &mut Vec<NewCell>,
    known: &mut BTreeSet<(&'a str, Vec<u8>, Vec<u8>)>,
    family: &'a str,
    parts: &[&Tally],
) {
    let Some(first) = parts.first() else { return };
    let mut whole = Tally::new(first.sketch.buckets());
    for part in parts {
        whole.merge(part);
    }
    let bytes = whole.sketch.to_bytes();
    // What has no contributor tells of nobody.
    if whole.contributors == 0 || !known.insert((family, bytes.clone(), whole.former.to_bytes())) {
        return;
    }
    let cell = Cell {
        family: family.to_owned(),
        // Subjects of several parts are counted in each.
        contributors_min: parts.iter().map(|part| part.contributors).max().unwrap_or(0),
        contributors_max: whole.contributors,
        sketch: bytes,
    };
    let former_max = whole.contributors.saturating_add(whole.former.padded());
    cells.push(NewCell {
        cell,
        sketch: whole.sketch,
        former: whole.former.sketches(),
        former_max,
        is_on_record: false,
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::release::RecordedCell;

    const FLOOR: u64 = 5;
    const BUCKETS: u32 = 256;

    /// A record in memory, with room for so many cells.
    #[derive(Debug)]
    struct Record(Mutex<Vec<Cell>>, usize);

    impl Record {
        fn cells(&self) -> Vec<Cell> {
            self.0.lock().expect("no test panics while it holds this").clone()
        }
    }

    #[async_trait]
    impl ReleaseRecord for Record {
        async fn head(&self) -> Result<u64, EngineError> {
            Ok(self.cells().len() as u64)
        }

        async fn cells(&self, range: &CellRange) -> Result<Vec<RecordedCell>, EngineError> {
            let cells = (1..).zip(self.cells()).filter(|(position, cell)| {
                let is_near = cell.contributors_min <= *range.contributors.end()
                    && cell.contributors_max >= *range.contributors.start();
                is_near && *position > range.after && *position <= range.until && cell.family == range.family
            });
            Ok(cells.map(|(position, cell)| RecordedCell { position, cell }).collect())
        }

        async fn add(&self, _head: u64, added: &[Cell]) -> Result<Added, EngineError> {
            let mut cells = self.0.lock().expect("no test panics while it holds this");
            if cells.len() + added.len() > self.1 {
                return Ok(Added::Full);
            }
            cells.extend_from_slice(added);
            Ok(Added::Recorded)
        }

        async fn is_comparable(&self) -> Result<bool, EngineError> {
            Ok(true)
        }

        async fn may_ask(&self) -> Result<bool, EngineError> {
            Ok(true)
        }

        async fn count_refusal(&self) -> Result<(), EngineError> {
            Ok(())
        }
    }

    fn digest(number: u64) -> u64 {
        let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    /// One row of each person, with `nobodys` rows of nobody; the first `padded` are written with blanks.
    fn tally(persons: std::ops::Range<u64>, nobodys: u64, padded: u64) -> Tally {
        let mut tally = Tally::new(BUCKETS);
        for person in persons {
            let (who, what, is_padded) = (digest(person), digest(10_000 + person), person < padded);
            let written = if is_padded { digest(20_000 + person) } else { who };
            tally.rows += 1;
            tally.contributors += 1;
            tally.sketch.add(who, what);
            tally.former.add(written, what, is_padded);
        }
        for row in 0..nobodys {
            tally.rows += 1;
            tally.former.add_nobodys(digest(30_000 + row), digest(40_000 + row));
        }
        tally
    }

    async fn released(record: &Record, tally: Tally, keys_may_repeat: bool) -> Result<(), RefusalCode> {
        let groups = [Group { place: Vec::new(), tallies: vec![tally] }];
        let floor = Floor { contributors: FLOOR, keys_may_repeat };
        match release(record, &groups, &[true], &["*".to_owned()], floor).await {
            Ok(()) => Ok(()),
            Err(EngineError::Refused(refusal)) => Err(refusal.code),
            Err(other) => panic!("{other}"),
        }
    }

    /// A record as a version before has left it, with nobody's rows or without.
    fn former(tally: &Tally, contributors: u64, has_nobodys: bool) -> Record {
        let sketches = tally.former.sketches();
        let sketch = if has_nobodys { &sketches[sketches.len() - 1] } else { &sketches[0] };
        let cell = Cell {
            family: "*".to_owned(),
            contributors_min: contributors,
            contributors_max: contributors,
            sketch: sketch.to_bytes(),
        };
        Record(Mutex::new(vec![cell]), 100)
    }

    const TOO_NEAR: Result<(), RefusalCode> = Err(RefusalCode::DifferenceTooSmall);

    #[tokio::test]
    async fn a_record_of_the_former_kind_is_compared_as_it_was_made() {
        for (nobodys, has_nobodys) in [(0, false), (9, true), (9, false)] {
            let old = tally(0..50, nobodys, 0);
            let record = former(&old, 50, has_nobodys);
            assert_eq!(released(&record, tally(0..49, nobodys, 0), false).await, TOO_NEAR, "one person less");
            assert_eq!(released(&record, tally(0..51, nobodys, 0), false).await, TOO_NEAR, "one more");
            assert_eq!(record.cells().len(), 1);
            // The same is given again, and recorded anew; once more it is known.
            assert_eq!(released(&record, old.clone(), false).await, Ok(()));
            assert_eq!(released(&record, old, false).await, Ok(()));
            assert_eq!(record.cells().len(), 2);
            assert_eq!(released(&record, tally(0..40, nobodys, 0), false).await, Ok(()), "ten less");
        }
    }

    /// Who has been given as many as are kept gets those again, of whichever kind they are on record.
    #[tokio::test]
    async fn a_full_record_gives_again_what_is_on_it() {
        let mut record = former(&tally(0..50, 0, 0), 50, false);
        record.1 = 1;
        assert_eq!(released(&record, tally(0..50, 0, 0), false).await, Ok(()));
        assert_eq!(released(&record, tally(0..60, 0, 0), false).await, Err(RefusalCode::ReleaseLimitReached));
        assert_eq!(record.cells().len(), 1);
    }

    /// Forty persons of whom each was counted twice then: as many as eighty, but the same.
    #[tokio::test]
    async fn who_was_counted_by_his_spelling_is_found_again() {
        let mut old = tally(0..40, 0, 40);
        for person in 0..40 {
            old.former.add(digest(person), digest(50_000 + person), false);
            old.sketch.add(digest(person), digest(50_000 + person));
        }
        let mut less = tally(1..40, 0, 40);
        for person in 1..40 {
            less.former.add(digest(person), digest(50_000 + person), false);
            less.sketch.add(digest(person), digest(50_000 + person));
        }
        let record = former(&old, 80, false);
        assert_eq!(released(&record, less, false).await, TOO_NEAR);
        assert_eq!(released(&record, old, false).await, Ok(()));
    }

    /// Rows of one key leave no trace in a sketch of the former kind, so that it agrees tells nothing.
    #[tokio::test]
    async fn where_keys_repeat_a_former_number_is_not_given_again() {
        let twice = |mut tally: Tally| {
            for _ in 0..2 {
                tally.sketch.add(digest(7), digest(60_000));
                tally.former.add(digest(7), digest(60_000), false);
            }
            tally
        };
        let record = former(&tally(0..50, 0, 0), 50, false);
        assert_eq!(released(&record, twice(tally(0..50, 0, 0)), true).await, TOO_NEAR);
        assert_eq!(released(&record, tally(0..50, 0, 0), true).await, TOO_NEAR);
        assert_eq!(released(&record, tally(0..60, 0, 0), true).await, Ok(()));
        // Of the kind that is recorded now, two rows of one key are a difference, and the same is the same.
        let record = Record(Mutex::default(), 100);
        assert_eq!(released(&record, tally(0..50, 0, 0), true).await, Ok(()));
        assert_eq!(released(&record, twice(tally(0..50, 0, 0)), true).await, TOO_NEAR);
        assert_eq!(released(&record, tally(0..50, 0, 0), true).await, Ok(()));
    }
}
