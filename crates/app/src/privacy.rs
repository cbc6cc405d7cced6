//! Privacy accounts: what an order's consumer may still be told of its resources by statistics with noise.

use std::sync::Arc;

use async_trait::async_trait;
use lingqu_domain::decide::Reader;
use lingqu_domain::event::canonical;
use lingqu_domain::grant::Grant;
use lingqu_domain::id::{OrderId, PartyId, ResourceId};
use lingqu_domain::privacy::{PrivacyAccount, Rho, accounts, acting_together};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::scope::Mode;
use lingqu_engine::EngineError;
use lingqu_engine::privacy::{Exhausted, Given, NoisedRules, PrivacyLedger, epsilon};
use lingqu_engine::session::Contributors;
use lingqu_store::Store;
use lingqu_store::privacy::{Given as Stored, PrivacyAccount as StoredAccount, PrivacyQuestion};
use lingqu_store::release::Recipient;

use crate::app::App;
use crate::clock::Clock;
use crate::error::AppError;

pub use lingqu_engine::privacy::DELTA as PRIVACY_DELTA;

/// The privacy accounts of an order, as they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivacyStanding {
    /// What each new answer costs; none where the product declares no noise.
    pub rho_per_answer: Option<Rho>,
    /// The accounts, in the order of resources and links; empty where no right sets a budget.
    pub accounts: Vec<AccountStanding>,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountStanding {
    /// The link that set the budget.
    pub link: String,
    /// The resource.
    pub resource: ResourceId,
    /// The budget.
    pub budget: Rho,
    /// What the consumer and those tied to it have spent.
    pub spent: Rho,
}

impl AccountStanding {
    /// What is left.
    pub fn left(&self) -> Rho {
        self.budget.less(self.spent)
    }

    /// What the budget means as ε at δ = [`PRIVACY_DELTA`], rounded up to two decimals; none where it can't be told.
    pub fn epsilon_budget(&self) -> Option<f64> {
        rounded_up(epsilon(self.budget))
    }

    /// What was spent, in the same way.
    pub fn epsilon_spent(&self) -> Option<f64> {
        rounded_up(epsilon(self.spent))
    }
}

fn rounded_up(epsilon: f64) -> Option<f64> {
    epsilon.is_finite().then(|| (epsilon * 100.0).ceil() / 100.0)
}

impl PrivacyStanding {
    /// What is left of the account that has least; none without accounts.
    pub fn left(&self) -> Option<Rho> {
        self.accounts.iter().map(AccountStanding::left).min()
    }

    /// How many new answers that pays for; none without accounts or noise.
    pub fn answers_left(&self) -> Option<u64> {
        let cost = self.rho_per_answer.filter(|cost| !cost.is_zero())?;
        Some(self.left()?.nano() / cost.nano())
    }
}

impl App {
    /// The privacy accounts that an order's statistics debit, and what was spent of them, whether or not the order is in
    /// force. Error: `not_found`.
    pub async fn privacy_standing(&self, order: &OrderId) -> Result<PrivacyStanding, AppError> {
        let now = self.clock.now();
        let (rho_per_answer, found, parties) = self.read(|state| -> Result<_, Refusal> {
            let mut reader = Reader::new(state, now);
            let order = reader.order(order)?;
            let product = reader.product(&order.details.product)?;
            let found = accounts(&mut reader, &product.details.inputs)?;
            let parties: Vec<String> = acting_together(state, &order.consumer).iter().map(PartyId::to_string).collect();
            Ok((product.details.noise.as_ref().map(|noise| noise.rho), found, parties))
        })?;
        let stored: Vec<StoredAccount> = found.iter().map(stored_account).collect();
        let spent = self.store.privacy_spent(&parties, &stored).await?;
        let accounts = found.into_iter().zip(spent).map(|(account, spent_nano)| AccountStanding {
            link: account.link,
            resource: account.resource,
            budget: account.budget,
            spent: amount(spent_nano),
        });
        Ok(PrivacyStanding { rho_per_answer, accounts: accounts.collect() })
    }
}

/// By what statistics of a grant are given with noise; none where they are given exactly. Errors: `noise_required` where they
/// may not be given exactly and the product declares no noise.
///
/// `data` names the version of the data that the grant sees, consents included.
pub(crate) fn noised_rules(
    grant: &Grant,
    details: &ProductDetails,
    data: &str,
    contributors: Contributors,
    ledger: &Arc<ConsumerLedger>,
) -> Result<Option<NoisedRules>, Refusal> {
    if grant.privacy_accounts.is_empty() {
        if grant.exact_statistics_barred || ledger.has_spent {
            return Err(Refusal::new(
                RefusalCode::NoiseRequired,
                &grant.order,
                "使用方已按隐私预算取得该资源的加噪统计，不得再取得同一资源的精确统计；请改订设有隐私预算的加噪统计产品，\
                 现无隐私预算的，请数据提供方设定（set_privacy_budget）",
                "the consumer has had statistics with noise over this resource, so exact ones over it are barred; order a product of \
                 the resource whose statistics are given with noise, and where no privacy budget is set any more have its provider \
                 set one (set_privacy_budget)",
            ));
        }
        return Ok(None);
    }
    let Some(noise) = &details.noise else {
        return Err(Refusal::new(
            RefusalCode::NoiseRequired,
            &grant.product,
            "该资源设有隐私预算，统计只以加噪方式提供，而本产品未声明加噪规则；请运营机构另行提供加噪统计产品",
            "a privacy budget is set for this resource, so statistics over it are given with noise alone, and this product declares \
             none; the operator can offer one that does",
        ));
    };
    let columns: Vec<(String, String)> = grant
        .scope
        .visible_in(Mode::Statistics)
        .into_iter()
        .map(|(column, precision)| (column.to_string(), precision.to_string()))
        .collect();
    let context = canonical(&(grant.product.as_str(), data, columns, &grant.scope.rows, noise));
    Ok(Some(NoisedRules {
        dimensions: details.dimensions.iter().cloned().collect(),
        noise: noise.clone(),
        contributors,
        context,
        ledger: Arc::clone(ledger) as Arc<dyn PrivacyLedger>,
    }))
}

