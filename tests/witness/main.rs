//! Witnesses and watching, over HTTP: a node cosigns others' logs, asks others for cosignatures, and a log that forks, goes back
//! or rewrites is caught, by witnesses and by who watches it, with a proof that needs nobody's word.

mod asked;
mod bundle;
mod cosigned;
mod logged;
mod made;
mod tiers;
mod watched;
