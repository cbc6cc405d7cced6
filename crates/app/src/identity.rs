//! Who is who: users who log in, their sessions, and the service keys of orders.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use lingqu_crypto::{CryptoError, ServiceKey, Sha256Digest, password, sha256};
use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::command::Command;
use lingqu_domain::id::{OrderId, PartyId, ServiceKeyId, UserId};
use lingqu_domain::party::{Division, PartyDetails, Tier};
use lingqu_domain::refusal::Refusal;
use lingqu_store::identity::{NewLogin, NewSession};
use lingqu_store::service_key::ServiceKeyChange;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::app::App;
use crate::command::{CommandOptions, Extras};
use crate::error::AppError;
use crate::keys::random;

/// A session lives this long at most.
const SESSION_LIFE: SignedDuration = SignedDuration::from_hours(12);
/// … and this long without a request.
const SESSION_IDLE: SignedDuration = SignedDuration::from_mins(30);
/// Shortest password, in characters.
const PASSWORD_CHARS_MIN: usize = 12;
/// Passwords that are worked on at the same time; each takes tens of megabytes and milliseconds by design.
const PASSWORDS_AT_ONCE: usize = 2;
/// … and how many may wait for that.
const PASSWORDS_WAITING_MAX: usize = 64;
/// Service keys that are kept in memory.
const KNOWN_KEYS_MAX: usize = 16_384;

/// A user to add.
pub struct NewUser {
    /// The party he acts for.
    pub party: PartyId,
    /// His posts.
    pub duties: BTreeSet<Duty>,
    /// What he types to log in.
    pub login: String,
    /// His name; sealed in the vault.
    pub display_name: Zeroizing<String>,
    /// His first password.
    pub password: Zeroizing<String>,
}

/// A session as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// The user.
    pub user: UserId,
    /// His party.
    pub party: PartyId,
    /// His posts.
    pub duties: BTreeSet<Duty>,
    /// His name.
    pub display_name: String,
    /// What mutations repeat.
    pub csrf: String,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

/// A session that begins.
pub struct SignedIn {
    /// What the browser keeps as a cookie.
    pub token: Zeroizing<String>,
    /// The session.
    pub session: SessionView,
}

/// A service key, shown this once.
pub struct IssuedKey {
    /// Its id.
    pub id: ServiceKeyId,
    /// The key.
    pub key: Zeroizing<String>,
    /// Its last four characters, by which it is told from others later.
    pub last_four: String,
}

/// Service keys that were found in force, by their hashes. Each counts only as long as nothing is written to the journal,
/// with which keys are issued and revoked: then it is looked for anew.
#[derive(Default)]
pub(crate) struct KnownKeys {
    keys: RwLock<BTreeMap<Sha256Digest, (OrderId, u64)>>,
}

impl KnownKeys {
    /// The key's order, if the key was found in force when the journal stood at `position`.
    fn order_at(&self, hash: &Sha256Digest, position: u64) -> Option<OrderId> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(hash).filter(|(_, found_at)| *found_at == position).map(|(order, _)| order.clone())
    }

    fn remember(&self, hash: Sha256Digest, order: OrderId, position: u64) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KNOWN_KEYS_MAX {
            keys.clear();
        }
        keys.insert(hash, (order, position));
    }
}

/// Work on passwords, so much of it at a time.
pub(crate) struct PasswordWork {
    turns: Arc<Semaphore>,
    /// One for each piece of work that is done or waits for its turn.
    places: Arc<Semaphore>,
}

impl PasswordWork {
    pub(crate) fn new() -> PasswordWork {
        let places = PASSWORDS_AT_ONCE + PASSWORDS_WAITING_MAX;
        PasswordWork { turns: Arc::new(Semaphore::new(PASSWORDS_AT_ONCE)), places: Arc::new(Semaphore::new(places)) }
    }

    /// Does a piece of work where it may block. It has its turn until it ends, also when whoever asked for it has gone: work
    /// that has begun can't be stopped. Error: `busy` when as many wait as may.
    async fn done<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CryptoError> + Send + 'static,
    ) -> Result<T, AppError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| AppError::PasswordsBusy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|error| AppError::Fault(error.to_string()))?;
        let working = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            work()
        });
        let done = working.await.map_err(|error| AppError::Fault(error.to_string()))?;
        done.map_err(|error| AppError::Invalid(error.to_string()))
    }
}

