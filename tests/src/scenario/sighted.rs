//! A resource whose columns carry marks of every kind but that of trips: places, moments, spellings, and numbers under the national
//! ciphers. Each has a product of its own, which shows no column that another one marks; one more shows all but the fare as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::SignedDuration;
use lingqu_domain::marking::{
    Carrier, Encoding, Keeps, Mark, MarkDeclaration, MarkLimits, MarkProfile, Marking, Member, MomentBounds, Tolerance,
};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::resource::{DataType, Nature, ResourceDetails};
use lingqu_domain::scope::{Mode, Narrowing};
use rust_decimal::Decimal;

use super::by_line::drawn;
use super::decoyed::DENSE;
use super::marked::DAYS_OF_PUBLICITY_MAX;
use super::{Ordered, Scenario, Who, column, resource_details};

/// Sightings with a place that is eight metres off in each copy.
pub const SIGHTED_PLACE: &str = "sighted_place";
/// Sightings with a moment that is twenty seconds off in each copy.
pub const SIGHTED_AT: &str = "sighted_at";
/// Sightings with the spelling of a street, which each copy has in one of two ways.
pub const SIGHTED_STREET: &str = "sighted_street";
/// Sightings with a fare that is a fen off in each copy, drawn by SM4.
pub const SIGHTED_FARE: &str = "sighted_fare";
/// Sightings as they are, but for the fare.
pub const SIGHTED_EXACT: &str = "sighted_exact";

/// Sightings that there are.
pub const SIGHTINGS: usize = 3_000;

const TABLE: &str = "sightings";
const PRODUCTS: [&str; 5] = [SIGHTED_PLACE, SIGHTED_AT, SIGHTED_STREET, SIGHTED_FARE, SIGHTED_EXACT];
/// Spellings that are taken for each other, by twos.
const STREETS: [&str; 4] = ["人民路", "人民大道", "Minzu Ave", "Minzu Avenue"];
const COLUMNS: [(&str, DataType); 9] = [
    ("sighting_id", DataType::Integer),
    ("vehicle", DataType::Text),
    ("reading", DataType::Integer),
    ("latitude", DataType::Float),
    ("longitude", DataType::Float),
    ("seen_at", DataType::LocalTimestamp),
    ("street", DataType::Text),
    ("fare", DataType::Integer),
    // Wide where the street is one of the second spellings.
    ("width", DataType::Integer),
];

fn sightings_csv() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let mut csv = names.join(",") + "\n";
    for number in 0..SIGHTINGS {
        let of = |salt, below| drawn(number, salt, below);
        let (day, second) = (of(5, 28) + 1, of(6, 86_400));
        let moment = format!("2025-03-{day:02} {:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
        let street = of(7, 4);
        let width = if street % 2 == 1 { 30 + of(9, 10) } else { 12 + of(9, 10) };
        writeln!(
            csv,
            "{number},GX-{:05},{},22.{:06},108.{:06},{moment},{},{},{width}",
            of(1, 400),
            of(2, 1_000_000),
            700_000 + of(3, 200_000),
            200_000 + of(4, 200_000),
            STREETS[street as usize],
            2_000 + of(8, 3_000),
        )
        .expect("writing into memory can't fail");
    }
    csv
}

fn sets() -> BTreeSet<BTreeSet<String>> {
    STREETS.chunks(2).map(|set| set.iter().map(|text| (*text).to_owned()).collect()).collect()
}

/// A few thousand rows that are all marked move means and shares by more than the usual bounds.
fn bounds() -> MomentBounds {
    MomentBounds { mean_per_million: 20_000, deviation_per_million: 20_000, share_per_million: 100_000 }
}

fn declaration() -> MarkDeclaration {
    let tolerances = BTreeMap::from([
        (column("latitude"), Tolerance::Metres(20)),
        (column("longitude"), Tolerance::Metres(20)),
        (column("seen_at"), Tolerance::Seconds(Decimal::from(30))),
        (column("street"), Tolerance::Texts(sets())),
        (column("fare"), Tolerance::Number(Decimal::TWO)),
    ]);
    MarkDeclaration {
        credit_data: false,
        limits: MarkLimits { tolerances, moments: bounds(), ..MarkLimits::default() },
    }
}

