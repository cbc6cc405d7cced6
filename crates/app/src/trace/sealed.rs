//! The sealed annex of evidence: what an expert needs to look at the file himself, and the check by it.
//!
//! Evidence shows what the file shows at secret positions. That these observations are the file's, all of them and none besides,
//! takes the originals of the rows that were found in it and the key of positions. Both are in the annex, which the node writes
//! apart, for the court's expert and nobody else: it holds values of the table, and tells where every copy of it is marked. The
//! evidence names the annex by its SHA-256, the journal has a commitment to the key and the marking from before the leak, so
//! neither can be fitted to a file afterwards. The expert's program lays the marks over the originals anew, reads the file, and
//! has every observation itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lingqu_crypto::{Salt, sha256};
use lingqu_domain::id::ProductId;
use lingqu_engine::OriginalRows;
use lingqu_engine::decoys::DECOYS_MAX;
use lingqu_engine::source::Fragment;
use lingqu_fingerprint::{
    Agreement, Alignment, Commitment, FingerprintError, KeyUse, MarkKey, Marking, MatchedColumn, MatchedRow,
    Observation, Opening, PositionSecrets, Profile, Provenance, Reading, RowKeys, Source, observe, observe_decoys,
    observe_presence,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use super::verify::Logged;
use super::{Case, Trace};
use crate::error::AppError;

/// Format of the annex.
const FORMAT: &str = "lingqu-sealed v1";
/// By how much a residual may differ: machines round sines differently, which places are laid with.
const RESIDUAL_DIFFERENCE_MAX: f64 = 1e-6;

/// The annex.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedFile {
    format: String,
    /// SHA-256 of the file that was traced, hexadecimal.
    fragment: String,
    /// Whether the rows of a file too large to be traced whole are numbered in a sample that hangs on its digest. An annex from
    /// before there was such a sample does not say it.
    #[serde(default)]
    seeded: bool,
    products: Vec<SealedProduct>,
}

/// Of an annex only how the file's sample was drawn.
#[derive(Deserialize)]
struct SealedSample {
    #[serde(default)]
    seeded: bool,
}

/// Whether the file must be read with [`FragmentOptions::by_place_alone`](lingqu_engine::source::FragmentOptions) to be held
/// against this annex. What is no annex is told when it is opened.
pub fn sealed_by_place_alone(annex: &[u8]) -> bool {
    serde_json::from_slice::<SealedSample>(annex).is_ok_and(|sample| !sample.seeded)
}

/// The key of positions of a product, and the rows of its versions that were found in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedProduct {
    product: ProductId,
    epoch: u32,
    /// The profile, by its name in derivations.
    profile: String,
    /// Hexadecimal.
    key: String,
    /// Hexadecimal.
    salt: String,
    versions: Vec<SealedVersion>,
}

impl Drop for SealedProduct {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// Rows of one version beside rows of the file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealedVersion {
    made_from: String,
    /// The snapshots, as `resource@version`: by them the node's files are found, if the expert wants to see that these rows are
    /// theirs.
    snapshots: Vec<String>,
    columns: Vec<SealedColumn>,
    /// Of each pair the number of the original in the version, by which receipts name it, and the row of the file.
    rows: Vec<(u64, u32)>,
    /// Places among the pairs of originals that are decoys.
    decoys: Vec<usize>,
    /// The originals' key, marked columns and what marks hang on, as [`OriginalRows`] writes them, base64.
    originals: String,
}

impl std::fmt::Debug for SealedVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SealedVersion").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

/// Which column of the file is which of the product, and how it is read.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedColumn {
    place: usize,
    original: String,
    reading: String,
    /// As text, which keeps every bit.
    factor: String,
    /// The same; of a column that was not shifted it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<String>,
}

/// What the expert's check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ObservedAgain {
    /// Rows of the file that were laid beside originals.
    pub rows: u64,
    /// Rows of the file that there are. Those that are left over could be no original's, or several, by the accuser's word.
    pub rows_traced: u64,
    /// Marked positions that the file shows.
    pub positions: u64,
}

