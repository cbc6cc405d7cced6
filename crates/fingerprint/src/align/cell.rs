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

/// From here on floating point has no longer all digits of a whole number.
const FLOAT_WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// By which part a whole number that was converted between units may be off: some rounding errors of floating point.
const WHOLE_OFF: f64 = 4e-15;

/// The longest text of which anything is looked at; a longer one is cut.
const TEXT_BYTES_MAX: usize = 4_096;

/// The most characters before a number, and behind it, for what it is a number of.
const UNIT_CHARS_MAX: usize = 16;

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
    /// Numbers with something about them: a sign of currency, a unit. A comma where no separator of thousands can stand is a decimal
    /// one.
    Measured,
    /// The same, where a comma is always a decimal one and a point before it separates thousands.
    DecimalComma,
    /// Times of day as originals have them, 5:17 as 517, behind a day or not.
    Clock,
    /// Lengths of time in hours, minutes and seconds, as seconds.
    Duration,
}

impl Reading {
    /// Whether it is tried for leaked columns only where what their cells say plainly is not known here.
    pub(crate) fn is_of_leaks(self) -> bool {
        matches!(self, Reading::Measured | Reading::DecimalComma | Reading::Clock | Reading::Duration)
    }

    /// The reading by which most cells of a leaked column are numbers; the plain one unless another reads so many more of those
    /// that are there.
    pub(crate) fn of_numbers(array: &ArrayRef, more_min: f64) -> Self {
        let (plain, measured) = (Cells::read(array, Reading::Plain, 1.0), Cells::read(array, Reading::Measured, 1.0));
        let present = plain.digests.iter().filter(|digest| **digest != EMPTY).count();
        let more = plain
            .numbers
            .iter()
            .zip(&measured.numbers)
            .filter(|(plain, measured)| !plain.is_finite() && measured.is_finite());
        if present == 0 || (more.count() as f64) < more_min * present as f64 {
            return Reading::Plain;
        }
        let array = cast(array, &DataType::LargeUtf8).ok();
        let texts = array.as_ref().and_then(|array| texts("", array).ok()).unwrap_or_default();
        let of_comma = |text: &Option<&str>| -> i64 { text.map_or(0, |text| decimal_comma(&fold(text))) };
        if texts.iter().map(of_comma).sum::<i64>() > 0 { Reading::DecimalComma } else { Reading::Measured }
    }
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
        let mut memory = Memory::new();
        let kind = array.data_type();
        if kind.is_signed_integer() || matches!(kind, DataType::UInt8 | DataType::UInt16 | DataType::UInt32) {
            if let Ok(values) = cast(array, &DataType::Int64) {
                for value in values.as_primitive::<Int64Type>().iter() {
                    match value {
                        Some(value) if is_long(value as f64, reading, factor) => {
                            cells.push(value as f64, digest_text(&value.to_string()));
                        }
                        value => {
                            cells.number(value.map_or(f64::NAN, |value| value as f64), reading, factor, &mut memory);
                        }
                    }
                }
                return cells;
            }
        } else if kind.is_numeric() {
            if let Ok(values) = cast(array, &DataType::Float64) {
                let values = values.as_primitive::<Float64Type>();
                // Decimals and the widest integers have more digits than floating point.
                let is_wide = !kind.is_floating() && values.iter().flatten().any(|v| is_long(v, reading, factor));
                let wide = if is_wide { cast(array, &DataType::LargeUtf8).ok() } else { None };
                let wide = wide.as_ref().and_then(|array| texts("", array).ok()).unwrap_or_default();
                for (row, value) in values.iter().enumerate() {
                    let value = value.unwrap_or(f64::NAN);
                    let text = wide.get(row).copied().flatten().filter(|_| is_long(value, reading, factor));
                    match text.and_then(whole_digits) {
                        Some(digits) => cells.push(value, digest_text(&digits)),
                        None => cells.number(value, reading, factor, &mut memory),
                    }
                }
                return cells;
            }
        } else if matches!(kind, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
            && !matches!(reading, Reading::Clock | Reading::Duration)
            && let Ok(values) = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))
        {
            let values = values.as_primitive::<TimestampMicrosecondType>();
            let seconds = values.iter().map(|value| value.map_or(f64::NAN, |value| value as f64 / 1e6));
            seconds.for_each(|seconds| cells.number(seconds, Reading::Plain, factor, &mut memory));
            return cells;
        }
        let as_text = cast(array, &DataType::LargeUtf8).ok();
        match as_text.as_ref().and_then(|array| texts("", array).ok()) {
            Some(texts) => {
                texts.into_iter().for_each(|text| cells.text(text.unwrap_or(""), reading, factor, &mut memory));
            }
            None => (0..array.len()).for_each(|_| cells.push(f64::NAN, EMPTY)),
        }
        cells
    }

    fn push(&mut self, number: f64, digest: u64) {
        self.numbers.push(number);
        self.digests.push(digest);
    }

    fn number(&mut self, value: f64, reading: Reading, factor: f64, memory: &mut Memory) {
        let value = match reading {
            Reading::Digits => date_of_digits(value),
            Reading::Plain | Reading::Measured | Reading::DecimalComma => value * factor,
            // These are readings of texts.
            Reading::DayFirst | Reading::MonthFirst | Reading::Clock | Reading::Duration => f64::NAN,
        };
        self.push(value, memory.digest(value));
    }

    fn text(&mut self, text: &str, reading: Reading, factor: f64, memory: &mut Memory) {
        let folded = fold(text);
        if NOTHING.contains(&folded.as_str()) {
            return self.push(f64::NAN, EMPTY);
        }
        if matches!(reading, Reading::Plain | Reading::Digits)
            && let Some(number) = number_of(&folded)
        {
            let digits = if is_long(number, reading, factor) { whole_digits(&folded) } else { None };
            return match digits {
                Some(digits) => self.push(number, digest_text(&digits)),
                None => self.number(number, reading, factor, memory),
            };
        }
        let read = match reading {
            Reading::Measured | Reading::DecimalComma => match measured(&folded, reading == Reading::DecimalComma) {
                Some((number, digits)) if is_long(number, reading, factor) && !digits.contains(['.', ',']) => {
                    return self.push(number, digest_text(&digits.replace([' ', '\''], "")));
                }
                read => read.map(|(number, _)| number * factor),
            },
            Reading::Clock => time_of(&folded).and_then(Time::on_clock),
            Reading::Duration => time_of(&folded).map(|time| time.seconds() * factor),
            Reading::Plain | Reading::DayFirst | Reading::MonthFirst | Reading::Digits => date_of(&folded, reading),
        };
        match read {
            Some(number) => self.push(number, memory.digest(number)),
            None => self.push(f64::NAN, digest_text(&folded)),
        }
    }
}

