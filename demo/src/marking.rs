//! How far times may be off in copies of the flights, and the marks by which a copy names its recipient.
//!
//! The provider declares, the permit narrows, the operator chooses. A delay and the time that follows from it are tied in the
//! data: one bit moves both, so that every row of a copy still adds up.

use lingqu_domain::marking::{MarkDeclaration, MarkLimits, Marking};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::DemoError;

/// What the airports declare in the catalogue: actual times may be off by two minutes.
const DECLARED_MINUTES: u32 = 2;
/// What the permit leaves of it.
const PERMITTED_MINUTES: u32 = 1;
/// How many actual times of a million are moved.
const RATE_PER_MILLION: u32 = 200_000;

/// The provider's declaration, signed with the catalogue entry.
pub fn declared() -> Result<MarkDeclaration, DemoError> {
    read(json!({"credit_data": false, "limits": limits(DECLARED_MINUTES)}))
}

/// What the permit allows.
pub fn permitted() -> Result<MarkLimits, DemoError> {
    read(limits(PERMITTED_MINUTES))
}

/// The operator's choice: two marks, each on a delay and the time tied to it.
pub fn chosen() -> Result<Marking, DemoError> {
    read(json!({
        "profile": "aes-sha256",
        "marks": [mark("departure", "dep_delay", "dep_time"), mark("arrival", "arr_delay", "arr_time")],
    }))
}

fn limits(minutes: u32) -> Value {
    let (delay, time) = (json!({"number": minutes.to_string()}), json!({"minutes": minutes}));
    json!({"tolerances": {"dep_delay": delay, "dep_time": time, "arr_delay": delay, "arr_time": time}})
}

fn mark(name: &str, delay: &str, time: &str) -> Value {
    json!({
        "name": name,
        "rate_per_million": RATE_PER_MILLION,
        "carrier": {"number": {"amplitude": 1, "members": [
            {"column": delay, "encoding": {"lattice": {"step": "1"}}, "coefficient": 1},
            {"column": time, "encoding": "hours_minutes", "coefficient": 1},
        ]}},
    })
}

/// Reads it as it would come over HTTP.
fn read<T: DeserializeOwned>(written: Value) -> Result<T, DemoError> {
    serde_json::from_value(written).map_err(|error| DemoError::Unexpected(format!("the demo's marks: {error}")))
}
