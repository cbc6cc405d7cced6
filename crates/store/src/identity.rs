//! Who may log in: logins with their password hashes and sealed display names, and sessions. Passwords and tokens never
//! come here, only their hashes.

use jiff::{SignedDuration, Timestamp};
use lingqu_crypto::SealKey;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::store::{Store, WriterLock, random};

/// Most characters of a login or display name.
pub const NAME_CHARS_MAX: usize = 200;

/// A login to create. `Debug` shows no name and no hash.
#[derive(Clone)]
pub struct NewLogin {
    /// The user it belongs to.
    pub user_id: String,
    /// What the person types; unique.
    pub login: String,
    /// Argon2id hash in PHC form.
    pub password_phc: String,
    /// The person's name; it is sealed.
    pub display_name: Zeroizing<String>,
}

impl std::fmt::Debug for NewLogin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NewLogin").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

/// A login as it stands.
#[derive(Clone)]
pub struct Login {
    /// The user it belongs to.
    pub user_id: String,
    /// Argon2id hash in PHC form.
    pub password_phc: String,
    /// When it was created, RFC 3339.
    pub created_at: String,
}

/// A session to start.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// SHA-256 of the token that the browser holds.
    pub token_hash: [u8; 32],
    /// The user.
    pub user_id: String,
    /// Token that state-changing requests repeat.
    pub csrf: String,
    /// Now.
    pub at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// How long it lives without a request.
    pub idle: SignedDuration,
}

/// A session in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The user.
    pub user_id: String,
    /// Token that state-changing requests repeat.
    pub csrf: String,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

impl Store {
    /// Creates a login outside of an append (the first administrator of a node).
    ///
    /// # Errors
    /// [`StoreError::Constraint`] `login_login_unique` when the login is taken; faults of the database.
    pub async fn create_login(&self, login: &NewLogin, at: &str) -> Result<(), StoreError> {
        const DOING: &str = "creating a login";
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        insert_logins(write.db(), self.vault_key(), std::slice::from_ref(login), at).await?;
        write.commit(DOING).await
    }

