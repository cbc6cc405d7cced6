//! Prepared statements: kept by the node between `CreatePreparedStatement` and `ClosePreparedStatement`, because clients bind
//! their parameters by a handle. Bounded by order and in all, and forgotten when they are not used.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::scalar::ScalarValue;
use lingqu_app::random;
use lingqu_domain::id::OrderId;
use lingqu_domain::scope::Mode;

use crate::error::GatewayError;
use crate::parameters;

/// Most prepared statements of one order.
const PER_ORDER_MAX: usize = 64;
/// Most prepared statements of the node; past them the one that was unused longest is forgotten.
const IN_ALL_MAX: usize = 4_096;
/// How long a statement is kept unused.
const UNUSED_MAX: Duration = Duration::from_secs(30 * 60);

type Handle = [u8; 16];

/// A statement and what is bound to it.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) order: OrderId,
    /// What the client asked for when it prepared the statement.
    pub(super) mode: Option<Mode>,
    pub(super) sql: String,
    pub(super) parameters: Vec<ScalarValue>,
    used_at: Instant,
}

/// The prepared statements of a node.
#[derive(Debug, Default)]
pub(super) struct PreparedStatements {
    kept: Mutex<BTreeMap<Handle, Prepared>>,
}

impl PreparedStatements {
    /// Keeps a statement and answers its handle. Error: `too_many_prepared_statements`.
    pub(super) fn add(&self, order: &OrderId, mode: Option<Mode>, sql: String) -> Result<Handle, GatewayError> {
        let handle: Handle = random()?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, prepared| prepared.used_at.elapsed() < UNUSED_MAX);
        if kept.values().filter(|prepared| prepared.order == *order).count() >= PER_ORDER_MAX {
            return Err(GatewayError::TooManyPrepared { limit: PER_ORDER_MAX });
        }
        if kept.len() >= IN_ALL_MAX
            && let Some(oldest) = kept.iter().min_by_key(|(_, prepared)| prepared.used_at).map(|(handle, _)| *handle)
        {
            kept.remove(&oldest);
        }
        let prepared = Prepared { order: order.clone(), mode, sql, parameters: Vec::new(), used_at: Instant::now() };
        kept.insert(handle, prepared);
        Ok(handle)
    }

    /// The statement of a handle. Error: `prepared_statement_not_known`, also for one of another order.
    pub(super) fn get(&self, order: &OrderId, handle: &[u8]) -> Result<Prepared, GatewayError> {
        self.with(order, handle, |prepared| prepared.clone())
    }

    /// Binds values to a statement in the place of those that were bound before. Error: `statement_too_large`.
    pub(super) fn bind(&self, order: &OrderId, handle: &[u8], values: Vec<ScalarValue>) -> Result<(), GatewayError> {
        parameters::must_fit(&values)?;
        self.with(order, handle, |prepared| prepared.parameters = values)
    }

    /// Forgets a statement. One that is not there is forgotten already.
    pub(super) fn close(&self, order: &OrderId, handle: &[u8]) {
        let Ok(handle) = Handle::try_from(handle) else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.get(&handle).is_some_and(|prepared| prepared.order == *order) {
            kept.remove(&handle);
        }
    }

    fn with<T>(
        &self,
        order: &OrderId,
        handle: &[u8],
        work: impl FnOnce(&mut Prepared) -> T,
    ) -> Result<T, GatewayError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = Handle::try_from(handle).map_err(|_| GatewayError::PreparedNotKnown)?;
        match kept.get_mut(&handle) {
            Some(prepared) if prepared.order == *order && prepared.used_at.elapsed() < UNUSED_MAX => {
                prepared.used_at = Instant::now();
                Ok(work(prepared))
            }
            Some(_) | None => Err(GatewayError::PreparedNotKnown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(digit: char) -> OrderId {
        format!("{}_{}", OrderId::PREFIX, digit.to_string().repeat(32)).parse().unwrap()
    }

    #[test]
    fn statements_are_bounded_by_order_and_known_to_their_own_alone() {
        let statements = PreparedStatements::default();
        let (mine, other) = (order('a'), order('b'));
        let handle = statements.add(&mine, None, "select ?".to_owned()).unwrap();
        for _ in 1..PER_ORDER_MAX {
            statements.add(&mine, None, "select 1".to_owned()).unwrap();
        }
        let refused = statements.add(&mine, None, "select 1".to_owned());
        assert!(matches!(refused, Err(GatewayError::TooManyPrepared { limit: PER_ORDER_MAX })));
        statements.add(&other, None, "select 1".to_owned()).unwrap();
        assert!(matches!(statements.get(&other, &handle), Err(GatewayError::PreparedNotKnown)));
        assert!(statements.bind(&other, &handle, Vec::new()).is_err());
        statements.close(&other, &handle);
        statements.bind(&mine, &handle, vec![ScalarValue::Int64(Some(1))]).unwrap();
        // What no statement takes is not kept.
        assert!(statements.bind(&mine, &handle, vec![ScalarValue::from("x".repeat(20_000).as_str())]).is_err());
        assert_eq!(statements.get(&mine, &handle).unwrap().parameters, [ScalarValue::Int64(Some(1))]);
        statements.close(&mine, &handle);
        assert!(statements.get(&mine, &handle).is_err());
        statements.add(&mine, None, "select 1".to_owned()).unwrap();
        assert!(statements.get(&mine, b"short").is_err());
    }
}
