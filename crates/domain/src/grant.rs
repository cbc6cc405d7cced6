//! Grants (使用授权): the compiled right to data that one order has now.
//!
//! A grant is never stored: it is the meet of every link above the order, computed from the state as of a journal
//! position. Its digest changes whenever anything in it does; receipts and ETags carry it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lingqu_crypto::sha256;
use serde::{Deserialize, Serialize};

use crate::chain;
use crate::decide::Reader;
use crate::id::{OrderId, PartyId, PermitId, ProductId, ResourceId, SnapshotId};
use crate::order::Quota;
use crate::privacy::{self, PrivacyAccount};
use crate::refusal::Refusal;
use crate::resource::Nature;
use crate::scope::{Mode, Purpose, Scope};
use crate::shared_quota::QuotaLink;
use crate::state::State;

/// One input of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantInput {
    /// The permit it stands on.
    pub permit: PermitId,
    /// The snapshot that is served.
    pub snapshot: SnapshotId,
    /// Its version.
    pub snapshot_version: u64,
    /// What the permit allows of the resource.
    pub scope: Scope,
}

/// The right to data that one order has now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The order.
    pub order: OrderId,
    /// The recipient.
    pub consumer: PartyId,
    /// The product.
    pub product: ProductId,
    /// The order's purpose.
    pub purpose: Purpose,
    /// What the order allows of the product's output.
    pub scope: Scope,
    /// The inputs.
    pub inputs: BTreeMap<ResourceId, GrantInput>,
    /// The order's quota.
    pub quota: Quota,
    /// SYNTHETIC when any input is.
    pub nature: Nature,
    /// Rulebook version it was computed under.
    pub rulebook_version: String,
    /// Every link above the order with its version: what the grant was computed from.
    pub links: BTreeMap<String, u64>,
    /// The accounts that its statistics debit. Where there are any, statistics are given with noise alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub privacy_accounts: Vec<PrivacyAccount>,
    /// The quotas above the order's own: every use debits their accounts as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_quotas: Vec<QuotaLink>,
    /// Whether exact statistics are barred because the consumer has had statistics with noise over the same resource by
    /// another right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact_statistics_barred: bool,
}

impl Grant {
    /// Computes the grant of an order as of now. Errors: the refusal of the first link that is not in force.
    pub fn of(state: &State, order_id: &OrderId, now: Timestamp) -> Result<Grant, Refusal> {
        let mut reader = Reader::new(state, now);
        let order = reader.order(order_id)?;
        let scope = chain::order_scope(&mut reader, order_id)?;
        let product = reader.product(&order.details.product)?;
        let mut inputs = BTreeMap::new();
        let mut nature = Nature::Real;
        for (resource_id, scope) in chain::input_scopes(&mut reader, &product.details)? {
            let resource = reader.resource(&resource_id)?;
            let Some(snapshot) = &resource.snapshot else {
                return Err(Refusal::wrong_state(&resource_id, "without a snapshot", "a snapshot"));
            };
            if snapshot.nature == Nature::Synthetic {
                nature = Nature::Synthetic;
            }
            let permit = product.details.inputs[&resource_id].clone();
            let input = GrantInput { permit, snapshot: snapshot.id.clone(), snapshot_version: snapshot.version, scope };
            inputs.insert(resource_id, input);
        }
        let privacy_accounts = privacy::accounts(&mut reader, &product.details.inputs)?;
        let exact_statistics_barred = privacy_accounts.is_empty() && scope.modes.contains(&Mode::Statistics) && {
            let resources = inputs.keys().cloned().collect();
            privacy::is_noised_elsewhere(state, order_id, &order.consumer, &resources, now)
        };
        let shared_quotas = QuotaLink::above(&mut reader, &order.details.product)?;
        Ok(Grant {
            order: order_id.clone(),
            consumer: order.consumer.clone(),
            product: order.details.product.clone(),
            purpose: order.details.purpose.clone(),
            scope,
            inputs,
            quota: order.details.quota.clone(),
            nature,
            rulebook_version: state.rulebook().version.clone(),
            links: reader.into_reads(),
            privacy_accounts,
            shared_quotas,
            exact_statistics_barred,
        })
    }

    /// SHA-256 of the grant's canonical JSON, hexadecimal.
    pub fn digest(&self) -> String {
        sha256(crate::event::canonical(self).as_bytes()).to_string()
    }

    /// Whether a link above the product asks the consent of persons or counts them. Each row is then of the persons whom the
    /// product names, and of nobody else.
    pub fn asks_persons(&self) -> bool {
        self.inputs.values().any(|input| input.scope.consent_required)
            || self.shared_quotas.iter().any(|link| link.quota.counts_subjects())
    }

    /// The resources it is computed from.
    pub fn resources(&self) -> BTreeSet<ResourceId> {
        self.inputs.keys().cloned().collect()
    }
}
