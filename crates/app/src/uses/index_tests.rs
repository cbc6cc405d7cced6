//! The index says what a scan of all receipts says, whatever was delivered, flushed, merged and lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use lingqu_crypto::SealKey;
use lingqu_domain::id::ReceiptId;
use lingqu_domain::receipt::{Opening, Outcome, ReceiptBody, ReceiptRecord, RowNaming, Totals};
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::{Mode, Purpose};
use lingqu_store::receipt::{NewReceipt, READ_LIMIT_MAX, ReceiptLog};
use lingqu_store::{Store, StoreConfig};
use roaring::RoaringTreemap;
use tempfile::TempDir;

use super::found::Found;
use super::index::{UseIndex, Wanted};
use super::{row_set, table_of};
use crate::receipts::parse;

/// Numbers that follow from a seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A receipt log that random deliveries go into, several of them open at a time.
struct Life {
    _directory: TempDir,
    log: ReceiptLog,
    index: Arc<UseIndex>,
    numbers: Numbers,
    open: Vec<(ReceiptId, Opening, u64)>,
    made: u32,
    records: Vec<ReceiptRecord>,
}

const SEGMENT_RECORDS: u64 = 40;

async fn store(directory: &Path) -> Store {
    let url = format!("sqlite:{}", directory.join("node.db").display());
    Store::open(StoreConfig { url, vault_key: SealKey::from_bytes([7; 32]), connections_max: 2 }).await.unwrap()
}

