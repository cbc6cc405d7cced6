//! The keys of marks: every commitment in the journal opens with the share that is stored for it and the node's half, and every
//! stored share was committed to.

use std::collections::BTreeMap;

use lingqu_domain::state::State;
use lingqu_store::mark_share::MarkShare;
use lingqu_store::snapshot::Snapshot;

use super::ReplayReport;
use crate::app::App;
use crate::error::AppError;
use crate::fingerprint::committed_keys;

impl App {
    /// Compares the table of shares with what the orders' events commit to.
    pub(super) async fn compare_mark_shares(
        &self,
        view: &Snapshot,
        state: &State,
        report: &mut ReplayReport,
    ) -> Result<(), AppError> {
        const TABLE: &str = "mark_share";
        let mut stored: BTreeMap<String, (MarkShare, bool)> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = view.mark_shares(after.as_deref()).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key_use.clone());
            stored.extend(page.into_iter().map(|share| (share.key_use.clone(), (share, false))));
        }
        for (id, order) in &state.orders {
            let each = order.value.all_mark_keys();
            let each = each.flat_map(|keys| committed_keys(&order.value, keys).map(|committed| (keys, committed)));
            for (keys, (key_use, commitment)) in each {
                let name = key_use.name(keys.commitments.profile);
                report.mark_keys += 1;
                let Some((share, is_committed)) = stored.get_mut(&name) else {
                    report.add(TABLE, &name, format!("the journal commits to a key of {id} and the row is missing"));
                    continue;
                };
                *is_committed = true;
                if !self.opens(share, &key_use, keys.commitments.profile, &commitment) {
                    report.add(TABLE, &name, format!("the share does not open what the journal commits to for {id}"));
                }
            }
        }
        for (name, (_, is_committed)) in &stored {
            if !is_committed {
                report.add(TABLE, name, "the journal commits to no such key");
            }
        }
        Ok(())
    }
}
