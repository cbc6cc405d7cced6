//! Statistics with noise: differential privacy under a budget.
//!
//! A statement has the form that guarded statistics have ([`question`]). Its groups are made of declared values alone
//! ([`public`]); its numbers are worked out exactly with what one subject can change in them bounded ([`exact`], [`units`]), and
//! OpenDP adds the noise ([`mechanism`]). The noised numbers are stored and paid for in one transaction by the
//! [`PrivacyLedger`] before anything of them is shown; the same question gets the stored numbers again, for nothing
//! ([`stored`]). What the statement does with them afterwards ([`told`], then its projection, HAVING, sorting and limit) sees
//! nothing else.
//!
//! There is no cohort floor here and no comparison with earlier answers: leaving a small group out would tell, past the
//! noise, that it is small, and differences of noised numbers are paid for like everything else.

mod exact;
mod mechanism;
mod public;
mod question;
mod stored;
mod told;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use lingqu_domain::privacy::{NoiseRules, Rho};
use lingqu_domain::scope::ColumnName;
use tokio::time::Instant;

use crate::allow::{Refusal, RefusalCode};
use crate::engine::Engine;
use crate::execution::{EngineError, Limits, sanitise};
use crate::guard::contributor::Contributors;
use crate::guard::shape::find_aggregate;
use crate::guard::{governed_table, kept_schema, rest_of_plan};
use crate::rows_left::RowsLeft;
use exact::{Exact, Running};
use mechanism::{QuantileChoice, gaussian, rho_down, scores};
use question::{Part, Question};
use stored::StoredAnswer;

pub use mechanism::{DELTA, epsilon};

/// What a session gives statistics with noise by.
#[derive(Clone, Debug)]
pub struct NoisedRules {
    /// The columns by which answers may be filtered, and grouped where their values are declared.
    pub dimensions: BTreeSet<ColumnName>,
    /// What the product declares of its noise.
    pub noise: NoiseRules,
    /// How subjects and rows are known.
    pub contributors: Contributors,
    /// Names everything that an answer depends on beside the statement: product, version of the data, rights, consents and
    /// these rules. The same question in the same context has one answer for ever.
    pub context: String,
    /// Who keeps answers and accounts.
    pub ledger: Arc<dyn PrivacyLedger>,
}

/// An account that has too little left for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// The link that set the budget.
    pub link: String,
    /// The resource.
    pub resource: String,
    /// What is left.
    pub left: Rho,
    /// What the answer costs.
    pub needed: Rho,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exhausted { link, resource, left, needed } = self;
        write!(
            formatter,
            "the privacy budget that {link} sets for {resource} has {left} left and this answer costs {needed}; it is not renewed by time, only \
             its provider can renew it; answers that were given already are given again for nothing"
        )
    }
}

/// What became of an answer that was to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// It is stored and paid for, durably.
    Stored,
    /// Another was given to the same question before; nothing was spent.
    Before(Vec<u8>),
    /// An account has too little left; nothing was stored or spent.
    Exhausted(Exhausted),
    /// The consumer has as many answers as are kept.
    Full,
}

/// The accounts and answers of one order's consumer. Errors: [`EngineError::Record`].
#[async_trait]
pub trait PrivacyLedger: fmt::Debug + Send + Sync {
    /// The answer that was given to a question, if there is one: to the byte as it was given, and an error where it was changed.
    async fn answer(&self, question: &str) -> Result<Option<Vec<u8>>, EngineError>;

    /// The first account that has less left than a cost. Saves work; what counts is [`PrivacyLedger::give`].
    async fn exhausted(&self, cost: Rho) -> Result<Option<Exhausted>, EngineError>;

    /// Stores an answer and debits its cost from every account, in one transaction, or does neither.
    async fn give(&self, question: &str, cost: Rho, answer: &[u8]) -> Result<Given, EngineError>;
}

/// What is left to run on noised groups.
pub(crate) struct Noised {
    pub(crate) plan: LogicalPlan,
    /// What the answer cost: nothing when it was given before.
    pub(crate) rho_spent: Rho,
}

/// Checks the form of a statement. Nothing is read, and nothing costs.
pub(crate) fn check(state: &SessionState, plan: &LogicalPlan, rules: &NoisedRules) -> Result<(), Refusal> {
    let question = Question::of(state, plan, rules)?;
    public::check(&question, rules)
}

