//! SM2 signatures (GB/T 32918.2, GM/T 0003.2) with SM3, over the recommended curve of GB/T 32918.5.

use hkdf::Hkdf;
use sm2::elliptic_curve::sec1::ToSec1Point as _;
use sm2::{PublicKey, SecretKey, dsa};
use sm3::Sm3;
use zeroize::Zeroizing;

use crate::CryptoError;
use crate::signing::VerifyingKeyForm;

/// The distinguishing identifier that goes into every digest that is signed. It is the one that GM/T 0009 names for
/// signers who agreed on none, so that any other implementation verifies ours without being told.
pub const SM2_DISTINGUISHING_ID: &str = "1234567812345678";

/// A public key: 04 and both coordinates (GM/T 0009 section 6.2).
pub(crate) const PUBLIC_KEY_BYTES: usize = 65;

/// How many candidates are drawn from a seed. One in 2^32 is out of range, so a second is hardly ever looked at.
const CANDIDATES_MAX: u8 = 8;

/// A private SM2 key; it is wiped from memory when dropped. What the library computes with while it signs is not.
pub(crate) struct PrivateKey(SecretKey);

impl PrivateKey {
    /// The key with this number, big-endian; it must lie between 1 and the group's order less 2 (GB/T 32918.1 section 6.1).
    pub(crate) fn from_scalar(bytes: &[u8; 32]) -> Result<PrivateKey, CryptoError> {
        let refused = CryptoError::NotAPrivateKey { suite: "sm2" };
        let secret = SecretKey::from_slice(bytes).map_err(|_| refused.clone())?;
        // With the order less 1 there is no inverse of 1 + d, and no signature could be made.
        let next = *secret.to_nonzero_scalar().as_ref() + sm2::Scalar::ONE;
        if bool::from(sm2::elliptic_curve::Field::is_zero(&next)) {
            return Err(refused);
        }
        Ok(PrivateKey(secret))
    }

    /// The first candidate in range among those that HKDF with SM3 gives for a seed.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Result<PrivateKey, CryptoError> {
        let expander = Hkdf::<Sm3>::new(None, seed);
        for candidate in 0..CANDIDATES_MAX {
            let mut scalar = Zeroizing::new([0; 32]);
            expander
                .expand_multi_info(&[b"lingqu/v1/sm2-signing/", &[candidate]], &mut scalar[..])
                .expect("HKDF gives up to 8,160 bytes and 32 are asked for");
            if let Ok(key) = PrivateKey::from_scalar(&scalar) {
                return Ok(key);
            }
        }
        // All eight are out of range once in 2^256 seeds.
        Err(CryptoError::NotAPrivateKey { suite: "sm2" })
    }

    pub(crate) fn public(&self) -> VerifyingKeyForm {
        VerifyingKeyForm::National(PublicForm::of(self.0.public_key()))
    }

    /// Signs; the number k is derived from key and message as in RFC 6979, so the same message gives the same signature.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        use sm2::dsa::signature::Signer as _;
        let key = dsa::SigningKey::new(SM2_DISTINGUISHING_ID, &self.0)
            .expect("the identifier has 128 bits, far below the 65,535 there is room for");
        let signature: dsa::Signature =
            key.try_sign(message).expect("r, s or r + k is zero for one message in 2^255, which nobody can find");
        signature.to_bytes().into()
    }
}

/// A public SM2 key beside its encoding.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PublicForm {
    key: PublicKey,
    bytes: [u8; PUBLIC_KEY_BYTES],
}

impl PublicForm {
    fn of(key: PublicKey) -> PublicForm {
        let mut bytes = [0; PUBLIC_KEY_BYTES];
        bytes.copy_from_slice(key.to_sec1_point(false).as_bytes());
        PublicForm { key, bytes }
    }

    /// Reads 04 and both coordinates. The compressed form is refused: one key, one encoding, one key id.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<PublicForm, CryptoError> {
        let refused = CryptoError::NotAPublicKey { suite: "sm2" };
        if bytes.len() != PUBLIC_KEY_BYTES {
            return Err(refused);
        }
        let form = PublicForm::of(PublicKey::from_sec1_bytes(bytes).map_err(|_| refused.clone())?);
        if form.bytes == bytes { Ok(form) } else { Err(refused) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), CryptoError> {
        use sm2::dsa::signature::Verifier as _;
        let refused = |_| CryptoError::SignatureMismatch;
        let key = dsa::VerifyingKey::new(SM2_DISTINGUISHING_ID, self.key).map_err(refused)?;
        let signature = dsa::Signature::from_slice(signature).map_err(refused)?;
        key.verify(message, &signature).map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Signature, SigningKey, Sm4Key, Suite, VerifyingKey};

    /// Vectors by the package gmssl; scripts/gmssl-vectors.py says how they were made.
    const GMSSL: &str = include_str!("../golden/gmssl.txt");

    fn bytes(digits: &str) -> Vec<u8> {
        if digits == "-" { Vec::new() } else { hex::decode(digits).unwrap() }
    }

    /// The fields of each vector of an algorithm.
    fn vectors(name: &str) -> Vec<Vec<Vec<u8>>> {
        let lines = GMSSL.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        lines.map(|line| line.split(' ').map(bytes).collect()).collect()
    }

