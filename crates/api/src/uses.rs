//! The subject's right to know: where a person's data went. A consent agent, before whom the person is, gives him a pass; with it
//! he reads by himself every delivery that had a row of his, and what he or others can check it by.
//!
//! The person is named in the body of one request alone and nowhere else. The pass stands in a header, so that it is in no
//! address that would be logged on its way. No cookie counts here, and so no other site can ask in his name.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use lingqu_app::{AppError, PAGE_USES_MAX, PersonUse, UseRecord};
use lingqu_domain::receipt::RowNaming;
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::Mode;
use lingqu_domain::state::State as Folded;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Shared;
use crate::consent::{IdentityForm, must_be_identity, taken_by};
use crate::entry::limit_of;
use crate::problem::{Body, ProblemDocument, Query};
use crate::session::Changing;

/// Uses of a page when the request does not say, and at most.
const PAGE_USES: u32 = 50;

/// A person's pass.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pass {
    /// What the person sends as `Authorization: Bearer …`.
    pass: String,
    /// When it lapses, RFC 3339.
    expires_at: String,
}

/// Which uses are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsesQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// At most so many: 1 to 100.
    limit: Option<u32>,
}

/// A record of the receipt log by which a use is checked.
#[derive(Serialize, ToSchema)]
pub(crate) struct CheckedRecord {
    /// Its position in the receipt log.
    position: u64,
    /// `opened` (who, why, under which order), `part` (rows of one batch) or `single` (both).
    kind: String,
    /// SHA-256 of its salt and text, as it stands in the log entry, hexadecimal.
    sha256: String,
    /// The same by SM3.
    sm3: String,
    /// Index of the log entry that commits to it; absent before that was done, which takes about a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_entry: Option<u64>,
    /// The place of its pair of digests in that entry, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<u64>,
    /// The salt, 16 bytes, hexadecimal; absent where the record names rows of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    /// The record's canonical text, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// A delivery that had rows of the person.
#[derive(Serialize, ToSchema)]
pub(crate) struct Use {
    /// The receipt.
    receipt: String,
    /// When it began, RFC 3339.
    at: String,
    /// Who received it.
    consumer: String,
    /// His name.
    consumer_name: String,
    /// His name in English.
    consumer_name_en: String,
    /// Under which order.
    order: String,
    /// What was delivered.
    product: String,
    /// Its name.
    product_name: String,
    /// Its name in English.
    product_name_en: String,
    /// The permits that the product stands on.
    permits: Vec<PermitOfUse>,
    /// What for.
    purpose: String,
    /// How.
    mode: Mode,
    /// By which protocol.
    protocol: String,
    /// REAL or SYNTHETIC.
    nature: Nature,
    /// Versions of the snapshots, as `resource@version`.
    snapshots: Vec<String>,
    /// Rows of the person that left the product for the answer.
    rows: u64,
    /// True where the person was counted in a statistic: the answer tells of many at once and of nobody alone.
    counted_in_statistic: bool,
    /// True where the rows are named by digests of their keys, of live data: the person is told by his own key's.
    named_by_key: bool,
    /// Columns of the product that the answer was made of, where that was recorded.
    columns: Vec<String>,
    /// The records that say so.
    records: Vec<CheckedRecord>,
    /// True where there are more of them than are listed.
    more_records: bool,
}

/// A permit that a use stands on.
#[derive(Serialize, ToSchema)]
pub(crate) struct PermitOfUse {
    /// The permit.
    permit: String,
    /// Its scenario's name.
    scenario: String,
}

/// A page of uses.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsesPage {
    /// Newest first.
    items: Vec<Use>,
    /// The proof of each log entry that the records name, as a `c2sp.org/tlog-proof@v1` file, by the entry's index. The entry itself
    /// is in the public log, at `/log/tile/entries/…`. An entry that the published checkpoint does not have yet is absent.
    #[schema(value_type = BTreeMap<String, String>)]
    proofs: BTreeMap<u64, String>,
    /// The same in the twin log over SM3, where the node publishes one.
    #[schema(value_type = BTreeMap<String, String>)]
    twin_proofs: BTreeMap<u64, String>,
    /// Products whose deliveries the node can't tie to persons: they may have had rows of the person, and are not listed.
    not_tied: Vec<String>,
    /// Records from before the node recorded what it takes to tie them to persons.
    not_tied_records: u64,
    /// Where the next page begins; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Gives a person who is before a handler of a consent agent a pass, with which he reads the uses of his data for a quarter of an
/// hour. Nothing is recorded of the person.
#[utoipa::path(post, path = "/api/v1/subjects/passes", operation_id = "give_person_pass", tag = "subjects", request_body = IdentityForm,
    responses((status = 201, body = Pass), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 422, body = ProblemDocument)))]
pub(crate) async fn give_pass(
    State(api): Shared,
    Changing(viewer): Changing,
    Body(form): Body<IdentityForm>,
) -> Result<(StatusCode, Json<Pass>), ProblemDocument> {
    let taken_by = taken_by(&api, &viewer, None)?;
    must_be_identity(&form.identity)?;
    let pass = api.app.issue_person_pass(&taken_by, &form.identity)?;
    Ok((StatusCode::CREATED, Json(Pass { pass: pass.text.to_string(), expires_at: pass.expires_at.to_string() })))
}

