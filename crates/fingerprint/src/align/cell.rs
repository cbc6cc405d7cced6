//! Cells of any column in one canonical form: a number where it reads as one, and a digest that is the same for the same value
//! in every type and spelling.

use std::hash::{DefaultHasher, Hasher as _};

use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};

use crate::laid::texts;

/// The digest of a cell that is empty.
pub(crate) const EMPTY: u64 = 0;

/// Texts that stand for nothing, after folding.
const NOTHING: [&str; 8] = ["", "-", "na", "n/a", "nan", "null", "none", "\\n"];

/// Bits of a number that its digest leaves out, so that two ways to compute one value agree: 32 of 52 stay, 9 digits.
const LOOSE_BITS: u32 = 20;

/// Up to this size whole numbers are told apart by those bits; larger ones (long numbers of identification) by all digits.
const WHOLE_MAX: f64 = 4_294_967_296.0;

/// The longest text of which anything is looked at; a longer one is cut.
const TEXT_BYTES_MAX: usize = 4_096;

const SECONDS_OF_DAY: f64 = 86_400.0;

/// How the cells of a leaked column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// As number, else as a date that begins with its year, else as text.
    Plain,
    /// Texts that are dates beginning with the day.
    DayFirst,
    /// Texts that are dates beginning with the month.
    MonthFirst,
    /// Numbers that are dates, 20130115.
    Digits,
}

/// One column of one batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cells {
    /// Not a number where it is none. Times are seconds since 1970.
    pub(crate) numbers: Vec<f64>,
    /// [`EMPTY`] where nothing is there.
    pub(crate) digests: Vec<u64>,
}

impl Cells {
    /// Reads a column; a leaked number is multiplied by the factor.
    pub(crate) fn read(array: &ArrayRef, reading: Reading, factor: f64) -> Self {
        let mut cells = Self { numbers: Vec::with_capacity(array.len()), digests: Vec::with_capacity(array.len()) };
        let kind = array.data_type();
        if kind.is_signed_integer() || matches!(kind, DataType::UInt8 | DataType::UInt16 | DataType::UInt32) {
            if let Ok(values) = cast(array, &DataType::Int64) {
                for value in values.as_primitive::<Int64Type>().iter() {
                    match value {
                        Some(value) if is_long(value as f64, reading, factor) => {
                            cells.push(value as f64, digest_text(&value.to_string()));
                        }
                        value => cells.number(value.map_or(f64::NAN, |value| value as f64), reading, factor),
                    }
                }
                return cells;
            }
        } else if kind.is_numeric() {
            if let Ok(values) = cast(array, &DataType::Float64) {
                let values = values.as_primitive::<Float64Type>();
                values.iter().for_each(|value| cells.number(value.unwrap_or(f64::NAN), reading, factor));
                return cells;
            }
        } else if matches!(kind, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
            && let Ok(values) = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))
        {
            let values = values.as_primitive::<TimestampMicrosecondType>();
            values.iter().for_each(|v| cells.number(v.map_or(f64::NAN, |v| v as f64 / 1e6), Reading::Plain, factor));
            return cells;
        }
        let as_text = cast(array, &DataType::LargeUtf8).ok();
        match as_text.as_ref().and_then(|array| texts("", array).ok()) {
            Some(texts) => texts.into_iter().for_each(|text| cells.text(text.unwrap_or(""), reading, factor)),
            None => (0..array.len()).for_each(|_| cells.push(f64::NAN, EMPTY)),
        }
        cells
    }

    fn push(&mut self, number: f64, digest: u64) {
        self.numbers.push(number);
        self.digests.push(digest);
    }

    fn number(&mut self, value: f64, reading: Reading, factor: f64) {
        let value = if reading == Reading::Digits { date_of_digits(value) } else { value * factor };
        self.push(value, digest_number(value));
    }

    fn text(&mut self, text: &str, reading: Reading, factor: f64) {
        let folded = fold(text);
        if NOTHING.contains(&folded.as_str()) {
            return self.push(f64::NAN, EMPTY);
        }
        if matches!(reading, Reading::Plain | Reading::Digits)
            && let Some(number) = number_of(&folded)
        {
            if is_long(number, reading, factor) && !folded.contains(['.', 'e', ',']) {
                return self.push(number, digest_text(folded.trim_start_matches('+')));
            }
            return self.number(number, reading, factor);
        }
        match date_of(&folded, reading) {
            Some(seconds) => self.push(seconds, digest_number(seconds)),
            None => self.push(f64::NAN, digest_text(&folded)),
        }
    }
}

