//! The control plane over HTTP: signing in, commands, lists of every entity, the journey of an order, the ledger, and
//! the pages that need no login (certificates, the open catalogue, the transparency log); and the embedded console.
//!
//! A request passes through the same stations each time: [`headers`] bounds it, [`session`] says who asks and that a
//! change comes from the console itself, the node catches up with its journal, the handler calls one use case of
//! [`lingqu_app`] or looks at the folded state through [`visibility`], and what goes wrong leaves as a problem document
//! by [`problem`]. The OpenAPI document is made from the same handlers and types, and the console's client from it.
//!
//! Not here: rules (`domain`), SQL (`store`), governed data (`gateway`). A change of anything is a domain command.

mod attempts;
mod catalogue;
mod certificate;
mod choice;
mod command;
mod consent;
mod console;
mod document;
mod entry;
mod headers;
mod inbox;
mod ingestion;
mod journal;
mod ledger;
mod lineage;
mod lists;
mod mark_keys;
mod node;
mod order;
mod pace;
mod problem;
mod product;
mod reach;
mod receipts;
mod resource;
mod session;
mod settlement;
mod table;
mod tiles;
mod user;
mod uses;
mod visibility;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use lingqu_app::App;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use attempts::Attempts;
use pace::Pace;

pub use pace::network_of;
pub use problem::ProblemDocument;

/// Largest body of a request, in bytes; uploads of snapshots have a limit of their own.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a body may take to arrive whole; of an upload, how long each piece may.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// What the binary decides about the control plane.
#[derive(Clone, Debug, Default)]
pub struct ApiSettings {
    /// Whether the session's cookie is sent over TLS alone; true wherever TLS ends before or in the node.
    pub secure_cookies: bool,
    /// Where people reach the node, such as `https://data.example.gov.cn`: what the QR codes of certificates hold. None: the
    /// address that the reader came by.
    pub public_url: Option<String>,
}

/// What every handler can reach.
pub(crate) struct Api {
    pub(crate) app: Arc<App>,
    pub(crate) settings: ApiSettings,
    pub(crate) attempts: Attempts,
    pub(crate) password_pace: Pace,
    pub(crate) witness_pace: Pace,
}

/// The shared state of the routes.
pub(crate) type Shared = axum::extract::State<Arc<Api>>;

/// The control plane, the pages without login, the log and the console. The data plane is merged beside it by the
/// binary; what nobody else answers is the console's.
pub fn router(app: Arc<App>, settings: ApiSettings) -> Router {
    let api = Arc::new(Api {
        app,
        settings,
        attempts: Attempts::default(),
        password_pace: Pace::default(),
        witness_pace: Pace::default(),
    });
    let (control, mut document) = routes().split_for_parts();
    document::complete(&mut document);
    let document = Arc::new(document::text(&document));
    let openapi = move || {
        let text = document.as_str().to_owned();
        async move { ([("content-type", "application/json")], text) }
    };
    control
        .route("/api/v1/openapi.json", get(openapi))
        .route("/api/{*rest}", axum::routing::any(problem::no_such_address))
        .route("/public/certificates/{code}", get(certificate::page))
        .route("/log/{*path}", get(tiles::file))
        .route(
            "/witness/add-checkpoint",
            post(witness::add_checkpoint).layer(DefaultBodyLimit::max(witness::REQUEST_BYTES_MAX)),
        )
        .route("/witness/{origin_hash}/checkpoint", get(witness::checkpoint))
        .fallback(console::file)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(headers::secure))
        .with_state(api)
}

/// The OpenAPI 3.1 document of the control plane.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, mut document) = routes().split_for_parts();
    document::complete(&mut document);
    document
}

/// The document as text: keys in the order they are declared, two spaces, one line break at the end.
pub fn openapi_json() -> String {
    document::text(&openapi())
}

fn routes() -> OpenApiRouter<Arc<Api>> {
    let router = OpenApiRouter::new()
        .routes(routes!(session::sign_in, session::current, session::sign_out))
        .routes(routes!(session::change_password))
        .routes(routes!(command::give))
        .routes(routes!(inbox::inbox))
        .routes(routes!(catalogue::market))
        .routes(routes!(catalogue::public))
        .routes(routes!(product::offer))
        .routes(routes!(order::journey))
        .routes(routes!(order::receipts))
        .routes(routes!(order::privacy))
        .routes(routes!(order::evidence))
        .routes(routes!(order::issue_service_key))
        .routes(routes!(mark_keys::request))
        .routes(routes!(mark_keys::give))
        .routes(routes!(user::add))
        .routes(routes!(resource::import_snapshot, resource::snapshots))
        .routes(routes!(resource::run_quality))
        .routes(routes!(ingestion::begin))
        .routes(routes!(table::begin))
        .routes(routes!(table::declare_live))
        .routes(routes!(ingestion::list))
        .routes(routes!(ingestion::get, ingestion::cancel))
        .routes(routes!(ingestion::rejects))
        .routes(routes!(ledger::ledger))
        .routes(routes!(journal::journal))
        .routes(routes!(lineage::of_product))
        .routes(routes!(lineage::of_order))
        .routes(routes!(lineage::of_receipt))
        .routes(routes!(lineage::downstream))
        .routes(routes!(lineage::deliveries))
        .routes(routes!(lineage::events))
        .routes(routes!(consent::counts))
        .routes(routes!(consent::take))
        .routes(routes!(consent::take_many))
        .routes(routes!(consent::of_person))
        .routes(routes!(consent::withdraw))
        .routes(routes!(consent::narrow))
        .routes(routes!(uses::give_pass))
        .routes(routes!(uses::own))
        .routes(routes!(receipts::query))
        .routes(routes!(node::node))
        .routes(routes!(witness::standing))
        .routes(routes!(certificate::json));
    lists::add_to(router)
}