/// Whether a whole number is told apart by all its digits: in another unit it has others.
fn is_long(number: f64, reading: Reading, factor: f64) -> bool {
    let is_number = matches!(reading, Reading::Plain | Reading::Measured | Reading::DecimalComma);
    number.abs() >= WHOLE_MAX && is_number && factor == 1.0
}

/// All digits of a whole number in folded text, without separators of thousands and zeros behind the point.
fn whole_digits(text: &str) -> Option<String> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = whole.chars().filter(|c| !matches!(c, '+' | ',' | ' ' | '\'')).collect();
    let is_whole =
        rest.bytes().all(|b| b == b'0') && digits.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
    is_whole.then_some(digits)
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

/// A number in folded text with other things about it, and its digits as they stand there.
fn measured(text: &str, is_comma_decimal: bool) -> Option<(f64, &str)> {
    // What says the same however a comma is taken needs no second look.
    if (!is_comma_decimal || !text.contains([',', '.']))
        && let Some(number) = number_of(text)
    {
        return Some((number, text.trim_start_matches('+')));
    }
    let (before, digits, behind) = about(text)?;
    let number = if is_comma_decimal || decimal_comma(digits) > 0 {
        // Points and commas change their parts.
        let turned = |c: char| {
            if c == ',' {
                '.'
            } else if c == '.' {
                ','
            } else {
                c
            }
        };
        let as_turned = number_of(&digits.chars().map(turned).collect::<String>());
        as_turned.or_else(|| number_of(digits))?
    } else {
        number_of(digits)?
    };
    let minus = ['-', '\u{2212}', '\u{2013}'];
    let is_negative =
        before.starts_with(minus) || before.ends_with(minus) || (before.starts_with('(') && behind.ends_with(')'));
    Some((if is_negative { -number } else { number }, digits))
}