impl App {
    /// Brings the node into being: tier, division, the first data authority and its first administrator.
    pub async fn initialise(
        &self,
        tier: Tier,
        division: Division,
        authority: PartyDetails,
        login: &str,
        display_name: Zeroizing<String>,
        password: &str,
    ) -> Result<UserId, AppError> {
        let login = self.login_of(login, display_name, password).await?;
        let command = Command::InitialiseNode { tier, division, authority };
        let extras = Extras { login: Some(login), ..Extras::default() };
        let executed = self.carry_out(&Actor::Node, &command, CommandOptions::default(), extras).await?;
        made(&executed, "user.added")
    }

    /// Adds a user with his login. Errors: the domain's refusal; a login that is taken; a password that is too short.
    pub async fn add_user(&self, actor: &Actor, new: NewUser, options: CommandOptions) -> Result<UserId, AppError> {
        let command = Command::AddUser { party: new.party, duties: new.duties };
        self.refresh().await?;
        if let Some(earlier) = self.answered_before(actor, &command, &options).await? {
            return made(&earlier, "user.added");
        }
        // Whether a login is taken is told to nobody who may not add the user.
        self.must_be_accepted(actor, &command)?;
        let login = self.login_of(&new.login, new.display_name, &new.password).await?;
        let executed =
            self.carry_out(actor, &command, options, Extras { login: Some(login), ..Extras::default() }).await?;
        made(&executed, "user.added")
    }

