//! The rows of a batch that are kept, copied out of it.
//!
//! Arrow's filter copies run by run. Where one row of ten is left out by chance a run has nine rows, and a processor guesses wrong
//! where it ends: that costs some 3 ns for each row of a column. Here every row is copied and the place moves on by the row's
//! bit, so nothing is guessed. Of a row that is left out nothing stays: what is copied of it is written over, and cleared at the end.
//!
//! Texts that were read as views become texts of their own on the way. Long texts, and types that governed data does not have,
//! go Arrow's way, which loses little there.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, RecordBatch, RecordBatchOptions,
    StringArray, StringViewArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{FilterBuilder, FilterPredicate, cast};
use arrow::datatypes::{
    ArrowNativeType, DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, SchemaRef, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;

/// Rows that are looked at together: the bits of one word.
const WORD_ROWS: usize = u64::BITS as usize;
/// Texts of at most so many bytes on average are copied here. Whoever makes an array of texts has them checked for being UTF-8,
/// which costs more for longer ones than it saves.
const TEXT_BYTES_MAX: usize = 8;
/// The same of texts that were read as views: Arrow copies those one by one.
const VIEWED_BYTES_MAX: usize = 32;
/// Bytes that are copied of a run of short texts at once, whatever its length.
const RUN_BYTES: usize = 64;
/// A view holds texts of at most so many bytes itself, from its fifth byte on and with zeros behind them.
const INLINE_BYTES_MAX: usize = 12;
/// Bytes of a view.
const VIEW_BYTES: usize = size_of::<u128>();

/// Which rows of a batch are kept.
pub(super) struct Kept {
    mask: BooleanBuffer,
    /// The mask, 64 rows a word; bits beyond the last row are not set.
    words: Vec<u64>,
    count: usize,
    /// For what goes Arrow's way.
    predicate: OnceCell<FilterPredicate>,
}

impl Kept {
    pub(super) fn of(mask: BooleanBuffer) -> Kept {
        let words = mask.bit_chunks().iter_padded().collect();
        let count = mask.count_set_bits();
        Kept { mask, words, count, predicate: OnceCell::new() }
    }

    /// All of so many rows.
    pub(super) fn all(rows: usize) -> Kept {
        Kept::of(BooleanBuffer::new_set(rows))
    }

    /// The kept rows of a batch that has as many rows as the mask. `schema`: that of the batch, with texts where it has views.
    pub(super) fn of_batch(&self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let columns = batch.columns().iter().map(|column| self.of_column(column)).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
    }

    /// The kept texts of a column that was read as views.
    pub(super) fn of_views(&self, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match self.viewed_texts(column.as_string_view())? {
            Some(texts) => Ok(Arc::new(texts)),
            None => cast(&self.predicate().filter(column)?, &DataType::Utf8),
        }
    }

    fn of_column(&self, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        Ok(match column.data_type() {
            DataType::Int64 => self.of_numbers::<Int64Type>(column),
            DataType::Float64 => self.of_numbers::<Float64Type>(column),
            DataType::Decimal128(..) => self.of_numbers::<Decimal128Type>(column),
            DataType::Date32 => self.of_numbers::<Date32Type>(column),
            DataType::Timestamp(TimeUnit::Microsecond, _) => self.of_numbers::<TimestampMicrosecondType>(column),
            DataType::Boolean => {
                let array = column.as_boolean();
                Arc::new(BooleanArray::new(self.bits(array.values()), self.nulls(array.nulls())))
            }
            DataType::Utf8 if are_short(column.as_string()) => Arc::new(self.texts(column.as_string())?),
            DataType::Utf8View => self.of_views(column)?,
            _ => self.predicate().filter(column)?,
        })
    }

    fn predicate(&self) -> &FilterPredicate {
        let mask = || BooleanArray::new(self.mask.clone(), None);
        self.predicate.get_or_init(|| FilterBuilder::new(&mask()).optimize().build())
    }

    fn of_numbers<T: ArrowPrimitiveType>(&self, column: &ArrayRef) -> ArrayRef {
        let array = column.as_primitive::<T>();
        let kept = PrimitiveArray::<T>::new(self.values(array.values()).into(), self.nulls(array.nulls()));
        Arc::new(kept.with_data_type(column.data_type().clone()))
    }

    fn values<T: Copy + Default>(&self, values: &[T]) -> Vec<T> {
        // Room beyond the end, so that a whole word's rows can always be written.
        let (mut kept, mut end) = (vec![T::default(); self.count + WORD_ROWS], 0);
        for (rows, word) in values.chunks(WORD_ROWS).zip(&self.words) {
            let room = room_of_a_word(&mut kept, end);
            end += match *word {
                0 => 0,
                u64::MAX => {
                    room.copy_from_slice(rows);
                    WORD_ROWS
                }
                // Of a whole word the compiler knows how many there are.
                word => match <&[T; WORD_ROWS]>::try_from(rows) {
                    Ok(rows) => packed(rows, word, room),
                    Err(_) => packed(rows, word, room),
                },
            };
        }
        kept[end..].fill(T::default());
        kept.truncate(self.count);
        kept
    }

    fn texts(&self, array: &StringArray) -> Result<StringArray, ArrowError> {
        let offsets = array.value_offsets();
        let (mut ends, mut count, mut end) = (vec![0_i32; 1 + self.count + WORD_ROWS], 1, 0);
        let (begins_of, ends_of) = (offsets[..array.len()].chunks(WORD_ROWS), offsets[1..].chunks(WORD_ROWS));
        for ((row_begins, row_ends), word) in begins_of.zip(ends_of).zip(&self.words) {
            let room = room_of_a_word(&mut ends, count);
            let (mut word, mut place) = (*word, 0);
            if word == u64::MAX {
                let moved = end - row_begins[0];
                room.iter_mut().zip(row_ends).for_each(|(end, row_end)| *end = row_end + moved);
                (end, place) = (room[WORD_ROWS - 1], WORD_ROWS);
            } else if word != 0 {
                for (row_begin, row_end) in row_begins.iter().zip(row_ends) {
                    let bit = word & 1 == 1;
                    end += (row_end - row_begin) & -i32::from(bit);
                    room[place % WORD_ROWS] = end;
                    place += usize::from(bit);
                    word >>= 1;
                }
            }
            count += place;
        }
        ends.truncate(1 + self.count);
        let bytes = self.text_bytes(offsets, array.value_data(), end.as_usize());
        let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
        StringArray::try_new(ends, Buffer::from_vec(bytes), self.nulls(array.nulls()))
    }

    fn text_bytes(&self, offsets: &[i32], bytes: &[u8], total: usize) -> Vec<u8> {
        let (mut kept, mut end) = (vec![0_u8; total + RUN_BYTES], 0);
        for (number, word) in self.words.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                let first = word.trailing_zeros();
                let past = first + (word >> first).trailing_ones();
                word &= u64::MAX.checked_shl(past).unwrap_or(0);
                let row = |bit: u32| number * WORD_ROWS + bit as usize;
                let (from, to) = (offsets[row(first)].as_usize(), offsets[row(past)].as_usize());
                if to - from <= RUN_BYTES && from + RUN_BYTES <= bytes.len() {
                    kept[end..end + RUN_BYTES].copy_from_slice(&bytes[from..from + RUN_BYTES]);
                } else {
                    kept[end..end + to - from].copy_from_slice(&bytes[from..to]);
                }
                end += to - from;
            }
        }
        kept[end..].fill(0);
        kept.truncate(total);
        kept
    }

    /// None of texts that are too long for it, or that would be too many bytes for one array.
    fn viewed_texts(&self, array: &StringViewArray) -> Result<Option<StringArray>, ArrowError> {
        let views = array.views();
        // What the view of a missing text says is not defined.
        let held = match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => Cow::Borrowed(&self.words),
            Some(nulls) => {
                let present = nulls.inner().bit_chunks().iter_padded();
                Cow::Owned(self.words.iter().zip(present).map(|(word, present)| word & present).collect())
            }
        };
        let (mut ends, mut count, mut end) = (vec![0_i32; 1 + self.count + WORD_ROWS], 1, 0_u64);
        for ((views, word), held) in views.chunks(WORD_ROWS).zip(&self.words).zip(held.iter()) {
            let room = room_of_a_word(&mut ends, count);
            count += match <&[u128; WORD_ROWS]>::try_from(views) {
                Ok(views) => viewed_ends(views, *word, *held, &mut end, room),
                Err(_) => viewed_ends(views, *word, *held, &mut end, room),
            };
        }
        if end > (VIEWED_BYTES_MAX * self.count) as u64 || i32::try_from(end).is_err() {
            return Ok(None);
        }
        ends.truncate(1 + self.count);
        let bytes = viewed_bytes(array, &held, end.as_usize());
        let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
        Ok(Some(StringArray::try_new(ends, Buffer::from_vec(bytes), self.nulls(array.nulls()))?))
    }

    fn bits(&self, bits: &BooleanBuffer) -> BooleanBuffer {
        let mut kept = Vec::with_capacity(self.count / WORD_ROWS + 1);
        let (mut open, mut open_bits) = (0_u64, 0);
        for (bits, mask) in bits.bit_chunks().iter_padded().zip(&self.words) {
            let (mut bits, mut mask, count) = (bits & mask, *mask, mask.count_ones());
            if mask != u64::MAX {
                let (mut packed, mut place) = (0, 0);
                while mask != 0 {
                    packed |= (bits & 1) << (place % u64::BITS);
                    place += u32::from(mask & 1 == 1);
                    (bits, mask) = (bits >> 1, mask >> 1);
                }
                bits = packed;
            }
            open |= bits << open_bits;
            open_bits += count;
            if open_bits >= u64::BITS {
                kept.push(open);
                open_bits -= u64::BITS;
                // What of these bits did not fit. All of them did where none is left over.
                open = bits.checked_shr(count - open_bits).unwrap_or(0);
            }
        }
        if open_bits > 0 {
            kept.push(open);
        }
        BooleanBuffer::new(Buffer::from_vec(kept), 0, self.count)
    }

    fn nulls(&self, nulls: Option<&NullBuffer>) -> Option<NullBuffer> {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0)?;
        let kept = NullBuffer::new(self.bits(nulls.inner()));
        (kept.null_count() > 0).then_some(kept)
    }
}

