//! Whether a live table is still what it was when it was last looked at.
//!
//! Conditions are written, and values read, by the types that the columns had then. A department changes its tables when it
//! likes; so each reading looks again, in the state of the database that it reads, and holds the table as it is until it
//! has read it. What changed is told to whoever answers for the table, in the node's log; to a consumer, that it did.

use super::condition::RemoteColumn;
use crate::postgres::Relation;

/// Most changes that one error names.
const CHANGES_MAX: usize = 20;

/// What is another than it was, in words; nothing where a reading would mean the same. Columns that nobody wants may come,
/// go and change.
pub(super) fn changes(columns: &[RemoteColumn], is_utf8: bool, now: &Relation) -> Vec<String> {
    let mut changes = Vec::new();
    for before in columns {
        let name = &before.view.name;
        let Some(column) = now.column(name) else {
            changes.push(format!("column `{name}` is gone"));
            continue;
        };
        if column.wire != Some(before.wire) {
            changes.push(format!("column `{name}` is {} and was {}", column.type_name, before.type_name));
        }
        if column.is_deterministic != before.is_deterministic {
            changes.push(format!("column `{name}` has a collation under which other texts are equal than before"));
        }
        if before.is_required && !column.is_required {
            changes.push(format!("column `{name}` may be empty and could not be before"));
        }
    }
    if now.is_utf8 != is_utf8 {
        changes.push("the database keeps texts in another encoding".to_owned());
    }
    changes.truncate(CHANGES_MAX);
    changes
}

#[cfg(test)]
mod tests {
    use lingqu_domain::scope::ColumnName;

    use super::*;
    use crate::columns::ColumnView;
    use crate::postgres::{RelationColumn, TableAddress, WireType};

    fn remote(name: &str, wire: WireType) -> RemoteColumn {
        RemoteColumn {
            quoted: format!("\"{name}\""),
            wire,
            view: ColumnView { name: ColumnName::new(name).unwrap(), column_type: wire.natural() },
            is_deterministic: true,
            type_name: format!("{wire:?}"),
            is_required: name == "id",
        }
    }

    fn there(name: &str, wire: Option<WireType>) -> RelationColumn {
        RelationColumn {
            remote: name.to_owned(),
            name: ColumnName::new(name).ok(),
            wire,
            type_name: format!("{wire:?}"),
            is_deterministic: true,
            is_required: name == "id",
        }
    }

    fn found(columns: Vec<RelationColumn>) -> Relation {
        let address = TableAddress::new("public", "t").unwrap();
        Relation { address, columns, is_utf8: true, can_be_held: true, is_table: true, rows_estimate: None }
    }

    #[test]
    fn what_would_be_read_otherwise_is_a_change_and_nothing_else_is() {
        let before = [remote("id", WireType::Int4), remote("at", WireType::Date)];
        let same = || vec![there("id", Some(WireType::Int4)), there("at", Some(WireType::Date))];
        let told = |columns: Vec<RelationColumn>| changes(&before, true, &found(columns));
        assert!(told(same()).is_empty());
        // Another order, and a column that nobody wants, of a type that can't be read.
        let mut other = same();
        other.reverse();
        other.push(there("extra", None));
        assert!(told(other).is_empty());
        let mut retyped = same();
        retyped[1] = there("at", Some(WireType::Int4));
        assert_eq!(told(retyped), ["column `at` is Some(Int4) and was Date"]);
        let mut unreadable = same();
        unreadable[1] = there("at", None);
        assert_eq!(told(unreadable).len(), 1);
        assert_eq!(told(same()[..1].to_vec()), ["column `at` is gone"]);
        let mut empty = same();
        empty[0].is_required = false;
        assert!(told(empty)[0].contains("may be empty"));
        let mut folded = same();
        folded[0].is_deterministic = false;
        assert!(told(folded)[0].contains("collation"));
        assert_eq!(changes(&before, false, &found(same())).len(), 1);
    }
}
