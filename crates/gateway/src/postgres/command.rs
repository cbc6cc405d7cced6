//! Statements about the session: settings, transactions, cursors. Few have an effect: nothing here can be changed, so there is
//! nothing to commit.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::refusal::Refused;
use super::statement::{self, Piece, Reader, Statement, first_word, is_name};

/// Longest name of a cursor or setting, and longest value of a setting, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// A statement about the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// A setting and its value; none for the one it began with.
    Set {
        name: String,
        value: Option<String>,
    },
    Show(String),
    Begin,
    Commit,
    Rollback,
    /// Back into a transaction that had failed.
    RollbackTo,
    /// `DISCARD ALL`, `DEALLOCATE ALL`: prepared statements are forgotten.
    Forget(&'static str),
    Deallocate(String),
    Declare {
        cursor: String,
        query: Box<Statement>,
    },
    /// So many rows, all where there is no number.
    Fetch {
        cursor: String,
        rows: Option<u32>,
    },
    /// A cursor, or all.
    Close(Option<String>),
    /// Answered with its tag and no effect.
    Ignored(&'static str),
}

/// Reads a command of its words (tokens without blanks). Error: `statement_not_allowed`.
pub(super) fn read(words: &[&Token], pieces: &[Piece<'_>], reader: &Reader<'_>) -> Result<Command, Refused> {
    let rest = words.get(1..).unwrap_or_default();
    let command = match first_word(words).as_str() {
        "SET" => set(rest),
        "RESET" => name_of(rest).map(|name| Command::Set { name: name.to_ascii_lowercase(), value: None }),
        "SHOW" => Some(Command::Show(show(rest))),
        "BEGIN" | "START" => Some(Command::Begin),
        "COMMIT" | "END" => Some(Command::Commit),
        "ROLLBACK" | "ABORT" if rest.iter().any(|word| is_name(word, "to")) => Some(Command::RollbackTo),
        "ROLLBACK" | "ABORT" => Some(Command::Rollback),
        "SAVEPOINT" => Some(Command::Ignored("SAVEPOINT")),
        "RELEASE" => Some(Command::Ignored("RELEASE")),
        "UNLISTEN" => Some(Command::Ignored("UNLISTEN")),
        "DISCARD" if first_word(rest) == "ALL" => Some(Command::Forget("DISCARD ALL")),
        "DISCARD" => Some(Command::Ignored("DISCARD")),
        "DEALLOCATE" => {
            let rest = if first_word(rest) == "PREPARE" { &rest[1..] } else { rest };
            match first_word(rest).as_str() {
                "ALL" => Some(Command::Forget("DEALLOCATE ALL")),
                _ => name_of(rest).map(Command::Deallocate),
            }
        }
        "DECLARE" => return declare(pieces, reader),
        "FETCH" => fetch(rest),
        "CLOSE" if first_word(rest) == "ALL" => Some(Command::Close(None)),
        "CLOSE" => name_of(rest).map(|name| Command::Close(Some(name))),
        _ => None,
    };
    command.ok_or_else(not_allowed)
}

fn not_allowed() -> Refused {
    Refused::unsupported(
        "仅可查询本订单的产品表与系统目录；不支持该语句",
        "only SELECT over the order's table and the catalogue is answered here; this statement is not",
    )
}

/// A name that is all there is: folded to lower case unless quoted.
fn name_of(words: &[&Token]) -> Option<String> {
    match words {
        [word] => folded(word),
        _ => None,
    }
}

fn folded(token: &Token) -> Option<String> {
    let Token::Word(word) = token else { return None };
    let name = match word.quote_style {
        Some('"') => word.value.clone(),
        Some(_) => return None,
        None => word.value.to_ascii_lowercase(),
    };
    (name.len() <= NAME_BYTES_MAX).then_some(name)
}

/// `SET [SESSION | LOCAL] name {TO | =} value`, and the forms with names of their own.
fn set(words: &[&Token]) -> Option<Command> {
    let mut words = words;
    if matches!(first_word(words).as_str(), "SESSION" | "LOCAL") {
        words = &words[1..];
    }
    match first_word(words).as_str() {
        "TRANSACTION" | "CHARACTERISTICS" | "CONSTRAINTS" => return Some(Command::Ignored("SET")),
        // Who asks is settled by the connection's key.
        "ROLE" | "AUTHORIZATION" => return None,
        "TIME" => return Some(Command::Set { name: "timezone".to_owned(), value: Some(value_of(words.get(2..)?)?) }),
        "NAMES" => {
            return Some(Command::Set { name: "client_encoding".to_owned(), value: Some(value_of(&words[1..])?) });
        }
        _ => {}
    }
    let sign = words.iter().position(|word| **word == Token::Eq || is_name(word, "to"))?;
    let name: Option<Vec<String>> =
        words[..sign].iter().filter(|word| ***word != Token::Period).map(|word| folded(word)).collect();
    let name = name.filter(|parts| !parts.is_empty())?.join(".").to_ascii_lowercase();
    let value = value_of(&words[sign + 1..])?;
    let is_default = matches!(words.get(sign + 1), Some(word) if is_name(word, "default"));
    Some(Command::Set { name, value: (!is_default).then_some(value) })
}

/// A value as it was written, without quotes.
fn value_of(words: &[&Token]) -> Option<String> {
    let mut value = String::new();
    for word in words {
        match word {
            Token::SingleQuotedString(text) => value.push_str(text),
            Token::Word(word) => value.push_str(&word.value),
            Token::Comma => value.push_str(", "),
            other => value.push_str(&other.to_string()),
        }
    }
    (!words.is_empty() && value.len() <= NAME_BYTES_MAX).then_some(value)
}

fn show(words: &[&Token]) -> String {
    let parts: Vec<String> =
        words.iter().map(|word| folded(word).unwrap_or_else(|| word.to_string()).to_ascii_lowercase()).collect();
    match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["time", "zone"] => "timezone".to_owned(),
        ["transaction", "isolation", "level"] => "transaction_isolation".to_owned(),
        _ => parts.concat(),
    }
}

/// `DECLARE name [NO SCROLL] CURSOR [WITHOUT HOLD] FOR query`.
fn declare(pieces: &[Piece<'_>], reader: &Reader<'_>) -> Result<Command, Refused> {
    let only_forward = || {
        Refused::unsupported(
            "游标仅支持在事务中向前逐批读取：DECLARE 名称 CURSOR FOR 查询",
            "a cursor goes forward inside a transaction: DECLARE name CURSOR FOR query",
        )
    };
    let query_at = pieces.iter().position(|piece| is_name(&piece.token, "for")).ok_or_else(only_forward)?;
    let words: Vec<&Token> =
        pieces[..query_at].iter().filter(|piece| !piece.is_blank()).map(|piece| &piece.token).collect();
    let cursor = words.get(1).and_then(|word| folded(word)).ok_or_else(only_forward)?;
    let options: Vec<String> = words[2..].iter().map(|word| word.to_string().to_ascii_uppercase()).collect();
    let allowed = ["NO", "SCROLL", "ASENSITIVE", "INSENSITIVE", "CURSOR", "WITHOUT", "HOLD"];
    let is_forward = options.iter().all(|option| allowed.contains(&option.as_str()))
        && options.contains(&"SCROLL".to_owned()) == options.contains(&"NO".to_owned())
        && options.contains(&"HOLD".to_owned()) == options.contains(&"WITHOUT".to_owned());
    if !is_forward {
        return Err(only_forward());
    }
    // A cursor of a cursor is none, however many of them stand within each other.
    let query = statement::read_asking(&pieces[query_at + 1..], reader)?.ok_or_else(not_allowed)?;
    Ok(Command::Declare { cursor, query: Box::new(query) })
}

/// `FETCH [FORWARD | NEXT] [count | ALL] [FROM | IN] name`.
fn fetch(words: &[&Token]) -> Option<Command> {
    let (name, mut rest) = words.split_last()?;
    let cursor = folded(name)?;
    if matches!(rest.last(), Some(word) if is_name(word, "from") || is_name(word, "in")) {
        rest = &rest[..rest.len() - 1];
    }
    if matches!(first_word(rest).as_str(), "FORWARD" | "NEXT") {
        rest = &rest[1..];
    }
    let rows = match rest {
        [] => Some(1),
        [Token::Number(digits, false)] => Some(digits.parse().ok()?),
        [word] if is_name(word, "all") => None,
        _ => return None,
    };
    Some(Command::Fetch { cursor, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Command> {
        match statement::read_one(text, "flights") {
            Ok(Statement::Command(command)) => Some(command),
            _ => None,
        }
    }

    fn set(name: &str, value: Option<&str>) -> Option<Command> {
        Some(Command::Set { name: name.to_owned(), value: value.map(str::to_owned) })
    }

    #[test]
    fn settings_are_read_in_every_form_that_clients_send() {
        assert_eq!(read("SET statement_timeout = 1000"), set("statement_timeout", Some("1000")));
        assert_eq!(read("set session Statement_Timeout to '5s'"), set("statement_timeout", Some("5s")));
        assert_eq!(read("SET extra_float_digits = 3"), set("extra_float_digits", Some("3")));
        assert_eq!(read("SET datestyle TO 'ISO, MDY'"), set("datestyle", Some("ISO, MDY")));
        assert_eq!(read("SET search_path TO public, other"), set("search_path", Some("public, other")));
        assert_eq!(read("SET TIME ZONE 'Asia/Shanghai'"), set("timezone", Some("Asia/Shanghai")));
        assert_eq!(read("SET NAMES 'UTF8'"), set("client_encoding", Some("UTF8")));
        assert_eq!(read("SET my.setting = -1"), set("my.setting", Some("-1")));
        assert_eq!(read("SET a TO DEFAULT"), set("a", None));
        assert_eq!(read("RESET a"), set("a", None));
        assert_eq!(read("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"), Some(Command::Ignored("SET")));
        assert_eq!(read("SET ROLE admin"), None);
        assert_eq!(read("SET SESSION AUTHORIZATION admin"), None);
        assert_eq!(read("SHOW TRANSACTION ISOLATION LEVEL"), Some(Command::Show("transaction_isolation".to_owned())));
        assert_eq!(read("SHOW lingqu.receipt"), Some(Command::Show("lingqu.receipt".to_owned())));
    }

    #[test]
    fn cursors_go_forward() {
        let query = Box::new(Statement::Governed(" SELECT * FROM flights WHERE a = $1".to_owned()));
        let declared = Some(Command::Declare { cursor: "Big".to_owned(), query });
        assert_eq!(read("DECLARE \"Big\" CURSOR FOR SELECT * FROM flights WHERE a = $1"), declared);
        assert_eq!(
            read("DECLARE \"Big\" NO SCROLL CURSOR WITHOUT HOLD FOR SELECT * FROM flights WHERE a = $1"),
            declared
        );
        for refused in [
            "DECLARE c SCROLL CURSOR FOR SELECT 1",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "DECLARE c CURSOR FOR COMMIT",
            // As deep as a text can say it.
            &"DECLARE a FOR ".repeat(3_500),
        ] {
            assert_eq!(read(refused), None, "{refused}");
        }
        let fetched = |rows| Some(Command::Fetch { cursor: "big".to_owned(), rows });
        assert_eq!(read("FETCH FORWARD 100 FROM big"), fetched(Some(100)));
        assert_eq!(read("FETCH ALL IN Big"), fetched(None));
        assert_eq!(read("FETCH NEXT FROM big"), fetched(Some(1)));
        assert_eq!(read("FETCH 5 big"), fetched(Some(5)));
        assert_eq!(read("FETCH BACKWARD 5 FROM big"), None);
        assert_eq!(read("FETCH -5 FROM big"), None);
        assert_eq!(read("CLOSE ALL"), Some(Command::Close(None)));
    }

    #[test]
    fn what_changes_anything_is_refused() {
        for text in [
            "INSERT INTO flights VALUES (1)",
            "UPDATE flights SET a = 1",
            "DELETE FROM flights",
            "COPY flights TO STDOUT",
            "COPY (SELECT 1) TO PROGRAM 'sh'",
            "CREATE TABLE t (a int)",
            "DROP TABLE flights",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "LISTEN x",
            "DO 'x'",
            "LOAD 'x'",
            "VACUUM",
        ] {
            assert!(statement::read_one(text, "flights").is_err(), "{text}");
        }
        assert_eq!(read("ABORT"), Some(Command::Rollback));
        assert_eq!(read("ROLLBACK TO SAVEPOINT a"), Some(Command::RollbackTo));
        assert_eq!(read("DISCARD ALL"), Some(Command::Forget("DISCARD ALL")));
        assert_eq!(read("DEALLOCATE PREPARE \"S_1\""), Some(Command::Deallocate("S_1".to_owned())));
    }
}