/// What stands before the first number in folded text, its digits with their separators, and what stands behind. None where that is
/// too long for a unit, or has digits that are not a unit's last ("m3").
fn about(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_at(text.find(|c: char| c.is_ascii_digit())?);
    let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | ' ' | '\'');
    let length = rest.find(|c: char| !is_of_number(c)).unwrap_or(rest.len());
    let digits = rest[..length].trim_end_matches(['.', ',', ' ', '\'']);
    let behind = rest[digits.len()..].trim_start();
    let unit = behind.strip_suffix(|c: char| c.is_ascii_digit()).filter(|unit| unit.ends_with(char::is_alphabetic));
    let unit = unit.unwrap_or(behind);
    let is_exponent = unit == "e";
    let is_short = before.chars().count().max(unit.chars().count()) <= UNIT_CHARS_MAX;
    (is_short && !is_exponent && !unit.contains(|c: char| c.is_ascii_digit())).then_some((
        before.trim(),
        digits,
        behind,
    ))
}

/// Whether a number in folded text has a decimal comma for certain (1), a decimal point (-1), or could have either (0).
fn decimal_comma(text: &str) -> i64 {
    let Some((_, digits, _)) = about(text) else { return 0 };
    let (commas, points) = (digits.matches(',').count(), digits.matches('.').count());
    let last_is_comma = digits.rfind(',') > digits.rfind('.');
    let (whole, part) = digits.rsplit_once([',', '.']).unwrap_or((digits, ""));
    let is_told = match (commas, points) {
        (0, 0) => false,
        (1, 0) | (0, 1) => part.len() != 3 || whole.len() > 3 || whole.starts_with('0'),
        // Several of one kind separate thousands; of both kinds the last one is decimal.
        (0, _) | (_, 0) => return if commas > 0 { -1 } else { 1 },
        _ => true,
    };
    match (is_told, last_is_comma) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => -1,
    }
}

/// A time of day or a length of time.
struct Time {
    is_negative: bool,
    hours: u32,
    minutes: u32,
    seconds: u32,
}

impl Time {
    /// Hours and minutes in one number; none where no clock shows that.
    fn on_clock(self) -> Option<f64> {
        (!self.is_negative && self.hours <= 24).then(|| f64::from(self.hours * 100 + self.minutes))
    }

    fn seconds(&self) -> f64 {
        let seconds = f64::from(self.hours) * 3_600.0 + f64::from(self.minutes) * 60.0 + f64::from(self.seconds);
        if self.is_negative { -seconds } else { seconds }
    }
}