/// What rows of a file show at the secret positions, the rows of the alignment numbered as the file's. No recipient's code is
/// asked. The trace and the expert's check both look by this.
pub(super) fn shown(
    marking: &Marking,
    secrets: &PositionSecrets,
    fragment: &Fragment,
    alignment: &Alignment,
    originals: &OriginalRows,
    decoys: &[usize],
) -> Result<Vec<Observation>, FingerprintError> {
    let leaked = alignment.leaked(&fragment.batch, &originals.0)?;
    let mut shown = observe(marking, secrets, &originals.0, &leaked)?;
    let keys = RowKeys::of_columns(&originals.0, &marking.key)?;
    if let Some(presence) = &marking.presence {
        shown.extend(observe_presence(presence, secrets, &keys));
    }
    shown.extend(observe_decoys(&marking.biases, secrets, &keys, decoys));
    for observation in &mut shown {
        let row = alignment.rows.get(observation.row as usize);
        observation.row = row.map_or(u32::MAX, |row| row.leaked);
    }
    Ok(shown)
}

/// The originals' columns that [`shown`] looks at: the key, marked columns, and what marks hang on.
pub(super) fn columns_looked_at(marking: &Marking) -> BTreeSet<&str> {
    let of_marks =
        marking.marks.iter().flat_map(|mark| mark.columns().into_iter().chain(mark.by.iter().map(String::as_str)));
    marking.key.iter().map(String::as_str).chain(of_marks).collect()
}

/// What is kept of one version for the annex.
pub(super) fn sealed_version(
    marking: &Marking,
    made_from: &str,
    snapshots: &[String],
    alignment: &Alignment,
    originals: &OriginalRows,
    decoys: &[usize],
) -> Result<SealedVersion, FingerprintError> {
    let columns = columns_looked_at(marking);
    let marked = alignment.columns.iter().filter(|column| columns.contains(column.original.as_str()));
    Ok(SealedVersion {
        made_from: made_from.to_owned(),
        snapshots: snapshots.to_vec(),
        columns: marked
            .map(|column| SealedColumn {
                place: column.place,
                original: column.original.clone(),
                reading: name_of(column.reading).to_owned(),
                factor: column.factor.to_string(),
                offset: (column.offset != 0.0).then(|| column.offset.to_string()),
            })
            .collect(),
        rows: alignment.rows.iter().map(|row| (row.original, row.leaked)).collect(),
        decoys: decoys.to_vec(),
        originals: STANDARD.encode(originals.encode(&columns)?),
    })
}

const READINGS: [Reading; 8] = [
    Reading::Plain,
    Reading::DayFirst,
    Reading::MonthFirst,
    Reading::Digits,
    Reading::Measured,
    Reading::DecimalComma,
    Reading::Clock,
    Reading::Duration,
];

/// What an annex calls a reading, for good.
fn name_of(reading: Reading) -> &'static str {
    match reading {
        Reading::Plain => "plain",
        Reading::DayFirst => "day_first",
        Reading::MonthFirst => "month_first",
        Reading::Digits => "digits",
        Reading::Measured => "measured",
        Reading::DecimalComma => "decimal_comma",
        Reading::Clock => "clock",
        Reading::Duration => "duration",
    }
}

impl Trace {
    /// The annex for an expert, under seal: values of the table, and the key of positions. None where nobody is accused or the
    /// trace was not asked to keep originals. Its SHA-256 stands in the evidence.
    pub fn sealed(&self) -> Result<Option<Vec<u8>>, AppError> {
        if self.report.accused.is_empty() || !self.keeps_originals {
            return Ok(None);
        }
        let sealed = |case: &Case| SealedProduct {
            product: case.marked.product.clone(),
            epoch: case.marked.epoch,
            profile: case.marked.positions.key.profile().name().to_owned(),
            key: hex::encode(case.marked.positions.key.as_bytes()),
            salt: hex::encode(case.marked.positions.salt.0),
            versions: case.sealed.clone(),
        };
        let file = SealedFile {
            format: FORMAT.to_owned(),
            fragment: self.report.fragment.digest.clone(),
            seeded: self.seeded,
            products: super::evidence::accusing(self).map(sealed).collect(),
        };
        let bytes = serde_json::to_vec(&file);
        bytes.map(Some).map_err(|error| AppError::Fault(format!("the annex can't be written: {error}")))
    }
}

