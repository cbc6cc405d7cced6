//! The control plane as a client sees it, over a real listener: signing in, commands, lists and who sees what, the pages
//! without login.

mod client;
mod commands;
mod consents;
mod ingestions;
mod lineage;
mod lists;
mod mark_keys;
mod privacy;
mod promises;
mod public;
mod quality;
mod receipts;
mod sessions;
mod sight;
mod slow;
mod uses;
