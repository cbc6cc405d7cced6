//! Whether products go on keeping what their markings promise. A marking is held against the data when its product is drafted, and
//! the data goes on: a later snapshot may have a smaller distance between values, fewer rows or another dependency. So the promises
//! are held against each new version, and again where the rights allow something else of it. What is broken is told to the operator
//! and holds no delivery back: who ordered the data gets it, and what to agree on is for both sides of the contract.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use lingqu_crypto::sha256;
use lingqu_domain::chain;
use lingqu_domain::decide::Reader;
use lingqu_domain::event::canonical;
use lingqu_domain::id::{ProductId, ResourceId, SnapshotId};
use lingqu_domain::product::{ProductDetails, ProductStage};
use lingqu_domain::refusal::RefusalCode;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::error::AppError;

/// What was found last, in the node's directory.
const FILE: &str = "promises.json";

/// What was found when a product's marking was held against its data last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPromises {
    /// The product.
    pub product: ProductId,
    /// The snapshots of its data.
    pub snapshots: BTreeMap<ResourceId, SnapshotId>,
    /// Names what its permits allowed of them; empty where all of their rows were looked at, as they were before.
    #[serde(default)]
    pub rights: String,
    /// When they were looked at.
    pub at: String,
    /// What can't be shown of them, be it broken or too much to look at; none where all is kept.
    pub broken: Option<BrokenPromise>,
}

/// Why a marking's promises can't be shown of data, as whoever drafts it would be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenPromise {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

/// A product that promises something, with the newest snapshots of its data and the name of what its permits allow of them.
struct Promising {
    product: ProductId,
    details: ProductDetails,
    snapshots: BTreeMap<ResourceId, SnapshotId>,
    rights: String,
}

impl App {
    /// Holds the marking of each product that is or was open to orders against its newest data, unless that was done. What is broken is
    /// logged and kept for [`App::kept_promises`]. Answers how many were looked at; one whose data can't be read is logged and
    /// looked at the next time. Error: what was found can't be read or written; what is damaged is found anew.
    pub async fn check_promises(&self) -> Result<usize, AppError> {
        self.must_be_exclusive()?;
        self.refresh().await?;
        let promising = self.promising();
        let mut known = match self.kept_promises() {
            // It holds nothing that a look does not find again.
            Err(error @ AppError::Damaged { .. }) => {
                tracing::warn!(%error, "what was found of promises is looked at anew");
                Vec::new()
            }
            known => known?,
        };
        known.retain(|known| promising.iter().any(|promising| promising.product == known.product));
        let mut count = 0;
        for Promising { product, details, snapshots, rights } in promising {
            let is_same = |known: &KeptPromises| known.snapshots == snapshots && known.rights == rights;
            if known.iter().any(|known| known.product == product && is_same(known)) {
                continue;
            }
            let broken = match self.bears_marking(&details).await {
                // Of a version without rows nothing is delivered that could break a promise.
                Ok(_) => None,
                Err(AppError::Refused(refusal)) if refusal.code == RefusalCode::Invalid => {
                    Some(BrokenPromise { zh: refusal.zh, en: refusal.en })
                }
                // Rows of another product are looked at; the next look finds them done.
                Err(AppError::TooManySurveys) => break,
                Err(error) => {
                    tracing::error!(%product, %error, "what a product's marking promises could not be held against its data; trying again");
                    continue;
                }
            };
            if let Some(BrokenPromise { en, .. }) = &broken {
                tracing::warn!(%product, problem = en, "what a product's marking promises can't be shown of its newest data; its deliveries go on");
            }
            count += 1;
            known.retain(|known| known.product != product);
            known.push(KeptPromises { product, snapshots, rights, at: self.clock.now().to_string(), broken });
            self.keep_promises(&known)?;
        }
        Ok(count)
    }

    /// What was found of each product when its promises were held against its data last. Error: the file is damaged.
    pub fn kept_promises(&self) -> Result<Vec<KeptPromises>, AppError> {
        let path = self.promises_path();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(AppError::file("read", &path, &error)),
        };
        let hint = "remove it; a serving node looks at its products anew";
        serde_json::from_slice(&bytes).map_err(|_| AppError::Damaged { path, hint })
    }

    fn promises_path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn keep_promises(&self, known: &[KeptPromises]) -> Result<(), AppError> {
        let path = self.promises_path();
        let text = serde_json::to_vec_pretty(known).map_err(|error| AppError::Fault(error.to_string()))?;
        // Under another name first, so that none reads half of it.
        let unfinished = path.with_extension("unfinished");
        let written = std::fs::File::create(&unfinished).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&unfinished, &path)
        });
        written.map_err(|error| AppError::file("write", &path, &error))
    }

    fn promising(&self) -> Vec<Promising> {
        let now = self.clock.now();
        self.read(|state| {
            let products = state.products.values().map(|product| &product.value);
            let is_promising =
                |details: &ProductDetails| details.marking.as_ref().is_some_and(|marking| !marking.marks.is_empty());
            let offered = products.filter(|product| {
                matches!(product.stage, ProductStage::Listed | ProductStage::Delisted { .. })
                    && is_promising(&product.details)
            });
            let promising = offered.filter_map(|product| {
                // Of data that no right allows nothing is delivered that could break a promise.
                let scopes = chain::input_scopes(&mut Reader::new(state, now), &product.details).ok()?;
                let inputs = product.details.inputs.keys().filter_map(|resource| state.resources.get(resource));
                let snapshots = inputs.filter_map(|resource| {
                    Some((resource.value.id.clone(), resource.value.snapshot.as_ref()?.id.clone()))
                });
                Some(Promising {
                    product: product.id.clone(),
                    details: product.details.clone(),
                    snapshots: snapshots.collect(),
                    rights: sha256(canonical(&scopes).as_bytes()).to_string(),
                })
            });
            promising.collect()
        })
    }
}
