//! What an order may ask for, asked in SQL: whether a statement does, and the session that answers it.

use std::time::Duration;

use lingqu_engine::Limits;
use lingqu_engine::schema_session::{Concern, SchemaSession, View, concern_of};

use super::Serving;
use crate::error::AppError;

/// What an answer about the order's table may use. It is made of a few hundred rows at most; what is larger is a product of
/// them with each other.
const TIME_MAX: Duration = Duration::from_secs(10);
const MEMORY_BYTES_MAX: usize = 64 << 20;
const ROWS_MAX: u64 = 10_000;
const BYTES_MAX: u64 = 16 << 20;

impl Serving {
    /// What a statement asks for, by the tables that it names.
    pub fn concern_of(&self, sql: &str) -> Concern {
        concern_of(&self.engine, sql)
    }

    /// A session that holds these views and nothing else.
    pub fn schema_session(&self, views: Vec<View>) -> Result<SchemaSession, AppError> {
        let limits = Limits {
            memory_bytes_max: MEMORY_BYTES_MAX,
            time_max: TIME_MAX,
            rows_max: ROWS_MAX,
            bytes_max: BYTES_MAX,
            ..Limits::default()
        };
        Ok(SchemaSession::new(&self.engine, views, limits)?)
    }
}
