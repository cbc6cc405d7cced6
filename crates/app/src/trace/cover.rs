//! Which orders had the rows, and the smallest sets of orders that had all of them.

use std::collections::{BTreeMap, HashMap};

use lingqu_domain::id::OrderId;
use roaring::{RoaringBitmap, RoaringTreemap};

use super::report::{ExplainedBy, Explanation};
use super::versions::Had;

/// Most pairs of orders that are looked at.
const PAIRS_MAX: usize = 2_000_000;
/// Most sets that are told.
const SETS_MAX: usize = 100;
/// Most orders of one set.
const SET_ORDERS_MAX: usize = 1_000;

/// The cells of a fragment that an order must have had to have had them all: its rows, and of each column that counts the rows with
/// a value in it.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub(super) rows: RoaringTreemap,
    pub(super) columns: BTreeMap<String, RoaringTreemap>,
}

impl Cells {
    /// Of the rows that an order had those of which it had every cell: where several leaks are in one file, a row has no value in
    /// what its order never had.
    pub(super) fn whole_rows(&self, had: &Had) -> RoaringTreemap {
        let mut whole = &had.rows & &self.rows;
        for (_, cells) in self.columns.iter().filter(|(column, _)| had.lacks(column)) {
            whole -= cells;
        }
        whole
    }

    /// The sets of orders that together had all cells, with the rows of which somebody had each: where columns of several were
    /// joined, so that these are more than the rows that any of them had whole. None where they are not.
    pub(super) fn joined(
        &self,
        had: &BTreeMap<OrderId, Had>,
        whole: &RoaringTreemap,
        missed_max: u64,
    ) -> Option<(Cover, RoaringTreemap)> {
        // Columns that the same orders lack are one part of a row. That it is there at all is a part that none lacks.
        let mut parts: BTreeMap<Vec<&OrderId>, RoaringTreemap> = BTreeMap::from([(Vec::new(), self.rows.clone())]);
        for (column, cells) in &self.columns {
            let lacking = had.iter().filter(|(_, had)| had.lacks(column)).map(|(order, _)| order).collect();
            *parts.entry(lacking).or_default() |= cells;
        }
        let has = |order: &OrderId, lacking: &Vec<&OrderId>| lacking.binary_search(&order).is_err();
        let mut together = self.rows.clone();
        for (lacking, cells) in &parts {
            let mut nobody_had = cells.clone();
            had.iter().filter(|(order, _)| has(order, lacking)).for_each(|(_, had)| nobody_had -= &had.rows);
            together -= nobody_had;
        }
        if together.len() <= whole.len() + missed_max {
            return None;
        }
        let parts_of = |(order, had): (&OrderId, &Had)| {
            let rows = &had.rows & &together;
            let own = (0..).zip(&parts).filter(|(_, (lacking, _))| has(order, lacking));
            let own = own.map(|(number, (_, cells))| (number, low(&(&rows & cells))));
            (order.clone(), RoaringTreemap::from_bitmaps(own.filter(|(_, rows)| !rows.is_empty())))
        };
        let items: BTreeMap<OrderId, RoaringTreemap> = had.iter().map(parts_of).collect();
        // A row that was taken wrongly is missing in all of its parts; parts that are missing of many rows are no such.
        let of = |parts_missed_max| {
            let mut cover = smallest(&items, parts_missed_max);
            for set in &mut cover.sets {
                set.rows_missed = rows_missed(&items, &set.orders);
            }
            cover
        };
        let mut cover = of(missed_max * parts.len() as u64);
        cover.sets.retain(|set| set.rows_missed <= missed_max);
        Some((if cover.sets.is_empty() { of(missed_max) } else { cover }, together))
    }
}

/// Numbers of rows, which are all below 2^32.
fn low(rows: &RoaringTreemap) -> RoaringBitmap {
    rows.bitmaps().next().map(|(_, rows)| rows.clone()).unwrap_or_default()
}

/// How many rows have a part that none of these orders had.
fn rows_missed(items: &BTreeMap<OrderId, RoaringTreemap>, orders: &[OrderId]) -> u64 {
    let mut left = RoaringTreemap::new();
    items.values().for_each(|parts| left |= parts);
    orders.iter().filter_map(|order| items.get(order)).for_each(|parts| left -= parts);
    let mut rows = RoaringBitmap::new();
    left.bitmaps().for_each(|(_, of_part)| rows |= of_part);
    rows.len()
}

/// The sets, and how they were found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cover {
    pub(super) explained_by: ExplainedBy,
    pub(super) sets: Vec<Explanation>,
}

