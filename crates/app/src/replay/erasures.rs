//! Erasures in a replay: what the journal says is erased, the vault and the receipts' requests no longer hold.

use lingqu_domain::erasure::Erasable;
use lingqu_domain::state::State;
use lingqu_store::StoreError;
use lingqu_store::vault::VaultRead;

use super::ReplayReport;
use crate::app::App;
use crate::consent::identity_item;
use crate::error::AppError;

impl App {
    /// Looks whether what was to be erased is gone.
    pub(super) async fn compare_erasures(&self, state: &State, report: &mut ReplayReport) -> Result<(), AppError> {
        if state.erasures.is_empty() {
            return Ok(());
        }
        let log = self.receipts_now().await?;
        for erasure in state.erasures.values().map(|erasure| &erasure.value) {
            let read = match &erasure.object {
                Erasable::Request(receipt) => log.request(receipt.as_str()).await,
                Erasable::Subject(subject) => self.store.vault_get(subject.as_str(), &identity_item(subject)).await,
            };
            let is_erased = match read {
                Ok(read) => matches!(read, VaultRead::Erased { .. }),
                Err(StoreError::Sealed { .. }) => false,
                Err(error) => return Err(error.into()),
            };
            if !is_erased {
                let problem = format!("{} is not erased; erase it again with `lingqu erase`", erasure.object.as_str());
                report.add("erasure", erasure.id.as_str(), problem);
            }
        }
        Ok(())
    }
}
