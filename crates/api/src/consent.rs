//! Consents are listed to nobody: whose they are is personal. They are counted, so that supervision sees that the
//! condition is kept.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::problem::ProblemDocument;
use crate::session::Viewer;
use crate::visibility::OVERSIGHT;

/// How many consents there are.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConsentCounts {
    /// Ever given.
    given: u64,
    /// In force now.
    in_force: u64,
    /// Withdrawn by their subjects.
    withdrawn: u64,
}

/// Counts of consents: all of them for oversight, those given to the viewer's own party for everybody else.
#[utoipa::path(get, path = "/api/v1/consents/counts", operation_id = "count_consents", tag = "lists",
    responses((status = 200, body = ConsentCounts), (status = 401, body = ProblemDocument)))]
pub(crate) async fn counts(State(api): Shared, viewer: Viewer) -> Json<ConsentCounts> {
    let now = api.app.now();
    let sees_all = viewer.has_role(&OVERSIGHT);
    let mut counts = ConsentCounts { given: 0, in_force: 0, withdrawn: 0 };
    api.app.read(|state| {
        for consent in state.consents.values().map(|consent| &consent.value) {
            if !sees_all && consent.details.consumer != viewer.session.party {
                continue;
            }
            counts.given += 1;
            if consent.withdrawn_at.is_some() {
                counts.withdrawn += 1;
            } else if consent.details.term.covers(now) {
                counts.in_force += 1;
            }
        }
        for batch in state.consent_batches.values().map(|batch| &batch.value) {
            if !sees_all && batch.details.consumer != viewer.session.party {
                continue;
            }
            counts.given += u64::from(batch.count);
            counts.withdrawn += u64::from(batch.count - batch.standing());
            if batch.details.term.covers(now) {
                counts.in_force += u64::from(batch.standing());
            }
        }
    });
    Json(counts)
}