/// Hours, minutes and perhaps seconds in folded text, behind a day or not: "5:17", "05:17:00", "5:17 pm", "下午5时17分".
fn time_of(text: &str) -> Option<Time> {
    let orders = [Reading::Plain, Reading::DayFirst, Reading::MonthFirst];
    let is_day = |text: &str| orders.into_iter().any(|order| date_of(text, order).is_some());
    let behind_day = text.split_once([' ', 't']).filter(|(day, _)| is_day(day)).map(|(_, time)| time);
    let text = behind_day.unwrap_or(text);
    let text = text.split(['z', '+']).next().unwrap_or(text).trim();
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let half_of_day = |names: [&str; 3]| {
        names.into_iter().find_map(|name| text.strip_prefix(name).or_else(|| text.strip_suffix(name)))
    };
    let (afternoon, morning) = (half_of_day(["下午", "pm", "p.m."]), half_of_day(["上午", "am", "a.m."]));
    let time = afternoon.or(morning).unwrap_or(text).trim();
    let mut numbers = time.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let is_separator =
        |c: char| matches!(c, ':' | '.' | ' ' | 'h' | 'm' | 's' | '时' | '点' | '分' | '秒' | '小' | '钟');
    let is_divided = time.contains([':', 'h', 'm', '时', '点', '分']);
    if !is_divided
        || !time.starts_with(|c: char| c.is_ascii_digit())
        || !time.chars().all(|c| c.is_ascii_digit() || is_separator(c))
    {
        return None;
    }
    let number = |digits: &str, digits_max: usize| digits.parse::<u32>().ok().filter(|_| digits.len() <= digits_max);
    let (hours, minutes) = (number(numbers.next()?, 4)?, number(numbers.next()?, 2)?);
    let seconds = numbers.next().map_or(Some(0), |seconds| number(seconds, 2))?;
    // A fraction of a second may be there, and nothing else.
    if numbers.nth(1).is_some() || minutes >= 60 || seconds >= 61 {
        return None;
    }
    let hours = match (afternoon.is_some(), morning.is_some()) {
        (true, _) if hours < 12 => hours + 12,
        (_, true) if hours == 12 => 0,
        _ => hours,
    };
    Some(Time { is_negative, hours, minutes, seconds })
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

/// Of a number to nine digits, of a long whole one by all that floating point has; [`EMPTY`] of what is none.
pub(crate) fn digest_number(value: f64) -> u64 {
    match long_whole(value) {
        Some(whole) => digest_text(&whole.to_string()),
        None if value.is_nan() => EMPTY,
        None => digest(1, &loose_bits(value).to_le_bytes()),
    }
}

/// The long whole number that a number is, but for how it was computed.
fn long_whole(value: f64) -> Option<f64> {
    if !(WHOLE_MAX..FLOAT_WHOLE_MAX).contains(&value.abs()) {
        return None;
    }
    let whole = value.round();
    ((value - whole).abs() <= WHOLE_OFF * whole.abs()).then_some(whole)
}

fn loose_bits(value: f64) -> u64 {
    (value + 0.0).to_bits().wrapping_add(1 << (LOOSE_BITS - 1)) >> LOOSE_BITS
}

/// Digests of the numbers seen last: most columns have few different ones.
struct Memory(Vec<(u64, u64)>);

impl Memory {
    const PLACES_LOG: u32 = 10;

    fn new() -> Self {
        // No number has these bits, of which the highest are left out.
        Self(vec![(u64::MAX, EMPTY); 1 << Self::PLACES_LOG])
    }

    /// As [`digest_number`].
    fn digest(&mut self, value: f64) -> u64 {
        if value.is_nan() || long_whole(value).is_some() {
            return digest_number(value);
        }
        let bits = loose_bits(value);
        let place = &mut self.0[(bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - Self::PLACES_LOG)) as usize];
        if place.0 != bits {
            *place = (bits, digest_number(value));
        }
        place.1
    }
}

/// Of folded text.
fn digest_text(folded: &str) -> u64 {
    digest(2, folded.as_bytes())
}

