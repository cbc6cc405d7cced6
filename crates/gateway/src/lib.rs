//! The data plane: how an order's data leaves, by whatever protocol.
//!
//! Every request takes one path, [`delivery`], which knows no protocol: a service key is authenticated to one order, the
//! order's grant is met as of the journal's head, quota is reserved, the question is answered by governed tables under
//! limits, and a receipt is durable before the bytes it speaks of leave. [`rest`] is HTTP on that path; [`flight`],
//! [`postgres`] and [`sharing`] are the other protocols. [`encode`] turns answers into bytes, [`value`] turns words of a
//! request into typed constants; `information_schema` is what an order may ask for, as views that every door answers from.
//!
//! Not here: who may have a grant (domain), what a grant lets be seen (engine), SQL against the store, prices. The gateway
//! decides nothing; it carries.

pub mod delivery;
pub mod encode;
pub mod error;
pub mod flight;
mod information_schema;
mod parameters;
pub mod postgres;
mod range;
pub mod rest;
pub mod sharing;
pub mod value;

pub use error::GatewayError;
pub use rest::{router, router_on, router_with};
