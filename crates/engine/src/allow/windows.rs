//! Windows that are named, written out where their names stand.
//!
//! The planner (DataFusion 55.2) knows such names among the columns of a SELECT alone. In ORDER BY and QUALIFY it takes `sum(a) OVER w`
//! for `sum(a)`, and of `OVER (w ORDER BY b)`, a window that is made of another one, it leaves out `w`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Query, Select, SetExpr, Statement, VisitMut, VisitorMut,
    WindowSpec, WindowType, visit_expressions_mut,
};

use super::written_out::name_of;
use super::{Refusal, RefusalCode};

/// Writes all windows of a statement out. Its size, with each window where its name stands, must have been checked before.
pub(super) fn written_out(statement: &mut Statement) -> Result<(), Refusal> {
    match statement.visit(&mut Windows) {
        ControlFlow::Break(refusal) => Err(refusal),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Queries from the innermost outwards: what is left in one that was seen has no name any more.
struct Windows;

impl VisitorMut for Windows {
    type Break = Refusal;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Refusal> {
        let known = match query.body.as_mut() {
            SetExpr::Select(select) => known(select)?,
            // Nothing outside a SELECT knows its windows.
            _ => Vec::new(),
        };
        in_part(&mut query.order_by, &known)
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Refusal> {
        let known = known(select)?;
        in_part(&mut select.distinct, &known)?;
        in_part(&mut select.projection, &known)?;
        in_part(&mut select.having, &known)?;
        in_part(&mut select.qualify, &known)
    }
}

/// A window by its name, whole.
type Named = (String, WindowSpec);

fn known(select: &Select) -> ControlFlow<Refusal, Vec<Named>> {
    let mut known = Vec::new();
    for NamedWindowDefinition(name, window) in &select.named_window {
        let window = match window {
            NamedWindowExpr::NamedWindow(other) => named(other, &known)?.clone(),
            NamedWindowExpr::WindowSpec(window) => whole(window.clone(), &known)?,
        };
        known.push((name_of(name), window));
    }
    ControlFlow::Continue(known)
}

fn in_part<P: VisitMut>(part: &mut P, known: &[Named]) -> ControlFlow<Refusal> {
    visit_expressions_mut(part, |expr| {
        if let Expr::Function(call) = expr {
            call.over = match call.over.take() {
                Some(WindowType::NamedWindow(name)) => Some(WindowType::WindowSpec(named(&name, known)?.clone())),
                Some(WindowType::WindowSpec(window)) => Some(WindowType::WindowSpec(whole(window, known)?)),
                None => None,
            };
        }
        ControlFlow::Continue(())
    })
}

fn named<'a>(name: &Ident, known: &'a [Named]) -> ControlFlow<Refusal, &'a WindowSpec> {
    let wanted = name_of(name);
    match known.iter().find(|(name, _)| *name == wanted) {
        Some((_, window)) => ControlFlow::Continue(window),
        None => {
            let what = format!("there is no window `{wanted}` in this SELECT; define it by WINDOW, or write it out");
            ControlFlow::Break(Refusal::new(RefusalCode::StatementNotUnderstood, what))
        }
    }
}

/// A window that is made of another one has the other's PARTITION BY, and its ORDER BY where it has one; it adds what is missing.
fn whole(window: WindowSpec, known: &[Named]) -> ControlFlow<Refusal, WindowSpec> {
    let Some(name) = &window.window_name else { return ControlFlow::Continue(window) };
    let of = named(name, known)?;
    let is_clear = window.partition_by.is_empty()
        && (window.order_by.is_empty() || of.order_by.is_empty())
        && of.window_frame.is_none();
    if !is_clear {
        let what = "a window that is made of another one may add an ORDER BY where the other has none, and a frame where it has none, \
                    and no PARTITION BY; write it out";
        return ControlFlow::Break(Refusal::new(RefusalCode::StatementNotUnderstood, what));
    }
    let order_by = if window.order_by.is_empty() { of.order_by.clone() } else { window.order_by };
    ControlFlow::Continue(WindowSpec {
        window_name: None,
        partition_by: of.partition_by.clone(),
        order_by,
        window_frame: window.window_frame,
    })
}
