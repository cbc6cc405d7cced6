//! No two numbers that one recipient gets may differ by a few contributors.
//!
//! Every number that leaves is recorded with a sketch of its contributors before it leaves; a new one is compared with
//! all that were recorded of the same family. Recorded are the groups that are shown, whatever HAVING, ORDER BY and
//! LIMIT make of them afterwards: whoever may write the condition can tell what it was true of. Recorded too is what
//! anybody can add up from an answer at once, the sums over each choice of its dimensions, and what such a sum would tell
//! beside the total it is a part of: the groups that were left out, taken together. So a group that was left out to hide
//! another one can't be asked for by itself afterwards.

use std::collections::BTreeSet;

use super::sketch::Sketch;
use super::suppression::{Group, lines};
use super::tally::Tally;
use crate::allow::{Refusal, RefusalCode};
use crate::execution::EngineError;
use crate::release::{Added, CELLS_PAGE_MAX, Cell, CellRange, ReleaseRecord};

/// How often an answer is compared anew because others were recorded meanwhile.
const ATTEMPTS_MAX: u32 = 32;

/// A number to be released.
struct NewCell {
    cell: Cell,
    sketch: Sketch,
}

/// Records the numbers of an answer. Refusals: `difference_too_small`, `release_limit_reached`.
pub(crate) async fn release(
    record: &dyn ReleaseRecord,
    groups: &[Group],
    shown: &[bool],
    families: &[String],
    floor: u64,
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
        let added: Vec<Cell> = fresh.iter().map(|new| new.cell.clone()).collect();
        match record.add(head, &added).await? {
            Added::Recorded => return Ok(()),
            Added::Moved => compared_to = head,
            Added::Full => {
                let what = "this order's consumer has been given as many different statistics of these data as are kept apart from each \
                            other; ask for one of those again";
                return Err(Refusal::new(RefusalCode::ReleaseLimitReached, what).into());
            }
        }
    }
    Err(EngineError::Busy)
}

/// Compares what is new with what was recorded between two heads; what was recorded already is no longer new.
async fn compare(
    record: &dyn ReleaseRecord,
    fresh: &mut Vec<NewCell>,
    family: &str,
    heads: std::ops::Range<u64>,
    floor: u64,
) -> Result<(), EngineError> {
    let mut after = heads.start;
    while after < heads.end {
        let of_family = || fresh.iter().filter(|new| new.cell.family == family);
        let Some(least) = of_family().map(|new| new.cell.contributors_min).min() else { return Ok(()) };
        let most = of_family().map(|new| new.cell.contributors_max).max().unwrap_or(least);
        let range = CellRange {
            family: family.to_owned(),
            // Where the numbers of contributors differ by the floor, so do the contributors.
            contributors: least.saturating_sub(floor)..=most.saturating_add(floor),
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
            fresh.retain(|new| {
                if new.cell.family != family || is_far(&new.cell, &recorded.cell, floor) {
                    return true;
                }
                let difference = new.sketch.difference(&sketch, floor.max(1));
                is_refused |= difference > 0 && difference < floor;
                difference > 0
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

fn is_far(one: &Cell, other: &Cell, floor: u64) -> bool {
    one.contributors_min >= other.contributors_max.saturating_add(floor)
        || other.contributors_min >= one.contributors_max.saturating_add(floor)
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
    let mut known: BTreeSet<(&str, Vec<u8>)> = BTreeSet::new();
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

fn add<'a>(cells: &mut Vec<NewCell>, known: &mut BTreeSet<(&'a str, Vec<u8>)>, family: &'a str, parts: &[&Tally]) {
    let Some(first) = parts.first() else { return };
    let mut whole = Tally::new(first.sketch.buckets());
    for part in parts {
        whole.merge(part);
    }
    let bytes = whole.sketch.to_bytes();
    // What has no contributor tells of nobody.
    if whole.contributors == 0 || !known.insert((family, bytes.clone())) {
        return;
    }
    let cell = Cell {
        family: family.to_owned(),
        // Subjects of several parts are counted in each.
        contributors_min: parts.iter().map(|part| part.contributors).max().unwrap_or(0),
        contributors_max: whole.contributors,
        sketch: bytes,
    };
    cells.push(NewCell { cell, sketch: whole.sketch });
}
