//! The data plane as a client sees it, over a real listener, with the receipts as the node keeps them.

mod consent;
mod modes;
mod places;
mod quota;
mod refusals;
mod served;
mod streams;
