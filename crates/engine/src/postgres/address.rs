//! Names: of connections, schemas, tables and columns.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of a name that PostgreSQL keeps; it would cut a longer one off and might so find another table.
const IDENTIFIER_BYTES_MAX: usize = 63;
/// Most characters of a connection's name.
const CONNECTION_NAME_MAX: usize = 63;

/// Why a name can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressUnfit {
    /// Not the name of a connection.
    #[error(
        "`{0}` can't name a connection: use 1 to {CONNECTION_NAME_MAX} lower-case letters, digits, `_` and `-`, beginning with a letter"
    )]
    Connection(String),
    /// Not the name of a schema, table or column.
    #[error(
        "a {what} has a name of 1 to {IDENTIFIER_BYTES_MAX} bytes without NUL; give the name as the database has it"
    )]
    Identifier {
        /// What it was to name.
        what: &'static str,
    },
}

/// The name of a connection in the node's configuration (`[connections.NAME]`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConnectionName(String);

impl ConnectionName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConnectionName {
    type Err = AddressUnfit;

    fn from_str(text: &str) -> Result<Self, AddressUnfit> {
        let fits = text.len() <= CONNECTION_NAME_MAX
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if fits { Ok(Self(text.to_owned())) } else { Err(AddressUnfit::Connection(text.chars().take(80).collect())) }
    }
}

impl TryFrom<String> for ConnectionName {
    type Error = AddressUnfit;

    fn try_from(text: String) -> Result<Self, AddressUnfit> {
        text.parse()
    }
}

impl From<ConnectionName> for String {
    fn from(name: ConnectionName) -> String {
        name.0
    }
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A table or view of a database, by schema and name, exactly as the database has them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawAddress", into = "RawAddress")]
pub struct TableAddress {
    schema: String,
    table: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAddress {
    schema: String,
    table: String,
}

impl TableAddress {
    /// A table by its schema and name. Error: one of them can't be a name.
    pub fn new(schema: &str, table: &str) -> Result<Self, AddressUnfit> {
        must_be_identifier(schema, "schema")?;
        must_be_identifier(table, "table")?;
        Ok(Self { schema: schema.to_owned(), table: table.to_owned() })
    }

    /// The schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The table's name in it.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// As it stands in a statement.
    pub(crate) fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.table))
    }
}

impl TryFrom<RawAddress> for TableAddress {
    type Error = AddressUnfit;

    fn try_from(raw: RawAddress) -> Result<Self, AddressUnfit> {
        TableAddress::new(&raw.schema, &raw.table)
    }
}

impl From<TableAddress> for RawAddress {
    fn from(address: TableAddress) -> RawAddress {
        RawAddress { schema: address.schema, table: address.table }
    }
}

impl fmt::Display for TableAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.quoted())
    }
}

/// Refuses what PostgreSQL can't have as a name.
pub(super) fn must_be_identifier(name: &str, what: &'static str) -> Result<(), AddressUnfit> {
    if name.is_empty() || name.len() > IDENTIFIER_BYTES_MAX || name.contains('\0') {
        return Err(AddressUnfit::Identifier { what });
    }
    Ok(())
}

/// A name as a quoted identifier (PostgreSQL documentation, 4.1.1): between double quotes, each double quote in it
/// doubled. Nothing else has a meaning there, a backslash neither.
pub(crate) fn quoted(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('"');
    for character in name.chars() {
        if character == '"' {
            text.push('"');
        }
        text.push(character);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_name_has_no_way_out() {
        assert_eq!(quoted("a"), "\"a\"");
        assert_eq!(quoted("x\"; DROP TABLE y; --"), "\"x\"\"; DROP TABLE y; --\"");
        assert_eq!(quoted("\\\""), "\"\\\"\"\"");
    }

    #[test]
    fn names_that_would_be_cut_off_or_end_early_are_refused() {
        assert!(TableAddress::new("public", &"t".repeat(64)).is_err());
        assert!(TableAddress::new("public", "").is_err());
        assert!(TableAddress::new("pub\0lic", "t").is_err());
        assert!(TableAddress::new("数据", "人员").is_ok());
        for wrong in ["", "A", "1a", "a b", "a.b", &"a".repeat(64)] {
            assert!(wrong.parse::<ConnectionName>().is_err(), "{wrong}");
        }
        assert!("civil-affairs_2".parse::<ConnectionName>().is_ok());
    }
}
