//! The node's keys, all derived from one secret of 32 random bytes in `keys/node.secret`, readable by its owner alone.

use std::io::Write;
use std::path::{Path, PathBuf};

use lingqu_crypto::{IndexKey, SealKey, SigningKey, Suite};
use lingqu_fingerprint::HalfKey;
use zeroize::Zeroizing;

use crate::error::AppError;

/// The node's keys. `Debug` shows none.
pub struct NodeKeys {
    signing_seed: Zeroizing<[u8; 32]>,
    signing_sm2_seed: Zeroizing<[u8; 32]>,
    /// Wraps the vault's per-subject keys.
    pub vault: SealKey,
    /// Finds subjects in the vault by their identity.
    pub identity: IndexKey,
    /// Root of the pseudonym keys.
    pub pseudonym: IndexKey,
    /// Signs addresses of files.
    pub address: IndexKey,
    /// Seals what verifies service keys by SCRAM.
    pub(crate) scram: SealKey,
    /// Salts of SCRAM.
    pub(crate) scram_salt: IndexKey,
    /// Root of the keys with which the node cosigns others' logs.
    witness: IndexKey,
    /// The node's half of the keys that copies are marked with.
    pub(crate) mark_half: HalfKey,
    /// Seals the other half's shares.
    pub(crate) mark_shares: SealKey,
    /// Salts of the commitments to those keys.
    pub(crate) mark_salt: IndexKey,
    /// What the journal says of traced files, and what hides their reports behind digests.
    pub(crate) traces: IndexKey,
}

impl std::fmt::Debug for NodeKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("NodeKeys")
    }
}

/// Fills an array with the system's randomness.
pub fn random<const N: usize>() -> Result<[u8; N], AppError> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|error| AppError::NoRandom { reason: error.to_string() })?;
    Ok(bytes)
}

impl NodeKeys {
    /// Signs checkpoints, certificates and evidence.
    pub fn signing(&self) -> SigningKey {
        SigningKey::from_seed(*self.signing_seed)
    }

    /// Signs the checkpoints of the twin log.
    pub(crate) fn signing_sm2(&self) -> Result<SigningKey, AppError> {
        SigningKey::national_from_seed(*self.signing_sm2_seed).map_err(|error| AppError::Fault(error.to_string()))
    }

    /// Cosigns logs of one suite under a name. Another name has another key, because a cosignature with Ed25519 does not sign
    /// the name: a key must never stand under two.
    pub(crate) fn witness(&self, suite: Suite, name: &str) -> Result<SigningKey, AppError> {
        match suite {
            Suite::International => {
                Ok(SigningKey::from_seed(self.witness.digest("lingqu witness ed25519 v1", name.as_bytes()).0))
            }
            Suite::National => {
                let seed = self.witness.digest("lingqu witness sm2 v1", name.as_bytes()).0;
                SigningKey::national_from_seed(seed).map_err(|error| AppError::Fault(error.to_string()))
            }
        }
    }

    /// Reads the secret of a node directory, making it when the node has none yet.
    pub fn open(directory: &Path) -> Result<Self, AppError> {
        let path = directory.join("keys").join("node.secret");
        let secret = match std::fs::read_to_string(&path) {
            Ok(text) => read_secret(&path, &Zeroizing::new(text))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_secret(&path)?,
            Err(error) => return Err(AppError::file("read", &path, &error)),
        };
        let root = IndexKey::from_bytes(*secret);
        let derive = |context: &str| root.digest("lingqu node key v1", context.as_bytes()).0;
        Ok(Self {
            signing_seed: Zeroizing::new(derive("signing")),
            signing_sm2_seed: Zeroizing::new(derive("signing sm2")),
            vault: SealKey::from_bytes(derive("vault")),
            identity: IndexKey::from_bytes(derive("identity")),
            pseudonym: IndexKey::from_bytes(derive("pseudonym")),
            address: IndexKey::from_bytes(derive("address")),
            scram: SealKey::from_bytes(derive("scram")),
            scram_salt: IndexKey::from_bytes(derive("scram salt")),
            witness: IndexKey::from_bytes(derive("witness")),
            mark_half: HalfKey::from_bytes(derive("mark half")),
            mark_shares: SealKey::from_bytes(derive("mark shares")),
            mark_salt: IndexKey::from_bytes(derive("mark salt")),
            traces: IndexKey::from_bytes(derive("traces")),
        })
    }
}

fn read_secret(path: &Path, text: &str) -> Result<Zeroizing<[u8; 32]>, AppError> {
    let mut secret = Zeroizing::new([0u8; 32]);
    match hex::decode_to_slice(text.trim(), &mut secret[..]) {
        Ok(()) => Ok(secret),
        Err(_) => Err(AppError::Damaged {
            path: path.to_owned(),
            hint: "it must hold 64 hexadecimal digits; restore it from the backup, nothing sealed opens without it",
        }),
    }
}

fn make_secret(path: &PathBuf) -> Result<Zeroizing<[u8; 32]>, AppError> {
    let secret = Zeroizing::new(random::<32>()?);
    let write = || -> std::io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory)?;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
            options.mode(0o600);
        }
        // Under another name first: a full disk or a crash must not leave half a secret, which would look like a damaged one.
        let unfinished = path.with_extension("unfinished");
        let mut file = options.open(&unfinished)?;
        file.write_all(hex::encode(&secret[..]).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        std::fs::File::open(directory)?.sync_all()
    };
    write().map_err(|error| AppError::file("write", path, &error))?;
    Ok(secret)
}
