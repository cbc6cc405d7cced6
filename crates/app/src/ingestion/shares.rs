//! Fair shares of what all providers of a node use together: the queue, the places, the room for uploads.
//!
//! Who holds something may take more as long as others would find at least as much free as he holds then. So one alone has
//! half, each of `n` greedy ones has one part of `n + 1`, and somebody who comes late finds something without anybody being
//! thrown out. These are the dynamic thresholds of Choudhury and Hahne (Dynamic Queue Length Thresholds for Shared-Memory
//! Packet Switches, IEEE/ACM Transactions on Networking 6(2), 1998) with their factor at 1.

use std::collections::BTreeMap;

/// Why there is no more to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoShare {
    /// Everything is taken.
    Full,
    /// The holder has his share.
    Own,
}

/// Something that is taken in parts by many.
#[derive(Debug)]
pub(super) struct Shares<K> {
    all: u64,
    taken: u64,
    held: BTreeMap<K, u64>,
}

impl<K: Ord + Clone> Shares<K> {
    pub(super) fn of(all: u64) -> Self {
        Self { all, taken: 0, held: BTreeMap::new() }
    }

    /// Whether somebody may take so much more. The first unit that somebody takes is never denied for his share: of a few places
    /// the last one would otherwise stay empty.
    pub(super) fn may_take(&self, holder: &K, more: u64) -> Result<(), NoShare> {
        let Some(free) = self.all.checked_sub(self.taken).and_then(|free| free.checked_sub(more)) else {
            return Err(NoShare::Full);
        };
        let held = self.held.get(holder).copied().unwrap_or(0).saturating_add(more);
        if held > 1 && held > free { Err(NoShare::Own) } else { Ok(()) }
    }

    /// Takes some of it.
    pub(super) fn take(&mut self, holder: &K, more: u64) -> Result<(), NoShare> {
        self.may_take(holder, more)?;
        self.hold(holder, more);
        Ok(())
    }

    /// Counts what somebody has, whether he might take it or not: what an earlier process let him have.
    pub(super) fn hold(&mut self, holder: &K, more: u64) {
        if more > 0 {
            let held = self.held.entry(holder.clone()).or_default();
            *held = held.saturating_add(more);
            self.taken = self.taken.saturating_add(more);
        }
    }

    /// Gives some of it back.
    pub(super) fn give_back(&mut self, holder: &K, less: u64) {
        let Some(held) = self.held.get_mut(holder) else { return };
        let less = less.min(*held);
        *held -= less;
        self.taken -= less;
        if *held == 0 {
            self.held.remove(holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_has_half_and_a_late_comer_finds_his_part() {
        let mut shares = Shares::of(60);
        let taken = |shares: &mut Shares<char>, holder: char| {
            let mut count = 0;
            while shares.take(&holder, 1).is_ok() {
                count += 1;
            }
            count
        };
        assert_eq!(taken(&mut shares, 'a'), 30);
        assert_eq!(shares.may_take(&'a', 1), Err(NoShare::Own));
        assert_eq!(taken(&mut shares, 'b'), 15);
        // 15 are left, and a holds more than his part by now.
        assert_eq!(taken(&mut shares, 'c'), 7);
        shares.give_back(&'a', 25);
        assert_eq!(shares.may_take(&'a', 100), Err(NoShare::Full));
        assert!(taken(&mut shares, 'a') > 0);
    }

    #[test]
    fn of_a_few_places_the_last_is_used() {
        let mut places = Shares::of(4);
        assert!(places.take(&'a', 1).is_ok() && places.take(&'a', 1).is_ok());
        assert_eq!(places.take(&'a', 1), Err(NoShare::Own));
        assert!(places.take(&'b', 1).is_ok() && places.take(&'c', 1).is_ok());
        assert_eq!(places.take(&'d', 1), Err(NoShare::Full));
        places.give_back(&'a', 1);
        assert_eq!(places.take(&'a', 1), Err(NoShare::Own), "he holds one, and nothing would be free");
        assert!(places.take(&'d', 1).is_ok());
    }

    /// Whatever is taken and given back: never more than there is, nothing is lost, and somebody who holds nothing is refused only
    /// when everything is taken.
    #[test]
    fn what_is_taken_is_conserved() {
        // A fixed sequence of steps that looks like chance (Knuth's multiplier).
        let mut seed = 1_u64;
        let mut chance = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let mut shares = Shares::of(40);
        let mut held = [0_u64; 5];
        for _ in 0..20_000 {
            let (holder, amount, takes) = (chance(5), 1 + chance(8), chance(2) == 0);
            let mine = &mut held[holder as usize];
            if !takes {
                shares.give_back(&holder, amount);
                *mine = mine.saturating_sub(amount);
            } else if shares.take(&holder, amount).is_ok() {
                *mine += amount;
            }
            let all: u64 = held.iter().sum();
            assert!(all <= 40);
            assert_eq!(shares.taken, all);
            if held[holder as usize] == 0 {
                assert_eq!(shares.may_take(&holder, 1).is_ok(), all < 40);
            }
        }
    }
}
