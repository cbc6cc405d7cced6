//! Digests of answers, made while they leave.
//!
//! An answer that leaves as bytes is digested as the bytes that it is. One that leaves as batches reaches clients in other
//! messages with each protocol and each cutting, so what is digested is its values, column by column ([`blocks`]):
//! `docs/manual/receipts.md` gives the form, for whoever wants to make the digest of what he has.

mod blocks;

use arrow::array::RecordBatch;
use bytes::Bytes;
use lingqu_crypto::{Sha256Digest, Sha256Hasher};
use lingqu_domain::answer::AnswerForm;

use blocks::ColumnHasher;

/// What stands before the digests of columns.
const VALUES_CONTEXT: &[u8] = b"lingqu answer value blocks v1\n";

/// Digests an answer whose pieces leave one after another.
pub(super) trait AnswerHasher<P>: Default + Send + 'static {
    /// What the digest is of.
    const FORM: AnswerForm;

    /// Takes the next piece.
    fn take(&mut self, piece: &P);

    /// The digest of all that was taken, however it was cut into pieces.
    fn digest(self) -> Sha256Digest;
}

impl AnswerHasher<Bytes> for Sha256Hasher {
    const FORM: AnswerForm = AnswerForm::Bytes;

    fn take(&mut self, piece: &Bytes) {
        self.update(piece);
    }

    fn digest(self) -> Sha256Digest {
        self.finish()
    }
}

/// The digest of an answer that is one batch.
pub(super) fn values_digest(batch: &RecordBatch) -> Sha256Digest {
    let mut hasher = ValuesHasher::default();
    hasher.take(batch);
    hasher.digest()
}

/// Digests the values of an answer. One without rows has no columns in it.
#[derive(Debug, Default)]
pub(super) struct ValuesHasher {
    rows: u64,
    columns: Vec<(String, ColumnHasher)>,
    /// What is being written; kept for the next piece.
    written: Vec<u8>,
}

impl AnswerHasher<RecordBatch> for ValuesHasher {
    const FORM: AnswerForm = AnswerForm::ValueBlocks;

    fn take(&mut self, piece: &RecordBatch) {
        if piece.num_rows() == 0 {
            return;
        }
        if self.rows == 0 {
            let names = piece.schema_ref().fields().iter().map(|field| field.name().clone());
            self.columns = names.map(|name| (name, ColumnHasher::default())).collect();
        }
        self.rows += piece.num_rows() as u64;
        for ((_, hasher), column) in self.columns.iter_mut().zip(piece.columns()) {
            hasher.take(column, &mut self.written);
        }
    }

    fn digest(mut self) -> Sha256Digest {
        let mut whole = Sha256Hasher::default();
        whole.update(VALUES_CONTEXT);
        whole.update(&self.rows.to_be_bytes());
        whole.update(&(self.columns.len() as u64).to_be_bytes());
        for (name, hasher) in self.columns {
            whole.update(&(name.len() as u64).to_be_bytes());
            whole.update(name.as_bytes());
            whole.update(&hasher.digest(&mut self.written).0);
        }
        whole.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array,
        Int64Array, NullArray, StringArray, StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray,
        UInt64Array,
    };
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::{Field, Int32Type, Schema};
    use proptest::prelude::*;

    use super::*;

