//! The half of the keys of marks that a supervising party holds outside the node.

use lingqu_fingerprint::HalfKey;
use zeroize::Zeroizing;

use crate::error::AppError;
use crate::fingerprint::keys::{KeyRequest, KeyShares};
use crate::keys::random;

/// The first line of a half's text.
const FORMAT: &str = "lingqu regulator half v1";

/// A half, where its holder keeps it: never in a node. `Debug` shows none.
#[derive(Debug)]
pub struct RegulatorHalf(HalfKey);

impl RegulatorHalf {
    /// A new half as text of two lines, to be kept. Error: the system gives no randomness.
    pub fn generate() -> Result<Zeroizing<String>, AppError> {
        let half = Zeroizing::new(random::<32>()?);
        let digits = Zeroizing::new(hex::encode(&half[..]));
        Ok(Zeroizing::new(format!("{FORMAT}\n{}\n", digits.as_str())))
    }

    /// Reads what [`RegulatorHalf::generate`] wrote; none for anything else.
    pub fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (format, digits, rest) = (lines.next()?, lines.next()?, lines.next());
        let mut bytes = Zeroizing::new([0; 32]);
        let is_whole = format == FORMAT && rest.is_none() && hex::decode_to_slice(digits, &mut bytes[..]).is_ok();
        is_whole.then(|| Self(HalfKey::from_bytes(*bytes)))
    }

    /// The shares for what is asked: they tell nothing of the half, nor of any other share.
    pub fn answer(&self, request: KeyRequest) -> KeyShares {
        request.answer(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let (one, other) = (RegulatorHalf::generate().unwrap(), RegulatorHalf::generate().unwrap());
        assert_ne!(*one, *other);
        let id = |prefix: &str| format!("{prefix}_{:032}", 1);
        let request: KeyRequest = serde_json::from_value(serde_json::json!({
            "order": id("ord"), "product": id("prd"), "consumer": id("pty"), "epoch": 0, "profile": "aes-sha256",
        }))
        .unwrap();
        let answer = |text: &str| RegulatorHalf::read(text).unwrap().answer(request.clone());
        assert_eq!(answer(&one), answer(&one));
        assert_ne!(answer(&one).positions, answer(&other).positions);
        let shares = answer(&one);
        assert!(shares.positions != shares.recipient && shares.recipient != shares.order);
        let shown = format!("{shares:?}");
        assert!(!shown.contains(&shares.positions) && !shown.contains(&shares.order), "{shown}");
        let digits = one.lines().nth(1).unwrap();
        for bad in [digits.to_owned(), format!("{FORMAT}\n{}", &digits[1..]), format!("{}x", *one), String::new()] {
            assert!(RegulatorHalf::read(&bad).is_none(), "{bad}");
        }
    }
}
