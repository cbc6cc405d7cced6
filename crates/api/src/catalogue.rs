//! 数据产品超市: what is listed, with price, ceiling and nature. The same items stand on the public catalogue, which needs
//! no login.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use lingqu_domain::chain;
use lingqu_domain::decide::Reader;
use lingqu_domain::id::PartyId;
use lingqu_domain::party::Party;
use lingqu_domain::product::Product;
use lingqu_domain::refusal::RefusalCode;
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::{Mode, Purpose, Term};
use lingqu_domain::state::{Entity, Listed, State as Folded};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Shared;
use crate::entry::limit_of;
use crate::problem::{ProblemDocument, Query};
use crate::session::Viewer;
use crate::visibility::Sight;

/// Items of a page when the request does not say, and at most.
const PAGE_ITEMS: u32 = 60;
const PAGE_ITEMS_MAX: u32 = 200;

/// A party, by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct PartyName {
    /// Its id.
    pub(crate) id: String,
    /// Its name in Chinese.
    pub(crate) name: String,
    /// … in English.
    pub(crate) name_en: String,
}

/// A price or a ceiling: yuan with up to six decimals.
#[derive(Serialize, ToSchema)]
pub(crate) struct UnitPrices {
    /// Per call: a verification, a lookup, a query or a page of rows.
    pub(crate) per_call: String,
    /// Per data set: one file.
    pub(crate) per_data_set: String,
}

/// A product as the market shows it.
#[derive(Serialize, ToSchema)]
pub(crate) struct MarketItem {
    /// Its id.
    pub(crate) product: String,
    /// Its name.
    pub(crate) name: String,
    /// … in English.
    pub(crate) name_en: String,
    /// What it is.
    pub(crate) summary: String,
    /// Table name in SQL, and the name in the data plane's addresses.
    pub(crate) table: String,
    /// Where it stands: listed, delisted and so on.
    pub(crate) state: String,
    /// Who operates it.
    pub(crate) operator: PartyName,
    /// Whose data it is made from.
    pub(crate) providers: Vec<PartyName>,
    /// REAL, or SYNTHETIC when any input is.
    pub(crate) nature: Nature,
    /// By which modes answers leave; empty while the chain is not in force.
    pub(crate) modes: BTreeSet<Mode>,
    /// For which purposes.
    pub(crate) purposes: BTreeSet<Purpose>,
    /// Until when it can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) term: Option<Term>,
    /// The smallest group an answer may describe.
    pub(crate) cohort_floor: u32,
    /// Whether a subject's consent is needed.
    pub(crate) consent_required: bool,
    /// Why it can't be used now, if so: the refusal of the first link that is not in force, in Chinese.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<String>,
    /// … in English.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refusal_en: Option<String>,
    /// What it costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) price: Option<UnitPrices>,
    /// Purposes that are free of charge besides public governance and public interest.
    pub(crate) free_purposes: BTreeSet<Purpose>,
    /// What the price may not exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ceiling: Option<UnitPrices>,
    /// Code of its registration certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
    /// Time of the last change, RFC 3339.
    pub(crate) updated_at: String,
}

/// A page of the market.
#[derive(Serialize, ToSchema)]
pub(crate) struct Market {
    /// The products, newest first.
    items: Vec<MarketItem>,
    /// Where the next page begins; absent after the last item.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Which products are shown.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarketQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// At most so many items: 1 to 200.
    limit: Option<u32>,
}

/// The listed products.
#[utoipa::path(get, path = "/api/v1/market", operation_id = "market", tag = "market", params(MarketQuery),
    responses((status = 200, body = Market), (status = 401, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn market(
    State(api): Shared,
    viewer: Viewer,
    Query(query): Query<MarketQuery>,
) -> Result<Json<Market>, ProblemDocument> {
    let now = api.app.now();
    api.app
        .read(|state| {
            let sight = Sight::new(&viewer, state);
            page(state, &|link| sight.sees(link), &query, now)
        })
        .map(Json)
}

/// The listed products, without login.
#[utoipa::path(get, path = "/public/catalogue", operation_id = "public_catalogue", tag = "public", params(MarketQuery),
    responses((status = 200, body = Market), (status = 422, body = ProblemDocument)))]
pub(crate) async fn public(
    State(api): Shared,
    Query(query): Query<MarketQuery>,
) -> Result<Json<Market>, ProblemDocument> {
    api.app.refresh().await?;
    let now = api.app.now();
    api.app.read(|state| page(state, &|_| false, &query, now)).map(Json)
}

