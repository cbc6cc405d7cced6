//! Decoys: whether a table's keys leave room for them, and where they lie.

use lingqu_domain::grant::Grant;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::refusal::Refusal;
use lingqu_engine::decoys::{DecoyPlan, Decoyed, Room, decoys_among};
use lingqu_engine::product::Product;

use crate::app::App;
use crate::error::AppError;
use crate::fingerprint::survey::{WAIT_MAX, taken_in, unfit};

/// Names the use of the node's secret.
const SECRET_OF: &str = "lingqu decoys v1";

impl App {
    /// Refuses decoys for a product whose rows are so few that none would be laid, or whose keys leave no room: every key between
    /// the least and the greatest is a row's. All rows are read, twice. Error: `invalid` with how to mend it; another table is looked
    /// at for too long.
    pub(crate) async fn must_have_room_for_decoys(&self, details: &ProductDetails) -> Result<(), AppError> {
        let per_million = details.marking.as_ref().map_or(0, |marking| marking.decoys_per_million);
        if per_million == 0 {
            return Ok(());
        }
        let Some(session) = self.rows_of_inputs(details).await? else { return Err(too_few(0, per_million).into()) };
        let turn = self.surveys.turn(WAIT_MAX).await?;
        let mut room = Room::new(&details.key);
        let first = taken_in(&session, &details.sql, &turn, move |batches| {
            let mut count = 0;
            batches.each(|rows| {
                count += rows.num_rows() as u64;
                room.add(rows).map_err(unfit)
            })?;
            Ok((count, room.finish().map_err(unfit)?))
        });
        let (rows, tried) = first.await?;
        if decoys_among(rows, per_million) == 0 {
            return Err(too_few(rows, per_million).into());
        }
        let Some(mut tried) = tried else { return Ok(()) };
        let second = taken_in(&session, &details.sql, &turn, move |batches| {
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

/// Both sides would sign decoys that no copy has.
fn too_few(rows: u64, per_million: u32) -> Refusal {
    Refusal::invalid(
        "marking",
        format!(
            "产品现有 {rows} 行，按每百万 {per_million} 行不足一行诱饵，副本将不含诱饵：请在数据更多时再起草，或不设诱饵行"
        ),
        format!(
            "of {rows} rows, {per_million} for a million come to not one decoy, so no copy would have any: draft the product when its data is here, or leave the decoys out"
        ),
    )
}