/// Whether a whole number is told apart by all its digits: in another unit it has others.
fn is_long(number: f64, reading: Reading, factor: f64) -> bool {
    number.abs() >= WHOLE_MAX && reading == Reading::Plain && factor == 1.0
}

/// Without what changes when a text is retyped: full-width forms, letter case, surplus spaces.
fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_BYTES_MAX));
    for c in text.trim().chars() {
        let c = match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
            '\u{3000}' | '\u{a0}' | '\t' => ' ',
            c => c,
        };
        if (c == ' ' && out.ends_with(' ')) || out.len() >= TEXT_BYTES_MAX {
            continue;
        }
        out.extend(c.to_lowercase());
    }
    out.truncate(out.trim_end().len());
    out
}

/// A number in folded text, with or without separators of thousands.
fn number_of(text: &str) -> Option<f64> {
    let plain = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e'));
    if plain(text) {
        return text.parse().ok().filter(|value: &f64| value.is_finite());
    }
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let mut groups = whole.trim_start_matches(['-', '+']).split([',', ' ', '\'']);
    let opens = groups.next().is_some_and(|first| (1..=3).contains(&first.len()));
    if !opens || !rest.bytes().all(|b| b.is_ascii_digit()) || !groups.all(|group| group.len() == 3) {
        return None;
    }
    let joined = text.replace([',', ' ', '\''], "");
    if plain(&joined) { joined.parse().ok().filter(|value: &f64| value.is_finite()) } else { None }
}

/// A date, with or without time of day, in folded text, as seconds.
fn date_of(text: &str, reading: Reading) -> Option<f64> {
    let separator =
        |c: char| matches!(c, '-' | '/' | '.' | ' ' | ':' | 't' | 'z' | '年' | '月' | '日' | '时' | '分' | '秒');
    if text.len() < 6 || !text.chars().all(|c| c.is_ascii_digit() || separator(c)) {
        return None;
    }
    let mut parts = [0u32; 7];
    let mut count = 0;
    let mut first_length = 0;
    for part in text.split(separator).filter(|part| !part.is_empty()) {
        if count == 0 {
            first_length = part.len();
        }
        // Digits of a second's fraction beyond what fits are of no use here.
        *parts.get_mut(count)? = part.get(..part.len().min(9))?.parse().ok()?;
        count += 1;
    }
    let (year, month, day) = match reading {
        _ if count < 3 => return None,
        Reading::DayFirst if first_length <= 2 => (parts[2], parts[1], parts[0]),
        Reading::MonthFirst if first_length <= 2 => (parts[2], parts[0], parts[1]),
        _ if first_length == 4 => (parts[0], parts[1], parts[2]),
        _ => return None,
    };
    let seconds = f64::from(parts[3]) * 3_600.0 + f64::from(parts[4]) * 60.0 + f64::from(parts[5]);
    (parts[3] < 25 && parts[4] < 60 && parts[5] < 61).then_some(())?;
    days(year, month, day).map(|days| days * SECONDS_OF_DAY + seconds)
}

fn date_of_digits(value: f64) -> f64 {
    if value.fract() != 0.0 || !(19_000_101.0..=21_001_231.0).contains(&value) {
        return f64::NAN;
    }
    let value = value as u32;
    days(value / 10_000, value / 100 % 100, value % 100).map_or(f64::NAN, |days| days * SECONDS_OF_DAY)
}

/// Days since 1970 of a date in the Gregorian calendar (Hinnant, *chrono-compatible low-level date algorithms*, 2013).
fn days(year: u32, month: u32, day: u32) -> Option<f64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1..=9_999).contains(&year) {
        return None;
    }
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    Some((era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468) as f64)
}

/// Of a number to nine digits; [`EMPTY`] of what is none.
pub(crate) fn digest_number(value: f64) -> u64 {
    if value.is_nan() {
        return EMPTY;
    }
    let bits = (value + 0.0).to_bits().wrapping_add(1 << (LOOSE_BITS - 1)) >> LOOSE_BITS;
    digest(1, &bits.to_le_bytes())
}