impl Life {
    async fn new(seed: u64) -> Life {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path()).await;
        let log = ReceiptLog::open(&store, directory.path()).await.unwrap();
        let index = Arc::new(UseIndex::with_segments_of(directory.path(), SEGMENT_RECORDS));
        let (open, records) = (Vec::new(), Vec::new());
        Life { _directory: directory, log, index, numbers: Numbers(seed), open, made: 0, records }
    }

    fn opening(&mut self) -> Opening {
        let product = self.numbers.below(3);
        let is_live = product == 2;
        let made_from = (!is_live).then(|| format!("{:032x}", self.numbers.below(2)));
        Opening {
            code_id: None,
            day: None,
            consumer: format!("pty_{:032x}", self.numbers.below(3)).parse().unwrap(),
            grant_digest: "0".repeat(64),
            lineage: None,
            made_from,
            marked: Vec::new(),
            masks: BTreeMap::new(),
            mode: Mode::Rows,
            nature: Nature::Synthetic,
            node: None,
            order: format!("ord_{:032x}", self.numbers.below(4)).parse().unwrap(),
            process: None,
            product: format!("prd_{product:032x}").parse().unwrap(),
            protocol: "rest".to_owned(),
            purpose: Purpose("service".to_owned()),
            query_digest: None,
            request_digest: "0".repeat(64),
            rho_spent: None,
            rows_named_by: if is_live { RowNaming::KeyDigest } else { RowNaming::Number },
            rulebook_version: "1".to_owned(),
            snapshots: Vec::new(),
        }
    }

    fn rows(&mut self, opening: &Opening) -> RoaringTreemap {
        let mut rows = RoaringTreemap::new();
        for _ in 0..self.numbers.below(4) {
            if opening.rows_named_by == RowNaming::KeyDigest {
                rows.insert(self.numbers.below(60) << 40);
                continue;
            }
            let first = self.numbers.below(70_000);
            let longest = if self.numbers.below(4) == 0 { 70_000 } else { 5 };
            let length = self.numbers.below(longest);
            rows.insert_range(first..=first + length);
        }
        rows
    }

    async fn write(&mut self, body: ReceiptBody, receipt: &ReceiptId, order: String) {
        let at = jiff::Timestamp::from_second(1_796_259_600).unwrap();
        let record = ReceiptRecord { at, body, receipt: receipt.clone() };
        let stored = NewReceipt {
            receipt_id: receipt.to_string(),
            order_id: order,
            kind: record.kind().to_owned(),
            record: record.canonical().into_bytes(),
        };
        self.log.append(stored).await.unwrap();
        self.records.push(record);
    }

    async fn step(&mut self) {
        let set = |rows: &RoaringTreemap| row_set::row_set_text(rows.iter().map(|row| (row, row)));
        let choice = self.numbers.below(10);
        if choice < 3 || self.open.is_empty() {
            let opening = self.opening();
            self.made += 1;
            let receipt: ReceiptId = format!("rcp_{:032x}", self.made).parse().unwrap();
            let order = opening.order.to_string();
            if choice < 2 {
                let rows = self.rows(&opening);
                let body = ReceiptBody::Single { opening, row_set: set(&rows), totals: Totals::default() };
                self.write(body, &receipt, order).await;
            } else {
                self.write(ReceiptBody::Opened(opening.clone()), &receipt, order).await;
                self.open.push((receipt, opening, 0));
            }
            return;
        }
        let at = self.numbers.below(self.open.len() as u64) as usize;
        let (receipt, opening, number) = self.open[at].clone();
        let order = opening.order.to_string();
        if choice == 9 {
            self.open.swap_remove(at);
            let body = ReceiptBody::Closed { outcome: Outcome::Delivered, totals: Totals::default() };
            self.write(body, &receipt, order).await;
        } else {
            let rows = self.rows(&opening);
            self.open[at].2 += 1;
            let (answer_rows, bytes_reserved) = (0, 0);
            let (row_set, rows) = (set(&rows), rows.len());
            let body = ReceiptBody::Part { answer_rows, bytes_reserved, number, row_set, rows };
            self.write(body, &receipt, order).await;
        }
    }

    /// Deliveries by where they began, each with the rows among some of a table that it names, by a look at every record.
    fn scanned(&self, table: &str, wanted: &RoaringTreemap) -> BTreeMap<u64, RoaringTreemap> {
        let mut begun: BTreeMap<&ReceiptId, (u64, Option<String>)> = BTreeMap::new();
        let mut found: BTreeMap<u64, RoaringTreemap> = BTreeMap::new();
        for (record, position) in self.records.iter().zip(1..) {
            let set = match &record.body {
                ReceiptBody::Opened(opening) => {
                    begun.insert(&record.receipt, (position, table_of(opening)));
                    continue;
                }
                ReceiptBody::Single { opening, row_set, .. } => {
                    begun.insert(&record.receipt, (position, table_of(opening)));
                    row_set
                }
                ReceiptBody::Part { row_set, .. } => row_set,
                ReceiptBody::Closed { .. } => continue,
            };
            let (opening, of) = &begun[&record.receipt];
            let rows = row_set::rows_of(set).unwrap() & wanted;
            if of.as_deref() == Some(table) && !rows.is_empty() {
                *found.entry(*opening).or_default() |= rows;
            }
        }
        found
    }

    /// The same by the index, page by page; where pages are short, each ends with the first stretch that it may end with.
    fn indexed(
        &self,
        table: &str,
        rows: &RoaringTreemap,
        limit: usize,
        is_short: bool,
    ) -> BTreeMap<u64, RoaringTreemap> {
        let mut all = BTreeMap::new();
        let mut before = u64::MAX;
        loop {
            let mut found = Found::new(before, limit);
            let mut stopped_at = None;
            for stretch in self.index.stretches() {
                let is_passed = stretch.least_opening >= before || found.is_enough_from(stretch.after());
                if stopped_at.is_none() && !is_passed {
                    self.index.look(&stretch, &Wanted { table, rows }, &mut found).unwrap();
                    stopped_at = (is_short && found.may_stop_at(stretch.first)).then_some(stretch.first);
                }
            }
            let (hits, next) = found.finish(stopped_at);
            assert!(next.is_none_or(|next| next < before), "the next page goes on");
            for (opening, hit) in hits {
                assert!(opening < before, "newest first");
                assert!(all.insert(opening, hit.rows).is_none(), "each delivery is on one page");
            }
            match next {
                Some(next) => before = next,
                None => return all,
            }
        }
    }

    fn check(&mut self, seed: u64) {
        for _ in 0..12 {
            let is_live = self.numbers.below(3) == 0;
            let table = if is_live {
                format!("live/prd_{:032x}", 2)
            } else {
                format!("prd_{:032x}/{:032x}", self.numbers.below(2), self.numbers.below(2))
            };
            let count = 1 + self.numbers.below(3);
            let rows = (0..count).map(|_| match is_live {
                true => self.numbers.below(60) << 40,
                false => self.numbers.below(75_000),
            });
            let rows: RoaringTreemap = rows.collect::<Vec<_>>().into_iter().collect();
            let limit = 1 + self.numbers.below(7) as usize;
            let scanned = self.scanned(&table, &rows);
            for is_short in [false, true] {
                let indexed = self.indexed(&table, &rows, limit, is_short);
                assert_eq!(indexed, scanned, "table {table}, rows {rows:?}, pages of {limit}, seed {seed}");
            }
        }
    }

    /// Some hundred records, followed as they come.
    async fn live(&mut self, hundreds: u32) {
        for _ in 0..hundreds {
            for _ in 0..100 {
                self.step().await;
            }
            self.follow().await;
        }
    }

    async fn follow(&self) {
        while self.index.follow(&self.log, 100_000).await.unwrap() > 0 {}
    }
}

