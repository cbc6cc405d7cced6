//! Marks: a governed table is the copy of one recipient, by whatever way it is asked, and no question finds a marked cell.

mod copies;
mod decoys;
mod ways;

use std::sync::Arc;

use lingqu_engine::Limits;
use lingqu_engine::decoys::DecoyPlan;
use lingqu_engine::governed::{Governance, GovernedTable};
use lingqu_engine::marks::Marks;
use lingqu_engine::product::{ProductSpec, ProductStore};
use lingqu_engine::session::GovernedSession;
use lingqu_engine::snapshot::Snapshot;
use lingqu_fingerprint::{
    BiasTable, Carrier, Encoding, Mark, MarkKey, Marker, Marking, Member, PositionSecrets, Presence, Profile, RATE_ONE,
    RecipientCode, Step,
};

use crate::data::{Place, equals, governance, name, tenant_a};

/// A tenth of the positions.
const ORDER_SHARE: u16 = 6_554;
/// Far more decoys than a contract can name, so that a small table has some.
const DECOYS_PER_MILLION: u32 = 50_000;

fn key(byte: u8) -> MarkKey {
    MarkKey::from_bytes(Profile::Aes, [byte; 32])
}

pub fn member(column: &str, unscaled: u32, decimals: u8) -> Member {
    let encoding = Encoding::Lattice(Step { unscaled, decimals });
    Member { column: column.to_owned(), encoding, coefficient: 1, domain: None }
}

pub fn number(name: &str, members: Vec<Member>, amplitude: u32) -> Mark {
    let carrier = Carrier::Number { members, amplitude, tolerance: amplitude };
    Mark { name: name.to_owned(), rate: RATE_ONE, by: Vec::new(), carrier }
}

pub fn marking(key: &[&str], marks: Vec<Mark>, presence: Option<Presence>) -> Marking {
    let key = key.iter().map(|column| (*column).to_owned()).collect();
    Marking { key, marks, order_share: ORDER_SHARE, biases: BiasTable::default(), presence }
}

/// The marks of a recipient's order.
pub fn marks(marking: &Marking, recipient: u8, order: u8) -> Arc<Marks> {
    let (recipient, order) = (RecipientCode::new(&key(recipient)), RecipientCode::new(&key(order)));
    let marks = Marks::new(marking.clone(), PositionSecrets::new(&key(1)), recipient, order);
    Arc::new(marks.expect("the marking holds together"))
}

/// The same copy, made at once by the room of fingerprints.
pub fn copied(
    marking: &Marking,
    batch: &arrow::array::RecordBatch,
    recipient: u8,
    order: u8,
) -> arrow::array::RecordBatch {
    let (secrets, recipient) = (PositionSecrets::new(&key(1)), RecipientCode::new(&key(recipient)));
    let marker = Marker::new(marking, &secrets, recipient, RecipientCode::new(&key(order)));
    marker.expect("the marking holds together").mark(batch).expect("it is marked")
}

/// Marks in most columns of `people` that carry any, with a tenth of the rows left out. Divisors stay between 1 and 7, and
/// codes are numbers.
pub fn of_people() -> Marking {
    let sets = (0..200).map(|pair| vec![(2 * pair + 1).to_string(), (2 * pair + 2).to_string()]).collect();
    let code = Carrier::Category { column: "code".to_owned(), sets };
    let divisor = Member { domain: Some((1, 7)), ..member("divisor", 1, 0) };
    let marks = vec![
        number("divisor", vec![divisor], 1),
        number("balance", vec![member("balance", 1, 2)], 3),
        // Rows of one division with one score are marked alike, also where the division is not shown.
        Mark { by: vec!["division".to_owned()], ..number("score", vec![member("score", 5, 1)], 1) },
        Mark { name: "code".to_owned(), rate: RATE_ONE, by: Vec::new(), carrier: code },
    ];
    marking(&["id"], marks, Some(Presence::of_share(0.1)))
}

/// The people of tenant `a` as one recipient has them.
pub fn people_of(
    snapshot: &Snapshot,
    columns: &[(&str, &str)],
    marking: &Marking,
    recipient: u8,
    order: u8,
) -> Arc<GovernedTable> {
    let governed = governance("people", columns, vec![equals("tenant", "a")], None);
    let governed = Governance::with_marks(governed, Some(marks(marking, recipient, order)));
    GovernedTable::new(Arc::clone(&snapshot.files), &governed).expect("a governed table")
}

/// The same of a product over these people whose contract names decoys, many for the tests; and how many there are for all
/// recipients together.
pub async fn with_decoys(
    place: &Place,
    snapshot: &Snapshot,
    columns: &[(&str, &str)],
    recipient: u8,
    order: u8,
) -> (GovernedSession, usize) {
    let names: Vec<&str> = columns.iter().map(|(column, _)| *column).collect();
    let spec = ProductSpec {
        sql: format!("select {} from people", names.join(", ")),
        key: vec![name("id")],
        subject: None,
        further_subjects: Vec::new(),
    };
    let exact: Vec<(&str, &str)> = names.iter().map(|column| (*column, "exact")).collect();
    let input = tenant_a(snapshot, &exact);
    let store = ProductStore::open(&place.directory.path().join("products")).expect("a store");
    let made = store.materialise(&place.engine, "prd_1", "set_1", &spec, &[input], Limits::default()).await;
    let product = made.expect("a product");
    let plan = DecoyPlan { per_million: DECOYS_PER_MILLION, secret: [7; 32] };
    let decoyed = store.lay_decoys("prd_1", "set_1", &product, &plan).expect("decoys");
    let key = |byte| RecipientCode::new(&key(byte));
    let marks = Marks::new(of_people(), PositionSecrets::new(&self::key(1)), key(recipient), key(order));
    let marks = Arc::new(marks.expect("the marking holds together").with_decoys());
    let governed = governance("people", columns, vec![], None).with_marks(Some(marks));
    let table = GovernedTable::new(Arc::clone(&decoyed.files), &governed).expect("a governed table");
    (place.session(&[table]), usize::try_from(decoyed.count()).expect("a count"))
}
