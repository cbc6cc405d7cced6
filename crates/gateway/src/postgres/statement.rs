//! What a client's text asks for: the governed data, the catalogue, or the session itself.
//!
//! The decision is by the tables that the statement names, and it is no guard: the governed session holds the order's table
//! and nothing of the catalogue, the catalogue's context holds no row of anybody. A statement that is sent to the wrong one
//! fails there.

use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use lingqu_engine::allow::reading::{self, BoundedPostgres, TooMuch};
use lingqu_engine::schema_session::INFORMATION_SCHEMA;

use super::command::{self, Command};
use super::refusal::Refused;
use crate::error::GatewayError;

/// Longest text of statements, in bytes. The JDBC driver asks for types with the number of every type that it knows; the governed session
/// takes none of this length.
const TEXT_BYTES_MAX: usize = 48 * 1024;
/// Most words and signs that make a statement's tree deeper. What parses and walks it uses the stack.
const OPERATORS_MAX: usize = 1_024;
/// Most statements of one message of the simple protocol.
const STATEMENTS_MAX: usize = 64;
/// Deepest nesting of parentheses and subqueries.
const DEPTH_MAX: usize = 50;
/// The database and schema under which the order's table is shown.
pub(super) const DATABASE: &str = "lingqu";
pub(super) const SCHEMA: &str = "public";

/// A statement by who answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// Nothing but blanks and comments.
    Empty,
    /// The order's data.
    Governed(String),
    /// What there is and what it is called.
    Catalogue(String),
    /// The session.
    Command(Command),
}

/// Reads one statement, as the extended protocol has it.
pub(super) fn read_one(text: &str, table: &str) -> Result<Statement, Refused> {
    let mut statements = read(text, table)?;
    match statements.len() {
        0 => Ok(Statement::Empty),
        1 => Ok(statements.remove(0)),
        _ => Err(Refused::malformed(
            "42601",
            "预备语句只能含一条语句",
            "a prepared statement is one statement; send several by the simple protocol",
        )),
    }
}

/// Reads the statements of a text in their order.
pub(super) fn read(text: &str, table: &str) -> Result<Vec<Statement>, Refused> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(too_large(format!("{} bytes", text.len()), format!("{TEXT_BYTES_MAX} bytes")));
    }
    let pieces = pieces(text).ok_or_else(|| {
        Refused::malformed(
            "42601",
            "语句中有未结束的引号或无法识别的字符",
            "a quote is not closed, or a character is none of SQL",
        )
    })?;
    reading::check(pieces.iter().map(|piece| &piece.token), OPERATORS_MAX)
        .map_err(|TooMuch { found, most }| too_large(found, most))?;
    let reader = Reader { table, dialect: BoundedPostgres::default() };
    let mut statements = Vec::new();
    for pieces in pieces.split(|piece| piece.token == Token::SemiColon) {
        if pieces.iter().all(Piece::is_blank) {
            continue;
        }
        if statements.len() == STATEMENTS_MAX {
            return Err(too_large(format!("more than {STATEMENTS_MAX} statements"), format!("{STATEMENTS_MAX}")));
        }
        statements.push(read_pieces(pieces, &reader)?);
    }
    Ok(statements)
}

pub(super) fn too_large(found: String, most: String) -> Refused {
    Refused::malformed(
        "54001",
        format!("语句过大（{found}），上限为 {most}"),
        format!("the statement is too large: {found}, at most {most}"),
    )
}

/// What can't be read in so many steps as are allowed.
fn too_deep() -> Refused {
    too_large("calls or subqueries within each other".to_owned(), "as many as are read at once; nest fewer".to_owned())
}

/// A token and the text that it is of. What is sent on is the client's own text, never one that tokens were turned into.
#[derive(Debug)]
pub(super) struct Piece<'t> {
    pub(super) token: Token,
    text: &'t str,
}

impl Piece<'_> {
    /// A blank or comment.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.token, Token::Whitespace(_))
    }
}

/// Takes a text apart. Nothing when it is not made of tokens.
fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().ok()?;
    let mut pieces: Vec<Piece<'_>> = Vec::with_capacity(tokens.len());
    // Tokens are told by line and column, both counted from 1; their texts lie one behind the other.
    let (mut line, mut column, mut begun) = (1, 1, 0);
    let mut characters = text.char_indices();
    let mut ends = Vec::with_capacity(tokens.len());
    for token in &tokens {
        let end = token.span.end;
        let mut at = begun;
        while (line, column) < (end.line, end.column) {
            let (offset, character) = characters.next()?;
            at = offset + character.len_utf8();
            (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        ends.push(at);
        begun = at;
    }
    begun = 0;
    for (token, end) in tokens.into_iter().zip(ends) {
        pieces.push(Piece { token: token.token, text: text.get(begun..end)? });
        begun = end;
    }
    (begun == text.len()).then_some(pieces)
}

/// What reads the statements of one text, all of them in so many steps together.
pub(super) struct Reader<'t> {
    table: &'t str,
    dialect: BoundedPostgres,
}

