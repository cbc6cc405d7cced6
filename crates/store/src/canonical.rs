//! The canonical text of a JSON value, after RFC 8785 (JCS): keys sorted by their UTF-16 code units, no white space,
//! strings escaped as ECMAScript does, numbers as ECMAScript prints them. Integers beyond ±(2^53 − 1) are refused, because
//! RFC 8785 could not print them exactly; write such a number as a string.

use serde_json::Value;

/// Deepest nesting of a value that is accepted.
pub const DEPTH_MAX: usize = 64;

/// Why a value has no canonical text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CanonicalError {
    /// The number can't be told from its neighbours when read as a double.
    #[error("a number in the record is beyond ±(2^53-1); write it as a string")]
    NumberNotExact,
    /// The value nests deeper than [`DEPTH_MAX`].
    #[error("the record nests deeper than {DEPTH_MAX} levels; flatten it")]
    TooDeep,
}

/// The canonical text of `value`.
///
/// # Errors
/// See [`CanonicalError`].
pub fn canonical_json(value: &Value) -> Result<String, CanonicalError> {
    let mut text = String::new();
    write_value(value, DEPTH_MAX, &mut text)?;
    Ok(text)
}

/// The canonical text of one string, with its quotes.
pub fn canonical_string(text: &str) -> String {
    // serde_json escapes exactly what RFC 8785 section 3.2.2.2 asks for: the short forms and \u00xx in lower case.
    serde_json::to_string(text).expect("a string always has a JSON form")
}

fn write_value(value: &Value, depth_left: usize, text: &mut String) -> Result<(), CanonicalError> {
    if depth_left == 0 {
        return Err(CanonicalError::TooDeep);
    }
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::String(string) => text.push_str(&canonical_string(string)),
        Value::Number(number) => text.push_str(&number_text(number)?),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(item, depth_left - 1, text)?;
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            text.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&canonical_string(key));
                text.push(':');
                write_value(&members[key.as_str()], depth_left - 1, text)?;
            }
            text.push('}');
        }
    }
    Ok(())
}

const INTEGER_MAX: i64 = (1 << 53) - 1;

fn number_text(number: &serde_json::Number) -> Result<String, CanonicalError> {
    if let Some(integer) = number.as_i64() {
        if !(-INTEGER_MAX..=INTEGER_MAX).contains(&integer) {
            return Err(CanonicalError::NumberNotExact);
        }
        return Ok(integer.to_string());
    }
    if number.is_u64() {
        return Err(CanonicalError::NumberNotExact);
    }
    let double = number.as_f64().ok_or(CanonicalError::NumberNotExact)?;
    if !double.is_finite() {
        return Err(CanonicalError::NumberNotExact);
    }
    Ok(double_text(double))
}

/// ECMAScript's Number::toString (ECMA-262, 6.1.6.1.20): the shortest digits that read back the same, with an exponent
/// only from 1e21 on and below 1e-6.
fn double_text(double: f64) -> String {
    if double == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:e}", double.abs());
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} always prints an exponent");
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().expect("{:e} prints a decimal exponent");
    let count = digits.len() as i32;
    // The value is 0.DIGITS × 10^point.
    let point = exponent + 1;
    let unsigned = if count <= point && point <= 21 {
        format!("{digits}{}", "0".repeat((point - count) as usize))
    } else if 0 < point && point <= 21 {
        format!("{}.{}", &digits[..point as usize], &digits[point as usize..])
    } else if -6 < point && point <= 0 {
        format!("0.{}{digits}", "0".repeat(-point as usize))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let fraction = if count == 1 { String::new() } else { format!(".{}", &digits[1..]) };
        format!("{}{fraction}e{sign}{}", &digits[..1], exponent.abs())
    };
    if double < 0.0 { format!("-{unsigned}") } else { unsigned }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_by_utf16_and_strings_escaped() {
        // U+FB33 sorts after the surrogates of U+1F600 in UTF-16, before them by code point.
        let value = json!({"\u{fb33}": 1, "😀": 2, "b": [true, null, "\u{1}\n\"灵"], "a": {}});
        let expected = "{\"a\":{},\"b\":[true,null,\"\\u0001\\n\\\"灵\"],\"😀\":2,\"\u{fb33}\":1}";
        assert_eq!(canonical_json(&value).unwrap(), expected);
    }

    #[test]
    fn numbers_print_as_ecmascript_prints_them() {
        // Samples of RFC 8785, appendix B, and their negatives.
        for (double, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (5e-324, "5e-324"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (295147905179352830000.0, "295147905179352830000"),
            (1e21, "1e+21"),
            (1e23, "1e+23"),
            (9.999999999999997e22, "9.999999999999997e+22"),
            (0.000001, "0.000001"),
            (1e-7, "1e-7"),
            (333333333.3333333, "333333333.3333333"),
            (0.5, "0.5"),
            (-1.25, "-1.25"),
        ] {
            assert_eq!(double_text(double), text);
        }
        assert_eq!(canonical_json(&json!(9007199254740991i64)).unwrap(), "9007199254740991");
        assert_eq!(canonical_json(&json!(9007199254740992i64)), Err(CanonicalError::NumberNotExact));
        assert_eq!(canonical_json(&json!(u64::MAX)), Err(CanonicalError::NumberNotExact));
    }

    #[test]
    fn deep_values_are_refused() {
        let mut value = json!(1);
        for _ in 0..DEPTH_MAX {
            value = json!([value]);
        }
        assert_eq!(canonical_json(&value), Err(CanonicalError::TooDeep));
    }
}
