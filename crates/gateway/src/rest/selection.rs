//! Columns, filters and order of an address as a statement over the product's table.
//!
//! ```text
//! columns=a,b              which columns; all when not given
//! filter=a:ge:5            a condition; all that are given must hold
//! sort=-a,b                by a falling, then by b; missing values last
//! ```
//!
//! `columns=a&columns=b` is the same as `columns=a,b`, and so it is with `sort`.
//!
//! Operators: `eq ne lt le gt ge`, `in` with values separated by commas, `null` and `notnull` without a value. Names must be
//! granted columns and values of their types, so the statement is made of nothing but known names and typed constants; it
//! then goes the way of every other statement.

use lingqu_domain::predicate::Literal;
use lingqu_engine::lookup::LookupError;
use lingqu_engine::{ColumnType, ColumnView};

use crate::error::GatewayError;
use crate::value;

/// Most conditions of an address.
const FILTERS_MAX: usize = 64;

/// A checked selection.
#[derive(Debug)]
pub(super) struct Selection {
    table: String,
    columns: String,
    conditions: Vec<String>,
    sort: Vec<String>,
}

/// A part of the rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    /// Rows before it.
    pub(super) offset: u64,
    /// Rows in it, at most.
    pub(super) limit: u64,
}

impl Selection {
    /// Reads `columns`, `filter` and `sort`. `granted` are the columns as the mode shows them, `key` the names of the
    /// product's key.
    pub(super) fn read(
        table: &str,
        granted: &[ColumnView],
        key: &[&str],
        parameters: &[(String, String)],
    ) -> Result<Selection, GatewayError> {
        let mut columns = Vec::new();
        let mut conditions = Vec::new();
        let mut sort = Vec::new();
        for (name, text) in parameters {
            match name.as_str() {
                "columns" => {
                    for name in text.split(',') {
                        columns.push(quoted(column_of(granted, name)?));
                    }
                }
                "filter" if conditions.len() == FILTERS_MAX => {
                    return Err(GatewayError::malformed(
                        format!("筛选条件不得超过 {FILTERS_MAX} 个"),
                        format!("at most {FILTERS_MAX} filters can be given"),
                    ));
                }
                "filter" => conditions.push(condition(granted, text)?),
                "sort" => {
                    for name in text.split(',') {
                        let (name, direction) = match name.strip_prefix('-') {
                            Some(name) => (name, "DESC"),
                            None => (name, "ASC"),
                        };
                        sort.push(format!("{} {direction} NULLS LAST", quoted(column_of(granted, name)?)));
                    }
                }
                _ => {}
            }
        }
        if columns.is_empty() {
            columns.extend(granted.iter().map(quoted));
        }
        let mut selection = Selection { table: table.to_owned(), columns: columns.join(", "), conditions, sort };
        if !selection.sort.is_empty() {
            // Rows that are equal by what was asked for stand in the order of the key, as far as it is granted.
            selection.sort_by_key(granted, key);
        }
        Ok(selection)
    }

    /// Sorts by the granted parts of the key after everything else, once.
    pub(super) fn sort_by_key(&mut self, granted: &[ColumnView], key: &[&str]) {
        for name in key {
            if let Ok(column) = column_of(granted, name) {
                let part = format!("{} ASC", quoted(column));
                if !self.sort.contains(&part) {
                    self.sort.push(part);
                }
            }
        }
    }

    /// The statement for all rows or a slice of them.
    pub(super) fn sql(&self, slice: Option<Slice>) -> String {
        let mut sql = format!("SELECT {} FROM \"{}\"", self.columns, self.table);
        if !self.conditions.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&self.conditions.join(" AND "));
        }
        if !self.sort.is_empty() {
            sql.push_str(" ORDER BY ");
            sql.push_str(&self.sort.join(", "));
        }
        if let Some(Slice { offset, limit }) = slice {
            sql.push_str(&format!(" LIMIT {limit} OFFSET {offset}"));
        }
        sql
    }
}

