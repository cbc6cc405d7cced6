//! The laws of the house, one file per subject. Each test collects every violation and says why the law is there.

mod arrows;
mod documents;
mod files;
mod golden;
mod manifests;
mod purity;
