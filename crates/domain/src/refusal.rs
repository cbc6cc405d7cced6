//! Refusals: the domain said no. A refusal is an answer, not a fault: it has a stable code, says in Chinese and English
//! what to do, and changes nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! refusal_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $who:literal;)*) => {
        /// Stable codes; the golden file `problem_codes.txt` lists each with who should do what about it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum RefusalCode {$(
            $(#[$doc])*
            #[serde(rename = $code)]
            $name,
        )*}

        impl RefusalCode {
            /// Every code.
            pub const ALL: &'static [RefusalCode] = &[$(RefusalCode::$name,)*];

            /// The code as in problem documents.
            pub fn code(self) -> &'static str {
                match self {$(RefusalCode::$name => $code,)*}
            }

            /// Who should do what about it.
            pub fn remedy(self) -> &'static str {
                match self {$(RefusalCode::$name => $who,)*}
            }
        }
    };
}

refusal_codes! {
    /// The actor's party has no role, or the user no duty, for this command.
    NotPermitted = "not_permitted", "the actor: ask a user whose party and duty the permission matrix names for this command";
    /// An entity that the command names does not exist.
    NotFound = "not_found", "the actor: check the id";
    /// The entity is in another state than the command needs.
    WrongState = "wrong_state", "the actor: look at the entity's state and take the step that is due";
    /// Four eyes: who applied can't approve.
    FourEyes = "four_eyes", "the organisation: let another user with the duty approve";
    /// Roles that one party may not hold together.
    RolesNotDistinct = "roles_not_distinct", "the data authority: give the roles to different parties";
    /// A right would be wider than the right above it.
    ScopeTooWide = "scope_too_wide", "the applicant: narrow the scope as the message says";
    /// A field is missing or malformed.
    Invalid = "invalid", "the applicant: mend the field that is named";
    /// Before its time, such as a certificate before publicity has ended.
    TooEarly = "too_early", "the actor: wait until the day that is named";
    /// After its time.
    Expired = "expired", "the holder: renew";
    /// The actor's party does not hold the legal position that the command needs.
    RightMissing = "right_missing", "the party: obtain the right that is named";
    /// An input of the command is not in force now.
    NotInForce = "not_in_force", "the actor: have the named link of the chain put in force";
    /// A price above its ceiling, or a ceiling outside the permitted revenue.
    PriceAboveCeiling = "price_above_ceiling", "the operator: set a price at or below the ceiling";
    /// State secrets, military data and core data are not catalogued here.
    GradeRefused = "grade_refused", "the provider: leave the data out";
    /// A mode that the grant does not have.
    ModeNotGranted = "mode_not_granted", "the consumer: use a mode of the order, or order another product";
    /// A column that the grant does not have.
    ColumnNotGranted = "column_not_granted", "the consumer: ask only for granted columns";
    /// A purpose that the permit does not cover.
    PurposeNotPermitted = "purpose_not_permitted", "the consumer: order for a purpose of the product; the operator: apply for a permit";
    /// The grant, or a right above it, is suspended.
    GrantSuspended = "grant_suspended", "the consumer: wait for resumption; the message names the link and the reason";
    /// The grant, or a right above it, has ended.
    GrantEnded = "grant_ended", "the consumer: place a new order if the product is still listed";
    /// The quota is used up.
    QuotaExceeded = "quota_exceeded", "the consumer: order more, or wait for the next period";
    /// Statistics over the resource are given with noise alone, and this product declares none.
    NoiseRequired = "noise_required", "the consumer: order a product of the resource with noise; the operator: offer one";
    /// The group of an answer is smaller than the cohort floor.
    CohortTooSmall = "cohort_too_small", "the consumer: ask for a larger group";
    /// Two parties are tied so that a rule bars the step.
    RelatedParties = "related_parties", "the parties: see the rule that the message names";
    /// A consumer would hold the same data marked and exact.
    MarkedAndExact = "marked_and_exact", "the consumer: end the order that is named, or order all modes in one order";
    /// The keys that copies are marked with are not there yet.
    MarkKeysMissing = "mark_keys_missing", "the auditor: give the shares of the order's keys (`lingqu regulator share`)";
    /// Something like it exists already.
    AlreadyExists = "already_exists", "the actor: use the existing one";
    /// More items than a limit allows.
    LimitExceeded = "limit_exceeded", "the actor: split the work";
    /// The node is not initialised, or already is.
    NodeState = "node_state", "the operator of the node: run `lingqu init` once";
}

/// The domain's no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Refusal {
    /// The stable code.
    pub code: RefusalCode,
    /// What it concerns: an id, a column, a field; empty when the code says all.
    pub subject: String,
    /// What to do, in Chinese.
    pub zh: String,
    /// What to do, in English.
    pub en: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code.code(), self.en)
    }
}

impl Refusal {
    /// A refusal.
    pub fn new(code: RefusalCode, subject: impl fmt::Display, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { code, subject: subject.to_string(), zh: zh.into(), en: en.into() }
    }

    /// An entity that does not exist.
    pub fn not_found(id: impl fmt::Display) -> Self {
        Self::new(
            RefusalCode::NotFound,
            &id,
            format!("没有 {id}，请核对编号"),
            format!("there is no {id}; check the id"),
        )
    }

    /// A field that is missing or malformed.
    pub fn invalid(field: &str, zh: impl fmt::Display, en: impl fmt::Display) -> Self {
        Self::new(RefusalCode::Invalid, field, format!("{field}：{zh}"), format!("{field}: {en}"))
    }

    /// An entity in another state than the command needs.
    pub fn wrong_state(id: impl fmt::Display, is: &str, needs: &str) -> Self {
        Self::new(
            RefusalCode::WrongState,
            &id,
            format!("{id} 的状态是 {is}，此操作要求 {needs}"),
            format!("{id} is {is}; this needs {needs}"),
        )
    }

    /// Approval by the user who applied.
    pub fn four_eyes(id: impl fmt::Display) -> Self {
        Self::new(
            RefusalCode::FourEyes,
            &id,
            "申请人不得审批本人的申请，请由另一名有权人员审批",
            "nobody approves their own application: another user with the duty must decide",
        )
    }

    /// A party acting for another's entity.
    pub fn not_permitted(subject: impl fmt::Display, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self::new(RefusalCode::NotPermitted, subject, zh, en)
    }
}

impl From<crate::scope::ScopeError> for Refusal {
    fn from(error: crate::scope::ScopeError) -> Self {
        Refusal::new(
            RefusalCode::ScopeTooWide,
            "scope",
            format!("权限只能收窄：{error}"),
            format!("power only narrows: {error}"),
        )
    }
}