/// Of folded text.
fn digest_text(folded: &str) -> u64 {
    digest(2, folded.as_bytes())
}

/// As [`Cells::read`] digests a text.
pub(crate) fn digest_of(text: &str) -> u64 {
    let mut cells = Cells::default();
    cells.text(text, Reading::Plain, 1.0);
    cells.digests[0]
}

/// SipHash with fixed keys: collisions can be made, but all they do is match rows that don't belong together.
fn digest(tag: u8, bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(tag);
    hasher.write(bytes);
    hasher.finish().max(1)
}

/// Several digests in one.
pub(crate) fn mix(seed: u64, digest: u64) -> u64 {
    let mut z = (seed.rotate_left(23) ^ digest).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    z ^ (z >> 32)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Float64Array, Int64Array, StringArray};

    use super::*;

    fn of_texts(texts: &[&str], reading: Reading) -> Cells {
        let array: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        Cells::read(&array, reading, 1.0)
    }

    #[test]
    fn one_value_is_one_digest_in_every_spelling() {
        let spelled =
            of_texts(&["1234567", "1,234,567", "１２３４５６７", " 1 234 567.0 ", "1.234567e6"], Reading::Plain);
        let typed = Cells::read(&(Arc::new(Int64Array::from(vec![1_234_567])) as ArrayRef), Reading::Plain, 1.0);
        assert!(spelled.digests.iter().all(|digest| *digest == typed.digests[0]), "{spelled:?}");
        let float = Cells::read(&(Arc::new(Float64Array::from(vec![1_234.567])) as ArrayRef), Reading::Plain, 1_000.0);
        assert_eq!(float.digests, typed.digests);
        let texts = of_texts(&["ＡＢＣ  路", "abc 路 ", "abd 路"], Reading::Plain);
        assert_eq!(texts.digests[0], texts.digests[1]);
        assert_ne!(texts.digests[0], texts.digests[2]);
        assert_eq!(of_texts(&["", "NA", "null"], Reading::Plain).digests, [EMPTY; 3]);
    }

    #[test]
    fn long_numbers_are_told_apart_by_every_digit() {
        let typed = vec![450_102_199_001_011_234, 450_102_199_001_011_235];
        let typed = Cells::read(&(Arc::new(Int64Array::from(typed)) as ArrayRef), Reading::Plain, 1.0);
        assert_ne!(typed.digests[0], typed.digests[1]);
        assert_eq!(of_texts(&["450102199001011234"], Reading::Plain).digests[0], typed.digests[0]);
    }

    #[test]
    fn long_numbers_are_read_in_their_unit() {
        let moment = 1_735_689_600.0;
        let typed: ArrayRef = Arc::new(Int64Array::from(vec![1_735_689_600_000]));
        let written: ArrayRef = Arc::new(StringArray::from(vec!["1735689600000"]));
        for array in [typed, written] {
            let milliseconds = Cells::read(&array, Reading::Plain, 0.001);
            assert!((milliseconds.numbers[0] - moment).abs() < 1e-3, "{milliseconds:?}");
            assert_eq!(milliseconds.digests, [digest_number(moment)]);
            assert_eq!(Cells::read(&array, Reading::Plain, 1.0).numbers, [1_735_689_600_000.0]);
        }
    }

    #[test]
    fn dates_are_one_value_in_every_order() {
        let typed = Cells::read(&(Arc::new(Date32Array::from(vec![15_720])) as ArrayRef), Reading::Plain, 1.0);
        for (text, reading) in [
            ("2013-01-15", Reading::Plain),
            ("2013/1/15", Reading::Plain),
            ("2013年1月15日", Reading::Plain),
            ("15.01.2013", Reading::DayFirst),
            ("1/15/2013", Reading::MonthFirst),
            ("20130115", Reading::Digits),
        ] {
            assert_eq!(of_texts(&[text], reading).digests, typed.digests, "{text}");
        }
        assert!(of_texts(&["2013-13-45"], Reading::Plain).numbers[0].is_nan());
        assert!(of_texts(&["10.0.0.1", "1-2"], Reading::Plain).numbers.iter().all(|number| number.is_nan()));
    }
}