/// Refuses parameters that are not known here. A misspelt filter would otherwise give more than was asked for.
pub(super) fn only(parameters: &[(String, String)], known: &[&str]) -> Result<(), GatewayError> {
    // A list may be given at once or name by name: clients that are generated from the document differ in it.
    let repeatable = ["columns", "filter", "sort"];
    for (at, (name, _)) in parameters.iter().enumerate() {
        let list = known.join(", ");
        if !known.contains(&name.as_str()) {
            return Err(GatewayError::malformed(
                format!("有未知的参数；可用参数：{list}"),
                format!("a parameter is unknown; there are: {list}"),
            ));
        }
        let is_repeated = parameters[..at].iter().any(|(earlier, _)| earlier == name);
        if is_repeated && !repeatable.contains(&name.as_str()) {
            return Err(GatewayError::malformed(
                format!("参数 {name} 重复"),
                format!("parameter `{name}` is given twice; give it once"),
            ));
        }
    }
    Ok(())
}

/// The value of a parameter that is given at most once.
pub(super) fn parameter<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn condition(granted: &[ColumnView], text: &str) -> Result<String, GatewayError> {
    let mut parts = text.splitn(3, ':');
    let column = column_of(granted, parts.next().unwrap_or_default())?;
    let operator = parts.next().unwrap_or_default();
    let name = quoted(column);
    let unknown = || {
        GatewayError::malformed(
            format!(
                "字段 {} 的筛选条件有误；格式为 字段:运算:值，运算为 eq ne lt le gt ge in null notnull",
                column.name
            ),
            format!(
                "the filter of column `{}` has the form column:operator:value with eq ne lt le gt ge in null notnull",
                column.name
            ),
        )
    };
    let sign = match (operator, parts.next()) {
        ("null", None) => return Ok(format!("{name} IS NULL")),
        ("notnull", None) => return Ok(format!("{name} IS NOT NULL")),
        ("in", Some(values)) => {
            let mut list = Vec::new();
            for value in values.split(',') {
                list.push(constant(column, value)?);
            }
            return Ok(format!("{name} IN ({})", list.join(", ")));
        }
        ("eq", Some(value)) => ("=", value),
        ("ne", Some(value)) => ("<>", value),
        ("lt", Some(value)) => ("<", value),
        ("le", Some(value)) => ("<=", value),
        ("gt", Some(value)) => (">", value),
        ("ge", Some(value)) => (">=", value),
        _ => return Err(unknown()),
    };
    Ok(format!("{name} {} {}", sign.0, constant(column, sign.1)?))
}

fn constant(column: &ColumnView, text: &str) -> Result<String, GatewayError> {
    let value = value::from_text(column, text)?;
    let literal = value::to_sql(&value);
    // Said of the constant, never of the column: what is compared is of the column's own type.
    Ok(match (column.column_type, &value) {
        (ColumnType::Date, _) => format!("CAST({literal} AS DATE)"),
        // Written plainly it would be read as a float, which has fewer digits.
        (ColumnType::Decimal { .. }, Literal::Decimal(number)) => {
            let digits = number.mantissa().unsigned_abs().checked_ilog10().unwrap_or(0) + 1;
            format!("CAST('{literal}' AS DECIMAL({},{}))", digits.max(number.scale()), number.scale())
        }
        _ => literal,
    })
}

fn column_of<'a>(granted: &'a [ColumnView], name: &str) -> Result<&'a ColumnView, GatewayError> {
    granted.iter().find(|column| column.name.as_str() == name).ok_or_else(|| {
        let granted = granted.iter().map(|column| column.name.to_string()).collect();
        LookupError::ColumnNotGranted { column: name.chars().take(64).collect(), granted }.into()
    })
}

/// A column's name as SQL. Names are made of `a-z`, `0-9` and `_`, so nothing needs doubling.
fn quoted(column: &ColumnView) -> String {
    format!("\"{}\"", column.name)
}

