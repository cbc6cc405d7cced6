//! The two division tables as they are published.

use super::{DataError, read};

/// Level of a statistical division.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// 自治区, two digits.
    Province,
    /// 设区市, four digits.
    City,
    /// 县级, six digits.
    County,
    /// 乡级, nine digits.
    Township,
}

/// A row of the statistical codes of 2023 (统计用区划代码).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticalDivision {
    /// Two, four, six or nine digits, as published.
    pub code: String,
    /// Name.
    pub name: String,
    /// Level.
    pub level: Level,
    /// Code of the division above; none for the region itself.
    pub parent: Option<String>,
}

/// A row of GB/T 2260, with the revisions that have its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NationalDivision {
    /// Six digits.
    pub code: String,
    /// Its newest name.
    pub name: String,
    /// The newest revision that has the code: a year, or a year and month.
    pub revision: String,
    /// The oldest revision that has the code.
    pub first_revision: String,
}

/// The newest revision of GB/T 2260 in the data. A code whose revision is another was abolished after that one.
pub const NEWEST_REVISION: &str = "2014";

impl NationalDivision {
    /// True when the newest revision has the code.
    pub fn is_in_force(&self) -> bool {
        self.revision == NEWEST_REVISION
    }

    /// True for 市辖区, which GB/T 2260 lists under each city to stand for "the districts of the city": a heading that
    /// governs nothing.
    pub fn is_heading(&self) -> bool {
        self.name == "市辖区"
    }
}

/// The statistical divisions of Guangxi, region first, then cities, counties and townships, each in the order of codes.
pub fn statistical_divisions() -> Result<Vec<StatisticalDivision>, DataError> {
    let mut divisions = Vec::new();
    for (line, [code, name, level, parent]) in rows::<4>("divisions_statistical")? {
        let level = match level.as_str() {
            "province" => Level::Province,
            "city" => Level::City,
            "county" => Level::County,
            "township" => Level::Township,
            _ => return Err(bad_row("divisions_statistical", line, "of a known level")),
        };
        let parent = if parent.is_empty() { None } else { Some(parent) };
        divisions.push(StatisticalDivision { code, name, level, parent });
    }
    Ok(divisions)
}

/// The GB/T 2260 divisions of Guangxi of all revisions, in the order of codes.
pub fn national_divisions() -> Result<Vec<NationalDivision>, DataError> {
    let mut divisions = Vec::new();
    for (_, [code, name, revision, first_revision]) in rows::<4>("divisions_gb2260")? {
        divisions.push(NationalDivision { code, name, revision, first_revision });
    }
    Ok(divisions)
}

/// Rows of a table whose values hold no comma, quote or line break, which `make.py` has written and the hash protects;
/// a row of another shape is refused all the same.
fn rows<const WIDTH: usize>(table: &str) -> Result<Vec<(usize, [String; WIDTH])>, DataError> {
    let content = read(table)?;
    let text = String::from_utf8(content).map_err(|_| bad_row(table, 1, "UTF-8"))?;
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate().skip(1) {
        let values: Vec<String> = line.split(',').map(str::to_owned).collect();
        let values: [String; WIDTH] =
            values.try_into().map_err(|_| bad_row(table, index + 1, "of the table's number of columns"))?;
        if line.contains('"') {
            return Err(bad_row(table, index + 1, "free of quotes"));
        }
        rows.push((index + 1, values));
    }
    Ok(rows)
}

fn bad_row(table: &str, line: usize, expected: &'static str) -> DataError {
    DataError::BadRow { file: format!("{table}.csv.zst"), line, expected }
}
