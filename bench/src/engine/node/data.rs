//! The made-up data of the node: a register of vehicles with what was found at their inspections, and a small table of
//! stations. Every value follows from the row's number and the seed.

use std::fmt::Write as _;
use std::path::Path;

use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::prelude::SessionContext;

use crate::Failed;
use crate::manifest::COVERED_OF;

/// What an inspection looks at. As a line of JSON a vehicle has 1.1 kB, so what a grant covers of ten million is 10 GB.
pub const INSPECTION_ITEMS: usize = 33;
/// Rows of the small table.
const STATIONS: u64 = 10_000;
/// The first day on which vehicles were inspected, in days since 1970 (2025-01-01), and how many days they were.
const INSPECTED_FROM: u64 = 20_089;
const INSPECTED_DAYS: u64 = 365;

/// The column of an item, from 0.
pub fn item(number: usize) -> String {
    format!("inspection_item_{:02}_passed", number + 1)
}

/// Writes the vehicles as Parquet. The number plates are unique; of [`COVERED_OF`] vehicles one is of the district that no
/// grant covers.
pub async fn write_vehicles(path: &Path, rows: u64, seed: u64) -> Result<(), Failed> {
    let last_city = COVERED_OF - 1;
    let mut columns = format!(
        "value AS id, 'GX' || lpad(CAST((value * 7919 + {seed}) % 1000000007 AS text), 10, '0') AS plate, \
         'C' || lpad(CAST(value % {COVERED_OF} AS text), 2, '0') AS city, (value * 31 + {seed}) % 400000 AS mileage, \
         arrow_cast(CAST({INSPECTED_FROM} + (value + {seed}) % {INSPECTED_DAYS} AS INT), 'Date32') AS inspected_on"
    );
    debug_assert!(last_city < 100, "a city has two digits");
    for number in 0..INSPECTION_ITEMS {
        // Every twentieth or so fails, another one for each item.
        let step = 2 * number as u64 + 3;
        write!(columns, ", (value * {step} + {seed}) % {} <> 0 AS {}", 19 + number, item(number))?;
    }
    write(path, &columns, rows).await
}

/// Writes the stations as Parquet.
pub async fn write_stations(path: &Path) -> Result<(), Failed> {
    let columns = format!(
        "value AS id, 'Station ' || CAST(value AS text) AS name, \
         'C' || lpad(CAST(value % {COVERED_OF} AS text), 2, '0') AS city"
    );
    write(path, &columns, STATIONS).await
}

async fn write(path: &Path, columns: &str, rows: u64) -> Result<(), Failed> {
    let path = path.to_str().ok_or("the path of a source is not text")?;
    let last = rows.checked_sub(1).ok_or("a table has at least one row")?;
    let sql = format!("SELECT {columns} FROM generate_series(0, {last})");
    let one_file = DataFrameWriteOptions::new().with_single_file_output(true);
    SessionContext::new().sql(&sql).await?.write_parquet(path, one_file, None).await?;
    Ok(())
}
