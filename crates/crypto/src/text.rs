//! Text forms shared by the value types: lower-case hexadecimal, and serde through `Display` and `FromStr`.

use crate::CryptoError;

/// Reads exactly `2 * N` lower-case hexadecimal digits.
///
/// Upper case is refused so that every value has one text form; records that hold it are hashed as text.
pub(crate) fn bytes_from_hex<const N: usize>(
    text: &str,
    what: &'static str,
    expected: &'static str,
) -> Result<[u8; N], CryptoError> {
    let mut bytes = [0; N];
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if lower && hex::decode_to_slice(text, &mut bytes).is_ok() {
        Ok(bytes)
    } else {
        Err(CryptoError::Malformed { what, expected })
    }
}

/// Implements serde for a type as the string that its `Display` writes and its `FromStr` reads.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;
