//! All rows of a table, looked at for what its marks would do: read twice in batches, of the same snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lingqu_domain::refusal::Refusal;
use lingqu_engine::internal::internal_session;
use lingqu_engine::{EngineError, Limits, TableFiles};
use lingqu_fingerprint::{
    Effect, Finding, FingerprintError, Found, Marking, MomentBounds, Survey, SwapEffect, ToldApart,
};

use crate::app::App;
use crate::error::AppError;

/// Most rows that are kept as a sample.
const SAMPLE_ROWS_MAX: usize = 400_000;
/// Most rows of a table that are read.
const ROWS_MAX: u64 = 100_000_000;
/// Most bytes of them in memory's form, and the longest that one reading takes.
const BYTES_MAX: u64 = 1 << 40;
const TIME_MAX: Duration = Duration::from_secs(600);

/// A marking that is held against the rows.
pub(super) struct Drawn<'m> {
    pub(super) marking: &'m Marking,
    pub(super) moments: MomentBounds,
    /// How far the share of a text may be off, of all rows.
    pub(super) share_change: f64,
}

/// What was seen.
pub(super) struct Seen {
    /// Rows that there are.
    pub(super) rows: u64,
    pub(super) findings: Vec<Finding>,
    pub(super) effects: Vec<Effect>,
    pub(super) swaps: Vec<SwapEffect>,
    pub(super) told_apart: Vec<ToldApart>,
    /// Columns that have a value in every row.
    pub(super) whole: Vec<String>,
}

impl App {
    /// What is found in the rows of a statement over snapshots, and what a marking would do to them; none where one of them, or
    /// any row, is not here. Error: `invalid` for a table that marks can't be drawn in or that is too large.
    pub(super) async fn surveyed(
        &self,
        sql: &str,
        inputs: &[String],
        drawn: Option<Drawn<'_>>,
    ) -> Result<Option<Seen>, AppError> {
        let tables: BTreeMap<String, Arc<TableFiles>> = self.tables_with_snapshots().await?;
        let mut named: Vec<(&str, Arc<TableFiles>)> = Vec::new();
        for input in inputs {
            let Some((name, files)) = tables.get_key_value(input) else { return Ok(None) };
            named.push((name, Arc::clone(files)));
        }
        let limits = Limits { rows_max: ROWS_MAX, bytes_max: BYTES_MAX, time_max: TIME_MAX, ..Limits::default() };
        let session = internal_session(&self.engine, &named, limits)?;
        let sql = format!("SELECT * FROM ({sql}) AS marked");
        let marking = drawn.as_ref().map(|drawn| drawn.marking);

        let mut survey = Survey::of(marking, SAMPLE_ROWS_MAX).map_err(unfit)?;
        let reading = session.query_each(&sql, |batch| survey.add(&batch).map_err(unfit)).await;
        reading.map_err(bounded)?;
        let Some(surveyed) = survey.finish().map_err(unfit)? else { return Ok(None) };
        let (sampled, owned) = (surveyed.sampled, marking.cloned());
        // Everything that takes time and no I/O.
        let finding = tokio::task::spawn_blocking(move || sampled.find(owned.as_ref())).await;
        let found = finding.map_err(|error| AppError::Fault(format!("the look at a sample ended early: {error}")))?;
        let mut found: Found = found.map_err(unfit)?;
        if let Some(mut holding) = found.holding(marking) {
            let reading = session.query_each(&sql, |batch| holding.add(&batch).map_err(unfit)).await;
            reading.map_err(bounded)?;
            found.findings = holding.finish();
        }
        let (effects, swaps) = match (surveyed.effects, &drawn) {
            (Some(effects), Some(drawn)) => effects.finish(drawn.moments, drawn.share_change),
            _ => (Vec::new(), Vec::new()),
        };
        let Found { findings, told_apart, .. } = found;
        Ok(Some(Seen { rows: surveyed.rows, findings, effects, swaps, told_apart, whole: surveyed.whole }))
    }
}

fn unfit(error: FingerprintError) -> AppError {
    Refusal::invalid("marking", &error, &error).into()
}

/// The error of a reading. A table that is too large is somebody's to make smaller.
fn bounded(error: AppError) -> AppError {
    match error {
        AppError::Engine(EngineError::TooManyRows { .. } | EngineError::TooManyBytes { .. }) => too_large().into(),
        other => other,
    }
}

fn too_large() -> Refusal {
    Refusal::invalid(
        "marking",
        format!("产品超过 {ROWS_MAX} 行，标记的承诺无法逐行核对：请以条件或汇总缩小产品，或分成几个产品"),
        format!(
            "the table has more than {ROWS_MAX} rows, so what marks promise can't be held against all of them; narrow the product by a condition, or make several of it"
        ),
    )
}
