//! What an answer with noise says of its price, and the privacy accounts of an order.

use lingqu_app::PrivacyStanding;
use lingqu_domain::privacy::Rho;

use super::{Admission, Deliveries};
use crate::error::GatewayError;

/// What an answer with noise cost, and what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivacyTold {
    /// What it cost of each account: nothing when it was given before.
    pub spent: Rho,
    /// What is left of the account that has least.
    pub left: Rho,
}

impl Deliveries {
    /// The privacy accounts that the order's statistics debit. It tells nothing of the data, costs nothing and leaves no
    /// receipt.
    pub async fn privacy(&self, admission: &Admission) -> Result<PrivacyStanding, GatewayError> {
        Ok(self.app.privacy_standing(&admission.order).await?)
    }

    /// What is to be said of an answer that cost so much; none for answers without noise.
    pub(super) async fn privacy_told(
        &self,
        admission: &Admission,
        spent: Option<Rho>,
    ) -> Result<Option<PrivacyTold>, GatewayError> {
        let Some(spent) = spent else { return Ok(None) };
        let left = self.privacy(admission).await?.left().unwrap_or_default();
        Ok(Some(PrivacyTold { spent, left }))
    }
}
