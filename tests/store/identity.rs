//! Logins and sessions.

use std::time::Duration;

use lingqu_store::StoreError;
use lingqu_store::identity::{NewLogin, NewSession};
use lingqu_tests::{StoreFactory, both};

use crate::sample::{append, append_new};

const OLD: &str = "$argon2id$v=19$…";
const NEW: &str = "$argon2id$new";

fn login(user: &str, name: &str) -> NewLogin {
    NewLogin {
        user_id: user.into(),
        login: name.into(),
        password_phc: OLD.into(),
        display_name: "李四".to_owned().into(),
    }
}

fn start(token: u8) -> NewSession {
    NewSession {
        token_hash: [token; 32],
        user_id: "usr_1".into(),
        csrf: "csrf".into(),
        at: "2026-03-02T01:00:00Z".parse().unwrap(),
        expires_at: "2026-03-02T09:00:00Z".parse().unwrap(),
        idle: Duration::from_secs(1_800).try_into().unwrap(),
    }
}

#[tokio::test]
async fn logins_are_unique_and_names_sealed() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        store.create_login(&login("usr_1", "admin"), "2026-03-02T09:00:00+08:00").await.unwrap();
        match store.create_login(&login("usr_2", "admin"), "2026-03-02T09:00:00+08:00").await {
            Err(StoreError::Constraint { name, .. }) => assert_eq!(name, "login_login_unique"),
            other => panic!("{other:?}"),
        }
        let mut by_command = append("usr_2", 0, "user_added");
        by_command.logins.push(login("usr_2", "clerk"));
        append_new(&store, by_command).await;
        assert_eq!(store.login("clerk").await.unwrap().unwrap().user_id, "usr_2");
        assert_eq!(store.display_name("usr_2").await.unwrap().as_deref(), Some("李四"));
        store.delete_login("usr_2").await.unwrap();
        assert!(store.login("clerk").await.unwrap().is_none());
        assert_eq!(store.display_name("usr_2").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn sessions_end_by_time_idleness_logout_and_password_change() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        store.create_login(&login("usr_1", "admin"), "2026-03-02T09:00:00+08:00").await.unwrap();
        let idle = start(0).idle;
        assert!(store.start_session(&start(1), OLD).await.unwrap());
        let at = |text: &str| format!("2026-03-02T{text}Z").parse().unwrap();
        let found = store.session(&[1; 32], at("01:20:00"), idle).await.unwrap().unwrap();
        assert_eq!((found.user_id.as_str(), found.csrf.as_str()), ("usr_1", "csrf"));
        // The request at 01:20 began the idle time anew.
        assert!(store.session(&[1; 32], at("01:45:00"), idle).await.unwrap().is_some());
        assert!(store.session(&[1; 32], at("02:16:00"), idle).await.unwrap().is_none());
        assert!(store.session(&[9; 32], at("01:45:00"), idle).await.unwrap().is_none());
        assert!(store.start_session(&start(2), OLD).await.unwrap());
        store.end_session(&[2; 32]).await.unwrap();
        assert!(store.session(&[2; 32], at("01:01:00"), idle).await.unwrap().is_none());
        assert!(store.start_session(&start(3), OLD).await.unwrap());
        assert!(store.set_password("usr_1", OLD, NEW).await.unwrap());
        assert!(store.session(&[3; 32], at("01:01:00"), idle).await.unwrap().is_none());
        let mut unknown = start(4);
        unknown.user_id = "usr_9".into();
        assert!(matches!(store.start_session(&unknown, OLD).await, Err(StoreError::Constraint { .. })));
    })
    .await;
}

/// Who verified a password that was changed meanwhile comes too late, to sign in as to change it once more.
#[tokio::test]
async fn a_password_that_was_changed_starts_no_session_and_is_not_changed_again() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        store.create_login(&login("usr_1", "admin"), "2026-03-02T09:00:00+08:00").await.unwrap();
        let (idle, at) = (start(0).idle, start(0).at);
        assert!(store.start_session(&start(1), OLD).await.unwrap());
        assert!(store.set_password("usr_1", OLD, NEW).await.unwrap());
        assert!(!store.start_session(&start(2), OLD).await.unwrap());
        assert!(store.session(&[2; 32], at, idle).await.unwrap().is_none());
        assert!(store.start_session(&start(3), NEW).await.unwrap());
        assert!(!store.set_password("usr_1", OLD, "$argon2id$third").await.unwrap());
        assert_eq!(store.login("admin").await.unwrap().unwrap().password_phc, NEW);
        assert!(store.session(&[3; 32], at, idle).await.unwrap().is_some(), "nothing was changed, so nothing ends");
    })
    .await;
}
