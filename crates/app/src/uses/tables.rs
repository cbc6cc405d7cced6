//! The tables that a person is looked for in: products that were made into files, and live ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use lingqu_domain::id::ProductId;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::resource::DataType;
use lingqu_engine::EngineError;
use lingqu_engine::federation::RowNames;
use lingqu_engine::product::{Product, ProductError};
use roaring::RoaringTreemap;

use super::LIVE_TABLES;
use super::found::Hit;
use super::index::blocking_turn;
use super::subject_rows::SubjectRows;
use crate::app::App;
use crate::error::AppError;

/// Files by person that a page makes; for more the background job is waited for.
const MADE_PER_PAGE: usize = 2;
/// Most blanks that a database fills the text of a key up with: those of a `character(255)` and some.
const BLANKS_MAX: usize = 255;

/// The tables of one search.
pub(super) struct PersonTables<'a> {
    app: &'a App,
    identity: &'a str,
    /// The person's rows; none where they can't be told.
    rows: BTreeMap<String, Option<RoaringTreemap>>,
    made: usize,
    not_tied: BTreeSet<ProductId>,
    /// Rows that were held against the product.
    confirmed: BTreeMap<String, RoaringTreemap>,
}

impl<'a> PersonTables<'a> {
    pub(super) fn new(app: &'a App, identity: &'a str) -> Self {
        let (rows, not_tied, confirmed) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { app, identity, rows, made: 0, not_tied, confirmed }
    }

    /// How many tables were looked at.
    pub(super) fn looked_at(&self) -> usize {
        self.rows.len()
    }

    /// The products of which it can't be told whose rows were delivered.
    pub(super) fn not_tied(self) -> BTreeSet<ProductId> {
        self.not_tied
    }

    /// The person's rows in a table; none where that can't be told. Error: `behind` when too much would have to be made first.
    pub(super) fn rows_in(&mut self, table: &str) -> Result<Option<&RoaringTreemap>, AppError> {
        if !self.rows.contains_key(table) {
            let rows = match table.strip_prefix(LIVE_TABLES) {
                Some(product) => self.live_rows(product)?,
                None => self.made_rows(table)?,
            };
            if rows.is_none() {
                let product = table.strip_prefix(LIVE_TABLES).unwrap_or(table).split('/').next();
                self.not_tied.extend(product.and_then(|product| product.parse::<ProductId>().ok()));
            }
            self.rows.insert(table.to_owned(), rows);
        }
        Ok(self.rows.get(table).and_then(Option::as_ref))
    }

    fn made_rows(&mut self, table: &str) -> Result<Option<RoaringTreemap>, AppError> {
        let key = &self.app.keys.identity;
        let path = path_of(self.app, table);
        if let Some(found) = SubjectRows::open(&path)? {
            return found.of(key, self.identity);
        }
        if !is_about_persons(self.app, table) {
            return Ok(Some(RoaringTreemap::new()));
        }
        let Some(product) = product_of(self.app, table)? else { return Ok(None) };
        self.made += 1;
        if self.made > MADE_PER_PAGE {
            return Err(AppError::Behind);
        }
        make(self.app, table, &product)?.of(key, self.identity)
    }

    /// Rows of live data are named by digests of their keys: the person's can be told where he is the whole key.
    fn live_rows(&self, product: &str) -> Result<Option<RoaringTreemap>, AppError> {
        let secret_of = self.app.read(|state| {
            let id = product.parse::<ProductId>().ok()?;
            let details = &state.products.get(&id)?.value.details;
            if details.subject.is_none() && details.further_subjects.is_empty() {
                return Some(None);
            }
            let (resource, column) = person_is_key(details)?;
            let found = &state.resources.get(&resource)?.value.details;
            let data_type = found.columns.iter().find(|found| found.name == column)?.data_type;
            (found.key.as_slice() == [column]).then_some(Some((resource, data_type)))
        });
        Ok(match secret_of {
            None => None,
            Some(None) => Some(RoaringTreemap::new()),
            Some(Some((resource, data_type))) => {
                let secret = self.app.keys.pseudonym.digest("names of live rows", resource.as_str().as_bytes()).0;
                let names = RowNames::new(secret);
                match data_type {
                    DataType::Text => Some(text_names(&names, self.identity)),
                    // Who is no whole number has no row there.
                    DataType::Integer => {
                        Some(whole_number(self.identity).map(|number| names.of_integer(number)).into_iter().collect())
                    }
                    _ => None,
                }
            }
        })
    }

    /// Holds the rows of a delivery that was found against the product: what is not about the person is taken out.
    pub(super) fn confirm(&mut self, hit: &mut Hit) -> Result<(), AppError> {
        if hit.table.starts_with(LIVE_TABLES) {
            return Ok(());
        }
        if !self.confirmed.contains_key(&hit.table) {
            let rows = self.rows.get(&hit.table).and_then(Option::as_ref).cloned().unwrap_or_default();
            let confirmed = match product_of(self.app, &hit.table)? {
                Some(product) => rows_about(&product, &rows, self.identity)?,
                // Its files are gone since; the file by person was made from them.
                None => rows.clone(),
            };
            if confirmed != rows {
                let table = &hit.table;
                tracing::warn!(table, "the file by person names rows that the product does not have of him");
            }
            self.confirmed.insert(hit.table.clone(), confirmed);
        }
        if let Some(confirmed) = self.confirmed.get(&hit.table) {
            hit.rows &= confirmed;
        }
        Ok(())
    }
}