    /// The login with this name, if there is one.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn login(&self, login: &str) -> Result<Option<Login>, StoreError> {
        let fault = |error| StoreError::database("reading a login", error);
        let query = Query::select()
            .columns(["user_id", "password_phc", "created_at"])
            .from("login")
            .and_where(Expr::col("login").eq(login))
            .take();
        let Some(row) = self.db().query_one(&query).await.map_err(fault)? else { return Ok(None) };
        Ok(Some(Login {
            user_id: row.try_get_by_index(0).map_err(fault)?,
            password_phc: row.try_get_by_index(1).map_err(fault)?,
            created_at: row.try_get_by_index(2).map_err(fault)?,
        }))
    }

    /// The display name of a user, if the user has a login.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] when the vault key is another one; faults of the database.
    pub async fn display_name(&self, user_id: &str) -> Result<Option<String>, StoreError> {
        const DOING: &str = "reading a display name";
        let fault = |error| StoreError::database(DOING, error);
        let query = Query::select()
            .column("display_name_sealed")
            .from("login")
            .and_where(Expr::col("user_id").eq(user_id))
            .take();
        let Some(row) = self.db().query_one(&query).await.map_err(fault)? else { return Ok(None) };
        let sealed: Vec<u8> = row.try_get_by_index(0).map_err(fault)?;
        let name = name_key(self.vault_key())
            .open(user_id.as_bytes(), &sealed)
            .map_err(|_| StoreError::Sealed { doing: DOING })?;
        String::from_utf8(name.to_vec()).map(Some).map_err(|_| StoreError::Sealed { doing: DOING })
    }

    /// Replaces the password hash that was verified and ends all sessions of the user. False, and nothing is changed, when
    /// another one has taken its place.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn set_password(
        &self,
        user_id: &str,
        verified_phc: &str,
        password_phc: &str,
    ) -> Result<bool, StoreError> {
        const DOING: &str = "changing a password";
        let fault = |error| StoreError::database(DOING, error);
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let update = Query::update()
            .table("login")
            .value("password_phc", password_phc)
            .and_where(Expr::col("user_id").eq(user_id))
            .and_where(Expr::col("password_phc").eq(verified_phc))
            .take();
        let is_replaced = write.db().execute(&update).await.map_err(fault)?.rows_affected() > 0;
        if is_replaced {
            delete_sessions_of(write.db(), user_id).await?;
        }
        write.commit(DOING).await?;
        Ok(is_replaced)
    }

    /// Deletes a user's login, name and sessions.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn delete_login(&self, user_id: &str) -> Result<(), StoreError> {
        const DOING: &str = "deleting a login";
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        delete_sessions_of(write.db(), user_id).await?;
        let delete = Query::delete().from_table("login").and_where(Expr::col("user_id").eq(user_id)).take();
        write.db().execute(&delete).await.map_err(|error| StoreError::database(DOING, error))?;
        write.commit(DOING).await
    }

    /// Starts a session of a user whose password hash was verified. False, and none is started, when another hash has taken
    /// its place: the change has ended all sessions, and this one would outlive it. Sessions that have ended are swept at
    /// the same time.
    ///
    /// # Errors
    /// [`StoreError::Constraint`] when the user has no login; faults of the database.
    pub async fn start_session(&self, session: &NewSession, verified_phc: &str) -> Result<bool, StoreError> {
        const DOING: &str = "starting a session";
        let fault = |error| StoreError::database(DOING, error);
        let idle_expires_at = idle_end(session.at, session.idle, session.expires_at)?;
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let now = sortable(session.at);
        let ended = Expr::col("expires_at").lte(now.as_str()).or(Expr::col("idle_expires_at").lte(now.as_str()));
        let sweep = Query::delete().from_table("session").and_where(ended).take();
        write.db().execute(&sweep).await.map_err(fault)?;
        // No change of the password can come between this look and the commit: it writes under the same lock.
        let look = Query::select()
            .column("password_phc")
            .from("login")
            .and_where(Expr::col("user_id").eq(session.user_id.as_str()))
            .take();
        let login = write.db().query_one(&look).await.map_err(fault)?;
        let current: Option<String> = login.map(|row| row.try_get_by_index(0)).transpose().map_err(fault)?;
        if current.is_some_and(|current| current != verified_phc) {
            write.commit(DOING).await?;
            return Ok(false);
        }
        let insert = Query::insert()
            .into_table("session")
            .columns(["token_hash", "user_id", "csrf", "created_at", "expires_at", "idle_expires_at"])
            .values_panic([
                session.token_hash.to_vec().into(),
                session.user_id.as_str().into(),
                session.csrf.as_str().into(),
                now.into(),
                sortable(session.expires_at).into(),
                sortable(idle_expires_at).into(),
            ])
            .take();
        write.db().execute(&insert).await.map_err(fault)?;
        write.commit(DOING).await?;
        Ok(true)
    }

    /// The session with this token hash, if it is in force at `now`; its idle time begins anew.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn session(
        &self,
        token_hash: &[u8; 32],
        now: Timestamp,
        idle: SignedDuration,
    ) -> Result<Option<Session>, StoreError> {
        const DOING: &str = "reading a session";
        let fault = |error| StoreError::database(DOING, error);
        let query = Query::select()
            .columns(["user_id", "csrf", "expires_at", "idle_expires_at"])
            .from("session")
            .and_where(Expr::col("token_hash").eq(token_hash.to_vec()))
            .take();
        let Some(row) = self.db().query_one(&query).await.map_err(fault)? else { return Ok(None) };
        let expires_at = read_sortable(row.try_get_by_index(2).map_err(fault)?)?;
        let idle_expires_at = read_sortable(row.try_get_by_index(3).map_err(fault)?)?;
        if expires_at <= now || idle_expires_at <= now {
            return Ok(None);
        }
        let next = idle_end(now, idle, expires_at)?;
        // A write per request would make every read wait for the writer; a minute's grain is enough.
        if next.duration_since(idle_expires_at) > SignedDuration::from_mins(1) {
            let write = self.begin_write(WriterLock::Journal, DOING).await?;
            let update = Query::update()
                .table("session")
                .value("idle_expires_at", sortable(next))
                .and_where(Expr::col("token_hash").eq(token_hash.to_vec()))
                .take();
            write.db().execute(&update).await.map_err(fault)?;
            write.commit(DOING).await?;
        }
        Ok(Some(Session {
            user_id: row.try_get_by_index(0).map_err(fault)?,
            csrf: row.try_get_by_index(1).map_err(fault)?,
            expires_at,
        }))
    }

    /// Ends one session. Ending it twice changes nothing.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn end_session(&self, token_hash: &[u8; 32]) -> Result<(), StoreError> {
        const DOING: &str = "ending a session";
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let delete =
            Query::delete().from_table("session").and_where(Expr::col("token_hash").eq(token_hash.to_vec())).take();
        write.db().execute(&delete).await.map_err(|error| StoreError::database(DOING, error))?;
        write.commit(DOING).await
    }
}