fn room_of_a_word<T>(kept: &mut [T], end: usize) -> &mut [T; WORD_ROWS] {
    kept[end..].first_chunk_mut().expect("there is room for a word beyond the last row that is kept")
}

/// Writes the rows that have a bit to the front of the room, and says how many. Whatever stands behind them is of no row that is
/// kept.
#[inline(always)]
fn packed<T: Copy>(rows: &[T], mut word: u64, room: &mut [T; WORD_ROWS]) -> usize {
    let mut place = 0;
    for row in rows {
        room[place % WORD_ROWS] = *row;
        place += usize::from(word & 1 == 1);
        word >>= 1;
    }
    place
}

/// Writes where the texts of the rows that have a bit end, and says how many they are; of those that are held the bytes count.
#[inline(always)]
fn viewed_ends(views: &[u128], mut word: u64, mut held: u64, end: &mut u64, room: &mut [i32; WORD_ROWS]) -> usize {
    let mut place = 0;
    for view in views {
        *end += u64::from(length_of(*view)) & (held & 1).wrapping_neg();
        // Of more than fit nothing is used.
        room[place % WORD_ROWS] = *end as i32;
        place += usize::from(word & 1 == 1);
        (word, held) = (word >> 1, held >> 1);
    }
    place
}

/// The bytes of the texts whose rows have a bit, one after the other.
fn viewed_bytes(array: &StringViewArray, held: &[u64], total: usize) -> Vec<u8> {
    let (mut bytes, mut end) = (vec![0_u8; total + VIEW_BYTES], 0);
    for (views, held) in array.views().chunks(WORD_ROWS).zip(held) {
        let mut held = *held;
        for view in views {
            let (length, bit) = (length_of(*view) as usize, held & 1 == 1);
            held >>= 1;
            if length <= INLINE_BYTES_MAX {
                bytes[end..end + VIEW_BYTES].copy_from_slice(&(view >> 32).to_le_bytes());
                end += length & usize::from(bit).wrapping_neg();
            } else if bit {
                let (buffer, from) = ((view >> 64) as u32 as usize, (view >> 96) as u32 as usize);
                bytes[end..end + length].copy_from_slice(&array.data_buffers()[buffer][from..from + length]);
                end += length;
            }
        }
    }
    bytes[end..].fill(0);
    bytes.truncate(total);
    bytes
}

