//! Reading a statement's text within bounds. What a consumer writes is read before anything else is known of it, on a thread that
//! can't be taken back, so reading itself must end, soon and with a stack that is left.
//!
//! The parser reads the arguments of a call twice, and a subquery in two pairs of brackets as well: thirty of them within each other
//! are read a thousand million times. Its own limit counts how deep it is, not how often it goes there. So its steps are counted
//! by the dialect that it asks before each operand ([`BoundedPostgres`]). And it builds a chain of operators in a loop, whatever its
//! length, and follows a few words without counting at all: what walks the tree afterwards, and the parser there, use the stack.
//! Those are counted beforehand ([`check`]).

use std::any::TypeId;
use std::cell::Cell;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// Most steps in which one text is read: operands, and lists of columns. A list of 16,000 numbers takes as many, twice as many within a
/// call, and a call that stands in fifteen others some 65,000. All of them take a fraction of a second.
const STEPS_MAX: u32 = 100_000;
/// How deep calls may stand in each other in a text that a parser of another library reads, whose steps can't be counted.
const CALLS_DEEP_MAX: usize = 12;
/// Most times that a text may have words which the parser follows without counting how deep it is.
const UNCOUNTED_MAX: usize = 8;

/// Words that chain expressions or queries as operators do.
const CHAINING_WORDS: [&str; 24] = [
    "and",
    "or",
    "not",
    "is",
    "like",
    "ilike",
    "similar",
    "between",
    "in",
    "at",
    "collate",
    "isnull",
    "notnull",
    "xor",
    "overlaps",
    "operator",
    "regexp",
    "rlike",
    "match",
    "member",
    "div",
    "union",
    "except",
    "intersect",
];

/// What a text has too much of.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// How much it has, such as `300 operators`.
    pub found: String,
    /// How much it may have, and what to write instead.
    pub most: String,
}

/// Refuses a text with more operators than so many, each of which may make its tree one deeper, or with too many words that the parser
/// follows without counting.
///
/// # Errors
/// What it has too much of.
pub fn check<'t>(tokens: impl IntoIterator<Item = &'t Token>, operators_max: usize) -> Result<(), TooMuch> {
    let (mut operators, mut uncounted, mut last) = (0, 0, None);
    for token in tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))) {
        operators += usize::from(is_operator(token));
        uncounted += usize::from(last.is_some_and(|last| is_uncounted(last, token)));
        last = Some(token);
    }
    if uncounted > UNCOUNTED_MAX {
        return Err(TooMuch {
            found: "EXPLAIN, INTERVAL INTERVAL, ARRAY < or TABLE ( many times".to_owned(),
            most: format!("{UNCOUNTED_MAX} of them together"),
        });
    }
    if operators > operators_max {
        return Err(TooMuch {
            found: format!("{operators} operators"),
            most: format!("{operators_max}; use IN for lists"),
        });
    }
    Ok(())
}

/// Refuses a text in which calls stand deeper in each other than a parser that nobody counts the steps of reads soon. Each bracket
/// behind a word may be one, but for that of a subquery.
///
/// # Errors
/// What it has too much of.
pub fn check_calls<'t>(tokens: impl IntoIterator<Item = &'t Token>) -> Result<(), TooMuch> {
    let mut tokens = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).peekable();
    let (mut open, mut is_behind_word, mut deepest) = (Vec::new(), false, 0);
    while let Some(token) = tokens.next() {
        match token {
            Token::LParen => {
                let begins_query = |next: &&Token| ["select", "with", "values"].iter().any(|word| is_word(next, word));
                open.push(is_behind_word && !tokens.peek().is_some_and(begins_query));
                deepest = deepest.max(open.iter().filter(|is_call| **is_call).count());
            }
            Token::RParen => {
                open.pop();
            }
            _ => {}
        }
        is_behind_word = matches!(token, Token::Word(_));
    }
    if deepest > CALLS_DEEP_MAX {
        let most = format!("{CALLS_DEEP_MAX} within each other");
        return Err(TooMuch { found: format!("{deepest} calls within each other"), most });
    }
    Ok(())
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// Whether the parser goes one deeper at a token and the one behind it, past its own limit: into a statement that is explained, and into
/// types within types.
fn is_uncounted(token: &Token, next: &Token) -> bool {
    is_word(token, "explain")
        || (is_word(token, "interval") && is_word(next, "interval"))
        || (is_word(token, "array") && *next == Token::Lt)
        || (is_word(token, "table") && *next == Token::LParen)
}

/// Neither a literal nor a mere name nor what sets them apart.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::SemiColon
        | Token::LParen
        | Token::RParen
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::EOF => false,
        Token::Word(_) => CHAINING_WORDS.iter().any(|word| is_word(token, word)),
        _ => true,
    }
}

/// PostgreSQL's dialect for one text, which ends the reading after 100,000 steps as one that goes too deep.
#[derive(Debug, Default)]
pub struct BoundedPostgres {
    postgres: PostgreSqlDialect,
    steps: Cell<u32>,
}