pub(crate) async fn insert_logins(
    db: &DatabaseTransaction,
    vault_key: &SealKey,
    logins: &[NewLogin],
    at: &str,
) -> Result<(), StoreError> {
    for login in logins {
        if login.login.is_empty()
            || login.login.chars().count() > NAME_CHARS_MAX
            || login.display_name.chars().count() > NAME_CHARS_MAX
        {
            return Err(StoreError::invalid(format!(
                "a login needs 1 to {NAME_CHARS_MAX} characters, and a name at most as many"
            )));
        }
        let sealed = name_key(vault_key).seal(random()?, login.user_id.as_bytes(), login.display_name.as_bytes());
        let insert = Query::insert()
            .into_table("login")
            .columns(["user_id", "login", "password_phc", "display_name_sealed", "created_at"])
            .values_panic([
                login.user_id.as_str().into(),
                login.login.as_str().into(),
                login.password_phc.as_str().into(),
                sealed.into(),
                at.into(),
            ])
            .take();
        db.execute(&insert).await.map_err(|error| StoreError::database("creating a login", error))?;
    }
    Ok(())
}

async fn delete_sessions_of(db: &DatabaseTransaction, user_id: &str) -> Result<(), StoreError> {
    let delete = Query::delete().from_table("session").and_where(Expr::col("user_id").eq(user_id)).take();
    db.execute(&delete).await.map_err(|error| StoreError::database("ending sessions", error))?;
    Ok(())
}

fn name_key(vault_key: &SealKey) -> SealKey {
    vault_key.derive("display name")
}

fn idle_end(now: Timestamp, idle: SignedDuration, expires_at: Timestamp) -> Result<Timestamp, StoreError> {
    let end = now.checked_add(idle).map_err(|_| StoreError::invalid("the idle time of sessions is out of range"))?;
    Ok(end.min(expires_at))
}

/// A time as text whose order by bytes is the order of time: UTC, always six digits of a second.
pub(crate) fn sortable(at: Timestamp) -> String {
    format!("{at:.6}")
}

pub(crate) fn read_sortable(text: String) -> Result<Timestamp, StoreError> {
    text.parse().map_err(|_| StoreError::Unreadable { what: "a time", problem: "it isn't RFC 3339".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sortable_times_sort_by_bytes() {
        let early: Timestamp = "2026-03-02T09:00:00+08:00".parse().unwrap();
        let late: Timestamp = "2026-03-02T01:00:00.5Z".parse().unwrap();
        assert_eq!(sortable(early), "2026-03-02T01:00:00.000000Z");
        assert!(sortable(early) < sortable(late));
    }
}
