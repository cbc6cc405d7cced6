//! Which groups of an answer are shown.
//!
//! A group is left out when it has fewer contributors than the floor, or when one or two of them dominate a sum. That
//! alone would not do: a total less the parts that are shown is the parts that are not. So along every line of an
//! answer (the groups that differ in one dimension only, whose total stands beside them in a ROLLUP and can be asked
//! for elsewhere) what is left out must itself be fit to be shown, and be more than one group; else the next smallest group
//! of the line is left out too, and so on. A total that is left out takes its parts with it.
//!
//! Groups come sorted, and every choice is made by that order, so the same question is always answered the same way.
//! What lines do not cover: sums of a choice of groups that is neither a line nor the whole, and several totals combined.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use super::dominance::Dominance;
use super::tally::Tally;

/// One group of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The group's value of each dimension, numbered in the order of the answer; none where the row is a total over it.
    pub(crate) place: Vec<Option<u32>>,
    /// What it is made of: all rows first, then those with a value of each measure.
    pub(crate) tallies: Vec<Tally>,
}

/// What a group must be to be shown.
#[derive(Clone, Debug)]
pub(crate) struct Fitness {
    /// Fewest contributors.
    pub(crate) floor: u64,
    /// The dominance rules.
    pub(crate) dominance: Dominance,
    /// For each tally whether its values are added up.
    pub(crate) is_added: Vec<bool>,
    /// Whether a contributor may be in several groups.
    pub(crate) has_subject: bool,
}

/// A line: dimensions that are fixed, with their values.
type Line = (Vec<bool>, Vec<Option<u32>>);

/// The families of a step, and whether their values are added up.
type Families<'a> = &'a [(usize, bool)];

/// For each group whether it is shown. The groups are sorted.
///
/// The steps go from counts to each measure's counts to its sums, each leaving out what the one before did: whatever is asked
/// along with a count, the same counts are shown, so that two answers never tell what each of them left out.
pub(crate) fn shown(groups: &[Group], fitness: &Fitness) -> Vec<bool> {
    let lines = lines(groups, |dimensions| {
        (0..dimensions).map(|removed| (0..dimensions).map(|dimension| dimension != removed).collect()).collect()
    });
    let mut of_group: Vec<Vec<usize>> = vec![Vec::new(); groups.len()];
    for (line, members) in lines.iter().enumerate() {
        for member in members {
            of_group[*member].push(line);
        }
    }
    let layout = Layout { groups, fitness, parts: parts_of(groups), lines, of_group };
    let counted = layout.narrowed(vec![true; groups.len()], &[(0, false)]);
    let mut together = counted.clone();
    let mut families = vec![(0, false)];
    for (family, is_added) in fitness.is_added.iter().enumerate().skip(1) {
        let mut of_measure = layout.narrowed(counted.clone(), &[(0, false), (family, false)]);
        if *is_added {
            of_measure = layout.narrowed(of_measure, &[(0, false), (family, true)]);
        }
        for (one, other) in together.iter_mut().zip(of_measure) {
            *one &= other;
        }
        families.push((family, *is_added));
    }
    layout.narrowed(together, &families)
}

/// The groups of each line, by which dimensions a line keeps: `kept` answers the choices for a number of dimensions. Totals
/// of a ROLLUP have lines of their own. A line of one group is none: it is that group.
pub(crate) fn lines<G: Borrow<Group>>(groups: &[G], kept: impl Fn(usize) -> Vec<Vec<bool>>) -> Vec<Vec<usize>> {
    let mut lines: BTreeMap<(usize, Line), Vec<usize>> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        let group: &Group = group.borrow();
        // In a ROLLUP the dimensions of a total are the first ones.
        let dimensions = group.place.iter().take_while(|value| value.is_some()).count();
        for choice in kept(dimensions) {
            let values =
                choice.iter().zip(&group.place).map(|(is_kept, value)| if *is_kept { *value } else { None }).collect();
            lines.entry((dimensions, (choice, values))).or_default().push(index);
        }
    }
    lines.into_values().filter(|members| members.len() > 1).collect()
}