/// The smallest sets of orders that had all rows but `missed_max`. `had` holds each order's rows, of `wanted` alone; rows that
/// nobody had are asked of nobody.
pub(super) fn smallest(had: &BTreeMap<OrderId, RoaringTreemap>, missed_max: u64) -> Cover {
    let mut wanted = RoaringTreemap::new();
    had.values().for_each(|rows| wanted |= rows);
    let total = wanted.len();
    if total == 0 {
        return Cover { explained_by: ExplainedBy::Nothing, sets: Vec::new() };
    }
    let missed_max = missed_max.min(total - 1);
    let mut singles: Vec<Explanation> = had
        .iter()
        .map(|(order, rows)| Explanation { orders: vec![order.clone()], rows_missed: total - rows.len() })
        .filter(|set| set.rows_missed <= missed_max)
        .collect();
    if !singles.is_empty() {
        told(&mut singles);
        return Cover { explained_by: ExplainedBy::Single, sets: singles };
    }
    if let Some(mut pairs) = pairs(had, total, missed_max)
        && !pairs.is_empty()
    {
        told(&mut pairs);
        return Cover { explained_by: ExplainedBy::Pair, sets: pairs };
    }
    Cover { explained_by: ExplainedBy::Greedy, sets: vec![greedy(had, &wanted, missed_max)] }
}

/// The best first, a bounded number.
fn told(sets: &mut Vec<Explanation>) {
    sets.sort_by(|a, b| a.rows_missed.cmp(&b.rows_missed).then_with(|| a.orders.cmp(&b.orders)));
    sets.truncate(SETS_MAX);
}

/// All pairs that suffice; none when there are too many to look at. Of a pair one has at least half of what must be had.
fn pairs(had: &BTreeMap<OrderId, RoaringTreemap>, total: u64, missed_max: u64) -> Option<Vec<Explanation>> {
    let needed = total - missed_max;
    let mut by_count: Vec<(&OrderId, &RoaringTreemap, u64)> =
        had.iter().map(|(order, rows)| (order, rows, rows.len())).collect();
    by_count.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(b.0)));
    let (mut sets, mut looked_at) = (Vec::new(), 0);
    for (place, (first, first_rows, first_count)) in by_count.iter().enumerate() {
        if first_count * 2 < needed {
            break;
        }
        for (second, second_rows, second_count) in &by_count[place + 1..] {
            if first_count + second_count < needed {
                break;
            }
            looked_at += 1;
            if looked_at > PAIRS_MAX {
                return None;
            }
            let together = first_rows.union_len(second_rows);
            if together >= needed {
                let mut orders = vec![(*first).clone(), (*second).clone()];
                orders.sort();
                sets.push(Explanation { orders, rows_missed: total - together });
            }
        }
    }
    Some(sets)
}

