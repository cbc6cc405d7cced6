//! Decoys: rows of things that do not exist, given to some recipients by the code, where the contract names them.
//!
//! What a decoy says is made elsewhere; here it is a row like any other, known by its key. It is a position of the code: a
//! recipient whose bit is one has the row, the others do not. Several recipients share a decoy, each with its bias, so that a
//! coalition can't find them all as rows that only one of its members has.

use arrow::array::{ArrayRef, BooleanArray};

use crate::code::BiasTable;
use crate::observe::{Observation, Source};
use crate::prf::{Block, PositionSecrets, RecipientCode, xor};
use crate::row_key::RowKeys;

/// The points of decoys and the biases at them, times 2^32.
fn positions(secrets: &PositionSecrets, biases: &BiasTable, row_ids: &[Block]) -> (Vec<Block>, Vec<u32>) {
    let tweak = secrets.tweak("decoy", "");
    let points: Vec<Block> = row_ids.iter().map(|id| xor(id, &tweak)).collect();
    let mut classes = points.clone();
    secrets.secrets(&mut classes);
    (points, classes.iter().map(|class| biases.threshold(class[4])).collect())
}

/// Which of a batch's rows a recipient's copy holds as far as decoys go: all rows without a number in `decoys`, and of those
/// that have one his own. An order's code is not asked: a recipient has one set of decoys.
pub(crate) fn delivered(
    secrets: &PositionSecrets,
    biases: &BiasTable,
    row_ids: &[Block],
    decoys: &ArrayRef,
    recipient: &RecipientCode,
) -> BooleanArray {
    let places: Vec<usize> = (0..decoys.len()).filter(|row| decoys.is_valid(*row)).collect();
    let mut is_there = vec![true; decoys.len()];
    if !places.is_empty() {
        let ids: Vec<Block> = places.iter().map(|row| row_ids[*row]).collect();
        let (points, thresholds) = positions(secrets, biases, &ids);
        for (row, bit) in places.iter().zip(recipient.bits(&points, &thresholds)) {
            is_there[*row] = bit;
        }
    }
    BooleanArray::from(is_there)
}

