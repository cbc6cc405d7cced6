//! Decoys: whether a table's keys leave room for them, and where they lie.

use std::sync::Arc;

use lingqu_domain::grant::Grant;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::refusal::Refusal;
use lingqu_engine::TableFiles;
use lingqu_engine::decoys::{DecoyPlan, Decoyed, Room};
use lingqu_engine::internal::internal_session;
use lingqu_engine::product::Product;

use crate::app::App;
use crate::error::AppError;
use crate::fingerprint::survey::{WAIT_MAX, limits, taken_in, unfit};

/// Names the use of the node's secret.
const SECRET_OF: &str = "lingqu decoys v1";

impl App {
    /// Refuses decoys for a product whose keys leave no room: every key between the least and the greatest is a row's. All rows
    /// are read, twice. Error: `invalid` with how to mend it; another table is looked at for too long.
    pub(crate) async fn must_have_room_for_decoys(&self, details: &ProductDetails) -> Result<(), AppError> {
        if details.marking.as_ref().is_none_or(|marking| marking.decoys_per_million == 0) {
            return Ok(());
        }
        let inputs = self.read(|state| {
            let inputs = details.inputs.keys().filter_map(|resource| state.resources.get(resource));
            inputs.map(|resource| resource.value.details.table.to_string()).collect::<Vec<_>>()
        });
        let tables = self.tables_with_snapshots(|resource| details.inputs.contains_key(&resource.id)).await?;
        let mut named: Vec<(&str, Arc<TableFiles>)> = Vec::new();
        for input in &inputs {
            let Some((name, files)) = tables.get_key_value(input) else { return Ok(()) };
            named.push((name, Arc::clone(files)));
        }
        let turn = self.surveys.turn(WAIT_MAX).await?;
        let session = internal_session(&self.engine, &named, limits())?;
        let mut room = Room::new(&details.key);
        let all = format!("SELECT * FROM ({}) AS decoyed", details.sql);
        let first = taken_in(&session, &all, &turn, move |batches| {
            batches.each(|rows| room.add(rows).map_err(unfit))?;
            room.finish().map_err(unfit)
        });
        let Some(mut tried) = first.await? else { return Ok(()) };
        let key: Vec<String> = details.key.iter().map(|column| format!("\"{column}\"")).collect();
        let keys = format!("SELECT {} FROM ({}) AS decoyed", key.join(", "), details.sql);
        let second = taken_in(&session, &keys, &turn, move |batches| {
            batches.each(|rows| tried.add(rows).map_err(unfit))?;
            Ok(tried.leaves_room())
        });
        match second.await? {
            true => Ok(()),
            false => Err(Refusal::invalid(
                "marking",
                "主键的取值已占满，没有可供诱饵行使用的空位：请以别的列作主键，或不设诱饵行",
                "the keys of this product leave no room for rows that do not exist: every value between the least and the greatest is taken; name other columns as its key, or leave the decoys out",
            )
            .into()),
        }
    }

    /// The decoys of the product of a grant, laid now if they never were.
    pub(crate) async fn decoyed(
        &self,
        grant: &Grant,
        inputs: &str,
        product: &Product,
        per_million: u32,
    ) -> Result<Decoyed, AppError> {
        let secret = self.keys.mark_salt.digest(SECRET_OF, grant.product.as_str().as_bytes()).0;
        let plan = DecoyPlan { per_million, secret };
        let version = grant.product.to_string();
        let look = {
            let (products, product) = (self.products.clone(), product.clone());
            let (version, inputs) = (version.clone(), inputs.to_owned());
            move || products.decoyed(&version, &inputs, &product)
        };
        let lay = {
            let (products, product) = (self.products.clone(), product.clone());
            let (version, inputs) = (version.clone(), inputs.to_owned());
            move || products.lay_decoys(&version, &inputs, &product, &plan)
        };
        self.serving.layings.found_or_laid(&version, look, lay).await
    }
}
