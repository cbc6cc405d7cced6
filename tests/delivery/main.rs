//! The data plane as a client sees it, over a real listener, with the receipts as the node keeps them.

mod changes;
mod consent;
mod decoys;
mod differencing;
mod digests;
mod explained;
mod live;
mod marked;
mod marked_by;
mod marked_leak;
mod modes;
mod pieces;
mod places;
mod privacy;
mod queue;
mod quota;
mod refusals;
mod schema;
mod served;
mod settled;
mod shared_quota;
mod sharing;
mod sighted;
mod streams;
mod traced;
mod traced_again;
