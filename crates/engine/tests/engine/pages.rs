//! Pages: parts of one order, each asked for by itself.

use roaring::RoaringTreemap;

use crate::data::{Place, left, rows, tenant_a};

/// Rows that tenant `a` has, and of a page.
const VISIBLE: u64 = 900;
const PAGE: u64 = 50;

/// Few values, and the key, by which rows that are equal could be told apart, is not among the granted columns.
const SHOWN: &[(&str, &str)] =
    &[("division", "city"), ("active", "exact"), ("born", "year"), ("score", "exact"), ("balance", "exact")];

#[tokio::test]
async fn pages_of_one_order_are_together_the_table_once() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, SHOWN)]);
    for (selected, order) in [
        ("division, balance", " ORDER BY division ASC NULLS LAST"),
        ("division, balance", " ORDER BY division DESC NULLS LAST"),
        ("balance", " ORDER BY active DESC, born"),
        ("balance", " ORDER BY score NULLS FIRST"),
        ("balance", " WHERE division = '450100' ORDER BY 1 > 0"),
        ("balance", ""),
    ] {
        let from = format!("SELECT {selected} FROM people{order}");
        let whole = rows(&session, &from).await;
        let (mut seen, mut paged) = (RoaringTreemap::new(), Vec::new());
        for page in 0..VISIBLE / PAGE {
            let sql = format!("{from} LIMIT {PAGE} OFFSET {}", page * PAGE);
            let of_page = left(&session, &sql).await;
            assert!(seen.is_disjoint(&of_page), "page {page} has a row of an earlier one: {from}");
            seen |= of_page;
            paged.extend(rows(&session, &sql).await);
        }
        assert_eq!(seen.len(), whole.len() as u64, "{from}");
        assert_eq!(paged, whole, "{from}");
    }
    assert_eq!(rows(&session, "SELECT count(*) AS c FROM people").await, [VISIBLE.to_string()]);
}