    /// A checked login whose user id is filled in with the command's events.
    pub(crate) async fn login_of(
        &self,
        login: &str,
        display_name: Zeroizing<String>,
        password: &str,
    ) -> Result<NewLogin, AppError> {
        let is_login = (2..=64).contains(&login.len())
            && login.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte));
        if !is_login {
            return Err(AppError::Invalid("a login has 2 to 64 of a-z, 0-9, `.`, `_` and `-`".to_owned()));
        }
        check_password(password)?;
        if self.store.login(login).await?.is_some() {
            return Err(AppError::Invalid(format!("the login `{login}` is taken; choose another")));
        }
        let password_phc = self.hashed(password).await?;
        Ok(NewLogin { user_id: String::new(), login: login.to_owned(), password_phc, display_name })
    }

    /// Starts a session. Error: `bad_credentials`, the same and after the same work whether the login exists or not.
    pub async fn sign_in(&self, login: &str, password: &str) -> Result<SignedIn, AppError> {
        // What an unknown login is compared with, so that it takes as long as a known one.
        const NOBODY: &str =
            "$argon2id$v=19$m=19456,t=2,p=1$bGluZ3F1LW5vYm9keS0xMQ$0J2vW4kBz1h5nO0rJQm2l8yqB7C7m0e9wq3sZ8x1d2E";
        let known = self.store.login(login).await?;
        let phc = known.as_ref().map_or(NOBODY.to_owned(), |login| login.password_phc.clone());
        let password = Zeroizing::new(password.to_owned());
        let fits = self.password_work.done(move || Ok(password::verify(&password, &phc).unwrap_or(false))).await?;
        let Some(known) = known.filter(|_| fits) else { return Err(AppError::BadCredentials) };
        let user: UserId = known.user_id.parse().map_err(|error| AppError::Fault(format!("{error}")))?;
        self.refresh().await?;
        let Some((party, duties)) = self.acting_user(&user) else { return Err(AppError::BadCredentials) };
        let token = Zeroizing::new(hex::encode(random::<32>()?));
        let csrf = hex::encode(random::<32>()?);
        let at = self.clock.now();
        let expires_at = at.checked_add(SESSION_LIFE).unwrap_or(Timestamp::MAX);
        let session = NewSession {
            token_hash: sha256(token.as_bytes()).0,
            user_id: user.to_string(),
            csrf: csrf.clone(),
            at,
            expires_at,
            idle: SESSION_IDLE,
        };
        if !self.store.start_session(&session, &known.password_phc).await? {
            return Err(AppError::BadCredentials);
        }
        let display_name = self.store.display_name(user.as_str()).await?.unwrap_or_default();
        Ok(SignedIn { token, session: SessionView { user, party, duties, display_name, csrf, expires_at } })
    }

    /// The session of a token, if it is in force and its user may act.
    pub async fn session(&self, token: &str) -> Result<Option<SessionView>, AppError> {
        let hash = sha256(token.as_bytes()).0;
        let Some(session) = self.store.session(&hash, self.clock.now(), SESSION_IDLE).await? else { return Ok(None) };
        let user: UserId = session.user_id.parse().map_err(|error| AppError::Fault(format!("{error}")))?;
        self.refresh().await?;
        let Some((party, duties)) = self.acting_user(&user) else { return Ok(None) };
        let display_name = self.store.display_name(user.as_str()).await?.unwrap_or_default();
        let (csrf, expires_at) = (session.csrf, session.expires_at);
        Ok(Some(SessionView { user, party, duties, display_name, csrf, expires_at }))
    }

    /// Replaces the password of a user, which whoever added him chose, by one that he alone knows, and ends all his
    /// sessions. Errors: `bad_credentials` unless the login is the user's and the current password its; a password that
    /// is too short, or the current one again.
    pub async fn change_password(&self, user: &UserId, login: &str, current: &str, new: &str) -> Result<(), AppError> {
        let known = self.store.login(login).await?.filter(|known| known.user_id == user.as_str());
        let Some(known) = known else { return Err(AppError::BadCredentials) };
        let (typed, phc) = (Zeroizing::new(current.to_owned()), known.password_phc.clone());
        if !self.password_work.done(move || Ok(password::verify(&typed, &phc).unwrap_or(false))).await? {
            return Err(AppError::BadCredentials);
        }
        check_password(new)?;
        if new == current {
            return Err(AppError::Invalid("the new password is the current one; choose another".to_owned()));
        }
        let hashed = self.hashed(new).await?;
        match self.store.set_password(user.as_str(), &known.password_phc, &hashed).await? {
            true => Ok(()),
            // It was changed meanwhile, so what was typed as the current one is so no longer.
            false => Err(AppError::BadCredentials),
        }
    }

    /// Ends a session.
    pub async fn sign_out(&self, token: &str) -> Result<(), AppError> {
        Ok(self.store.end_session(&sha256(token.as_bytes()).0).await?)
    }

    async fn hashed(&self, password: &str) -> Result<String, AppError> {
        let (password, salt, cost) = (Zeroizing::new(password.to_owned()), random::<16>()?, self.password_cost);
        self.password_work.done(move || password::hash(&password, salt, cost)).await
    }

    fn acting_user(&self, user: &UserId) -> Option<(PartyId, BTreeSet<Duty>)> {
        self.read(|state| {
            let user = &state.users.get(user)?.value;
            (!user.disabled).then(|| (user.party.clone(), user.duties.clone()))
        })
    }

    /// Issues a service key. It is shown this once: only its hash and what verifies it are kept.
    pub async fn issue_service_key(
        &self,
        actor: &Actor,
        order: &OrderId,
        options: CommandOptions,
    ) -> Result<IssuedKey, AppError> {
        let secret = ServiceKey::from_bytes(random::<32>()?);
        let key = secret.to_text();
        let last_four = key[key.len() - 4..].to_owned();
        let issue = ServiceKeyChange::Issue {
            hash: secret.hash().0,
            order_id: order.to_string(),
            last_four: last_four.clone(),
            scram_sealed: self.seal_scram(order, &secret)?,
        };
        let extras = Extras { service_keys: vec![issue], ..Extras::default() };
        let hash = secret.hash().to_string();
        let command = Command::IssueServiceKey { order: order.clone(), hash: hash.clone() };
        let executed = self.carry_out(actor, &command, options, extras).await?;
        if executed.repeated {
            return Err(AppError::Invalid(
                "this request was carried out before; a key is shown once: revoke it and issue another".to_owned(),
            ));
        }
        let id = self.read(|state| {
            // Another key of the order may have been issued meanwhile.
            let keys = &state.orders.get(order)?.value.service_keys;
            keys.iter().find(|issued| issued.hash == hash).map(|issued| issued.id.clone())
        });
        let id = id.ok_or_else(|| AppError::Fault("the issued key is not in the order".to_owned()))?;
        Ok(IssuedKey { id, key, last_four })
    }

    /// The order that a service key belongs to as of the folded state. Error: `bad_service_key` for anything but a key that
    /// is in force: known to the store and, since a store can be tampered with, to the journal.
    pub(crate) async fn order_of_key(&self, key: &str) -> Result<OrderId, AppError> {
        match ServiceKey::parse(key) {
            Ok(key) => self.order_of_hash(key.hash()).await,
            Err(_) => Err(AppError::BadKey),
        }
    }

    /// The same by the key's hash.
    pub(crate) async fn order_of_hash(&self, hash: Sha256Digest) -> Result<OrderId, AppError> {
        // Before the store is asked: whatever is written after this makes the answer worth asking for again.
        let position = self.read(|state| state.position);
        if let Some(order) = self.known_keys.order_at(&hash, position) {
            return Ok(order);
        }
        let stored = self.store.service_key(&hash.0).await?.filter(|key| key.revoked_at.is_none());
        let Some(stored) = stored else { return Err(AppError::BadKey) };
        let order: OrderId = stored.order_id.parse().map_err(|error| AppError::Fault(format!("{error}")))?;
        let text = hash.to_string();
        let is_journalled = self.read(|state| {
            let order = state.orders.get(&order);
            order.is_some_and(|order| order.value.service_keys.iter().any(|key| key.hash == text && !key.revoked))
        });
        if !is_journalled {
            return Err(AppError::BadKey);
        }
        self.known_keys.remember(hash, order.clone(), position);
        Ok(order)
    }

    /// What revoking a key changes in the store.
    pub(crate) fn revocation(&self, order: &OrderId, key: &ServiceKeyId) -> Result<Extras, AppError> {
        let hash = self.read(|state| {
            let order = state.orders.get(order).ok_or_else(|| Refusal::not_found(order))?;
            let known = order.value.service_keys.iter().find(|known| known.id == *key);
            known.map(|known| known.hash.clone()).ok_or_else(|| Refusal::not_found(key))
        });
        let hash: Sha256Digest =
            hash?.parse().map_err(|error: lingqu_crypto::CryptoError| AppError::Fault(error.to_string()))?;
        Ok(Extras { service_keys: vec![ServiceKeyChange::Revoke { hash: hash.0 }], ..Extras::default() })
    }
}