fn sightings_details() -> ResourceDetails {
    ResourceDetails { marks: Some(declaration()), ..resource_details(TABLE, &COLUMNS, "sighting_id", Nature::Real) }
}

fn number(name: &str, encoding: Encoding, amplitude: u32) -> Carrier {
    let member = Member { column: column(name), encoding, coefficient: 1, least: None, greatest: None };
    Carrier::Number { members: vec![member], amplitude }
}

/// What a product marks and by which ciphers, and the columns that it shows of it.
fn marked_by(product: &str) -> (Carrier, MarkProfile, &'static str) {
    match product {
        SIGHTED_PLACE => {
            let (latitude, longitude) = (column("latitude"), column("longitude"));
            (Carrier::Place { latitude, longitude, decimals: 6, metres: 8 }, MarkProfile::Aes, "latitude, longitude")
        }
        SIGHTED_AT => (number("seen_at", Encoding::Time { step: Decimal::ONE }, 20), MarkProfile::Aes, "seen_at"),
        SIGHTED_STREET => (Carrier::Category { column: column("street"), sets: sets() }, MarkProfile::Aes, "street"),
        _ => (number("fare", Encoding::Lattice { step: Decimal::ONE }, 1), MarkProfile::Sm4, "fare"),
    }
}

impl Scenario {
    /// A node with the products of sightings, on SQLite.
    pub async fn open_sighted() -> Scenario {
        // The resource and the products are certified one after the other.
        let mut scenario = Scenario::open_behind(DENSE, 2 * DAYS_OF_PUBLICITY_MAX).await;
        scenario.add_resource(TABLE, sightings_details(), sightings_csv(), Narrowing::default()).await;
        scenario.offer_sightings().await;
        let left = scenario.app.clock().advance(SignedDuration::ZERO);
        scenario.app.clock().advance(left);
        scenario
    }

    async fn offer_sightings(&mut self) {
        let mut registrations = Vec::new();
        for product in PRODUCTS {
            let details = self.sighted_details(product);
            registrations.push(self.draft(product, details).await);
        }
        self.certify(&registrations).await;
        // The scenario's own is over by now.
        self.fix_permitted_revenue().await;
        for product in PRODUCTS {
            self.list(&self.products[product]).await;
        }
    }

    /// A product of sightings as its operator drafts it.
    pub fn sighted_details(&self, product: &str) -> ProductDetails {
        let modes = BTreeSet::from([Mode::Rows, Mode::File]);
        let narrowing = Narrowing { modes: Some(modes), ..Narrowing::default() };
        let key = vec![column("sighting_id")];
        if product == SIGHTED_EXACT {
            let sql = format!("SELECT sighting_id, latitude, longitude, seen_at, street, width FROM {TABLE}");
            return ProductDetails { key, ..self.product_details(product, TABLE, &sql, narrowing) };
        }
        let (carrier, profile, columns) = marked_by(product);
        let mark = Mark { name: column("mark"), rate_per_million: 1_000_000, by: BTreeSet::new(), carrier };
        let marking = Marking {
            profile,
            marks: vec![mark],
            omitted_per_million: 0,
            decoys_per_million: 0,
            keeps: Some(Keeps { moments: bounds(), ..Keeps::default() }),
        };
        let sql = format!("SELECT sighting_id, vehicle, reading, {columns} FROM {TABLE}");
        let details = self.product_details(product, TABLE, &sql, narrowing);
        ProductDetails { key, marking: Some(marking), ..details }
    }

    /// Places an order of a product of sightings whose keys the auditor gives its shares of.
    pub async fn order_sighted(&self, consumer: Who, product: &'static str) -> Ordered {
        let order = self.order(consumer, product, &[Mode::Rows, Mode::File], (1_000, 100)).await;
        self.give_key_shares(&order.id).await;
        order
    }
}