/// The resource and its column that a product's subject is, where the subject is the whole key of a product that takes
/// both as they stand.
fn person_is_key(
    details: &ProductDetails,
) -> Option<(lingqu_domain::id::ResourceId, lingqu_domain::scope::ColumnName)> {
    let subject = details.subject.as_ref()?;
    if !details.further_subjects.is_empty() {
        return None;
    }
    let column = details.shape.columns.iter().find(|column| column.name == *subject && !column.computed)?;
    let mut sources = column.lineage.iter();
    match (sources.next(), sources.next()) {
        (Some(source), None) => Some((source.resource.clone(), source.column.clone())),
        _ => None,
    }
}

/// The names that the rows of a person may have by a text. A column of type `character(n)` comes with blanks up to its length,
/// which the catalogue entry does not tell, and receipts name the row by the text as it came. Whoever consents is compared
/// without them too.
fn text_names(names: &RowNames, identity: &str) -> RoaringTreemap {
    let mut text = identity.trim().to_owned();
    let mut found = RoaringTreemap::from_iter([names.of_text(&text)]);
    for _ in 0..BLANKS_MAX {
        text.push(' ');
        found.insert(names.of_text(&text));
    }
    found
}

/// The number that an identity is; none for what is written otherwise than numbers are (`007`), which is somebody else.
fn whole_number(identity: &str) -> Option<i64> {
    let text = identity.trim();
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

/// The rows among some that a product has of a person.
fn rows_about(product: &Product, rows: &RoaringTreemap, identity: &str) -> Result<RoaringTreemap, AppError> {
    let fault = |error: lingqu_engine::StorageError| AppError::from(EngineError::from(error));
    let mut subjects: Vec<Vec<Option<u32>>> = vec![Vec::new(); product.subject_column_count()];
    product.visit_row_subjects(Some(rows), &mut |place, ordinal| subjects[place].push(ordinal)).map_err(fault)?;
    let ordinals: RoaringTreemap = subjects.iter().flatten().flatten().map(|ordinal| u64::from(*ordinal)).collect();
    let mut waiting = ordinals.iter();
    let mut own = RoaringTreemap::new();
    let mut visit = |name: &str| {
        if let Some(ordinal) = waiting.next()
            && name.trim() == identity.trim()
        {
            own.insert(ordinal);
        }
    };
    product.visit_subjects_of(&ordinals, &mut visit).map_err(fault)?;
    let mut about = RoaringTreemap::new();
    for (number, row) in rows.iter().enumerate() {
        let is_his = |column: &Vec<Option<u32>>| {
            column.get(number).copied().flatten().is_some_and(|ordinal| own.contains(u64::from(ordinal)))
        };
        if subjects.iter().any(is_his) {
            about.insert(row);
        }
    }
    Ok(about)
}

/// Makes the files by person that are missing, for every table of the index whose product is there. Blocking.
pub(super) fn prepare(app: &App) -> Result<(), AppError> {
    let tables: BTreeSet<String> = app.uses.stretches().into_iter().flat_map(|stretch| stretch.tables).collect();
    for table in tables.iter().filter(|table| !table.starts_with(LIVE_TABLES)) {
        if path_of(app, table).exists() || !is_about_persons(app, table) {
            continue;
        }
        if let Some(product) = product_of(app, table)? {
            make(app, table, &product)?;
        }
    }
    Ok(())
}

fn make(app: &App, table: &str, product: &Product) -> Result<SubjectRows, AppError> {
    let folder = app.uses.rows_folder();
    fs::create_dir_all(&folder).map_err(|error| AppError::file("make", &folder, &error))?;
    let path = path_of(app, table);
    // One at a time: two would write the same file, and each takes memory.
    let _turn = blocking_turn(&app.uses);
    match SubjectRows::open(&path)? {
        Some(made) => Ok(made),
        None => SubjectRows::make(&path, product, &app.keys.identity),
    }
}

fn path_of(app: &App, table: &str) -> PathBuf {
    app.uses.rows_folder().join(format!("{}.rows", table.replace('/', "-")))
}

/// Whether the product of a table names its subjects.
fn is_about_persons(app: &App, table: &str) -> bool {
    let product = table.split('/').next().and_then(|product| product.parse::<ProductId>().ok());
    app.read(|state| {
        let details = product.and_then(|product| state.products.get(&product)).map(|product| &product.value.details);
        details.is_some_and(|details| details.subject.is_some() || !details.further_subjects.is_empty())
    })
}

/// The product of a table; none when its files are not here.
fn product_of(app: &App, table: &str) -> Result<Option<Product>, AppError> {
    let Some((product, made_from)) = table.split_once('/') else { return Ok(None) };
    match app.products.get(product, made_from) {
        Ok(product) => Ok(Some(product)),
        Err(ProductError::NotMade { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_found_under_his_text_with_the_blanks_of_a_character_column() {
        let names = RowNames::new([7; 32]);
        let found = text_names(&names, " 450000199001010001 ");
        for width in [0, 18, 19, 20, 64, 18 + BLANKS_MAX] {
            assert!(found.contains(names.of_text(&format!("{:<width$}", "450000199001010001"))), "{width}");
        }
        assert_eq!(found.len(), BLANKS_MAX as u64 + 1);
        for other in ["450000199001010002", "45000019900101000 1", ""] {
            assert!(!found.contains(names.of_text(other)), "{other}");
        }
    }
}