/// An annex that was opened, for one bundle and file.
pub(super) struct Expert<'e> {
    file: SealedFile,
    fragment: &'e Fragment,
}

impl<'e> Expert<'e> {
    /// Error: it is another annex than the evidence names, or about another file.
    pub(super) fn open(
        bytes: &[u8],
        named: Option<&str>,
        digest: &str,
        fragment: &'e Fragment,
    ) -> Result<Expert<'e>, String> {
        let Some(named) = named else { return Err("the evidence was written without an annex".to_owned()) };
        if sha256(bytes).to_string() != named {
            return Err("it is not the annex that the evidence names".to_owned());
        }
        let file: SealedFile = serde_json::from_slice(bytes).map_err(|_| "it can't be read".to_owned())?;
        if file.format != FORMAT {
            return Err(format!("it was made by another version; verify it with one that has {FORMAT}"));
        }
        if file.fragment != digest || fragment.digest != digest {
            return Err("it is about another file".to_owned());
        }
        // Of a file that is there whole both samples are all rows.
        if file.seeded != fragment.seeded && fragment.rows_read > fragment.row_count() as u64 {
            return Err("the file was read with another sample than the annex is about".to_owned());
        }
        Ok(Expert { file, fragment })
    }

    /// Looks at the file and holds what it shows of a product against what is stated. Error: what differs.
    pub(super) fn look(
        &self,
        product: &ProductId,
        epoch: u32,
        stated: &[Observation],
        logged: &Logged,
    ) -> Result<ObservedAgain, String> {
        let sealed = self.file.products.iter().find(|sealed| sealed.product == *product && sealed.epoch == epoch);
        let sealed = sealed.ok_or("it has nothing of this product and epoch")?;
        let secrets = opened(sealed, logged)?;
        let marking = logged.marking(product)?;
        let decoys_max = if logged.has_decoys(product) { DECOYS_MAX } else { 0 };
        let (mut found, mut rows) = (Vec::new(), BTreeSet::new());
        for version in &sealed.versions {
            let (alignment, originals) = version.beside(self.fragment)?;
            // A row that is called a decoy shows what the key of positions draws for one, and that says nothing of a genuine row.
            let decoys = version.decoys.iter().filter_map(|place| alignment.rows.get(*place)).map(|row| row.original);
            if decoys.collect::<BTreeSet<_>>().len() > decoys_max {
                return Err("it calls more rows decoys than the product's marking has".to_owned());
            }
            if !alignment.rows.iter().all(|row| rows.insert(row.leaked)) {
                return Err("a row of the file stands beside two originals".to_owned());
            }
            let of_version = shown(&marking, &secrets, self.fragment, &alignment, &originals, &version.decoys);
            found.extend(of_version.map_err(|error| error.to_string())?);
        }
        if let Some(difference) = difference(&found, stated) {
            return Err(difference);
        }
        Ok(ObservedAgain {
            rows: rows.len() as u64,
            rows_traced: self.fragment.row_count() as u64,
            positions: found.len() as u64,
        })
    }
}