#[tokio::test]
async fn the_index_says_what_a_scan_of_all_receipts_says() {
    for seed in 0..2 {
        let mut life = Life::new(seed).await;
        for _ in 0..10 {
            for _ in 0..60 {
                life.step().await;
            }
            life.follow().await;
            life.check(seed);
        }
        let segments = life.index.stretches().len() - 1;
        assert!((2..12).contains(&segments), "{segments} segments of 600 records, merged by eight");
    }
}

#[tokio::test]
async fn what_a_crash_leaves_is_taken_up_and_what_is_lost_is_made_anew() {
    let mut life = Life::new(77).await;
    life.live(5).await;
    let folder = life._directory.path().join("uses");
    let files = || {
        let listed = fs::read_dir(&folder).unwrap();
        let mut names: Vec<_> = listed.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
        names.sort();
        names
    };
    let directory = life._directory.path().to_owned();
    let again = || Arc::new(UseIndex::with_segments_of(&directory, SEGMENT_RECORDS));
    // A stop in the middle of writing, and between a merge and the removal of what was merged.
    let kept = fs::read(&files()[1]).unwrap();
    fs::write(folder.join("half.unfinished"), b"half").unwrap();
    life.index = again();
    life.follow().await;
    life.check(1);
    assert!(files().iter().all(|path| path.extension().is_some_and(|extension| extension == "uses")));
    let covered = files()[0].with_file_name(format!("{:020}-{:020}.uses", 41, 80));
    fs::write(&covered, kept).unwrap();
    life.index = again();
    life.follow().await;
    life.check(2);
    // One in the middle is gone: what follows it is read again.
    fs::remove_file(&files()[0]).unwrap();
    life.index = again();
    life.follow().await;
    life.check(3);
    // Of another log, as after a backup was restored, it is no index.
    let other = Life::new(78).await;
    let mut other = Life { index: again(), ..other };
    other.live(5).await;
    other.check(4);
}

#[tokio::test]
async fn a_segment_is_made_once_whoever_goes_away_meanwhile() {
    let mut life = Life::new(6).await;
    life.live(5).await;
    let segments = life.index.stretches().len();
    // Who comes to it after another has made it finds nothing to make it of.
    let (one, other) = tokio::join!(life.index.settle(), life.index.settle());
    one.and(other).unwrap();
    assert_eq!(life.index.stretches().len(), segments);
    life.live(3).await;
    life.check(6);
}

#[tokio::test]
async fn damage_is_noticed() {
    let mut life = Life::new(5).await;
    life.live(4).await;
    let folder = life._directory.path().join("uses");
    let path = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_file()).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut noticed = 0;
    for at in (8..whole.len()).step_by(whole.len() / 60 + 1) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        let index = Arc::new(UseIndex::with_segments_of(life._directory.path(), SEGMENT_RECORDS));
        let opened = index.follow(&life.log, 100_000).await;
        let tables: Vec<String> = index.stretches().into_iter().flat_map(|stretch| stretch.tables).collect();
        let rows: RoaringTreemap = (0..70_000).step_by(97).collect();
        let mut is_refused = opened.is_err();
        for stretch in index.stretches() {
            for table in &tables {
                let mut found = Found::new(u64::MAX, 1_000);
                is_refused |= index.look(&stretch, &Wanted { table, rows: &rows }, &mut found).is_err();
            }
        }
        noticed += u32::from(is_refused);
    }
    fs::write(&path, whole).unwrap();
    assert!(noticed > 0, "no change of the file was noticed");
    let stored = life.log.read_after(0, READ_LIMIT_MAX).await.unwrap();
    assert_eq!(parse(&stored[0]).unwrap(), life.records[0]);
}