/// Answers a statement with noise. When this returns, the answer is stored and paid for; the rows it was made from stand in
/// `left`.
pub(crate) async fn answer(
    engine: &Engine,
    state: &SessionState,
    task: &Arc<TaskContext>,
    left: &RowsLeft,
    plan: &LogicalPlan,
    rules: &NoisedRules,
    (limits, deadline): (&Limits, Instant),
) -> Result<Noised, EngineError> {
    let question = Question::of(state, plan, rules)?;
    public::check(&question, rules)?;
    let digest = question.digest(rules);
    let table = governed_table(&question.input).map_err(|error| sanitise(&error))?;
    let cost = rules.noise.rho;
    let (answer, rho_spent) = match rules.ledger.answer(&digest).await? {
        Some(bytes) => (read(&bytes, &question)?, Rho::ZERO),
        None => {
            if let Some(exhausted) = rules.ledger.exhausted(cost).await? {
                return Err(EngineError::PrivacyExhausted(exhausted));
            }
            let running = Running { engine, state, task, limits, deadline };
            let groups = public::groups(engine, state, task, &question, rules, &table, (limits, deadline)).await?;
            let exact = exact::parts(&running, &question, rules, &table, &groups).await?;
            let parts = noised(engine, &question, rules, exact).await?;
            let rows = left.total().remove(table.name()).unwrap_or_default();
            let answer = StoredAnswer { groups: groups.batch, parts, rows };
            let bytes = answer.to_bytes().map_err(EngineError::record)?;
            match rules.ledger.give(&digest, cost, &bytes).await? {
                Given::Stored => (answer, cost),
                // Another asked the same at the same moment. This noise was seen by nobody.
                Given::Before(bytes) => (read(&bytes, &question)?, Rho::ZERO),
                Given::Exhausted(exhausted) => return Err(EngineError::PrivacyExhausted(exhausted)),
                Given::Full => {
                    let what = "as many answers with noise are kept as can be; ask for one that was given already";
                    return Err(Refusal::new(RefusalCode::ReleaseLimitReached, what).into());
                }
            }
        }
    };
    left.record_set(table.name(), &answer.rows);
    let shown = || {
        let schema = kept_schema(find_aggregate(plan).map_err(|_| {
            datafusion::common::internal_datafusion_err!("the statement was read as one aggregate before")
        })?);
        let batch = told::batch(&question, &answer.groups, &answer.parts, &schema)?;
        rest_of_plan(plan, schema, vec![batch])
    };
    Ok(Noised { plan: shown().map_err(|error| sanitise(&error))?, rho_spent })
}

fn read(bytes: &[u8], question: &Question) -> Result<StoredAnswer, EngineError> {
    StoredAnswer::of_bytes(bytes, question).map_err(EngineError::record)
}

/// Adds the noise: the price of the answer is divided evenly among its parts.
async fn noised(
    engine: &Engine,
    question: &Question,
    rules: &NoisedRules,
    exact: Exact,
) -> Result<BTreeMap<Part, Vec<i64>>, EngineError> {
    let rows = rules.noise.rows_per_subject_max;
    let share_nano = rules.noise.rho.nano() / question.parts.len().max(1) as u64;
    if share_nano == 0 {
        let what = "the product's price for an answer is too small to be divided among so many numbers; ask for fewer";
        return Err(Refusal::new(RefusalCode::AggregateNotAllowed, what).into());
    }
    let share = rho_down(share_nano);
    let mut choices = BTreeMap::new();
    for part in &question.parts {
        if let Some((column, quantile)) = exact::quantile_of(part) {
            let candidates = question.bounds_of(column).map(|bounds| bounds.candidates.clone()).unwrap_or_default();
            choices.insert(part.clone(), (quantile, candidates));
        }
    }
    let sensitivities: BTreeMap<Part, u64> =
        question.parts.iter().map(|part| (part.clone(), Exact::sensitivity(part, rows, question))).collect();
    let computing = engine.threads().spawn_blocking(move || -> Result<_, mechanism::MechanismError> {
        let mut noised = BTreeMap::new();
        for (part, numbers) in exact.numbers {
            let sensitivity = sensitivities.get(&part).copied().unwrap_or(u64::MAX);
            let numbers = gaussian(numbers, sensitivity, share)?;
            noised.insert(part, numbers);
        }
        for (part, groups) in exact.positions {
            let Some((quantile, candidates)) = choices.get(&part) else { continue };
            let choice = QuantileChoice::new(candidates, *quantile, rows, share)?;
            let mut chosen = Vec::with_capacity(groups.len());
            for counts in &groups {
                let place = choice.choose(scores(counts, *quantile))?;
                chosen.push(candidates.get(place).copied().unwrap_or_default());
            }
            noised.insert(part, chosen);
        }
        Ok(noised)
    });
    let noised = computing.await.map_err(EngineError::record)?;
    noised.map_err(EngineError::record)
}