    #[test]
    fn the_standards_examples() {
        // GB/T 32905-2016 appendix A, examples 1 and 2.
        assert_eq!(
            hex::encode(Suite::National.digest(&[b"abc"])),
            "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
        );
        assert_eq!(
            hex::encode(Suite::National.digest(&[&b"abcd".repeat(16)])),
            "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"
        );
        // GB/T 32918.5-2017 appendix A.2: the signature over the recommended curve, with the identifier of section A.1.
        let key = SigningKey::from_sm2_scalar(
            bytes("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8").try_into().unwrap(),
        )
        .unwrap();
        assert_eq!(
            key.verifying_key().to_string(),
            "sm2:04\
             09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020\
             ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
        );
        let signature: Signature = "sm2:f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3\
                                    b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
            .parse()
            .unwrap();
        assert_eq!(key.verifying_key().verify(b"message digest", &signature), Ok(()));
        assert!(key.verifying_key().verify(b"message Digest", &signature).is_err());
        // Our own signature of the same message has another k and holds as well.
        assert_eq!(key.verifying_key().verify(b"message digest", &key.sign(b"message digest")), Ok(()));
    }

    #[test]
    fn another_implementation_agrees() {
        let digests = vectors("sm3");
        assert_eq!(digests.len(), 25);
        for fields in digests {
            let (left, right) = fields[0].split_at(fields[0].len() / 2);
            assert_eq!(Suite::National.digest(&[left, right])[..], fields[1]);
        }
        let blocks = vectors("sm4");
        assert_eq!(blocks.len(), 24);
        for fields in blocks {
            let key = Sm4Key::from_bytes(fields[0].clone().try_into().unwrap());
            assert_eq!(key.encrypt(fields[1].clone().try_into().unwrap())[..], fields[2]);
        }
        let signatures = vectors("sm2");
        assert_eq!(signatures.len(), 16);
        for fields in signatures {
            let key = SigningKey::from_sm2_scalar(fields[0].clone().try_into().unwrap()).unwrap();
            let public = VerifyingKey::from_bytes(Suite::National, &fields[1]).unwrap();
            assert_eq!(key.verifying_key(), public);
            let signature = Signature::from_bytes(Suite::National, &fields[3]).unwrap();
            assert_eq!(public.verify(&fields[2], &signature), Ok(()));
            for at in [0, 31, 32, 63] {
                let mut changed = fields[3].clone();
                changed[at] ^= 1;
                let changed = Signature::from_bytes(Suite::National, &changed).unwrap();
                assert!(public.verify(&fields[2], &changed).is_err());
            }
        }
    }

    /// What our code signs is written down, so that the script can have another implementation verify it.
    #[test]
    fn signatures_never_change() {
        let mut text =
            "# Signatures by this crate, for `scripts/gmssl-vectors.py check`: sm2 PUBLIC MESSAGE SIGNATURE\n"
                .to_owned();
        for number in 0..12_u8 {
            let key = SigningKey::national_from_seed([number; 32]).unwrap();
            let message = vec![number; 1 + usize::from(number) * 20];
            let (public, signature) = (key.verifying_key(), key.sign(&message));
            assert_eq!(public.verify(&message, &signature), Ok(()));
            let fields = [public.as_bytes(), &message, signature.as_bytes()].map(hex::encode);
            text += &format!("sm2 {}\n", fields.join(" "));
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/sm2-signatures.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() && std::env::var_os("CI").is_none() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(path).unwrap());
    }

    #[test]
    fn numbers_and_points_that_are_no_keys_are_refused() {
        let order = bytes("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123");
        let less = |by: u8| {
            let mut number = order.clone();
            number[31] -= by;
            number.try_into().unwrap()
        };
        assert!(SigningKey::from_sm2_scalar([0; 32]).is_err());
        assert!(SigningKey::from_sm2_scalar(less(0)).is_err());
        assert!(SigningKey::from_sm2_scalar(less(1)).is_err());
        assert!(SigningKey::from_sm2_scalar([0xff; 32]).is_err());
        let last = SigningKey::from_sm2_scalar(less(2)).unwrap();
        assert_eq!(last.verifying_key().verify(b"m", &last.sign(b"m")), Ok(()));

        let good = last.verifying_key().as_bytes().to_vec();
        let mut off_curve = good.clone();
        off_curve[64] ^= 1;
        let mut compressed = good[..33].to_vec();
        compressed[0] = 2 + (good[64] & 1);
        let mut hybrid = good.clone();
        hybrid[0] = 6 + (good[64] & 1);
        for wrong in [&off_curve[..], &compressed, &hybrid, &good[..64], &[0], &[]] {
            assert!(VerifyingKey::from_bytes(Suite::National, wrong).is_err());
        }
        // r or s of zero, or of the group's order.
        for wrong in [[0; 32].to_vec(), order] {
            for halves in [[&wrong[..], &[1; 32]], [&[1; 32], &wrong[..]]] {
                let signature = Signature::from_bytes(Suite::National, &halves.concat()).unwrap();
                assert!(last.verifying_key().verify(b"m", &signature).is_err());
            }
        }
    }

    #[test]
    fn suites_do_not_mix() {
        let (national, other) = (SigningKey::national_from_seed([1; 32]).unwrap(), SigningKey::from_seed([1; 32]));
        assert!(national.verifying_key().verify(b"m", &other.sign(b"m")).is_err());
        assert!(other.verifying_key().verify(b"m", &national.sign(b"m")).is_err());
        let text = national.verifying_key().to_string();
        assert_eq!(text.parse(), Ok(national.verifying_key()));
        assert!(text.replacen("sm2:", "ed25519:", 1).parse::<VerifyingKey>().is_err());
        assert!(!format!("{national:?}").contains(&"01".repeat(16)));
        let signature = national.sign(b"m");
        assert_eq!(signature.to_string().parse(), Ok(signature));
    }
}
