//! The canonical form of a statement: what a receipt holds of the question beside the words in which it was sent.
//!
//! The statement as it was parsed, its parameters written into it, is printed on one line: keywords in capitals, one space
//! between words, no comments, no semicolon, no catalogue and schema before the table; names of columns and tables in
//! quotes, in small letters unless they were quoted, and names of functions in small letters. Two statements of one canonical form are the same
//! question under the same grant. The reverse does not hold: a question can be put in many ways, and nothing is rewritten
//! here that would need to know what it means.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, visit_expressions_mut, visit_relations_mut,
};

/// The canonical form of a statement that was read, its parameters written into it; `is_explained` where its plan was asked
/// for.
pub(crate) fn text(statement: &Statement, is_explained: bool) -> String {
    let Statement::Statement(statement) = statement else { return statement.to_string() };
    let mut statement = statement.clone();
    let walked: ControlFlow<()> = visit_relations_mut(statement.as_mut(), |name| {
        parts(name).for_each(quoted);
        ControlFlow::Continue(())
    });
    debug_assert!(walked.is_continue(), "the visit goes through to its end");
    let walked: ControlFlow<()> = visit_expressions_mut(statement.as_mut(), |expression| {
        match expression {
            Expr::Identifier(name) => quoted(name),
            Expr::CompoundIdentifier(names) => names.iter_mut().for_each(quoted),
            Expr::Function(function) => parts(&mut function.name).for_each(small),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    debug_assert!(walked.is_continue(), "the visit goes through to its end");
    if is_explained { format!("EXPLAIN {statement}") } else { statement.to_string() }
}

fn parts(name: &mut ObjectName) -> impl Iterator<Item = &mut Ident> {
    name.0.iter_mut().filter_map(|part| match part {
        ObjectNamePart::Identifier(name) => Some(name),
        ObjectNamePart::Function(_) => None,
    })
}

/// A name without quotes stands for itself in small letters.
fn quoted(name: &mut Ident) {
    small(name);
    name.quote_style = Some('"');
}

fn small(name: &mut Ident) {
    if name.quote_style.is_none() {
        name.value = name.value.to_lowercase();
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;

    use super::*;

    fn canonical(sql: &str) -> String {
        let parsed = DFParser::parse_sql_with_dialect(sql, &PostgreSqlDialect {}).unwrap().pop_front().unwrap();
        text(&parsed, false)
    }

    #[test]
    fn what_does_not_bear_on_the_question_is_gone() {
        let one = "SELECT \"carrier\", count(*) FROM \"trips\" WHERE \"late\" = true GROUP BY \"carrier\"";
        assert_eq!(canonical(one), one);
        for other in [
            "select carrier, COUNT(*)\n  from trips -- of this year\n where Late = TRUE group by CARRIER;",
            "select /* who */ carrier , count( * ) from \"trips\" where late=true group by \"carrier\"",
        ] {
            assert_eq!(canonical(other), canonical(one), "{other}");
        }
        assert_eq!(canonical(&canonical(one)), canonical(one), "its own canonical form");
    }

    #[test]
    fn what_bears_on_it_stays() {
        let forms = [
            "SELECT carrier FROM trips WHERE note = 'A'",
            "SELECT carrier FROM trips WHERE note = 'a'",
            "SELECT \"Carrier\" FROM trips WHERE note = 'a'",
            "SELECT carrier FROM trips WHERE note <> 'a'",
            "SELECT carrier FROM trips WHERE note = 'a' LIMIT 1",
            "SELECT carrier AS c FROM trips WHERE note = 'a'",
            "SELECT carrier FROM trips WHERE note = 'it''s'",
        ];
        let texts: std::collections::BTreeSet<String> = forms.iter().map(|sql| canonical(sql)).collect();
        assert_eq!(texts.len(), forms.len());
        assert!(texts.contains("SELECT \"carrier\" FROM \"trips\" WHERE \"note\" = 'it''s'"), "{texts:?}");
    }
}