/// As [`Cells::read`] digests a text.
pub(crate) fn digest_of(text: &str) -> u64 {
    let mut cells = Cells::default();
    cells.text(text, Reading::Plain, 1.0, &mut Memory::new());
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

    use arrow::array::{
        Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray, UInt64Array,
    };

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
    fn numbers_are_read_with_their_units_and_in_the_spelling_of_other_countries() {
        let numbers = |text: &str, reading| of_texts(&[text], reading).numbers[0];
        for (text, number) in [
            ("12.5元", 12.5),
            ("¥12.50", 12.5),
            ("USD 1,234.50", 1_234.5),
            ("37 min", 37.0),
            ("-¥12.5", -12.5),
            ("¥ −12.5", -12.5),
            ("(12.5)", -12.5),
            ("12,5", 12.5),
            ("1.234,56 €", 1_234.56),
            ("1 234,5", 1_234.5),
            ("35 μg/m3", 35.0),
            ("1,234 km", 1_234.0),
            ("1.234 km", 1.234),
            ("12.5%", 12.5),
            ("－３７ ｍｉｎ", -37.0),
        ] {
            assert_eq!(numbers(text, Reading::Measured), number, "{text}");
        }
        for (text, number) in [
            ("1.234", 1_234.0),
            ("1,234", 1.234),
            ("0,5", 0.5),
            ("12.5", 12.5),
            ("7", 7.0),
            ("1.234.567,8 €", 1_234_567.8),
        ] {
            assert_eq!(numbers(text, Reading::DecimalComma), number, "{text}");
        }
        for text in
            ["2013-01-15", "5:17", "10.0.0.1", "LX-12-33", "1.2e3e4", "abc", "the flight from Newark has 12 seats"]
        {
            assert!(numbers(text, Reading::Measured).is_nan(), "{text}");
        }
        // What is plainly a number stays what it is, and long numbers are told apart by every digit.
        let plain = of_texts(&["1,234", "12.5", "1e3", "0,345"], Reading::Plain);
        assert_eq!(of_texts(&["1,234", "12.5", "1e3", "0,345"], Reading::Measured).digests, plain.digests);
        let long = of_texts(&["No. 450102199001011234"], Reading::Measured).digests;
        assert_eq!(long, of_texts(&["450102199001011234"], Reading::Plain).digests);
        let of_numbers =
            |texts: &[&str]| Reading::of_numbers(&(Arc::new(StringArray::from(texts.to_vec())) as ArrayRef), 0.3);
        assert_eq!(of_numbers(&["12", "13", "1,234"]), Reading::Plain);
        assert_eq!(of_numbers(&["12元", "13元", "1,234元"]), Reading::Measured);
        assert_eq!(of_numbers(&["12,5", "13,25", "1,234"]), Reading::DecimalComma);
        assert_eq!(of_numbers(&["12", "13", "14", "15元"]), Reading::Plain);
        assert_eq!(of_numbers(&["", "NA"]), Reading::Plain);
    }

    #[test]
    fn clocks_are_read_as_times_of_day_and_as_lengths() {
        let numbers = |text: &str, reading| of_texts(&[text], reading).numbers[0];
        for (text, clock, seconds) in [
            ("5:17", 517.0, 19_020.0),
            ("05:17:00", 517.0, 19_020.0),
            ("05:17:30.250", 517.0, 19_050.0),
            ("５：１７", 517.0, 19_020.0),
            ("5h17", 517.0, 19_020.0),
            ("5时17分", 517.0, 19_020.0),
            ("下午5点17分", 1_717.0, 62_220.0),
            ("5:17 PM", 1_717.0, 62_220.0),
            ("12:05 am", 5.0, 300.0),
            ("2013-01-15 05:17", 517.0, 19_020.0),
            ("2013-01-15T05:17:00Z", 517.0, 19_020.0),
            ("15.01.2013 5:17", 517.0, 19_020.0),
            ("24:00", 2_400.0, 86_400.0),
        ] {
            assert_eq!((numbers(text, Reading::Clock), numbers(text, Reading::Duration)), (clock, seconds), "{text}");
        }
        assert_eq!(numbers("-0:05", Reading::Duration), -300.0);
        assert_eq!(numbers("100:30", Reading::Duration), 361_800.0);
        for text in ["-0:05", "100:30", "5:60", "5:17:61", "517", "37 min", "1:2:3:4:5", "2013-01-15", "a 5:17"] {
            assert!(numbers(text, Reading::Clock).is_nan(), "{text}");
        }
        let moment: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![1_358_227_020_000_000, 1_358_208_000_000_000]));
        assert_eq!(Cells::read(&moment, Reading::Clock, 1.0).numbers, [517.0, 0.0]);
    }

    #[test]
    fn long_numbers_are_told_apart_by_every_digit() {
        let typed = vec![450_102_199_001_011_234, 450_102_199_001_011_235];
        let typed = Cells::read(&(Arc::new(Int64Array::from(typed)) as ArrayRef), Reading::Plain, 1.0);
        assert_ne!(typed.digests[0], typed.digests[1]);
        assert_eq!(of_texts(&["450102199001011234"], Reading::Plain).digests[0], typed.digests[0]);
    }

    /// One cell that is empty makes floating point of a column of whole numbers.
    #[test]
    fn long_numbers_are_one_value_in_every_type() {
        let digest = |array: ArrayRef, factor| Cells::read(&array, Reading::Plain, factor).digests[0];
        let whole = |value: i64| digest(Arc::new(Int64Array::from(vec![value])), 1.0);
        let float = |value: f64, factor| digest(Arc::new(Float64Array::from(vec![value])), factor);
        let wide = |value: u64| digest(Arc::new(UInt64Array::from(vec![value])), 1.0);
        let decimal = |unscaled: i128, scale| {
            let array = Decimal128Array::from(vec![unscaled]).with_precision_and_scale(20, scale).unwrap();
            digest(Arc::new(array), 1.0)
        };
        let phone = whole(13_800_000_000);
        assert_eq!([float(13_800_000_000.0, 1.0), wide(13_800_000_000)], [phone; 2]);
        assert_eq!([decimal(13_800_000_000, 0), decimal(1_380_000_000_000, 2)], [phone; 2]);
        let spelled = ["13800000000", "13800000000.0", "+13800000000.00", "13,800,000,000", "1.38e10"];
        assert_eq!(of_texts(&spelled, Reading::Plain).digests, [phone; 5]);
        let measured = of_texts(&["13,800,000,000 元", "13 800 000 000 元"], Reading::Measured);
        assert_eq!(measured.digests, [phone; 2]);
        // Neighbours are others.
        assert_ne!(whole(13_800_000_001), phone);
        assert_eq!([float(13_800_000_001.0, 1.0), decimal(13_800_000_001, 0)], [whole(13_800_000_001); 2]);
        assert_eq!(float(-13_800_000_001.0, 1.0), whole(-13_800_000_001));
        // What has more digits than floating point is told by them all.
        let (long, next) = (whole(450_102_199_001_011_234), whole(450_102_199_001_011_235));
        assert_eq!([wide(450_102_199_001_011_234), decimal(450_102_199_001_011_234, 0)], [long; 2]);
        assert_eq!([wide(450_102_199_001_011_235), decimal(4_501_021_990_010_112_350, 1)], [next; 2]);
        let spelled = ["450102199001011234.0", "450,102,199,001,011,234"];
        assert_eq!(of_texts(&spelled, Reading::Plain).digests, [long; 2]);
        // What is no whole number is told by nine digits, in every type.
        assert_eq!(decimal(138_000_000_005, 1), float(13_800_000_000.5, 1.0));
        assert_eq!(of_texts(&["13800000000.5"], Reading::Plain).digests, [float(13_800_000_000.5, 1.0)]);
        // In another unit, and days after 2106, of which the seconds are long.
        assert_eq!(float(1_380_000.123_4, 10_000.0), whole(13_800_001_234));
        let day: ArrayRef = Arc::new(Date32Array::from(vec![2_932_896]));
        assert_eq!(of_texts(&["9999-12-31"], Reading::Plain).digests, [digest(day, 1.0)]);
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