/// Of a ROLLUP's totals their parts, one level below.
fn parts_of(groups: &[Group]) -> Vec<Vec<usize>> {
    let by_place: BTreeMap<&[Option<u32>], usize> =
        groups.iter().enumerate().map(|(index, group)| (group.place.as_slice(), index)).collect();
    let mut parts = vec![Vec::new(); groups.len()];
    for (index, group) in groups.iter().enumerate() {
        let mut above = group.place.clone();
        if let Some(last) = above.iter().rposition(Option::is_some) {
            above[last] = None;
            if let Some(total) = by_place.get(above.as_slice()) {
                parts[*total].push(index);
            }
        }
    }
    parts
}

impl Fitness {
    fn is_fit(&self, group: &Group, families: Families<'_>) -> bool {
        families.iter().all(|(family, is_added)| {
            let tally = &group.tallies[*family];
            // A measure that no row of a large group has tells only that. Rows of no contributor have theirs, and hide nobody.
            let is_unmeasured = *family > 0 && tally.rows == 0;
            let is_dominated = *is_added && self.dominance.is_broken(tally.total, tally.largest);
            is_unmeasured || (tally.contributors >= self.floor && !is_dominated)
        })
    }

    /// Whether several groups taken together may be shown.
    fn are_fit(&self, groups: &[&Group], families: Families<'_>) -> bool {
        families.iter().all(|(family, is_added)| {
            let mut whole = Tally::new(groups[0].tallies[*family].sketch.buckets());
            let (mut first, mut second, mut most) = (0.0, 0.0, 0);
            for group in groups {
                let tally = &group.tallies[*family];
                whole.merge(tally);
                first += tally.largest[0];
                second += tally.largest[1];
                most = most.max(tally.contributors);
            }
            if whole.rows == 0 {
                // There is somebody in the whole, but no row with a value.
                return *family > 0;
            }
            // Subjects may be in several of the groups, and how many they are together is known from below only; the
            // largest may be the largest in each.
            let contributors = if self.has_subject { most.max(whole.sketch.filled()) } else { whole.contributors };
            let largest = if self.has_subject { [first, second] } else { whole.largest };
            contributors >= self.floor && !(*is_added && self.dominance.is_broken(whole.total, largest))
        })
    }
}

/// The groups of an answer and how they hang together.
struct Layout<'a> {
    groups: &'a [Group],
    fitness: &'a Fitness,
    parts: Vec<Vec<usize>>,
    lines: Vec<Vec<usize>>,
    /// The lines that each group is in.
    of_group: Vec<Vec<usize>>,
}

impl Layout<'_> {
    /// Leaves out what some families ask for, beside what is left out already.
    fn narrowed(&self, mut shown: Vec<bool>, families: Families<'_>) -> Vec<bool> {
        for (index, group) in self.groups.iter().enumerate() {
            if shown[index] && !self.fitness.is_fit(group, families) {
                self.leave_out(&mut shown, index);
            }
        }
        let mut waiting: BTreeSet<usize> = (0..self.lines.len()).collect();
        while let Some(line) = waiting.pop_first() {
            while let Some(smallest) = self.needed(&shown, &self.lines[line], families) {
                for left_out in self.leave_out(&mut shown, smallest) {
                    waiting.extend(self.of_group[left_out].iter().filter(|other| **other != line));
                }
            }
        }
        shown
    }

    /// Leaves a group out with all its parts; answers which groups were shown until now.
    fn leave_out(&self, shown: &mut [bool], group: usize) -> Vec<usize> {
        let mut left_out = Vec::new();
        let mut waiting = vec![group];
        while let Some(group) = waiting.pop() {
            if std::mem::replace(&mut shown[group], false) {
                left_out.push(group);
            }
            // Whatever is left out of a total's parts was left out with all of its own.
            waiting.extend(self.parts[group].iter().filter(|part| shown[**part]));
        }
        left_out
    }

    /// The group of a line that must be left out too, if there is one.
    fn needed(&self, shown: &[bool], members: &[usize], families: Families<'_>) -> Option<usize> {
        let left_out: Vec<&Group> =
            members.iter().filter(|member| !shown[**member]).map(|member| &self.groups[*member]).collect();
        if left_out.is_empty() || (left_out.len() > 1 && self.fitness.are_fit(&left_out, families)) {
            return None;
        }
        let still_shown = members.iter().copied().filter(|member| shown[*member]);
        still_shown.min_by_key(|member| (self.groups[*member].tallies[0].contributors, *member))
    }
}

#[cfg(test)]
mod tests;
