//! The lists: two addresses for every kind of entity, a page and one.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::entry::{Entry, ListQuery, Page, one, page};
use crate::problem::{ProblemDocument, Query};
use crate::session::Viewer;
use crate::{Api, Shared};

macro_rules! lists {
    ($($module:ident: $map:ident of $value:ty, $address:literal, $address_one:literal, $list:literal, $get:literal;)*) => {
        $(mod $module {
            use super::*;

            /// A page, newest first.
            #[utoipa::path(get, path = $address, operation_id = $list, tag = "lists", params(ListQuery),
                responses((status = 200, body = Page<$value>), (status = 401, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
            pub(super) async fn list(
                State(api): Shared,
                viewer: Viewer,
                Query(query): Query<ListQuery>,
            ) -> Result<Json<Page<$value>>, ProblemDocument> {
                let now = api.app.now();
                api.app.read(|state| page(state, &state.$map, &query, &viewer, now)).map(Json)
            }

            /// One.
            #[utoipa::path(get, path = $address_one, operation_id = $get, tag = "lists",
                params(("id" = String, Path, description = "its id")),
                responses((status = 200, body = Entry<$value>), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
            pub(super) async fn get(
                State(api): Shared,
                viewer: Viewer,
                Path(id): Path<String>,
            ) -> Result<Json<Entry<$value>>, ProblemDocument> {
                let now = api.app.now();
                api.app.read(|state| one(state, &state.$map, &id, &viewer, now)).map(Json)
            }
        })*

        /// Adds the lists' routes.
        pub(crate) fn add_to(router: OpenApiRouter<Arc<Api>>) -> OpenApiRouter<Arc<Api>> {
            router $(.routes(routes!($module::list)).routes(routes!($module::get)))*
        }
    };
}

lists! {
    party: parties of lingqu_domain::party::Party, "/api/v1/parties", "/api/v1/parties/{id}", "list_parties", "get_party";
    user: users of lingqu_domain::party::User, "/api/v1/users", "/api/v1/users/{id}", "list_users", "get_user";
    resource: resources of lingqu_domain::resource::Resource, "/api/v1/resources", "/api/v1/resources/{id}", "list_resources", "get_resource";
    quality_report: quality_reports of lingqu_domain::quality::QualityReport, "/api/v1/quality-reports", "/api/v1/quality-reports/{id}", "list_quality_reports", "get_quality_report";
    ticket: tickets of lingqu_domain::quality::Ticket, "/api/v1/tickets", "/api/v1/tickets/{id}", "list_tickets", "get_ticket";
    registration: registrations of lingqu_domain::registration::Registration, "/api/v1/registrations", "/api/v1/registrations/{id}", "list_registrations", "get_registration";
    right: rights of lingqu_domain::right::Right, "/api/v1/rights", "/api/v1/rights/{id}", "list_rights", "get_right";
    supply: supplies of lingqu_domain::supply::Supply, "/api/v1/supplies", "/api/v1/supplies/{id}", "list_supplies", "get_supply";
    plan: plans of lingqu_domain::plan::Plan, "/api/v1/plans", "/api/v1/plans/{id}", "list_plans", "get_plan";
    mandate: mandates of lingqu_domain::mandate::Mandate, "/api/v1/mandates", "/api/v1/mandates/{id}", "list_mandates", "get_mandate";
    permit: permits of lingqu_domain::permit::Permit, "/api/v1/permits", "/api/v1/permits/{id}", "list_permits", "get_permit";
    product: products of lingqu_domain::product::Product, "/api/v1/products", "/api/v1/products/{id}", "list_products", "get_product";
    permitted_revenue: permitted_revenues of lingqu_domain::price::PermittedRevenue, "/api/v1/permitted-revenues", "/api/v1/permitted-revenues/{id}", "list_permitted_revenues", "get_permitted_revenue";
    order: orders of lingqu_domain::order::Order, "/api/v1/orders", "/api/v1/orders/{id}", "list_orders", "get_order";
    meter: meters of lingqu_domain::settlement::Meter, "/api/v1/meters", "/api/v1/meters/{id}", "list_meters", "get_meter";
    settlement: settlements of lingqu_domain::settlement::Settlement, "/api/v1/settlements", "/api/v1/settlements/{id}", "list_settlements", "get_settlement";
    trace: traces of lingqu_domain::trace::Trace, "/api/v1/traces", "/api/v1/traces/{id}", "list_traces", "get_trace";
    erasure: erasures of lingqu_domain::erasure::Erasure, "/api/v1/erasures", "/api/v1/erasures/{id}", "list_erasures", "get_erasure";
}