impl SealedVersion {
    /// The alignment and the originals, as the trace had them.
    fn beside(&self, fragment: &Fragment) -> Result<(Alignment, OriginalRows), String> {
        let bytes = STANDARD.decode(&self.originals).map_err(|_| "its originals can't be read")?;
        let originals = OriginalRows::decode(&bytes).map_err(|error| error.to_string())?;
        let is_within = |(_, leaked): &(u64, u32)| (*leaked as usize) < fragment.row_count();
        if originals.row_count() != self.rows.len() || !self.rows.iter().all(is_within) {
            return Err(
                "its originals and the file's rows don't stand side by side; was the file read in another way? Give \
                        the same --encoding, --sheet and --no-header as for the trace"
                    .to_owned(),
            );
        }
        if self.decoys.iter().any(|place| *place >= self.rows.len()) {
            return Err("it names decoys that are not among its rows".to_owned());
        }
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let reading = READINGS.into_iter().find(|reading| name_of(*reading) == column.reading);
            let reading = reading.ok_or("it names a reading of a column that is not known")?;
            let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
            columns.push(MatchedColumn {
                place: column.place,
                leaked: String::new(),
                original: column.original.clone(),
                reading,
                factor: number(&column.factor).ok_or("it names a factor of a column that is no number")?,
                offset: number(column.offset.as_deref().unwrap_or("0"))
                    .ok_or("it names an offset of a column that is no number")?,
                found: 0.0,
                margin: 0.0,
                rounded_to: 0.0,
                agreement: Agreement::default(),
            });
        }
        let row = |(original, leaked): &(u64, u32)| MatchedRow { leaked: *leaked, original: *original, log_odds: 0.0 };
        let alignment = Alignment {
            columns,
            rows: self.rows.iter().map(row).collect(),
            unmatched: 0,
            provenance: Provenance::Unverified,
            deeds: Vec::new(),
            originals: 0,
        };
        Ok((alignment, originals))
    }
}

/// The key of positions, where it is what the journal commits to.
fn opened(sealed: &SealedProduct, logged: &Logged) -> Result<PositionSecrets, String> {
    let profile = [Profile::Aes, Profile::Sm4].into_iter().find(|profile| profile.name() == sealed.profile);
    let profile = profile.ok_or("the profile of its key is not known")?;
    let bytes = |text: &str| hex::decode(text).ok();
    let key: [u8; 32] = bytes(&sealed.key).and_then(|key| key.try_into().ok()).ok_or("its key is not 32 bytes")?;
    let salt: [u8; 16] = bytes(&sealed.salt).and_then(|salt| salt.try_into().ok()).ok_or("its salt is not 16 bytes")?;
    let opening = Opening { key: MarkKey::from_bytes(profile, key), salt: Salt(salt) };
    let key_use = KeyUse::Positions { table: sealed.product.as_str(), epoch: sealed.epoch };
    let mut of_product = logged.orders.values().filter(|committed| committed.product == sealed.product).peekable();
    if of_product.peek().is_none() {
        return Err("no proven record commits to its key of positions".to_owned());
    }
    if !of_product.all(|committed| Commitment(committed.positions).verify(&opening, &key_use).is_ok()) {
        return Err("its key of positions is not the one that was committed to".to_owned());
    }
    Ok(PositionSecrets::new(&opening.key))
}

/// By what an observation is known.
type Place = (Source, u32, [u8; 16]);

fn place_of(observation: &Observation) -> Place {
    let mut point = [0; 16];
    point.copy_from_slice(&observation.point[..]);
    (observation.source, observation.row, point)
}

/// How stated observations differ from those that were found; none where they are the same.
fn difference(found: &[Observation], stated: &[Observation]) -> Option<String> {
    let found: HashMap<Place, &Observation> = found.iter().map(|one| (place_of(one), one)).collect();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut add = |what| *counts.entry(what).or_default() += 1;
    let mut seen: HashMap<Place, u32> = HashMap::new();
    for one in stated {
        let times = seen.entry(place_of(one)).or_default();
        *times += 1;
        match found.get(&place_of(one)) {
            None => add("are not what the file shows"),
            Some(_) if *times > 1 => add("stand there more than once"),
            Some(own) if !is_same(own, one) => add("show something else than the file"),
            Some(_) => {}
        }
    }
    found.keys().filter(|place| !seen.contains_key(*place)).for_each(|_| add("that the file shows were left out"));
    if counts.is_empty() {
        return None;
    }
    let told: Vec<String> = counts.into_iter().map(|(what, count)| format!("{count} {what}")).collect();
    Some(format!("of its observations {}", told.join(", ")))
}

