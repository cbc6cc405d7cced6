//! Whether the data bears marks of categories: looked at when a product is drafted.

use lingqu_domain::marking::Marking;
use lingqu_domain::refusal::Refusal;
use lingqu_fingerprint::{SwapEffect, ToldApart};

/// A million, in which rates and bounds are stated.
const MILLION: f64 = 1e6;

fn refused(zh: String, en: String) -> Refusal {
    Refusal::invalid("marking", zh, en)
}

/// How well other columns may tell the texts of a set apart, by what a mark may reach: as well as a regression tells two values
/// that are this part of the deviation that it leaves open apart, which is the root of 2/π of it.
fn advantage_max(reach_per_million: u32) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * f64::from(reach_per_million) / MILLION
}

/// Refuses a marking that swaps so many texts that their shares of the rows leave the bound, or texts that other columns tell
/// apart. Error: `invalid` with the mark and how to mend it; no text of the data is in it.
pub(super) fn check(marking: &Marking, swaps: &[SwapEffect], told_apart: &[ToldApart]) -> Result<(), Refusal> {
    let keeps = marking.keeps.clone().unwrap_or_default();
    for swap in swaps {
        let rate = marking.marks.iter().find(|mark| mark.name.as_str() == swap.mark).map(|mark| mark.rate_per_million);
        check_shares(swap, rate.unwrap_or_default(), keeps.moments.share_per_million)?;
    }
    let most = advantage_max(keeps.reach_per_million);
    match told_apart.iter().find(|told| told.is_beyond(most)) {
        Some(told) => Err(told_apart_refusal(told)),
        None => Ok(()),
    }
}

fn check_shares(swap: &SwapEffect, rate_per_million: u32, share_per_million: u32) -> Result<(), Refusal> {
    let SwapEffect { mark, column, .. } = swap;
    if swap.cells == 0 {
        return Err(refused(
            format!("{mark}：{column} 中没有任何值属于所列集合，标记无处可放"),
            format!(
                "{mark}: no value of {column} is in one of the sets, so the mark has no place; list texts that the data has"
            ),
        ));
    }
    let fits = (swap.rate_within * MILLION).floor();
    if f64::from(rate_per_million) <= fits {
        return Ok(());
    }
    Err(refused(
        format!(
            "{mark}：{column} 各取值占全部行的比例变化不超过百万分之 {share_per_million} 时，标记率至多每百万 {fits}；请降低标记率、把行数相近的取值放入同一集合，或由提供方放宽界限后在 keeps.moments.share_per_million 中写明"
        ),
        format!(
            "{mark}: with the share of all rows that each text of {column} has at most {share_per_million} millionths off, at most {fits} cells of a million can be marked; lower the rate, put texts with about as many rows into one set, or state a wider keeps.moments.share_per_million as far as the provider declares it"
        ),
    ))
}

fn told_apart_refusal(told: &ToldApart) -> Refusal {
    let ToldApart { mark, column, by, .. } = told;
    let (by_zh, by_en) = match by {
        Some(by) => (format!("“{by}”一列"), format!("the column {by}")),
        None => ("其他各列合起来".to_owned(), "the other columns together".to_owned()),
    };
    refused(
        format!(
            "{mark}：由{by_zh}可以区分 {column} 同一集合中的取值，被替换的单元格会因此暴露并可被还原：请只把其他列区分不开的取值放入同一集合，或从产品中去掉该列，或在 keeps.reach_per_million 中写明更大的值并承担风险"
        ),
        format!(
            "{mark}: {by_en} can tell texts of one set of {column} apart, so swapped cells show and are undone: put into one set only texts that nothing else tells apart, leave what tells them out of the product, or state a larger keeps.reach_per_million and bear the risk"
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lingqu_domain::marking::{Carrier, Keeps, Mark, MarkProfile, MomentBounds};
    use lingqu_domain::scope::ColumnName;

    use super::*;

    fn marking(keeps: Keeps) -> Marking {
        let name = |text: &str| ColumnName::new(text).unwrap();
        let carrier = Carrier::Category { column: name("street"), sets: BTreeSet::new() };
        let mark = Mark { name: name("m"), rate_per_million: 300_000, by: Default::default(), carrier };
        Marking {
            profile: MarkProfile::Aes,
            marks: vec![mark],
            omitted_per_million: 0,
            decoys_per_million: 0,
            keeps: Some(keeps),
        }
    }

    fn swap(rate_within: f64) -> SwapEffect {
        let (mark, column) = ("m".to_owned(), "street".to_owned());
        SwapEffect { mark, column, cells: 1_000, share_change: 0.0, rate_within }
    }

    fn told(by: Option<&str>, advantage: f64) -> ToldApart {
        let (mark, column) = ("m".to_owned(), "street".to_owned());
        ToldApart { mark, column, by: by.map(str::to_owned), advantage, chance: 0.01 }
    }

    #[test]
    fn shares_beyond_the_bound_are_refused_with_the_rate_that_fits() {
        let of = |swap: SwapEffect| check(&marking(Keeps::default()), &[swap], &[]).err().map(|refusal| refusal.en);
        assert_eq!(of(swap(0.3)), None);
        let refusal = of(swap(0.299_999_5)).unwrap();
        assert!(refusal.contains("at most 1000 millionths off, at most 299999 cells"), "{refusal}");
        assert!(of(SwapEffect { cells: 0, ..swap(0.0) }).unwrap().contains("no value of street"));
        let wide = Keeps { moments: MomentBounds { share_per_million: 7, ..Default::default() }, ..Keeps::default() };
        assert!(check(&marking(wide), &[swap(0.1)], &[]).unwrap_err().en.contains("at most 7 millionths off"));
    }

    #[test]
    fn texts_that_other_columns_tell_apart_are_refused() {
        let of = |keeps: Keeps, told: ToldApart| check(&marking(keeps), &[], &[told]).err().map(|refusal| refusal.en);
        // A fifth reaches as far as 0.16, and what chance adds is not held against anybody.
        assert_eq!(of(Keeps::default(), told(Some("size"), 0.169)), None);
        let refusal = of(Keeps::default(), told(Some("size"), 0.171)).unwrap();
        assert!(refusal.contains("the column size can tell"), "{refusal}");
        assert!(of(Keeps::default(), told(None, 0.9)).unwrap().contains("the other columns together can tell"));
        assert_eq!(of(Keeps { reach_per_million: 300_000, ..Keeps::default() }, told(None, 0.2)), None);
    }
}
