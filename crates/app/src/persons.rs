//! Whose rows a product's are, where it was drafted before that was asked.

use lingqu_domain::grant::Grant;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_engine::EngineError;

use crate::app::App;
use crate::error::AppError;

impl App {
    /// Refuses to serve a product, where a link above the order asks the consent of persons or counts them, unless its rows are of
    /// the persons it names alone. A product's shape says whether they are; of one that was drafted before that was asked it is
    /// found out here, from its statement. Error: `not_in_force`.
    pub(crate) async fn must_be_by_person(&self, grant: &Grant, details: &ProductDetails) -> Result<(), AppError> {
        if details.shape.by_person || !grant.asks_persons() {
            return Ok(());
        }
        match self.with_shape(details.clone()).await {
            Ok(asked) if asked.shape.by_person => return Ok(()),
            // Of a statement that is not taken today nothing is known.
            Ok(_) | Err(AppError::Engine(EngineError::Refused(_))) => {}
            Err(error) => return Err(error),
        }
        Err(Refusal::new(
            RefusalCode::NotInForce,
            &grant.product,
            format!(
                "{} 的行可能含有未被列为主体的个人的数据，不再提供；请运营机构改写 SQL，使每行只由所列主体本人的数据构成，\
                 另立产品（draft_product）后重新订购",
                grant.product
            ),
            format!(
                "rows of {} may be of persons whom it does not name, so it is served no more: have its operator draft it anew \
                 (draft_product) with SQL by which each row is of the persons it names alone, and order that product",
                grant.product
            ),
        )
        .into())
    }
}