fn is_same(one: &Observation, other: &Observation) -> bool {
    one.threshold == other.threshold
        && one.order == other.order
        && (one.residual - other.residual).abs() <= RESIDUAL_DIFFERENCE_MAX * (1.0 + one.residual.abs())
}

#[cfg(test)]
mod tests {
    use lingqu_fingerprint::Block;

    use super::super::damage::damaged;
    use super::*;

    #[test]
    fn an_observation_that_was_forged_left_out_doubled_or_changed_is_counted() {
        let one = |row: u32, residual| Observation {
            source: Source::Mark(0),
            row,
            point: Block::from([row as u8; 16]),
            threshold: 1 << 20,
            order: false,
            residual,
        };
        let found = [one(1, 1.0), one(2, -1.0), one(3, 0.5)];
        assert_eq!(difference(&found, &found), None);
        let shuffled = [found[2], found[0], found[1]];
        assert_eq!(difference(&found, &shuffled), None);
        let told = |stated: &[Observation]| difference(&found, stated).unwrap_or_default();
        assert!(told(&found[..2]).contains("1 that the file shows were left out"));
        assert!(told(&[found[0], found[1], found[2], one(4, 1.0)]).contains("1 are not what the file shows"));
        assert!(told(&[found[0], found[1], found[2], found[2]]).contains("1 stand there more than once"));
        let changed =
            [one(3, -0.5), Observation { threshold: 1 << 21, ..found[2] }, Observation { order: true, ..found[2] }];
        for changed in changed {
            assert!(told(&[found[0], found[1], changed]).contains("1 show something else"), "{changed:?}");
        }
        // Another point, channel or row is another observation.
        for moved in [
            Observation { point: Block::from([9; 16]), ..found[2] },
            Observation { source: Source::Mark(1), ..found[2] },
            Observation { row: 4, ..found[2] },
        ] {
            let told = told(&[found[0], found[1], moved]);
            assert!(told.contains("1 are not") && told.contains("1 that the file shows"), "{told}");
        }
    }