fn page(
    state: &Folded,
    sees: &dyn Fn(&str) -> bool,
    query: &MarketQuery,
    now: jiff::Timestamp,
) -> Result<Market, ProblemDocument> {
    let limit = limit_of(query.limit, PAGE_ITEMS, PAGE_ITEMS_MAX)?;
    let mut items: Vec<MarketItem> = Vec::new();
    let mut next_cursor = None;
    for (id, product) in state.products.iter().rev() {
        let is_before = query.cursor.as_ref().is_none_or(|cursor| id.as_str() < cursor.as_str());
        if !is_before || product.value.state() != "listed" {
            continue;
        }
        if items.len() == limit as usize {
            next_cursor = items.last().map(|item| item.product.clone());
            break;
        }
        items.push(item(state, sees, product, now));
    }
    Ok(Market { items, next_cursor })
}

/// A product as the market shows it, whatever its state, to somebody who may know of the entities that `sees` names.
pub(crate) fn item(
    state: &Folded,
    sees: &dyn Fn(&str) -> bool,
    entity: &Entity<Product>,
    now: jiff::Timestamp,
) -> MarketItem {
    let product = &entity.value;
    let details = &product.details;
    let scope = chain::product_scope(&mut Reader::new(state, now), &product.id);
    let (scope, refusal) = match scope {
        Ok(scope) => (Some(scope), None),
        Err(refusal) if sees(&refusal.subject) => (None, Some((refusal.zh, refusal.en))),
        Err(refusal) => (None, Some(in_general(refusal.code))),
    };
    let (refusal, refusal_en) = refusal.unzip();
    let mut nature = Nature::Real;
    let mut providers: BTreeMap<&PartyId, PartyName> = BTreeMap::new();
    for resource in details.inputs.keys().filter_map(|id| state.resources.get(id)) {
        if resource.value.details.nature == Nature::Synthetic {
            nature = Nature::Synthetic;
        }
        providers
            .entry(&resource.value.provider)
            .or_insert_with(|| party_name(state, resource.value.provider.as_str()));
    }
    MarketItem {
        product: product.id.to_string(),
        name: details.name.clone(),
        name_en: details.name_en.clone(),
        summary: details.summary.clone(),
        table: details.table.to_string(),
        state: product.state().to_owned(),
        operator: party_name(state, product.operator.as_str()),
        providers: providers.into_values().collect(),
        nature,
        modes: scope.as_ref().map(|scope| scope.modes.clone()).unwrap_or_default(),
        purposes: scope.as_ref().map(|scope| scope.purposes.clone()).unwrap_or_default(),
        term: scope.as_ref().map(|scope| scope.term),
        cohort_floor: scope.as_ref().map_or(0, |scope| scope.cohort_floor),
        consent_required: scope.as_ref().is_some_and(|scope| scope.consent_required),
        refusal,
        refusal_en,
        price: product.price.as_ref().map(|price| UnitPrices {
            per_call: price.per_call.yuan().to_string(),
            per_data_set: price.per_data_set.yuan().to_string(),
        }),
        free_purposes: product.price.as_ref().map(|price| price.free_purposes.clone()).unwrap_or_default(),
        ceiling: product.ceiling.as_ref().map(|ceiling| UnitPrices {
            per_call: ceiling.per_call.yuan().to_string(),
            per_data_set: ceiling.per_data_set.yuan().to_string(),
        }),
        certificate: product.certificate.as_ref().map(|certificate| certificate.code.clone()),
        updated_at: entity.updated_at.to_string(),
    }
}

/// Why a product can't be had, for those who may not know of the link that is not in force: the reason that an official gave
/// for it is none of theirs.
fn in_general(code: RefusalCode) -> (String, String) {
    let (zh, en) = match code {
        RefusalCode::GrantSuspended => ("其所依据的授权已中止", "an authorisation that it stands on is suspended"),
        RefusalCode::GrantEnded => ("其所依据的授权已终止", "an authorisation that it stands on has ended"),
        _ => ("其所依据的授权目前未生效", "an authorisation that it stands on is not in force"),
    };
    (zh.to_owned(), en.to_owned())
}

/// A party by name; an id whose party is unknown stands for itself.
pub(crate) fn party_name(state: &Folded, id: &str) -> PartyName {
    let party = id.parse::<PartyId>().ok().and_then(|id| state.parties.get(&id));
    let name = |of: fn(&Party) -> &String| party.map_or(id, |party| of(&party.value)).to_owned();
    PartyName { id: id.to_owned(), name: name(|party| &party.name), name_en: name(|party| &party.name_en) }
}
