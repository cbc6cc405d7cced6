//! Products on the market and the orders for them.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::command::Command;
use lingqu_domain::id::{OrderId, PermitId, PermittedRevenueId, ProductId, RegistrationId, ResourceId};
use lingqu_domain::order::{OrderDetails, Quota};
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::price::{Ceiling, Price};
use lingqu_domain::product::{ProductDetails, ProductShape};
use lingqu_domain::registration::Registrable;
use lingqu_domain::scope::{ColumnName, Mode, Narrowing, Purpose};
use lingqu_ledger::{Fen, UnitPrice};
use rust_decimal::Decimal;

use super::cast::{Cast, Part};
use super::data::{INSPECTION_ITEMS, item};
use super::rights::{PURPOSE, STATIONS, VEHICLES, certify};
use super::tell_every;
use crate::Failed;
use crate::manifest::{COVERED_OF, ServedOrder};

/// One vehicle at a time.
pub const RECORDS: &str = "vehicle_records";
/// What was found at the inspections, as a file.
pub const INSPECTIONS: &str = "vehicle_inspections";
/// More than any measurement uses.
const CALLS: u64 = 1_000_000_000;
const DATA_SETS: u64 = 1_000_000;

/// What is put on the market.
pub struct Offer<'a> {
    /// Who offers.
    pub cast: &'a Cast,
    /// The resources by table.
    pub resources: &'a BTreeMap<&'static str, ResourceId>,
    /// The permit over them.
    pub permit: &'a PermitId,
    /// Whether the number plates of the product of records name its subjects.
    pub has_subjects: bool,
}

struct Draft {
    table: String,
    input: &'static str,
    sql: String,
    /// Whether the grant leaves rows of a district out.
    is_filtered: bool,
}

/// The name of a small product, from 0.
pub fn small_product(number: usize) -> String {
    format!("station_list_{number:05}")
}