    #[test]
    fn an_annex_from_before_samples_hung_on_the_file_is_held_against_the_sample_of_its_time() {
        use lingqu_engine::source::FragmentOptions;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("found.csv");
        std::fs::write(&path, "line,delay\nL1,12\nL2,-3\n").unwrap();
        let of_digest = Fragment::read(&path, &FragmentOptions::default()).unwrap();
        let by_place_alone = FragmentOptions { by_place_alone: true, ..FragmentOptions::default() };
        let by_place = Fragment::read(&path, &by_place_alone).unwrap();
        let digest = &of_digest.digest;
        let before = format!(r#"{{"format":"{FORMAT}","fragment":"{digest}","products":[]}}"#).into_bytes();
        let file =
            SealedFile { format: FORMAT.to_owned(), fragment: digest.clone(), seeded: true, products: Vec::new() };
        let today = serde_json::to_vec(&file).unwrap();
        assert!(
            sealed_by_place_alone(&before) && !sealed_by_place_alone(&today) && !sealed_by_place_alone(b"no annex")
        );
        let opens = |annex: &[u8], fragment: &Fragment| {
            Expert::open(annex, Some(&sha256(annex).to_string()), digest, fragment).map(|_| ())
        };
        // Of a whole file it is the same.
        for annex in [&before, &today] {
            assert_eq!([opens(annex, &of_digest), opens(annex, &by_place)], [Ok(()), Ok(())]);
        }
        let thinned = |fragment: &Fragment| Fragment { rows_read: 700_000, ..fragment.clone() };
        let (of_digest, by_place) = (thinned(&of_digest), thinned(&by_place));
        assert_eq!([opens(&before, &by_place), opens(&today, &of_digest)], [Ok(()), Ok(())]);
        for told in [opens(&before, &of_digest), opens(&today, &by_place)] {
            assert!(told.unwrap_err().contains("another sample"));
        }
    }

    #[test]
    fn every_reading_has_its_name() {
        // Annexes that were written say these.
        let names = READINGS.map(name_of);
        assert_eq!(
            names,
            ["plain", "day_first", "month_first", "digits", "measured", "decimal_comma", "clock", "duration"]
        );
    }

    /// An annex comes from the accuser: whatever is in it, the expert's program says what is wrong and goes on.
    #[test]
    fn a_damaged_annex_stops_nothing() {
        use lingqu_engine::source::FragmentOptions;
        use lingqu_fingerprint::{BiasTable, Carrier, Encoding, Mark, Member, RATE_ONE, Step};

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("found.csv");
        std::fs::write(&path, "line,delay\nL1,12\nL2,-3\nL3,5:17\n").unwrap();
        let fragment = Fragment::read(&path, &FragmentOptions::default()).unwrap();
        let originals = br#"[{"name":"line","kind":"text","values":["L1","L2","L3"]},
            {"name":"delay","kind":"int64","values":["12","-3","317"]}]"#;
        let encoding = Encoding::Lattice(Step { unscaled: 1, decimals: 0 });
        let member = Member { column: "delay".to_owned(), encoding, coefficient: 1, domain: None };
        let carrier = Carrier::Number { members: vec![member], amplitude: 1, tolerance: 1 };
        let marking = Marking {
            key: vec!["line".to_owned()],
            marks: vec![Mark { name: "delay".to_owned(), rate: RATE_ONE, by: Vec::new(), carrier }],
            order_share: 0,
            biases: BiasTable::default(),
            presence: None,
        };
        let column = |place, original: &str, reading| SealedColumn {
            place,
            original: original.to_owned(),
            reading: name_of(reading).to_owned(),
            factor: "1".to_owned(),
            offset: Some("0".to_owned()),
        };
        let version = SealedVersion {
            made_from: "ab".to_owned(),
            snapshots: vec!["res_1@1".to_owned()],
            columns: vec![column(0, "line", Reading::Plain), column(1, "delay", Reading::Measured)],
            rows: vec![(4, 0), (5, 1), (9, 2)],
            decoys: vec![1],
            originals: STANDARD.encode(originals),
        };
        let product = SealedProduct {
            product: format!("prd_{:032x}", 1).parse().unwrap(),
            epoch: 1,
            profile: Profile::Aes.name().to_owned(),
            key: "00".repeat(32),
            salt: "11".repeat(16),
            versions: vec![version],
        };
        let digest = fragment.digest.clone();
        let file =
            SealedFile { format: FORMAT.to_owned(), fragment: digest.clone(), seeded: true, products: vec![product] };
        let secrets = PositionSecrets::new(&MarkKey::from_bytes(Profile::Aes, [7; 32]));
        let looks = |annex: &[u8]| -> Result<usize, String> {
            let expert = Expert::open(annex, Some(&sha256(annex).to_string()), &digest, &fragment)?;
            let mut found = 0;
            for version in expert.file.products.iter().flat_map(|product| &product.versions) {
                let (alignment, originals) = version.beside(&fragment)?;
                let of_version = shown(&marking, &secrets, &fragment, &alignment, &originals, &version.decoys);
                found += of_version.map_err(|error| error.to_string())?.len();
            }
            Ok(found)
        };
        let whole = serde_json::to_vec(&file).unwrap();
        assert!(looks(&whole).unwrap() > 0);
        let mut refused = damaged(&whole, 6_000).filter(|annex| looks(annex).is_err()).count();
        // The originals stand there in a form in which a damaged letter says nothing, so they are damaged by themselves too.
        for originals in damaged(originals, 6_000) {
            let version = &file.products[0].versions[0];
            let version = SealedVersion { originals: STANDARD.encode(originals), ..version.clone() };
            let Ok((alignment, originals)) = version.beside(&fragment) else {
                refused += 1;
                continue;
            };
            drop(shown(&marking, &secrets, &fragment, &alignment, &originals, &version.decoys));
        }
        assert!(refused > 3_000, "{refused}");
    }
}