/// What it shows that decoys are there: of rows given by their keys those with these places are some. One that is absent shows
/// nothing, since fragments are.
pub fn observe_decoys(
    biases: &BiasTable,
    secrets: &PositionSecrets,
    keys: &RowKeys,
    decoys: &[usize],
) -> Vec<Observation> {
    if decoys.is_empty() {
        return Vec::new();
    }
    let ids = secrets.row_ids(keys);
    let decoys: Vec<(usize, Block)> = decoys.iter().filter_map(|row| Some((*row, *ids.get(*row)?))).collect();
    let of_decoys: Vec<Block> = decoys.iter().map(|(_, id)| *id).collect();
    let (points, thresholds) = positions(secrets, biases, &of_decoys);
    let observation = |((row, _), (point, threshold)): ((usize, Block), (Block, u32))| Observation {
        source: Source::Decoy,
        row: u32::try_from(row).unwrap_or(u32::MAX),
        point,
        threshold,
        order: false,
        residual: 1.0,
    };
    decoys.into_iter().zip(points.into_iter().zip(thresholds)).map(observation).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray as _, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::embed::Marker;
    use crate::error::FingerprintError;
    use crate::keys::{MarkKey, Profile};
    use crate::marking::Marking;
    use crate::presence::Presence;
    use crate::sheet::Sheet;

    fn secrets() -> PositionSecrets {
        PositionSecrets::new(&MarkKey::from_bytes(Profile::Aes, [1; 32]))
    }

    fn code(byte: u8) -> RecipientCode {
        RecipientCode::new(&MarkKey::from_bytes(Profile::Aes, [byte; 32]))
    }

    fn keys(count: u32) -> Vec<[u8; 4]> {
        (0..count).map(u32::to_be_bytes).collect()
    }

    /// Every other row is a decoy.
    fn given(byte: u8, count: u32) -> Vec<bool> {
        let decoys: ArrayRef =
            Arc::new(Int64Array::from_iter((0..i64::from(count)).map(|row| (row % 2 == 1).then_some(row))));
        let ids = secrets().row_ids(&RowKeys::of_bytes(&keys(count)).unwrap());
        let there = delivered(&secrets(), &BiasTable::default(), &ids, &decoys, &code(byte));
        there.iter().map(|there| there == Some(true)).collect()
    }

    #[test]
    fn every_real_row_is_there_and_decoys_are_shared() {
        let [left, right] = [given(7, 800), given(8, 800)];
        for there in [&left, &right] {
            assert!(there.iter().step_by(2).all(|there| *there), "no real row is left out");
            let decoys = there.iter().skip(1).step_by(2).filter(|there| **there).count();
            assert!((150..250).contains(&decoys), "{decoys}");
        }
        let both = left.iter().zip(&right).skip(1).step_by(2).filter(|(left, right)| **left && **right).count();
        assert!(left != right && both > 75, "{both}");
    }

    /// However the rows are cut, and whatever else is marked, a copy has the same of them.
    #[test]
    fn a_copy_does_not_hang_on_how_its_rows_are_cut() {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
        let decoys: ArrayRef = Arc::new(Int64Array::from_iter((0..1_000).map(|row| (row % 3 == 1).then_some(row))));
        let batch = RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("decoy", decoys, true)]).unwrap();
        let copy = |presence: Option<Presence>, cut: usize| {
            let key = vec!["id".to_string()];
            let marking = Marking { key, marks: Vec::new(), order_share: 0, biases: BiasTable::default(), presence };
            let secrets = secrets();
            let marker = Marker::new(&marking, &secrets, code(7), code(9)).unwrap().with_decoys("decoy");
            let mut rows: Vec<i64> = Vec::new();
            for from in (0..batch.num_rows()).step_by(cut) {
                let part = marker.mark(&batch.slice(from, cut.min(batch.num_rows() - from))).unwrap();
                rows.extend(part.column(0).as_primitive::<Int64Type>().values());
            }
            rows
        };
        let whole = copy(None, 1_000);
        let real = whole.iter().filter(|row| *row % 3 != 1).count();
        assert_eq!(real, 667, "no real row is left out");
        assert!((100..233).contains(&(whole.len() - real)), "{}", whole.len() - real);
        let sampled = copy(Some(Presence::of_share(0.1)), 1_000);
        assert!(sampled.len() < whole.len() && sampled.iter().all(|row| whole.contains(row)));
        for cut in [1, 7, 512, 999] {
            assert_eq!(copy(None, cut), whole);
            assert_eq!(copy(Some(Presence::of_share(0.1)), cut), sampled);
        }
        // A batch without the column is an error, never a copy with all of them.
        let marking = Marking {
            key: vec!["id".to_string()],
            marks: Vec::new(),
            order_share: 0,
            biases: BiasTable::default(),
            presence: None,
        };
        let secrets = secrets();
        let marker = Marker::new(&marking, &secrets, code(7), code(9)).unwrap().with_decoys("gone");
        assert!(matches!(marker.mark(&batch), Err(FingerprintError::ColumnMissing { .. })));
    }

    #[test]
    fn what_a_copy_holds_fits_its_recipient_and_is_bounded_for_everybody_else() {
        const DECOYS: u32 = 400;
        let there = given(7, 2 * DECOYS);
        let leaked: Vec<[u8; 4]> = keys(2 * DECOYS)
            .into_iter()
            .zip(there)
            .enumerate()
            .filter(|(row, (_, there))| row % 2 == 1 && *there)
            .map(|(_, (key, _))| key)
            .collect();
        // Beside real rows, which show nothing.
        let rows: Vec<[u8; 4]> = leaked.iter().flat_map(|key| [*b"real", *key]).collect();
        let places: Vec<usize> = (0..leaked.len()).map(|decoy| 2 * decoy + 1).collect();
        let rows = RowKeys::of_bytes(&rows).unwrap();
        let observed = observe_decoys(&BiasTable::default(), &secrets(), &rows, &places);
        assert_eq!(observed.iter().map(|shown| shown.row as usize).collect::<Vec<_>>(), places);
        let sheet = Sheet::new(observed.into_iter());
        let log_tail = |code: &RecipientCode| sheet.innocent(0).log_tail(f64::from(sheet.scores(code)[0]));
        assert!(log_tail(&code(7)) < -60.0, "{}", log_tail(&code(7)));
        // An innocent's decoys are drawn independently of what leaked: the bound on his score holds, here at one in a hundred of
        // 230 with three standard deviations of room.
        let high = (20..250).filter(|byte| log_tail(&code(*byte)) < 0.01_f64.ln()).count();
        assert!(high <= 7, "{high}");
    }
}
