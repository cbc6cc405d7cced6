//! A mandate, a permit and a product with quotas of their own, which all orders below them use together.

use std::collections::BTreeMap;

use lingqu_domain::id::PermitId;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::scope::{Mode, Narrowing};
use lingqu_domain::shared_quota::SharedQuota;

use super::{Scenario, people_narrowing, trips_narrowing};

/// Verification of trips under the permit with a quota: key `trip_id`, columns `line` and `late`.
pub const TRIP_SHARED: &str = "trip_shared";
/// Lookup and rows of trips under the same permit.
pub const TRIP_SHARED_ROWS: &str = "trip_shared_rows";
/// Verification of people with their consent, under a permit with a quota.
pub const PERSON_SHARED: &str = "person_shared";

impl Scenario {
    /// Adds the three products. `permit` is set by either permit, `product` by the product [`TRIP_SHARED`]. The scenario's clock
    /// must run some weeks behind.
    pub async fn offer_shared(&mut self, permit: SharedQuota, product: SharedQuota) {
        // A trip is about nobody, so nobody could be counted.
        let of_trips = SharedQuota { subjects: None, ..permit.clone() };
        let trips = self.permit_with("trips", trips_narrowing(), of_trips).await;
        let people = self.permit_with("people", people_narrowing(), permit).await;
        let modes = |modes: &[Mode], quota: Option<SharedQuota>| Narrowing {
            modes: Some(modes.iter().copied().collect()),
            quota,
            ..Narrowing::default()
        };
        let check = "SELECT trip_id, line, delay >= 60 AS late FROM trips";
        let rows = "SELECT trip_id, line, day, delay, vehicle, note FROM trips";
        let person = "SELECT id_number, points < 12 AS qualified FROM people";
        let mut drafts: Vec<(&'static str, ProductDetails)> = vec![
            (
                TRIP_SHARED,
                self.product_details(TRIP_SHARED, "trips", check, modes(&[Mode::Verification], Some(product))),
            ),
            (
                TRIP_SHARED_ROWS,
                self.product_details(TRIP_SHARED_ROWS, "trips", rows, modes(&[Mode::Lookup, Mode::Rows], None)),
            ),
        ];
        let id_number = super::column("id_number");
        drafts.push((
            PERSON_SHARED,
            ProductDetails {
                key: vec![id_number.clone()],
                subject: Some(id_number),
                ..self.product_details(PERSON_SHARED, "people", person, modes(&[Mode::Verification], None))
            },
        ));
        let mut registrations = Vec::new();
        for (name, mut details) in drafts {
            let permit = if name == PERSON_SHARED { &people } else { &trips };
            for used in details.inputs.values_mut() {
                used.clone_from(permit);
            }
            registrations.push(self.draft(name, details).await);
        }
        self.certify(&registrations).await;
        // The scenario's own is over by now.
        self.fix_permitted_revenue().await;
        for name in [TRIP_SHARED, TRIP_SHARED_ROWS, PERSON_SHARED] {
            self.list(&self.products[name]).await;
        }
    }

    async fn permit_with(&self, table: &str, narrowing: Narrowing, quota: SharedQuota) -> PermitId {
        let narrowing = Narrowing { quota: Some(quota), ..narrowing };
        self.obtain_permit(&self.mandate(), format!("限额场景 {table}"), table, narrowing).await
    }

    /// A second mandate over the same plan, which sets a quota for trips, and two permits below it that set none: one with the
    /// product [`TRIP_SHARED`], the other with [`TRIP_SHARED_ROWS`]. The scenario's clock must run some weeks behind.
    pub async fn offer_under_mandate(&mut self, quota: SharedQuota) {
        let plan = self.app.read(|state| state.mandates[&self.mandate()].value.details.plan.clone());
        let narrowing = Narrowing { quota: Some(quota), ..Narrowing::default() };
        let items = BTreeMap::from([(self.resources["trips"].clone(), narrowing)]);
        let mandate = self.agree_on_mandate(plan, items, 365).await;
        let check = "SELECT trip_id, line, delay >= 60 AS late FROM trips";
        let rows = "SELECT trip_id, line, day, delay, vehicle, note FROM trips";
        let products: [(&'static str, &str, &[Mode]); 2] =
            [(TRIP_SHARED, check, &[Mode::Verification]), (TRIP_SHARED_ROWS, rows, &[Mode::Lookup])];
        let mut registrations = Vec::new();
        for (name, sql, modes) in products {
            let permit = self.obtain_permit(&mandate, format!("{name} 场景"), "trips", trips_narrowing()).await;
            let modes = Narrowing { modes: Some(modes.iter().copied().collect()), ..Narrowing::default() };
            let mut details = self.product_details(name, "trips", sql, modes);
            details.inputs = BTreeMap::from([(self.resources["trips"].clone(), permit)]);
            registrations.push(self.draft(name, details).await);
        }
        self.certify(&registrations).await;
        // The scenario's own is over by now.
        self.fix_permitted_revenue().await;
        for name in [TRIP_SHARED, TRIP_SHARED_ROWS] {
            self.list(&self.products[name]).await;
        }
    }
}
