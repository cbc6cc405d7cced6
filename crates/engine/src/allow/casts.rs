//! Casts as PostgreSQL reads them, where the planner (DataFusion 55.2) takes the type for another.
//!
//! It passes over a length: of `CAST('abc' AS VARCHAR(2))` it makes `'abc'`. The rest is cut off, so such a cast is put into LEFT here.
//! CHAR with a length is the same without the blanks behind it. A FLOAT has twice the digits that it gives one. And ranks are numbers
//! without a sign for it: of two, the smaller less the larger would be a number of twenty digits.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, CharacterLength, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, Statement, Value, VisitMut, VisitorMut,
};

use super::written_out::name_of;

/// Functions that the planner gives numbers without a sign.
const RANKS: [&str; 4] = ["dense_rank", "ntile", "rank", "row_number"];
/// Digits of two that a FLOAT with fewer has no more of than a REAL.
const DOUBLE_BITS_MIN: u64 = 25;

/// Writes the casts of a statement as the planner takes them rightly.
pub(super) fn written_out(statement: &mut Statement) {
    let walked: ControlFlow<()> = statement.visit(&mut Casts);
    debug_assert!(walked.is_continue(), "the visit goes through to its end");
}

struct Casts;

impl VisitorMut for Casts {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if is_rank(expr) {
            let rank = std::mem::replace(expr, Expr::value(Value::Null));
            *expr = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(rank),
                data_type: DataType::BigInt(None),
                array: false,
                format: None,
            };
            return ControlFlow::Continue(());
        }
        let Expr::Cast { expr: of, data_type, .. } = expr else { return ControlFlow::Continue(()) };
        let length = match data_type {
            DataType::Varchar(Some(length)) | DataType::Char(Some(length)) => *length,
            DataType::Float(ExactNumberInfo::None | ExactNumberInfo::Precision(DOUBLE_BITS_MIN..)) => {
                *data_type = DataType::DoublePrecision;
                return ControlFlow::Continue(());
            }
            _ => return ControlFlow::Continue(()),
        };
        // Of more characters than this LEFT knows no number, and there is no such text.
        let CharacterLength::IntegerLength { length: length @ ..=0x7fff_ffff, .. } = length else {
            return ControlFlow::Continue(());
        };
        *data_type = DataType::Varchar(None);
        // A constant stays one: it may be the key of a row.
        if !cut_constant(of, length) {
            let whole = std::mem::replace(expr, Expr::value(Value::Null));
            *expr = left(whole, length);
        }
        ControlFlow::Continue(())
    }
}

fn is_rank(expr: &Expr) -> bool {
    let Expr::Function(call) = expr else { return false };
    let [name] = call.name.0.as_slice() else { return false };
    call.over.is_some() && name.as_ident().is_some_and(|name| RANKS.contains(&name_of(name).as_str()))
}

/// Cuts a text that is written out, or leaves a number that fits. False for anything else.
fn cut_constant(expr: &mut Expr, length: u64) -> bool {
    match expr {
        Expr::Nested(inner) => cut_constant(inner, length),
        Expr::Value(constant) => match &mut constant.value {
            Value::SingleQuotedString(text) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if let Some((end, _)) = text.char_indices().nth(length) {
                    text.truncate(end);
                }
                true
            }
            Value::Number(digits, _) => {
                digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.len() as u64 <= length
            }
            Value::Null | Value::Placeholder(_) => true,
            _ => false,
        },
        _ => false,
    }
}

fn left(of: Expr, length: u64) -> Expr {
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    let length = Expr::value(Value::Number(length.to_string(), false));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("left")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument(of), argument(length)],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