/// Reads one statement.
fn read_pieces(pieces: &[Piece<'_>], reader: &Reader<'_>) -> Result<Statement, Refused> {
    if let Some(asking) = read_asking(pieces, reader)? {
        return Ok(asking);
    }
    let words: Vec<&Token> = pieces.iter().filter(|piece| !piece.is_blank()).map(|piece| &piece.token).collect();
    Ok(Statement::Command(command::read(&words, pieces, reader)?))
}

/// Reads a statement that asks for data or for what there is; none for any other.
pub(super) fn read_asking(pieces: &[Piece<'_>], reader: &Reader<'_>) -> Result<Option<Statement>, Refused> {
    let first = pieces.iter().find(|piece| !piece.is_blank()).map(|piece| &piece.token);
    match first_word(first.as_slice()).as_str() {
        // A statement in parentheses begins with no word.
        "" | "SELECT" | "WITH" | "VALUES" | "TABLE" => read_query(pieces, reader).map(Some),
        // Of the order's data alone; what it may be of, and with which options, is the governed session's to say.
        "EXPLAIN" => Ok(Some(Statement::Governed(unqualified(pieces, reader.table)))),
        _ => Ok(None),
    }
}

/// The first word in capital letters; empty where there is none.
pub(super) fn first_word(words: &[&Token]) -> String {
    match words.first() {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

fn read_query(pieces: &[Piece<'_>], reader: &Reader<'_>) -> Result<Statement, Refused> {
    let text: String = pieces.iter().map(|piece| piece.text).collect();
    let table = reader.table;
    let governed = || Statement::Governed(unqualified(pieces, table));
    let Some(places) = places(&text, reader) else {
        if reader.dialect.is_ended() {
            return Err(too_deep());
        }
        // What can't be parsed may still be one of the catalogue's own forms.
        let of_catalogue =
            |piece: &Piece<'_>| matches!(&piece.token, Token::Word(word) if is_catalogue_name(&word.value));
        return Ok(if pieces.iter().any(of_catalogue) { Statement::Catalogue(text) } else { governed() });
    };
    match places {
        // The governed session knows no catalogue, and would say that there is none.
        Places { own: true, catalogue: true, .. } => {
            Err(GatewayError::SchemaAskedWithData { table: table.to_owned() }.into())
        }
        Places { own: true, .. } => Ok(governed()),
        Places { catalogue, beside, other, .. } if catalogue || beside || !other => Ok(Statement::Catalogue(text)),
        Places { .. } => Ok(governed()),
    }
}

/// Which tables a statement names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Places {
    /// The order's table.
    own: bool,
    /// A table of the catalogue.
    catalogue: bool,
    /// A function that clients select from beside the catalogue's tables.
    beside: bool,
    /// Any other.
    other: bool,
}

fn places(text: &str, reader: &Reader<'_>) -> Option<Places> {
    let table = reader.table;
    let parser = Parser::new(&reader.dialect).with_recursion_limit(DEPTH_MAX).try_with_sql(text).ok()?;
    let statement = { parser }.parse_statement().ok()?;
    let (references, _) = resolve_table_references(&EngineStatement::Statement(Box::new(statement)), true).ok()?;
    let mut places = Places::default();
    for reference in references {
        let (schema, name) = (reference.schema(), reference.table());
        if name == table && schema.is_none_or(|schema| schema == SCHEMA) {
            places.own = true;
        } else if schema.is_none() && is_beside(name) {
            places.beside = true;
        } else if schema.is_some_and(is_catalogue_name) || (schema.is_none() && is_catalogue_name(name)) {
            places.catalogue = true;
        } else {
            places.other = true;
        }
    }
    Some(places)
}

fn is_catalogue_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("pg_") || name == INFORMATION_SCHEMA || is_beside(&name)
}

fn is_beside(name: &str) -> bool {
    ["generate_series", "unnest"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The statement with `lingqu.public.TABLE` and `public.TABLE` as `TABLE`, the one name that the governed session knows.
fn unqualified(pieces: &[Piece<'_>], table: &str) -> String {
    let mut text = String::new();
    let mut at = 0;
    while at < pieces.len() {
        let qualified = [&[DATABASE, SCHEMA][..], &[SCHEMA][..]];
        let skipped = qualified.iter().find_map(|qualifiers| after(&pieces[at..], qualifiers, table));
        at += skipped.unwrap_or(0);
        text.push_str(pieces[at].text);
        at += 1;
    }
    text
}

/// How many pieces the qualifiers and their points are, when the table's name stands behind them.
fn after(pieces: &[Piece<'_>], qualifiers: &[&str], table: &str) -> Option<usize> {
    let count = qualifiers.len() * 2;
    let has_points = pieces.get(..count)?.iter().skip(1).step_by(2).all(|piece| piece.token == Token::Period);
    let mut names = pieces.iter().step_by(2).zip(qualifiers.iter().copied().chain([table]));
    let is_named = pieces.len() > count && names.all(|(piece, name)| is_name(&piece.token, name));
    (has_points && is_named).then_some(count)
}

/// Whether a token is a name: unquoted in any case, quoted as it is.
pub(super) fn is_name(token: &Token, name: &str) -> bool {
    match token {
        Token::Word(word) if word.quote_style == Some('"') => word.value == name,
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Statement {
        read_one(text, "flights").unwrap()
    }

    fn governed(text: &str) -> Statement {
        Statement::Governed(text.to_owned())
    }

    #[test]
    fn the_orders_table_is_asked_of_the_governed_session() {
        for text in [
            "SELECT * FROM flights",
            "select 'it''s; -- no comment' from Flights f where f.a = $1",
            "WITH t AS (SELECT 1) SELECT * FROM flights, t",
            "(SELECT count(*) FROM flights)",
            // Not the catalogue's to refuse.
            "SELECT * FROM nowhere",
            "SELECT * FROM flights, generate_series(1, 2)",
            "SELEC * FROM flights",
        ] {
            match read_one(text, "flights") {
                Ok(statement) => assert_eq!(statement, governed(text)),
                Err(refused) => assert_eq!((refused.code(), text), ("statement_not_allowed", "SELEC * FROM flights")),
            }
        }
        assert_eq!(one("SELECT * FROM public.flights"), governed("SELECT * FROM flights"));
        assert_eq!(
            one("SELECT public.flights.a FROM \"lingqu\".\"public\".\"flights\""),
            governed("SELECT flights.a FROM \"flights\"")
        );
        assert_eq!(one("SELECT * FROM other.flights"), governed("SELECT * FROM other.flights"));
        assert_eq!(one("explain SELECT a FROM public.flights"), governed("explain SELECT a FROM flights"));
        assert_eq!(one("EXPLAIN (ANALYZE) SELECT 1"), governed("EXPLAIN (ANALYZE) SELECT 1"));
    }

    #[test]
    fn the_catalogue_is_asked_of_its_own_context() {
        for text in [
            "SELECT version()",
            "SELECT 1",
            "SELECT relname FROM pg_catalog.pg_class WHERE relname = 'flights'",
            "SELECT * FROM information_schema.columns",
            "SELECT 'flights'::regclass::oid",
            "SELECT typname FROM pg_type, generate_series(1, 2) i",
        ] {
            assert_eq!(one(text), Statement::Catalogue(text.to_owned()), "{text}");
        }
    }

    /// Neither session could answer it, and each would say that half of it does not exist.
    #[test]
    fn data_and_catalogue_are_asked_apart() {
        for text in [
            "SELECT * FROM flights JOIN pg_catalog.pg_class ON true",
            "SELECT * FROM flights WHERE a IN (SELECT oid FROM pg_class)",
            "SELECT (SELECT count(*) FROM public.flights) FROM INFORMATION_SCHEMA.tables",
        ] {
            assert_eq!(read_one(text, "flights").unwrap_err().code(), "schema_asked_with_data", "{text}");
        }
    }

    #[test]
    fn several_statements_are_read_in_order_and_blanks_are_none() {
        assert_eq!(one(" ; -- nothing\n;"), Statement::Empty);
        let several = read("BEGIN; SELECT ';' FROM flights; COMMIT", "flights").unwrap();
        assert_eq!(several[1], governed(" SELECT ';' FROM flights"));
        assert_eq!(several.len(), 3);
        assert!(read_one("SELECT 1; SELECT 2", "flights").is_err());
        assert!(read(&"SELECT 1;".repeat(65), "flights").is_err());
    }

    #[test]
    fn what_would_be_too_deep_is_refused_before_it_is_parsed() {
        assert!(read(&format!("SELECT 1{}", "+1".repeat(5_000)), "flights").is_err());
        for chained in [" XOR true", " OVERLAPS a", " NOTNULL", " RLIKE 'a'", " COLLATE \"C\"", " MEMBER OF (a)"] {
            let text = format!("SELECT true{} FROM pg_class", chained.repeat(2_000));
            assert!(read(&text, "flights").is_err(), "{chained}");
        }
        assert!(read(&format!("SELECT {}", "x".repeat(TEXT_BYTES_MAX)), "flights").is_err());
        // Past the parser's own limit it is the governed session's to refuse.
        assert!(read(&format!("SELECT {}1{}", "(".repeat(4_000), ")".repeat(4_000)), "flights").is_ok());
        for (opening, closing) in [("f(", ")"), ("then(", ")"), ("NOT(", " 1)")] {
            let calls = format!("SELECT {}1{} FROM pg_class", opening.repeat(40), closing.repeat(40));
            assert!(read(&calls, "flights").is_err(), "{calls}");
        }
        assert!(read("SELECT 'open", "flights").is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in ".{0,200}") {
            let _ = read(&text, "flights");
            let _ = read(&format!("SELECT {text} FROM public.flights"), "flights");
        }

        /// What is sent on is what was written.
        #[test]
        fn texts_are_kept(word in "[a-z灵'\"$ \n\\\\-]{0,20}") {
            let text = format!("SELECT E'{word}', '{word}', \"{word}\" FROM flights");
            if let Ok(Statement::Governed(read)) = read_one(&text, "flights") {
                prop_assert_eq!(read, text);
            }
        }
    }
}