/// Bytes of a view's text.
fn length_of(view: u128) -> u32 {
    view as u32
}

fn are_short(array: &StringArray) -> bool {
    let offsets = array.value_offsets();
    (offsets[array.len()] - offsets[0]).as_usize() <= TEXT_BYTES_MAX * array.len()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, TimestampMicrosecondArray};
    use arrow::compute::filter_record_batch;
    use proptest::prelude::*;

    use super::*;

    /// A row: whether it is kept, a number, a truth value and a text; numbers and texts may be missing.
    type Row = (bool, Option<i64>, Option<bool>, Option<String>);

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let texts = prop_oneof![8 => "[a-z]{0,3}", 2 => "\\PC{0,2}", 1 => "[a-z]{60,70}"];
        // Runs of rows that are all kept or all left out, and single ones.
        let run = prop_oneof![4 => 1_usize..4, 1 => 60_usize..200];
        proptest::collection::vec((any::<bool>(), run, any::<u32>(), texts), 0..40).prop_map(|runs| {
            let mut rows = Vec::new();
            for (is_kept, length, seed, text) in runs {
                for at in 0..u32::try_from(length).expect("short") {
                    let dice = seed.wrapping_add(at).wrapping_mul(0x9e37_79b9);
                    let is_there = dice % 7 != 0;
                    let text = if dice % 3 == 0 { text.clone() } else { format!("C{}", dice % 14) };
                    let number = is_there.then_some(i64::from(dice) - 77);
                    rows.push((is_kept, number, is_there.then_some(dice % 2 == 0), (dice % 11 != 0).then_some(text)));
                }
            }
            rows
        })
    }

    fn batch(rows: &[Row]) -> RecordBatch {
        let numbers = || rows.iter().map(|row| row.1);
        let whole: Int64Array = numbers().map(|number| Some(number.unwrap_or(5))).collect();
        let money: Decimal128Array = numbers().map(|number| number.map(i128::from)).collect();
        let times: TimestampMicrosecondArray = numbers().collect();
        let days: Date32Array = numbers().map(|number| number.and_then(|number| i32::try_from(number).ok())).collect();
        let columns: [(&str, ArrayRef); 9] = [
            ("whole", Arc::new(whole)),
            ("numbers", Arc::new(numbers().collect::<Int64Array>())),
            ("floats", Arc::new(days.iter().map(|day| day.map(|day| f64::from(day) / 3.0)).collect::<Float64Array>())),
            ("money", Arc::new(money.with_precision_and_scale(20, 2).expect("it fits"))),
            ("times", Arc::new(times.with_timezone("UTC"))),
            ("days", Arc::new(days)),
            ("truths", Arc::new(rows.iter().map(|row| row.2).collect::<BooleanArray>())),
            ("texts", Arc::new(rows.iter().map(|row| row.3.as_deref()).collect::<StringArray>())),
            // Of a type that goes Arrow's way.
            ("narrow", Arc::new(Int32Array::from_iter_values(0..i32::try_from(rows.len()).expect("few")))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).expect("a batch")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// The kept rows are those that Arrow's filter keeps, of a batch that is cut out of another as well.
        #[test]
        fn what_is_kept_is_what_arrow_keeps(rows in rows(), cut in 0_usize..100) {
            let cut = cut.min(rows.len());
            let mask = BooleanBuffer::collect_bool(rows.len(), |row| rows[row].0);
            let mask = mask.slice(cut, rows.len() - cut);
            let batch = batch(&rows).slice(cut, rows.len() - cut);
            let expected = filter_record_batch(&batch, &BooleanArray::new(mask.clone(), None)).expect("filtered");
            let kept = Kept::of(mask);
            let found = kept.of_batch(&batch, &batch.schema()).expect("kept");
            prop_assert_eq!(&found, &expected);
            // Read as views they come to the same texts, all of them as well.
            let views = cast(batch.column(7), &DataType::Utf8View).expect("views");
            prop_assert_eq!(&kept.of_views(&views).expect("texts"), expected.column(7));
            prop_assert_eq!(&Kept::all(views.len()).of_views(&views).expect("texts"), batch.column(7));
            // Short texts are copied here, long ones by Arrow, whatever is chosen: both ways come to the same.
            let texts = kept.texts(batch.column(7).as_string()).expect("texts");
            prop_assert_eq!(&texts, expected.column(7).as_string::<i32>());
            // No byte of another text goes along.
            let bytes: usize = texts.iter().flatten().map(str::len).sum();
            prop_assert_eq!(texts.value_data().len(), bytes);
            if let Some(texts) = kept.viewed_texts(views.as_string_view()).expect("texts") {
                prop_assert_eq!(texts.value_data().len(), bytes);
            }
        }
    }

    /// A view of a missing text may say anything.
    #[test]
    fn what_the_view_of_a_missing_text_says_is_not_asked() {
        let whole =
            StringViewArray::from_iter_values(["a longer text than a view holds", "b", "another text of that kind"]);
        let present = NullBuffer::from(vec![false, true, false]);
        let views = StringViewArray::new(whole.views().clone(), whole.data_buffers().to_vec(), Some(present));
        let texts = Kept::of(BooleanBuffer::new_set(3)).viewed_texts(&views).expect("texts").expect("short ones");
        assert_eq!(texts.iter().collect::<Vec<_>>(), [None, Some("b"), None]);
        assert_eq!(texts.value_data(), b"b", "nothing of what is missing goes along");
    }

    #[test]
    fn of_nothing_nothing_is_kept() {
        let rows: Vec<Row> = (0..130).map(|at| (false, Some(at), Some(true), Some("a".to_owned()))).collect();
        let (some, none) = (batch(&rows), batch(&[]));
        let nothing = |of: &RecordBatch| {
            Kept::of(BooleanBuffer::new_unset(of.num_rows())).of_batch(of, &of.schema()).expect("kept").num_rows()
        };
        assert_eq!((nothing(&some), nothing(&none)), (0, 0));
    }
}
