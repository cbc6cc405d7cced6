//! What can be worked out from the groups that are shown, by brute force over small tables.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::guard::sketch::buckets_for;

const FLOOR: u32 = 4;

fn fitness(is_added: bool) -> Fitness {
    Fitness {
        floor: u64::from(FLOOR),
        dominance: Dominance::default(),
        is_added: vec![false, is_added],
        has_subject: false,
    }
}

/// A tally of as many rows, numbered from `first`, of the same value each.
fn tally(first: u64, sizes: &[f64]) -> Tally {
    let mut tally = Tally::new(buckets_for(FLOOR));
    for (row, size) in (first..).zip(sizes) {
        let digest = (row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut one = Tally::new(buckets_for(FLOOR));
        one.rows = 1;
        one.contributors = 1;
        one.total = *size;
        one.largest = [*size, 0.0];
        one.sketch.add(digest >> 17, digest);
        tally.merge(&one);
    }
    tally
}

/// The groups of a table of cells by two dimensions, with or without the totals of a ROLLUP.
fn groups(table: &BTreeMap<(u32, u32), Vec<f64>>, is_rollup: bool) -> Vec<Group> {
    let mut by_place: BTreeMap<Vec<Option<u32>>, Tally> = BTreeMap::new();
    let mut first = 0;
    for ((one, other), sizes) in table {
        let cell = tally(first, sizes);
        first += sizes.len() as u64;
        let mut places = vec![vec![Some(*one), Some(*other)]];
        if is_rollup {
            places.extend([vec![Some(*one), None], vec![None, None]]);
        }
        for place in places {
            by_place.entry(place).or_insert_with(|| Tally::new(buckets_for(FLOOR))).merge(&cell);
        }
    }
    by_place.into_iter().map(|(place, tally)| Group { place, tallies: vec![tally.clone(), tally] }).collect()
}

fn is_fit(tally: &Tally, is_added: bool) -> bool {
    tally.contributors >= u64::from(FLOOR) && !(is_added && Dominance::default().is_broken(tally.total, tally.largest))
}

fn table() -> impl Strategy<Value = BTreeMap<(u32, u32), Vec<f64>>> {
    let sizes = proptest::collection::vec((1..40_u32).prop_map(f64::from), 1..12);
    proptest::collection::btree_map((0..4_u32, 0..4_u32), sizes, 1..14)
}

proptest! {
    /// Every total that is shown is the sum of disjoint groups; what no shown part covers of it is all that can be worked
    /// out of the groups that are not shown. It is nothing, or fit to be shown and made of more than one group.
    #[test]
    fn nothing_unfit_can_be_worked_out_of_a_rollup(table in table(), is_added in any::<bool>()) {
        let groups = groups(&table, true);
        let shown = shown(&groups, &fitness(is_added));
        for (index, total) in groups.iter().enumerate() {
            if !shown[index] {
                continue;
            }
            prop_assert!(is_fit(&total.tallies[1], is_added));
            if total.place[1].is_some() {
                continue;
            }
            // The cells below it that neither stand there themselves nor in a shown total between.
            let mut rest = Tally::new(buckets_for(FLOOR));
            let mut left_out = 0;
            for (cell, group) in groups.iter().enumerate() {
                let is_cell = group.place[1].is_some();
                let is_below = total.place[0].is_none() || total.place[0] == group.place[0];
                let between = groups.iter().position(|other| other.place == vec![group.place[0], None]);
                let is_covered = shown[cell] || (total.place[0].is_none() && between.is_some_and(|between| shown[between]));
                if is_cell && is_below && !is_covered {
                    rest.merge(&group.tallies[1]);
                    left_out += 1;
                }
            }
            let parts = groups.iter().enumerate().filter(|(part, group)| {
                let is_part = match total.place[0] {
                    None => group.place[0].is_some() && group.place[1].is_none(),
                    Some(_) => group.place[0] == total.place[0] && group.place[1].is_some(),
                };
                is_part && !shown[*part]
            });
            let parts_left_out = parts.count();
            // A total of one part is that part.
            prop_assert!(left_out == 0 || (parts_left_out != 1 || left_out == 1 && rest.contributors == total.tallies[1].contributors));
            prop_assert!(left_out == 0 || is_fit(&rest, is_added), "{:?} of {:?}", rest, total.place);
        }
    }

    /// The same for a plain answer and the totals over one of its dimensions, which can be asked for by themselves.
    #[test]
    fn nothing_unfit_can_be_worked_out_of_an_answer_and_a_total(table in table(), is_added in any::<bool>()) {
        let groups = groups(&table, false);
        let shown = shown(&groups, &fitness(is_added));
        for dimension in 0..2 {
            for value in 0..4 {
                let line: Vec<usize> =
                    (0..groups.len()).filter(|index| groups[*index].place[dimension] == Some(value)).collect();
                let mut rest = Tally::new(buckets_for(FLOOR));
                let left_out: Vec<&usize> = line.iter().filter(|index| !shown[**index]).collect();
                for index in &left_out {
                    rest.merge(&groups[**index].tallies[1]);
                }
                let is_all = left_out.len() == line.len();
                prop_assert!(left_out.is_empty() || is_all || (left_out.len() > 1 && is_fit(&rest, is_added)));
            }
        }
    }

    /// The order in which groups come does not matter, since they are sorted; the same groups are always left out.
    #[test]
    fn the_choice_is_always_the_same(table in table()) {
        let groups = groups(&table, true);
        prop_assert_eq!(shown(&groups, &fitness(true)), shown(&groups, &fitness(true)));
    }
}

#[test]
fn the_next_smallest_is_left_out_too() {
    let table = BTreeMap::from([
        ((0, 0), vec![1.0; 2]),
        ((0, 1), vec![1.0; 30]),
        ((0, 2), vec![1.0; 9]),
        ((0, 3), vec![1.0; 12]),
    ]);
    let shown_of = |is_rollup| {
        let groups = groups(&table, is_rollup);
        let shown = shown(&groups, &fitness(true));
        groups
            .into_iter()
            .zip(shown)
            .filter(|(_, is_shown)| *is_shown)
            .map(|(group, _)| group.place)
            .collect::<Vec<_>>()
    };
    assert_eq!(shown_of(false), [[Some(0), Some(1)], [Some(0), Some(3)]]);
    assert_eq!(shown_of(true), [[None, None], [Some(0), None], [Some(0), Some(1)], [Some(0), Some(3)]]);
}