impl BoundedPostgres {
    /// Whether the reading was ended.
    pub fn is_ended(&self) -> bool {
        self.steps.get() > STEPS_MAX
    }

    fn step(&self) {
        self.steps.set(self.steps.get().saturating_add(1));
    }
}

/// What PostgreSQL's dialect says of itself, said again.
macro_rules! as_postgres {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self $(, $argument: $type)*) -> $answer {
            self.postgres.$name($($argument),*)
        })*
    };
}

impl Dialect for BoundedPostgres {
    fn dialect(&self) -> TypeId {
        self.postgres.dialect()
    }

    fn parse_prefix(&self, _parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        self.step();
        // Of all errors it is the one that no other way of reading is tried after.
        self.is_ended().then_some(Err(ParserError::RecursionLimitExceeded))
    }

    /// Asked once for each list of columns, which without any has no operand. Of a reading that was ended the next operand is its end.
    fn supports_empty_projections(&self) -> bool {
        self.step();
        !self.is_ended() && self.postgres.supports_empty_projections()
    }

    as_postgres! {
        identifier_quote_style(identifier: &str) -> Option<char>;
        is_delimited_identifier_start(first: char) -> bool;
        is_identifier_start(first: char) -> bool;
        is_identifier_part(character: char) -> bool;
        is_reserved_for_identifier(word: Keyword) -> bool;
        is_custom_operator_part(character: char) -> bool;
        get_next_precedence(parser: &Parser<'_>) -> Option<Result<u8, ParserError>>;
        prec_value(precedence: Precedence) -> u8;
        allow_extract_custom() -> bool;
        allow_extract_single_quotes() -> bool;
        supports_alter_column_type_using() -> bool;
        supports_array_typedef_with_brackets() -> bool;
        supports_bitwise_shift_operators() -> bool;
        supports_comma_separated_trim() -> bool;
        supports_comment_on() -> bool;
        supports_comment_optimizer_hint() -> bool;
        supports_create_index_with_clause() -> bool;
        supports_create_table_like_parenthesized() -> bool;
        supports_explain_with_utility_options() -> bool;
        supports_factorial_operator() -> bool;
        supports_filter_during_aggregation() -> bool;
        supports_geometric_types() -> bool;
        supports_group_by_expr() -> bool;
        supports_insert_table_alias() -> bool;
        supports_interval_options() -> bool;
        supports_listen_notify() -> bool;
        supports_load_extension() -> bool;
        supports_named_fn_args_with_colon_operator() -> bool;
        supports_named_fn_args_with_expr_name() -> bool;
        supports_nested_comments() -> bool;
        supports_notnull_operator() -> bool;
        supports_numeric_literal_underscores() -> bool;
        supports_select_wildcard_with_alias() -> bool;
        supports_set_names() -> bool;
        supports_string_escape_constant() -> bool;
        supports_unicode_string_literal() -> bool;
        supports_xml_expressions() -> bool;
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    const DEPTH_MAX: usize = 50;

    /// What a text is read as, or why it isn't, and whether the reading was ended: with the stack of the threads that read statements.
    fn read(sql: &str) -> (Result<String, String>, bool) {
        let reading = || {
            let dialect = BoundedPostgres::default();
            (parsed(&dialect, sql), dialect.is_ended())
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(8 << 20).spawn_scoped(scope, reading);
            thread.unwrap().join().unwrap()
        })
    }

    fn parsed(dialect: &dyn Dialect, sql: &str) -> Result<String, String> {
        let parser = Parser::new(dialect).with_recursion_limit(DEPTH_MAX).try_with_sql(sql);
        let statement = parser.and_then(|mut parser| parser.parse_statement());
        statement.map(|statement| statement.to_string()).map_err(|error| error.to_string())
    }

    fn tokens(sql: &str) -> Vec<Token> {
        Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().unwrap()
    }

    /// Each of these is read in more steps than a computer makes in a day.
    #[test]
    fn what_would_be_read_for_ever_is_ended() {
        let nested = |opening: &str, innermost: &str, closing: &str, levels: usize| {
            format!("SELECT {}{innermost}{}", opening.repeat(levels), closing.repeat(levels))
        };
        for sql in [
            nested("f(", "1", ")", 40),
            nested("then(", "1", ")", 40),
            nested("NOT(", "1 1", ")", 40),
            nested("coalesce(1, ", "1 1", ")", 40),
        ] {
            let (told, is_ended) = read(&sql);
            assert!(is_ended && told.is_err(), "{sql}: {told:?}");
        }
        // Some of these reach the limit of depth first. That they are not read for ever is what counts.
        for (opening, innermost, closing) in [
            ("CAST(f(", "1", ") AS text)"),
            ("* FROM ((SELECT ", "1", ") a) b"),
            ("FROM ((SELECT ", "FROM x", ") a) b"),
            ("* FROM ((((SELECT ", "1", ") a) b) c) d"),
            ("CASE WHEN f(CASE WHEN ", "1", " THEN 1 END) THEN 1 END"),
            ("EXISTS(SELECT f(", "1", "))"),
        ] {
            for levels in [9, 29] {
                let _ = read(&nested(opening, innermost, closing, levels));
            }
        }
        for sql in [nested("f(", "1", ")", 12), nested("* FROM (SELECT ", "1 AS x", ") a", 8)] {
            let (told, is_ended) = read(&sql);
            assert!(!is_ended && told.is_ok(), "{sql}: {told:?}");
        }
        let list = format!("SELECT a FROM t WHERE a IN (1{}) AND f(a + 1, g(b)) > 3", ", 1".repeat(16_000));
        assert!(!read(&list).1, "a long list is nothing deep");
    }

    #[test]
    fn what_is_followed_uncounted_is_refused_before() {
        let chained = |link: &str, count: usize| check(&tokens(&format!("SELECT {} x", link.repeat(count))), 256);
        for link in ["interval ", "INTERVAL /* */ ", "ARRAY<", "table (a ", "EXPLAIN "] {
            assert!(chained(link, 200).is_err(), "{link}");
            assert_eq!(chained(link, 8), Ok(()), "{link}");
        }
        for word in CHAINING_WORDS {
            let told = chained(&format!("{word} "), 300).unwrap_err();
            assert_eq!(told.found, "300 operators", "{word}");
            assert_eq!(chained(&format!("\"{word}\", "), 200), Ok(()), "{word}");
        }
        assert_eq!(chained("interval '1 day', ", 200), Ok(()));
    }

    #[test]
    fn calls_are_counted_by_their_brackets() {
        let told = |sql: &str| check_calls(&tokens(sql)).map_err(|too_much| too_much.found);
        let nested = |opening: &str, levels: usize| {
            format!("SELECT {}1{}", opening.repeat(levels), ")".repeat(levels * opening.matches('(').count()))
        };
        for opening in ["f(", "then (", "NOT /* */ (", "\"f\"(1, ", "1 + f(("] {
            assert_eq!(told(&nested(opening, 12)), Ok(()), "{opening}");
            assert_eq!(told(&nested(opening, 13)), Err("13 calls within each other".to_owned()), "{opening}");
        }
        assert_eq!(told(&nested("(SELECT a FROM t WHERE a IN (SELECT ", 30)), Ok(()));
        assert_eq!(told(&nested("((", 300)), Ok(()));
        assert_eq!(told(&"f(1), ".repeat(300)), Ok(()));
        assert_eq!(told("))) f(1"), Ok(()));
    }

    /// The dialect has methods that this one passes on by name. Where the pinned version's is given another, it belongs in the list.
    #[test]
    fn texts_are_read_as_by_postgres() {
        for sql in [
            "SELECT a::numeric(3, 2)[], b[1], c -> 'x' ->> 'y' FROM t",
            "SELECT sum(a) FILTER (WHERE b), extract('year' FROM c), extract(century FROM c) FROM t GROUP BY ROLLUP (a)",
            "SELECT U&'\\4e2d', E'a\\n', 1_000, a NOTNULL, !!5, 1 << 2, 4 >> 1, a # b FROM t",
            "SELECT f(a => 1, b := 2), trim(both 'x' FROM y), t.* AS u (x) FROM t",
            "SELECT a COLLATE \"C\" || 'x' LIKE 'y' AND NOT b = c OR d ^ 2 > 1 FROM t",
            "SELECT /* /* a */ */ 1 WHERE a ~ 'x' AND b @> c AND d OPERATOR(pg_catalog.~) 'e'",
            "SELECT FROM t",
            "SELECT interval '1' day, interval '1 day', date '2026-01-01', point '1,2', xml '<a/>'",
            "SELECT array[1, 2], (SELECT array(SELECT a FROM t)), $1, $tag$text$tag$ FROM unnest(a) WITH ORDINALITY",
            "EXPLAIN (ANALYZE, FORMAT JSON) SELECT 1",
            "SET NAMES 'utf8'",
            "LISTEN a",
            "LOAD 'x'",
            "COMMENT ON TABLE a IS 'b'",
            "ALTER TABLE a ALTER COLUMN b TYPE int USING b::int",
            "INSERT INTO a AS b (c) VALUES (1)",
            "CREATE TABLE a (LIKE b INCLUDING ALL)",
            "CREATE INDEX a ON b (c) WITH (fillfactor = 70)",
            "SELECT 1 FROM `a`",
            "SELECT a AS select FROM t",
            "SELECT 表.列 FROM 表",
        ] {
            let (told, is_ended) = read(sql);
            assert_eq!((told, is_ended), (parsed(&PostgreSqlDialect {}, sql), false), "{sql}");
        }
    }
}