/// The id of what a command made.
pub(crate) fn made<T: FromStr>(executed: &crate::command::Executed, kind: &str) -> Result<T, AppError> {
    let stream = executed.stream_of(kind).ok_or_else(|| AppError::Fault(format!("no event {kind}")))?;
    stream.parse().map_err(|_| AppError::Fault(format!("{stream} is not the id of {kind}")))
}

fn check_password(password: &str) -> Result<(), AppError> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(AppError::Invalid(format!("a password has at least {PASSWORD_CHARS_MIN} characters")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Nothing that is awaited for so long could ever come.
    const NEVER: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn work_on_a_password_has_its_turn_until_it_ends() {
        let passwords = Arc::new(PasswordWork::new());
        let (mut asked, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..PASSWORDS_AT_ONCE {
            let (passwords, (end, ended)) = (Arc::clone(&passwords), mpsc::sync_channel::<()>(1));
            ends.push(end);
            asked.push(tokio::spawn(async move { passwords.done(move || Ok(ended.recv().is_ok())).await }));
        }
        while passwords.turns.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        // Whoever asked hangs up: the work goes on, and nobody's begins beside it.
        for asked in asked {
            asked.abort();
            assert!(asked.await.unwrap_err().is_cancelled());
        }
        assert!(tokio::time::timeout(NEVER, passwords.done(|| Ok(()))).await.is_err());
        drop(ends);
        passwords.done(|| Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn no_more_wait_for_their_passwords_than_may() {
        let passwords = PasswordWork::new();
        let places = PASSWORDS_AT_ONCE + PASSWORDS_WAITING_MAX;
        let held = Arc::clone(&passwords.places).acquire_many_owned(places as u32).await.unwrap();
        let refused = passwords.done(|| Ok(())).await.unwrap_err().problem();
        assert_eq!((refused.status, refused.code.as_str()), (503, "busy"));
        drop(held);
        passwords.done(|| Ok(())).await.unwrap();
    }
}
