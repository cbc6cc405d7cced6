//! The published log as anybody reads it, without a login.

use lingqu_transparency::{TILE_WIDTH, TilePath, decode_bundle};

use crate::DemoError;
use crate::stage::Stage;

/// All entries that a checkpoint of this size has, from their bundles.
pub async fn entries(stage: &Stage, size: u64) -> Result<Vec<Vec<u8>>, DemoError> {
    let unexpected = |error: &dyn std::fmt::Display| DemoError::Unexpected(error.to_string());
    let mut entries = Vec::new();
    for index in 0..size.div_ceil(TILE_WIDTH) {
        let width = u16::try_from((size - index * TILE_WIDTH).min(TILE_WIDTH)).map_err(|error| unexpected(&error))?;
        let path = format!("/log/{}", TilePath::entries(index, width));
        let bundle = stage.send("GET", &path, None, None).await?.answered("a bundle of log entries")?;
        entries.extend(decode_bundle(&bundle.body, width).map_err(|error| unexpected(&error))?);
    }
    Ok(entries)
}
