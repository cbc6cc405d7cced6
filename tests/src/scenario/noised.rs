//! A permit with a privacy budget, and a product whose statistics are given with noise.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::command::Command;
use lingqu_domain::id::{PermitId, SupplyId};
use lingqu_domain::permit::PermitDetails;
use lingqu_domain::predicate::Literal;
use lingqu_domain::privacy::{MeasureBounds, NoiseRules, PrivacyBudget, Rho};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::scope::{Mode, Narrowing, Purpose};
use rust_decimal::Decimal;

use super::{Scenario, Who, column, trips_narrowing};

/// Statistics of trips with noise: dimensions `line` (declared: `L0` to `L4`, `L9`, and `L7`, which no trip has) and `day` (not
/// declared), `delay` from 0 to 119 minutes. A trip is about nobody, so each row stands for itself.
pub const TRIP_NOISED: &str = "trip_noised";

/// Lines that [`TRIP_NOISED`] declares.
pub const NOISED_LINES: [&str; 7] = ["L0", "L1", "L2", "L3", "L4", "L7", "L9"];

impl Scenario {
    /// A node with the product [`TRIP_NOISED`], each answer of which costs `rho` of a permit's `budget`.
    pub async fn open_noised(database_url: Option<String>, trips: usize, budget: &str, rho: &str) -> Scenario {
        Scenario::make(database_url, trips, false, Some((amount(budget), amount(rho))), None).await
    }

    pub(super) async fn offer_noised(&mut self, budget: Rho, rho: Rho) {
        let narrowing = Narrowing { privacy_budget: Some(PrivacyBudget { rho: budget }), ..trips_narrowing() };
        let details = PermitDetails {
            mandate: self.mandate(),
            scenario: "加噪统计场景".to_owned(),
            competent: self.parties[&Who::Competent].clone(),
            purposes: BTreeSet::from([Purpose("service".to_owned())]),
            items: BTreeMap::from([(self.resources["trips"].clone(), narrowing)]),
            justification: "最小必要".to_owned(),
        };
        let apply = Command::ApplyPermit { details: Box::new(details) };
        let permit: PermitId = self.give(&self.clerks[&Who::Operator], apply, "permit.applied").await;
        self.act(&self.chiefs[&Who::Provider], Command::ConfirmPermit { permit: permit.clone() }).await;
        let opinion = Command::GiveOpinion { permit: permit.clone(), agrees: true, text: "同意".to_owned() };
        self.act(&self.chiefs[&Who::Competent], opinion).await;
        self.act(&self.chiefs[&Who::Implementer], Command::ApprovePermit { permit: permit.clone() }).await;

        let modes = Narrowing { modes: Some(BTreeSet::from([Mode::Statistics])), ..Narrowing::default() };
        let lines = NOISED_LINES.iter().map(|line| Literal::Text((*line).to_owned())).collect();
        let details = ProductDetails {
            inputs: BTreeMap::from([(self.resources["trips"].clone(), permit.clone())]),
            dimensions: vec![column("line"), column("day")],
            noise: Some(NoiseRules {
                rho,
                rows_per_subject_max: 1,
                measures: BTreeMap::from([(
                    column("delay"),
                    MeasureBounds {
                        lower: Decimal::ZERO,
                        upper: Decimal::from(119),
                        step: Decimal::ONE,
                        candidates: (0..=11).map(|step| Decimal::from(step * 10)).collect(),
                    },
                )]),
                domains: BTreeMap::from([(column("line"), lines)]),
            }),
            ..self.product_details(TRIP_NOISED, "trips", "SELECT trip_id, line, day, delay FROM trips", modes)
        };
        let registration = self.draft(TRIP_NOISED, details).await;
        self.certify(&[registration]).await;
        self.list(&self.products[TRIP_NOISED]).await;
        self.permits.insert(TRIP_NOISED, permit);
    }

    /// The permit that [`TRIP_NOISED`] stands on.
    pub fn noised_permit(&self) -> &PermitId {
        &self.permits[TRIP_NOISED]
    }

    /// The provider sets the privacy budget of the supply of trips.
    pub async fn set_budget(&self, budget: &str) -> SupplyId {
        let supply = self.app.read(|state| {
            let mut supplies = state.supplies.values();
            let of_trips = supplies.find(|supply| supply.value.resource == self.resources["trips"]);
            of_trips.map(|supply| supply.value.id.clone())
        });
        let supply = supply.expect("trips are supplied");
        let (rho, reason) = (amount(budget), "控制累计披露".to_owned());
        let set = Command::SetPrivacyBudget { supply: supply.clone(), rho, reason };
        self.act(&self.chiefs[&Who::Provider], set).await;
        supply
    }
}

fn amount(text: &str) -> Rho {
    text.parse().expect("an amount of privacy loss")
}