/// The accounts and stored answers of one order's consumer.
pub(crate) struct ConsumerLedger {
    store: Store,
    clock: Clock,
    recipient: Recipient,
    accounts: Vec<PrivacyAccount>,
    /// Without accounts, whether answers with noise were given of a resource all the same: by a right that is no more.
    has_spent: bool,
}

impl std::fmt::Debug for ConsumerLedger {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ConsumerLedger").field("recipient", &self.recipient).finish_non_exhaustive()
    }
}

impl ConsumerLedger {
    pub(crate) async fn open(
        store: &Store,
        clock: &Clock,
        recipient: Recipient,
        grant: &Grant,
    ) -> Result<ConsumerLedger, AppError> {
        let accounts = grant.privacy_accounts.clone();
        let mut ledger = Self { store: store.clone(), clock: clock.clone(), recipient, accounts, has_spent: false };
        ledger.has_spent = ledger.was_spent(grant).await?;
        Ok(ledger)
    }

    /// Whether it is what would be opened for the same grant now. A right by which answers with noise were given may have come and
    /// gone since, and left the grant as it was.
    pub(crate) async fn is_current(&self, grant: &Grant) -> Result<bool, AppError> {
        Ok(self.has_spent || !self.was_spent(grant).await?)
    }

    /// Whether answers with noise were given of a resource whose statistics a grant gives exactly.
    async fn was_spent(&self, grant: &Grant) -> Result<bool, AppError> {
        let is_exact = self.accounts.is_empty() && !grant.exact_statistics_barred;
        if !is_exact || !grant.scope.modes.contains(&Mode::Statistics) {
            return Ok(false);
        }
        let resources: Vec<String> = grant.inputs.keys().map(ResourceId::to_string).collect();
        Ok(self.store.privacy_was_spent(&self.parties(), &resources).await?)
    }

    fn parties(&self) -> Vec<String> {
        let mut parties = self.recipient.affiliates.clone();
        parties.push(self.recipient.consumer.clone());
        parties
    }

    fn question(&self, question: &str) -> PrivacyQuestion {
        PrivacyQuestion {
            consumer: self.recipient.consumer.clone(),
            affiliates: self.recipient.affiliates.clone(),
            question: question.to_owned(),
        }
    }

    fn stored_accounts(&self) -> Vec<StoredAccount> {
        self.accounts.iter().map(stored_account).collect()
    }

    fn short(&self, place: usize, left_nano: u64, needed: Rho) -> Result<Exhausted, EngineError> {
        let account = self.accounts.get(place).ok_or_else(|| {
            EngineError::record(std::io::Error::other("an account was named that is not among those asked for"))
        })?;
        let (link, resource) = (account.link.clone(), account.resource.to_string());
        Ok(Exhausted { link, resource, left: amount(left_nano), needed })
    }
}

#[async_trait]
impl PrivacyLedger for ConsumerLedger {
    async fn answer(&self, question: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let found = self.store.privacy_answer(&self.question(question)).await.map_err(EngineError::record)?;
        Ok(found.map(|answer| answer.to_vec()))
    }

    async fn exhausted(&self, cost: Rho) -> Result<Option<Exhausted>, EngineError> {
        let spent =
            self.store.privacy_spent(&self.parties(), &self.stored_accounts()).await.map_err(EngineError::record)?;
        for (place, (account, spent_nano)) in self.accounts.iter().zip(spent).enumerate() {
            let left_nano = account.budget.nano().saturating_sub(spent_nano);
            if left_nano < cost.nano() {
                return self.short(place, left_nano, cost).map(Some);
            }
        }
        Ok(None)
    }

    async fn give(&self, question: &str, cost: Rho, answer: &[u8]) -> Result<Given, EngineError> {
        let at = self.clock.now().to_string();
        let given = self
            .store
            .give_privacy_answer(&self.question(question), &self.stored_accounts(), cost.nano(), answer, &at)
            .await
            .map_err(EngineError::record)?;
        Ok(match given {
            Stored::Stored => Given::Stored,
            Stored::Before(answer) => Given::Before(answer.to_vec()),
            Stored::Exhausted { account, left_nano } => Given::Exhausted(self.short(account, left_nano, cost)?),
            Stored::Full => Given::Full,
        })
    }
}

fn stored_account(account: &PrivacyAccount) -> StoredAccount {
    StoredAccount {
        link: account.link.clone(),
        resource: account.resource.to_string(),
        budget_nano: account.budget.nano(),
    }
}

/// An amount as it was stored. More than can be said was spent is said as the most: budgets are below it.
fn amount(nano: u64) -> Rho {
    Rho::from_nano(nano).unwrap_or(Rho::MAX)
}