#[cfg(test)]
mod tests {
    use lingqu_domain::scope::ColumnName;

    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<String, String> {
        let column = |name: &str, column_type| ColumnView { name: ColumnName::new(name).unwrap(), column_type };
        let granted = [
            column("a", ColumnType::Integer),
            column("t", ColumnType::Text),
            column("d", ColumnType::Date),
            column("m", ColumnType::Decimal { precision: 38, scale: 6 }),
        ];
        let parameters: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let slice = Slice { offset: 20, limit: 10 };
        match Selection::read("p", &granted, &["a", "hidden"], &parameters) {
            Ok(selection) => Ok(selection.sql(Some(slice))),
            Err(error) => Err(error.problem().code),
        }
    }

    #[test]
    fn a_selection_becomes_a_statement_of_known_names_and_typed_constants() {
        assert_eq!(read(&[]).unwrap(), "SELECT \"a\", \"t\", \"d\", \"m\" FROM \"p\" LIMIT 10 OFFSET 20");
        assert_eq!(
            read(&[("columns", "t"), ("filter", "a:ge:-5"), ("filter", "t:eq:x':y"), ("sort", "-t")]).unwrap(),
            "SELECT \"t\" FROM \"p\" WHERE \"a\" >= -5 AND \"t\" = 'x'':y' \
             ORDER BY \"t\" DESC NULLS LAST, \"a\" ASC LIMIT 10 OFFSET 20"
        );
        assert_eq!(
            read(&[("columns", "a"), ("filter", "t:in:x,y"), ("filter", "a:null"), ("filter", "d:lt:2013-02-01")])
                .unwrap(),
            "SELECT \"a\" FROM \"p\" WHERE \"t\" IN ('x', 'y') AND \"a\" IS NULL AND \"d\" < CAST('2013-02-01' AS DATE) \
             LIMIT 10 OFFSET 20"
        );
        assert_eq!(
            read(&[("columns", "m"), ("filter", "m:ge:-0.005"), ("filter", "m:in:1234567890123456789.25,0")]).unwrap(),
            "SELECT \"m\" FROM \"p\" WHERE \"m\" >= CAST('-0.005' AS DECIMAL(3,3)) AND \
             \"m\" IN (CAST('1234567890123456789.25' AS DECIMAL(21,2)), CAST('0' AS DECIMAL(1,0))) LIMIT 10 OFFSET 20"
        );
        let name_by_name = [("columns", "t"), ("sort", "-t"), ("columns", "a"), ("sort", "d")];
        assert_eq!(read(&name_by_name).unwrap(), read(&[("columns", "t,a"), ("sort", "-t,d")]).unwrap());
        let given = name_by_name.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert!(only(&given, &["columns", "sort"]).is_ok());
    }

    #[test]
    fn what_is_not_granted_or_not_typed_is_refused() {
        assert_eq!(read(&[("columns", "hidden")]).unwrap_err(), "column_not_granted");
        assert_eq!(read(&[("sort", "a\" --")]).unwrap_err(), "column_not_granted");
        assert_eq!(read(&[("filter", "hidden:null")]).unwrap_err(), "column_not_granted");
        assert_eq!(read(&[("filter", "a:eq:1 OR 1=1")]).unwrap_err(), "invalid");
        assert_eq!(read(&[("filter", "d:eq:yesterday")]).unwrap_err(), "invalid");
        assert_eq!(read(&[("filter", "a:like:1")]).unwrap_err(), "malformed_request");
        assert_eq!(read(&[("filter", "a:null:1")]).unwrap_err(), "malformed_request");
        assert_eq!(read(&[("filter", "a:eq")]).unwrap_err(), "malformed_request");
        let twice = [("limit".to_owned(), "1".to_owned()), ("limit".to_owned(), "2".to_owned())];
        assert!(only(&twice, &["limit"]).is_err());
        assert!(only(&[("filtre".to_owned(), "a:null".to_owned())], &["filter"]).is_err());
    }
}