    fn batch_of(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let fields: Vec<Field> =
            columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn batch() -> RecordBatch {
        let decimal = Decimal128Array::from(vec![Some(1_250), None]).with_precision_and_scale(10, 2).unwrap();
        let moment = TimestampMicrosecondArray::from(vec![Some(1_357_016_400_250_000), None]);
        batch_of(vec![
            ("whole", Arc::new(Int64Array::from(vec![Some(-7), None]))),
            ("float", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
            ("decimal", Arc::new(decimal)),
            ("text", Arc::new(StringArray::from(vec![Some("灵渠"), None]))),
            ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("day", Arc::new(Date32Array::from(vec![Some(15_706), None]))),
            ("local", Arc::new(moment.clone())),
            ("moment", Arc::new(moment.with_timezone("UTC"))),
            ("nothing", Arc::new(NullArray::new(2))),
        ])
    }

    /// Made by `scripts/answer-digest.py` from the same values: who has them can make the digest without this program.
    #[test]
    fn the_form_never_changes() {
        assert_eq!(
            values_digest(&batch()).to_string(),
            "2a7ccb1d3bcc0a00c3d4e4a8e544ba972c7c5ebe504d3ef27149b8fc6d0654fa"
        );
        assert_eq!(
            values_digest(&batch().slice(0, 0)).to_string(),
            "7d766db09b2ce27f989f98e0ceabc3aa7b90f1785818f90af6ab6d2f17cc1e63"
        );
        assert_eq!(
            values_digest(&long()).to_string(),
            "952a53d0882626954acefbe1f4bb7108f0b5642e0155fd2a94f601e4e902faa2"
        );
    }

    /// Two blocks and a part of one: numbers of two, four and eight bytes, missing values, a block of nothing else.
    fn long() -> RecordBatch {
        let numbers = (0_i64..3_000)
            .map(|row| (row % 7 != 0).then_some((row - 1_500) * if row < 1_024 { row } else { 1 }))
            .collect::<Int64Array>();
        let texts = (0_usize..3_000)
            .map(|row| (row % 5 != 0).then(|| format!("{}{}", "t".repeat(row % 4), row % 11)))
            .collect::<StringArray>();
        let decimals = (0_i128..3_000)
            .map(|row| (row >= 1_024).then_some(10_i128.pow(20) * (row % 2) + row))
            .collect::<Decimal128Array>();
        batch_of(vec![
            ("number", Arc::new(numbers)),
            ("text", Arc::new(texts)),
            ("decimal", Arc::new(decimals.with_precision_and_scale(30, 2).unwrap())),
        ])
    }

    proptest! {
        #[test]
        fn however_an_answer_is_cut_its_digest_is_the_same(cuts in proptest::collection::vec(0_usize..3_000, 0..12)) {
            let whole = long();
            let (mut hasher, mut cuts, mut from) = (ValuesHasher::default(), cuts, 0);
            cuts.sort_unstable();
            for to in cuts.into_iter().chain([3_000]) {
                hasher.take(&whole.slice(from, to - from));
                from = to;
            }
            prop_assert_eq!(hasher.digest(), values_digest(&whole));
        }
    }

    #[test]
    fn what_lies_where_a_value_is_missing_does_not_bear_on_it() {
        let one = |column: ArrayRef| values_digest(&batch_of(vec![("c", column)]));
        let there = || Some(NullBuffer::from(vec![true, false, true]));
        let hidden = Int64Array::new(vec![1, 77, 3].into(), there());
        assert_eq!(one(Arc::new(hidden)), one(Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))));
        let texts = StringArray::from(vec!["a", "hidden", "c"]);
        let hidden = StringArray::new(texts.offsets().clone(), texts.values().clone(), there());
        assert_eq!(one(Arc::new(hidden)), one(Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]))));
        let decimals = Decimal128Array::new(vec![1, i128::MAX, 3].into(), there());
        assert_eq!(one(Arc::new(decimals)), one(Arc::new(Decimal128Array::from(vec![Some(1), None, Some(3)]))));
    }

    #[test]
    fn cutting_and_the_types_of_the_engine_do_not_bear_on_it() {
        let whole = batch();
        let mut cut = ValuesHasher::default();
        for piece in [whole.slice(0, 1), whole.slice(1, 0), whole.slice(1, 1)] {
            cut.take(&piece);
        }
        assert_eq!(cut.digest(), values_digest(&whole));
        let one = |column: ArrayRef| values_digest(&batch_of(vec![("c", column)]));
        assert_eq!(one(Arc::new(Int32Array::from(vec![3]))), one(Arc::new(Int64Array::from(vec![3]))));
        let unsigned = UInt64Array::from(vec![Some(3), None]);
        assert_eq!(one(Arc::new(unsigned)), one(Arc::new(Int64Array::from(vec![Some(3), None]))));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
        assert_eq!(one(Arc::new(StringViewArray::from(vec!["a", "b", "a"]))), one(Arc::clone(&text)));
        assert_eq!(one(Arc::new(vec!["a", "b", "a"].into_iter().collect::<DictionaryArray<Int32Type>>())), one(text));
        assert_eq!(
            one(Arc::new(TimestampMillisecondArray::from(vec![7]))),
            one(Arc::new(TimestampMicrosecondArray::from(vec![7_000])))
        );
    }

    #[test]
    fn every_value_bears_on_it_and_so_do_names_and_order() {
        let of = |columns: Vec<(&str, ArrayRef)>| values_digest(&batch_of(columns));
        let numbers = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let texts = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
        let mut seen = std::collections::BTreeSet::new();
        for columns in [
            vec![("a", numbers(vec![Some(1), Some(2)]))],
            vec![("a", numbers(vec![Some(2), Some(1)]))],
            vec![("a", numbers(vec![Some(1), None]))],
            vec![("a", numbers(vec![None, Some(1)]))],
            vec![("a", numbers(vec![Some(1)]))],
            vec![("b", numbers(vec![Some(1)]))],
            vec![("a", numbers(vec![Some(1)])), ("b", numbers(vec![Some(2)]))],
            vec![("b", numbers(vec![Some(2)])), ("a", numbers(vec![Some(1)]))],
            vec![("a", texts(vec!["1"]))],
            vec![("a", texts(vec!["ab", "c"]))],
            vec![("a", texts(vec!["a", "bc"]))],
            vec![("a", texts(vec!["", "abc"]))],
            vec![("a", texts(vec!["", ""]))],
            vec![("a", Arc::new(BinaryArray::from(vec![b"1".as_slice()])) as ArrayRef)],
            vec![("a", numbers(vec![Some(0), None]))],
            vec![("a", numbers(vec![Some(127), Some(127)]))],
            vec![("a", numbers(vec![Some(-128), Some(127)]))],
            vec![("a", numbers(vec![Some(128), Some(127)]))],
            vec![("a", numbers(vec![Some(-129), Some(127)]))],
            vec![("a", numbers(vec![Some(i64::MIN), Some(i64::MAX)]))],
            vec![("a", Arc::new(UInt64Array::from(vec![u64::MAX])) as ArrayRef)],
            vec![("a", Arc::new(UInt64Array::from(vec![u64::MAX - 1])) as ArrayRef)],
        ] {
            assert!(seen.insert(of(columns.clone())), "{columns:?}");
        }
    }
}