impl Offer<'_> {
    /// Drafts, reviews, registers, prices and lists `count` products: the two large ones where there are vehicles, the rest
    /// small. Answers their ids by table name.
    pub async fn products(&self, count: usize) -> Result<BTreeMap<String, ProductId>, Failed> {
        let mut drafts = Vec::with_capacity(count);
        if self.resources.contains_key(VEHICLES) {
            let items: Vec<String> = (0..INSPECTION_ITEMS).map(item).collect();
            let sql = "SELECT id, plate, city, mileage, inspected_on FROM vehicles".to_owned();
            drafts.push(Draft { table: RECORDS.to_owned(), input: VEHICLES, sql, is_filtered: true });
            let sql = format!("SELECT id, city, {} FROM vehicles", items.join(", "));
            drafts.push(Draft { table: INSPECTIONS.to_owned(), input: VEHICLES, sql, is_filtered: true });
        }
        for number in 0..count.saturating_sub(drafts.len()) {
            let sql = "SELECT id, name, city FROM stations".to_owned();
            drafts.push(Draft { table: small_product(number), input: STATIONS, sql, is_filtered: false });
        }
        let (mut products, mut registrations) = (BTreeMap::new(), Vec::new());
        for (done, draft) in drafts.iter().enumerate() {
            tell_every(done, drafts.len(), "products drafted and reviewed");
            let (product, registration) = self.draft(draft).await?;
            products.insert(draft.table.clone(), product);
            registrations.push(registration);
        }
        certify(self.cast, &registrations).await?;
        let permitted_revenue = self.permitted_revenue().await?;
        for (done, product) in products.values().enumerate() {
            tell_every(done, products.len(), "products priced and listed");
            self.list(product, &permitted_revenue).await?;
        }
        Ok(products)
    }

    async fn draft(&self, draft: &Draft) -> Result<(ProductId, RegistrationId), Failed> {
        let mut rows = Vec::new();
        if draft.is_filtered {
            let left_out = Predicate::Compare {
                column: ColumnName::new("city")?,
                comparison: Comparison::Equal,
                value: Literal::Text(format!("C{:02}", COVERED_OF - 1)),
            };
            rows.push(Predicate::Not(Box::new(left_out)));
        }
        let resource = self.resources.get(draft.input).ok_or("a product's input is not there")?;
        let details = ProductDetails {
            name: format!("{}（合成）", draft.table),
            name_en: draft.table.clone(),
            summary: "测量用合成数据产品".to_owned(),
            table: ColumnName::new(draft.table.as_str())?,
            inputs: BTreeMap::from([(resource.clone(), self.permit.clone())]),
            sql: draft.sql.clone(),
            key: vec![ColumnName::new("id")?],
            subject: (self.has_subjects && draft.table == RECORDS).then(|| ColumnName::new("plate")).transpose()?,
            further_subjects: Vec::new(),
            dimensions: Vec::new(),
            noise: None,
            marking: None,
            narrowing: Narrowing {
                rows,
                modes: Some(BTreeSet::from([Mode::Lookup, Mode::Rows, Mode::File])),
                ..Narrowing::default()
            },
            shape: ProductShape::default(),
        };
        let command = Command::DraftProduct { details: Box::new(details) };
        let product: ProductId = self.cast.clerk(Part::Operator, command, "product.drafted").await?;
        let findings = "合成数据，未见问题".to_owned();
        let review = Command::ReviewProductOutput { product: product.clone(), findings };
        self.cast.chief_does(Part::Implementer, review).await?;
        let apply = Command::ApplyRegistration { object: Registrable::Product(product.clone()) };
        let registration = self.cast.clerk(Part::Operator, apply, "registration.applied").await?;
        Ok((product, registration))
    }

    async fn permitted_revenue(&self) -> Result<PermittedRevenueId, Failed> {
        let fix = Command::FixPermittedRevenue {
            operator: self.cast.party(Part::Operator)?,
            term: self.cast.term_days(365),
            cost: Fen(80_000_000),
            profit_rate: Decimal::new(6, 2),
            tax: Fen(6_000_000),
            treasury_yield: Decimal::new(175, 4),
        };
        self.cast.chief(Part::Price, fix, "permitted_revenue.fixed").await
    }

    async fn list(&self, product: &ProductId, permitted_revenue: &PermittedRevenueId) -> Result<(), Failed> {
        let yuan = |decimal: Decimal| UnitPrice::new(decimal);
        let ceiling = Ceiling {
            per_call: yuan(Decimal::ONE)?,
            per_data_set: yuan(Decimal::ONE_THOUSAND)?,
            permitted_revenue: permitted_revenue.clone(),
        };
        let set = Command::SetCeiling { product: product.clone(), ceiling };
        self.cast.chief_does(Part::Implementer, set).await?;
        let price = Price {
            per_call: yuan(Decimal::new(5, 1))?,
            per_data_set: yuan(Decimal::ONE_HUNDRED)?,
            free_purposes: BTreeSet::new(),
        };
        self.cast.chief_does(Part::Operator, Command::SetPrice { product: product.clone(), price }).await?;
        self.cast.chief_does(Part::Operator, Command::ListProduct { product: product.clone() }).await
    }

    /// Places an order, signs its contract on both sides and issues a key.
    pub async fn order(&self, table: &str, product: &ProductId) -> Result<ServedOrder, Failed> {
        let details = OrderDetails {
            product: product.clone(),
            purpose: Purpose(PURPOSE.to_owned()),
            modes: BTreeSet::from([Mode::Lookup, Mode::Rows, Mode::File]),
            term: self.cast.term_days(30),
            quota: Quota { calls: CALLS, data_sets: DATA_SETS, ..Quota::default() },
        };
        let place = Command::PlaceOrder { details: Box::new(details) };
        let order: OrderId = self.cast.clerk(Part::Consumer, place, "order.placed").await?;
        let app = &self.cast.app;
        let terms = app.read(|state| Some(state.orders.get(&order)?.value.contract.terms_digest.clone()));
        let terms_digest = terms.ok_or("an order that was placed is not there")?;
        for party in [Part::Consumer, Part::Operator] {
            let sign = Command::SignContract { order: order.clone(), terms_digest: terms_digest.clone() };
            self.cast.chief_does(party, sign).await?;
        }
        let handler = self.cast.handler(Part::Consumer)?;
        let issued = app.issue_service_key(handler, &order, Default::default()).await?;
        Ok(ServedOrder { product: table.to_owned(), key: issued.key.to_string() })
    }
}
