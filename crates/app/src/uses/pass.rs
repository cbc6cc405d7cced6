//! A person's pass: what a consent agent hands to the person before it, so that he reads by himself where his data went.
//!
//! The platform has no accounts of persons. The agent vouches for who is before it, as it does for consents; the pass holds
//! that for some minutes, sealed, so that the person's identity stands in no address, no log and no memory of the node. It is
//! asked each time whether the agent's user may still vouch.

use jiff::{SignedDuration, Timestamp};
use lingqu_crypto::SEAL_NONCE_BYTES;
use lingqu_domain::id::UserId;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::app::App;
use crate::consent::TakenBy;
use crate::error::AppError;
use crate::keys::random;

/// How long a pass holds.
pub const PASS_LIFE: SignedDuration = SignedDuration::from_mins(15);
/// What every pass begins with.
const PREFIX: &str = "lqp_";
/// Longest pass, in bytes: of the longest identity.
const PASS_BYTES_MAX: usize = 2_048;
/// What passes are sealed for.
const CONTEXT: &str = "person's pass";

/// A pass that was made.
pub struct PersonPass {
    /// What the person shows.
    pub text: Zeroizing<String>,
    /// Until when it holds.
    pub expires_at: Timestamp,
}

/// A person who reads what is recorded of him.
pub struct Person {
    /// What names him in the data.
    identity: Zeroizing<String>,
}

impl Person {
    /// What names him in the data.
    pub fn identity(&self) -> &str {
        &self.identity
    }
}

/// What is sealed in a pass.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    identity: String,
    user: UserId,
    until: Timestamp,
}

impl App {
    /// Makes a pass for the person with an identity, who is before a user of a consent agent. That it was made is in the log,
    /// and not for whom. Error: `not_permitted` for everybody else.
    pub fn issue_person_pass(&self, taken_by: &TakenBy, identity: &str) -> Result<PersonPass, AppError> {
        self.must_take_consents(taken_by)?;
        let Some(user) = taken_by.user.clone() else {
            return Err(AppError::Invalid("a pass is made before a user of a consent agent".to_owned()));
        };
        let expires_at = self.clock.now() + PASS_LIFE;
        let mut content = Content { identity: identity.trim().to_owned(), user: user.clone(), until: expires_at };
        let text = Zeroizing::new(serde_json::to_vec(&content).expect("a pass has only string keys"));
        content.identity.zeroize();
        let key = self.keys.vault.derive(CONTEXT);
        let sealed = key.seal(random::<SEAL_NONCE_BYTES>()?, CONTEXT.as_bytes(), &text);
        tracing::info!(%user, "a consent agent gives a person a pass to read the uses of his data");
        Ok(PersonPass { text: Zeroizing::new(format!("{PREFIX}{}", hex::encode(sealed))), expires_at })
    }

    /// The person of a pass. Errors: `bad_pass`; `not_permitted` when the agent's user may not vouch any more.
    pub fn person_of_pass(&self, pass: &str) -> Result<Person, AppError> {
        let sealed = pass.strip_prefix(PREFIX).filter(|sealed| sealed.len() <= PASS_BYTES_MAX);
        let sealed = sealed.and_then(|sealed| hex::decode(sealed).ok()).ok_or(AppError::BadPass)?;
        let key = self.keys.vault.derive(CONTEXT);
        let content = key.open(CONTEXT.as_bytes(), &sealed).map_err(|_| AppError::BadPass)?;
        let Content { identity, user, until } = serde_json::from_slice(&content).map_err(|_| AppError::BadPass)?;
        let person = Person { identity: Zeroizing::new(identity) };
        if self.clock.now() >= until {
            return Err(AppError::BadPass);
        }
        self.must_take_consents(&TakenBy { user: Some(user), ..TakenBy::default() })?;
        Ok(person)
    }
}
