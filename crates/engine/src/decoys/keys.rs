//! A key like those that are there, and none of them.
//!
//! Where a key has parts that hang on nothing of each other, parts of several rows make a new one. Else one part is changed: a
//! number, a day or a moment by a few steps of those that occur, a text by letters and digits of another one. What is made stays
//! between the least and the greatest that there is; that no row has it is looked up by the caller.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit};
use lingqu_fingerprint::FingerprintError;

use super::assembly;

/// By how many steps a number differs at most in the first try, and how many times that in each further one.
const STEPS_MAX: u64 = 16;
const FURTHER: u32 = 16;
/// Most digits that are counted as one number.
const DIGITS_MAX: usize = 15;

/// The part of a key that can be changed, and what is there of it.
pub(super) struct Twisted {
    /// Its column.
    pub(super) column: String,
    range: Range,
}

enum Range {
    /// Numbers of this type between two, whose differences are multiples of the step.
    Whole { data_type: DataType, ends: Option<(i64, i64)>, step: u64 },
    /// Texts between two.
    Text(Option<(String, String)>),
}

impl Twisted {
    /// The last part of a key whose type can be changed; none where there is none.
    pub(super) fn of(key: &[String], batch_type: &dyn Fn(&str) -> Option<DataType>) -> Option<Twisted> {
        key.iter().rev().find_map(|column| {
            let range = match batch_type(column)? {
                data_type @ (DataType::Int64 | DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _)) => {
                    Range::Whole { data_type, ends: None, step: 0 }
                }
                DataType::Utf8 => Range::Text(None),
                _ => return None,
            };
            Some(Twisted { column: column.clone(), range })
        })
    }

    /// Meets the values of some rows.
    pub(super) fn meet(&mut self, batch: &RecordBatch) -> Result<(), FingerprintError> {
        let missing = || FingerprintError::ColumnMissing { column: self.column.clone() };
        let array = batch.column_by_name(&self.column).ok_or_else(missing)?;
        match &mut self.range {
            Range::Whole { ends, step, .. } => {
                for value in whole(array)?.iter().flatten() {
                    let (least, greatest) = ends.get_or_insert((value, value));
                    *step = greatest_divisor(*step, value.abs_diff(*least));
                    *least = value.min(*least);
                    *greatest = value.max(*greatest);
                }
            }
            Range::Text(ends) => {
                for value in array.as_string::<i32>().iter().flatten() {
                    match ends {
                        None => *ends = Some((value.to_owned(), value.to_owned())),
                        Some((least, _)) if value < least.as_str() => value.clone_into(least),
                        Some((_, greatest)) if value > greatest.as_str() => value.clone_into(greatest),
                        Some(_) => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Values that differ from those of `array`, each by its lot; none where nothing fits between the ends.
    pub(super) fn twisted(
        &self,
        array: &ArrayRef,
        others: &ArrayRef,
        lots: &[u64],
        attempt: usize,
    ) -> Result<ArrayRef, FingerprintError> {
        match &self.range {
            Range::Whole { data_type, ends, step } => {
                let values = whole(array)?;
                let twist = |(value, lot): (Option<i64>, &u64)| stepped(value?, (*ends)?, *step, *lot, attempt);
                let twisted: Int64Array = values.iter().zip(lots).map(twist).collect();
                of_whole(twisted, data_type)
            }
            Range::Text(ends) => {
                let ends = ends.as_ref().map(|(least, greatest)| (least.as_str(), greatest.as_str()));
                let pairs = array.as_string::<i32>().iter().zip(others.as_string::<i32>());
                let twist = |((text, other), lot): ((Option<&str>, Option<&str>), &u64)| {
                    let (text, ends) = (text?, ends?);
                    let is_new = |made: &String| made != text && ends.0 <= made.as_str() && made.as_str() <= ends.1;
                    other
                        .and_then(|other| mixed(text, other, *lot))
                        .filter(is_new)
                        .or_else(|| counted_on(text, *lot, attempt).filter(is_new))
                };
                Ok(Arc::new(pairs.zip(lots).map(twist).collect::<StringArray>()))
            }
        }
    }
}

/// A column of whole numbers, days or moments as numbers.
fn whole(array: &ArrayRef) -> Result<Int64Array, FingerprintError> {
    let array = match array.data_type() {
        DataType::Date32 => cast(array, &DataType::Int32).map_err(|_| assembly())?,
        _ => Arc::clone(array),
    };
    Ok(cast(&array, &DataType::Int64).map_err(|_| assembly())?.as_primitive::<Int64Type>().clone())
}

/// Back to the column's type.
fn of_whole(numbers: Int64Array, data_type: &DataType) -> Result<ArrayRef, FingerprintError> {
    if *data_type != DataType::Date32 {
        return cast(&numbers, data_type).map_err(|_| assembly());
    }
    let days = cast(&numbers, &DataType::Int32).map_err(|_| assembly())?;
    cast(days.as_primitive::<Int32Type>(), data_type).map_err(|_| assembly())
}

fn greatest_divisor(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// A number some steps away, on the other side where this one ends.
fn stepped(value: i64, (least, greatest): (i64, i64), step: u64, lot: u64, attempt: usize) -> Option<i64> {
    let reach = STEPS_MAX.saturating_mul(u64::from(FURTHER).saturating_pow(u32::try_from(attempt).unwrap_or(u32::MAX)));
    let by = (1 + (lot >> 1) % reach).checked_mul(step.max(1))?;
    let within = |found: Option<i64>| found.filter(|found| (least..=greatest).contains(found));
    let (up, down) = (within(value.checked_add_unsigned(by)), within(value.checked_sub_unsigned(by)));
    if lot & 1 == 1 { up.or(down) } else { down.or(up) }
}

#[derive(PartialEq)]
enum Kind {
    Digit,
    Small,
    Capital,
    Other,
}

fn kind(letter: char) -> Kind {
    match letter {
        '0'..='9' => Kind::Digit,
        'a'..='z' => Kind::Small,
        'A'..='Z' => Kind::Capital,
        _ => Kind::Other,
    }
}

/// One text with some of its letters and digits from another of the same length, each by a bit of the lot. Separators, and what
/// stands in one of them where the other has another kind of sign, stay.
fn mixed(text: &str, other: &str, lot: u64) -> Option<String> {
    if text.chars().count() != other.chars().count() {
        return None;
    }
    let sign = |(at, (one, other)): (usize, (char, char))| {
        let may_change = kind(one) != Kind::Other && kind(one) == kind(other);
        // Far from independent in a text of more than 64 signs, which is no matter.
        if may_change && (lot >> (at % 64)) & 1 == 1 { other } else { one }
    };
    let made: String = text.chars().zip(other.chars()).enumerate().map(sign).collect();
    (made != text && made != other).then_some(made)
}

/// A text whose last number is another one with as many digits.
fn counted_on(text: &str, lot: u64, attempt: usize) -> Option<String> {
    let end = text.rfind(|sign: char| sign.is_ascii_digit())? + 1;
    let digits = text[..end].bytes().rev().take(DIGITS_MAX).take_while(u8::is_ascii_digit).count();
    let begin = end - digits;
    let number: i64 = text[begin..end].parse().ok()?;
    let greatest = 10_i64.checked_pow(u32::try_from(digits).ok()?)? - 1;
    let made = stepped(number, (0, greatest), 1, lot, attempt)?;
    Some(format!("{}{made:0digits$}{}", &text[..begin], &text[end..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn twisted(values: ArrayRef, others: ArrayRef, lots: &[u64], attempt: usize) -> ArrayRef {
        let key = ["key".to_owned()];
        let batch = RecordBatch::try_from_iter([("key", values)]).unwrap();
        let mut twisted = Twisted::of(&key, &|_| Some(batch.column(0).data_type().clone())).unwrap();
        twisted.meet(&batch).unwrap();
        twisted.twisted(batch.column(0), &others, lots, attempt).unwrap()
    }

    proptest! {
        #[test]
        fn a_number_stays_between_the_ends_and_on_its_steps(
            values in proptest::collection::vec(-5_000_i64..5_000, 2..30),
            lot: u64,
            attempt in 0..4_usize,
        ) {
            let values: Vec<i64> = values.into_iter().map(|value| 10 * value + 3).collect();
            let lots: Vec<u64> = (0..values.len() as u64).map(|row| lot.rotate_left(row as u32)).collect();
            let array: ArrayRef = Arc::new(Int64Array::from(values.clone()));
            let made = twisted(Arc::clone(&array), array, &lots, attempt);
            let (least, greatest) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
            for (value, made) in values.iter().zip(made.as_primitive::<Int64Type>()) {
                if let Some(made) = made {
                    prop_assert!(made != *value && (least..=greatest).contains(&made) && (made - 3) % 10 == 0);
                }
            }
        }

        #[test]
        fn a_text_keeps_its_form(text in "[A-Z]{2}-[0-9]{6}/[a-f]{2}", other in "[A-Z]{2}-[0-9]{6}/[a-f]{2}", lot: u64) {
            for made in [mixed(&text, &other, lot), counted_on(&text, lot, 0)].into_iter().flatten() {
                prop_assert_eq!(made.len(), text.len());
                prop_assert_ne!(&made, &text);
                for (sign, was) in made.chars().zip(text.chars()) {
                    prop_assert!(kind(sign) == kind(was), "{made} of {text}");
                }
            }
        }
    }

    #[test]
    fn days_and_moments_are_stepped_in_their_own_units() {
        let days: ArrayRef = cast(&Int64Array::from(vec![10, 17, 31]), &DataType::Int32).unwrap();
        let days = cast(&days, &DataType::Date32).unwrap();
        let made = twisted(Arc::clone(&days), days, &[1, 2, 4], 0);
        assert_eq!(made.data_type(), &DataType::Date32);
        let moments = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let seconds = cast(&Int64Array::from(vec![0, 60_000_000, 600_000_000]), &moments).unwrap();
        let made = twisted(Arc::clone(&seconds), seconds, &[3, 3, 2], 0);
        let made = cast(&made, &DataType::Int64).unwrap();
        for moment in made.as_primitive::<Int64Type>().iter().flatten() {
            assert_eq!(moment % 60_000_000, 0);
        }
        assert!(made.null_count() < made.len());
    }

    #[test]
    fn what_fits_nowhere_is_not_made() {
        let one: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        assert_eq!(twisted(Arc::clone(&one), one, &[1], 3).null_count(), 1);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["灵渠"]));
        assert_eq!(twisted(Arc::clone(&text), text, &[1], 3).null_count(), 1);
        // A flag can't be changed into another that nobody has.
        assert!(Twisted::of(&["key".to_owned()], &|_| Some(DataType::Boolean)).is_none());
    }
}