/// Every delivery that had a row of the person whose pass is sent: when, to whom, under which order and permits, for what, and how
/// many of his rows; newest first.
#[utoipa::path(get, path = "/api/v1/subjects/me/uses", operation_id = "list_own_uses", tag = "subjects",
    params(UsesQuery, ("Authorization" = String, Header, description = "`Bearer` and the person's pass")),
    responses((status = 200, body = UsesPage), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 422, body = ProblemDocument), (status = 503, body = ProblemDocument)))]
pub(crate) async fn own(
    State(api): Shared,
    headers: HeaderMap,
    Query(query): Query<UsesQuery>,
) -> Result<Json<UsesPage>, ProblemDocument> {
    let pass = bearer(&headers).unwrap_or_default();
    // What the node never gave makes it read no database.
    if let Err(error @ AppError::BadPass) = api.app.person_of_pass(pass) {
        return Err(error.into());
    }
    api.app.refresh().await?;
    let person = api.app.person_of_pass(pass)?;
    let limit = limit_of(query.limit, PAGE_USES, PAGE_USES_MAX as u32)?;
    let before = match &query.cursor {
        None => None,
        Some(text) => Some(text.parse::<u64>().map_err(|_| bad_cursor())?),
    };
    let page = api.app.uses_of(person.identity(), before, limit as usize).await?;
    let items = api.app.read(|state| page.uses.iter().map(|found| shown(state, found)).collect());
    Ok(Json(UsesPage {
        items,
        proofs: page.proofs,
        twin_proofs: page.twin_proofs,
        not_tied: page.not_tied.iter().map(ToString::to_string).collect(),
        not_tied_records: page.untold,
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}

/// A use with the names of those who had part in it.
fn shown(state: &Folded, found: &PersonUse) -> Use {
    let opening = &found.opening;
    let consumer = state.parties.get(&opening.consumer).map(|party| &party.value);
    let product = state.products.get(&opening.product).map(|product| &product.value.details);
    let permits: BTreeSet<_> = product.into_iter().flat_map(|product| product.inputs.values()).collect();
    let permit = |id: &lingqu_domain::id::PermitId| PermitOfUse {
        permit: id.to_string(),
        scenario: state.permits.get(id).map(|permit| permit.value.details.scenario.clone()).unwrap_or_default(),
    };
    let lineage = opening.lineage.iter();
    let columns: BTreeSet<&str> = lineage
        .flat_map(|lineage| lineage.columns.iter().flat_map(|column| &column.from))
        .map(lingqu_domain::scope::ColumnName::as_str)
        .collect();
    Use {
        receipt: found.receipt.to_string(),
        at: found.at.to_string(),
        consumer: opening.consumer.to_string(),
        consumer_name: consumer.map(|party| party.name.clone()).unwrap_or_default(),
        consumer_name_en: consumer.map(|party| party.name_en.clone()).unwrap_or_default(),
        order: opening.order.to_string(),
        product: opening.product.to_string(),
        product_name: product.map(|product| product.name.clone()).unwrap_or_default(),
        product_name_en: product.map(|product| product.name_en.clone()).unwrap_or_default(),
        permits: permits.into_iter().map(permit).collect(),
        purpose: opening.purpose.0.clone(),
        mode: opening.mode,
        protocol: opening.protocol.clone(),
        nature: opening.nature,
        snapshots: opening.snapshots.clone(),
        rows: found.rows,
        counted_in_statistic: opening.mode == Mode::Statistics,
        named_by_key: opening.rows_named_by == RowNaming::KeyDigest,
        columns: columns.into_iter().map(str::to_owned).collect(),
        records: found.records.iter().map(checked).collect(),
        more_records: found.is_cut,
    }
}

fn checked(record: &UseRecord) -> CheckedRecord {
    CheckedRecord {
        position: record.position,
        kind: record.kind.clone(),
        sha256: hex(&record.digests.sha256),
        sm3: hex(&record.digests.sm3),
        log_entry: record.commit.map(|commit| commit.log_entry),
        place: record.commit.map(|commit| commit.place),
        salt: record.told.as_ref().map(|(salt, _)| salt.to_string()),
        text: record.told.as_ref().map(|(_, text)| text.clone()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, byte| text + &format!("{byte:02x}"))
}

/// The pass of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, pass) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| pass.trim())
}

fn bad_cursor() -> ProblemDocument {
    ProblemDocument::invalid("cursor", "cursor 须取自上一页的 next_cursor", "a cursor is the next_cursor of a page")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_pass_is_read_from_its_header_alone() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer lqp_00").as_deref(), Some("lqp_00"));
        assert_eq!(of("bearer  lqp_00 ").as_deref(), Some("lqp_00"));
        assert_eq!(of("Basic lqp_00"), None);
        assert_eq!(of("lqp_00"), None);
    }
}