/// Each time the order that adds most; of equals the first by id.
fn greedy(had: &BTreeMap<OrderId, RoaringTreemap>, wanted: &RoaringTreemap, missed_max: u64) -> Explanation {
    let mut left = wanted.clone();
    let mut orders = Vec::new();
    // What an order adds never grows, so what it added when last looked at bounds it.
    let mut bounds: HashMap<&OrderId, u64> = had.iter().map(|(order, rows)| (order, rows.len())).collect();
    while left.len() > missed_max && orders.len() < SET_ORDERS_MAX {
        let mut best: Option<(&OrderId, &RoaringTreemap, u64)> = None;
        for (order, rows) in had {
            let most = best.as_ref().map_or(0, |(_, _, count)| *count);
            if bounds.get(order).is_none_or(|bound| *bound <= most) {
                continue;
            }
            let adds = left.intersection_len(rows);
            bounds.insert(order, adds);
            if adds > most {
                best = Some((order, rows, adds));
            }
        }
        let Some((order, rows, _)) = best else { break };
        left -= rows;
        orders.push(order.clone());
    }
    Explanation { orders, rows_missed: left.len() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lingqu_domain::id::CommandId;
    use lingqu_domain::id::IdSource;

    use super::*;

    fn orders(count: usize) -> Vec<OrderId> {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let mut source = IdSource::new(CommandId::of_random(at, [7; 16]), at);
        let mut made: Vec<OrderId> = (0..count).map(|_| OrderId::next(&mut source)).collect();
        made.sort();
        made
    }

    fn had(sets: &[&[u64]]) -> (Vec<OrderId>, BTreeMap<OrderId, RoaringTreemap>) {
        let orders = orders(sets.len());
        let rows = sets.iter().map(|rows| rows.iter().copied().collect());
        (orders.clone(), orders.into_iter().zip(rows).collect())
    }

    #[test]
    fn one_that_had_all_is_enough_and_each_such_is_told() {
        let (orders, had) = had(&[&[1, 2, 3], &[1, 2], &[3, 2, 1]]);
        let cover = smallest(&had, 0);
        assert_eq!(cover.explained_by, ExplainedBy::Single);
        let found: Vec<&OrderId> = cover.sets.iter().flat_map(|set| &set.orders).collect();
        assert_eq!(found, [&orders[0], &orders[2]]);
    }

    #[test]
    fn two_are_told_only_when_one_is_not_enough() {
        let (orders, had) = had(&[&[1, 2], &[3, 4], &[2, 3], &[1, 2, 3]]);
        let cover = smallest(&had, 0);
        assert_eq!(cover.explained_by, ExplainedBy::Pair);
        let found: BTreeSet<Vec<OrderId>> = cover.sets.iter().map(|set| set.orders.clone()).collect();
        let pair = |a: usize, b: usize| vec![orders[a].clone(), orders[b].clone()];
        assert_eq!(found, BTreeSet::from([pair(0, 1), pair(1, 3)]));
    }

    #[test]
    fn many_are_found_one_after_the_other() {
        let (_, had) = had(&[&[1, 2], &[3, 4], &[5, 6], &[1, 3]]);
        let cover = smallest(&had, 0);
        assert_eq!(
            (cover.explained_by, cover.sets[0].orders.len(), cover.sets[0].rows_missed),
            (ExplainedBy::Greedy, 3, 0)
        );
    }

    #[test]
    fn a_row_that_was_matched_wrongly_clears_nobody() {
        let all: Vec<u64> = (0..1_000).collect();
        let (orders, had) = had(&[&all[..999], &all[400..]]);
        assert_eq!(smallest(&had, 2).sets, [Explanation { orders: vec![orders[0].clone()], rows_missed: 1 }]);
        assert_eq!(smallest(&had, 0).explained_by, ExplainedBy::Pair);
        assert_eq!(smallest(&BTreeMap::new(), 2).explained_by, ExplainedBy::Nothing);
    }

    #[test]
    fn columns_of_several_that_were_joined_are_explained_by_them_together() {
        let orders = orders(3);
        let had = |columns: &[&str], rows: std::ops::Range<u64>| Had {
            rows: rows.collect(),
            columns: Some(columns.iter().map(|column| (*column).to_owned()).collect()),
        };
        let all: RoaringTreemap = (0..1_000).collect();
        let cells = |of_fare: RoaringTreemap| Cells {
            rows: all.clone(),
            columns: BTreeMap::from([
                ("line".to_owned(), all.clone()),
                ("delay".to_owned(), all.clone()),
                ("fare".to_owned(), of_fare),
            ]),
        };
        let delays = had(&["line", "delay"], 0..1_000);
        let fares = had(&["line", "fare"], 0..1_000);
        let few = had(&["line", "delay", "fare"], 0..10);
        let of: BTreeMap<OrderId, Had> = orders.iter().cloned().zip([delays, fares, few]).collect();
        let joined = cells(all.clone());
        let whole: RoaringTreemap = joined.whole_rows(&of[&orders[2]]);
        assert_eq!((joined.whole_rows(&of[&orders[0]]).len(), whole.len()), (0, 10));
        let (cover, together) = joined.joined(&of, &whole, 2).unwrap();
        let pair = Explanation { orders: orders[..2].to_vec(), rows_missed: 0 };
        assert_eq!((cover.explained_by, cover.sets, together.len()), (ExplainedBy::Pair, vec![pair], 1_000));
        // Two that lack more rows than a set may miss are no explanation, though each part of a row counts for itself.
        let fares = [had(&["line", "fare"], 0..997), had(&["line", "fare"], 997..1_000)];
        let split: BTreeMap<OrderId, Had> =
            orders.iter().cloned().zip([had(&["line", "delay"], 0..1_000)].into_iter().chain(fares)).collect();
        let (cover, _) = joined.joined(&split, &RoaringTreemap::new(), 2).unwrap();
        assert_eq!(cover.explained_by, ExplainedBy::Greedy);
        assert_eq!((cover.sets.len(), cover.sets[0].orders.len(), cover.sets[0].rows_missed), (1, 3, 0));
        // What no order had is nobody's, however it was put together.
        let without: BTreeMap<OrderId, Had> = of.clone().into_iter().filter(|(order, _)| *order != orders[1]).collect();
        assert_eq!(joined.joined(&without, &whole, 2), None);
        // Two leaks in one file: the one of delays has no fares in its rows.
        let mixed = cells((600..1_000).collect());
        let delays_alone: RoaringTreemap = (0..600).collect();
        assert_eq!(mixed.whole_rows(&of[&orders[0]]), delays_alone);
    }

    #[test]
    fn no_smaller_set_is_overlooked() {
        // Every family of five small sets out of a fixed sequence, against all subsets.
        let mut state = 9u64;
        for _ in 0..200 {
            let sets: Vec<Vec<u64>> = (0..5)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (0..8).filter(|row| state >> (20 + row) & 1 == 1).collect()
                })
                .collect();
            let (orders, had) = had(&sets.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let all: BTreeSet<u64> = sets.iter().flatten().copied().collect();
            let covers = |chosen: usize| {
                let rows: BTreeSet<u64> =
                    (0..5).filter(|at| chosen >> at & 1 == 1).flat_map(|at| sets[at].clone()).collect();
                rows == all
            };
            let least = (0..32usize).filter(|chosen| covers(*chosen)).map(usize::count_ones).min();
            let cover = smallest(&had, 0);
            let found = cover.sets.first().map_or(0, |set| set.orders.len());
            match cover.explained_by {
                ExplainedBy::Nothing => assert!(all.is_empty()),
                ExplainedBy::Greedy => assert!(least >= Some(3) && found >= 3),
                _ => {
                    assert_eq!(Some(found as u32), least);
                    let count = (0..32usize).filter(|c| covers(*c) && Some(c.count_ones()) == least).count();
                    assert_eq!(cover.sets.len(), count, "{orders:?}");
                }
            }
        }
    }
}
