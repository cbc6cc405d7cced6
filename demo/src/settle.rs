//! Metering, settlement, voucher: the money, to the fen.

use std::collections::BTreeMap;

use lingqu_domain::access::Duty;
use lingqu_domain::command::Command;
use lingqu_domain::id::SettlementId;
use lingqu_ledger::{Fen, Ledger};

use crate::cast::{Cast, Part};
use crate::report::LedgerShown;
use crate::stage::Stage;
use crate::{DemoError, Recorder};

/// Meters the deliveries, settles the period, confirms it and pays the treasury's part in.
pub async fn settle(stage: &Stage, cast: &Cast, recorder: &mut Recorder<'_>) -> Result<(), DemoError> {
    let readings = stage.app.meter().await?;
    let calls: u64 = readings.iter().map(|reading| reading.calls).sum();
    let data_sets: u64 = readings.iter().map(|reading| reading.data_sets).sum();
    recorder.step(
        "按回执计量",
        "Metered from receipts",
        &[("orders", readings.len().into()), ("calls", calls.into()), ("data_sets", data_sets.into())],
    );
    let close = Command::CloseSettlement { period: "2026 年第四季度（示范）".to_owned() };
    let settlement: SettlementId =
        stage.give(&cast.user(Part::Operator, Duty::Approver), close, "settlement.closed").await?;
    let confirm = Command::ConfirmSettlement { settlement: settlement.clone() };
    stage.act(&cast.user(Part::Implementer, Duty::Approver), confirm).await?;
    let treasury = cast.party(Part::Treasury);
    let due = stage
        .app
        .read(|state| state.settlements.get(&settlement).map(|settlement| settlement.value.outstanding(&treasury)));
    let due = due.ok_or_else(|| DemoError::Unexpected("the settlement is not there".to_owned()))?;
    let voucher = Command::RecordVoucher {
        settlement: settlement.clone(),
        number: "桂财非税〔示范〕000001".to_owned(),
        amount: due,
    };
    stage.act(&cast.user(Part::Treasury, Duty::Handler), voucher).await?;
    recorder.report.ledger = books(stage, &settlement)?;
    let totals = recorder.report.ledger.totals.clone();
    let figure = |name: &str| totals.get(name).cloned().unwrap_or_default().into();
    recorder.step(
        "结算、收益分配、非税收入缴款凭证",
        "Settlement, split, voucher of fiscal revenue",
        &[
            ("fees_yuan", figure("fees")),
            ("operator_yuan", figure("operator")),
            ("treasury_yuan", figure("treasury")),
            ("enterprise_provider_yuan", figure("enterprise_provider")),
            ("balanced", recorder.report.ledger.balanced.into()),
        ],
    );
    if !recorder.report.ledger.balanced {
        return Err(DemoError::Unexpected("the books do not balance".to_owned()));
    }
    Ok(())
}

/// Folds the settlement's transactions into books of their own and adds them up.
fn books(stage: &Stage, id: &SettlementId) -> Result<LedgerShown, DemoError> {
    let settlement = stage.app.read(|state| state.settlements.get(id).map(|settlement| settlement.value.clone()));
    let settlement = settlement.ok_or_else(|| DemoError::Unexpected("the settlement is not there".to_owned()))?;
    let fault = |error: lingqu_ledger::LedgerError| DemoError::Unexpected(error.to_string());
    let mut ledger = Ledger::new();
    for transaction in &settlement.transactions {
        ledger.apply(transaction).map_err(fault)?;
    }
    let trial = ledger.trial_balance(None).map_err(fault)?;
    let summary = &settlement.summary;
    let parts = Fen::checked_sum([summary.operators, summary.treasuries, summary.providers]).map_err(fault)?;
    let line_sum = Fen::checked_sum(settlement.lines.iter().map(|line| line.fee)).map_err(fault)?;
    let totals = BTreeMap::from([
        ("fees".to_owned(), summary.fees.to_string()),
        ("operator".to_owned(), summary.operators.to_string()),
        ("treasury".to_owned(), summary.treasuries.to_string()),
        ("enterprise_provider".to_owned(), summary.providers.to_string()),
        ("paid_in".to_owned(), Fen::checked_sum(settlement.paid_in.values().copied()).map_err(fault)?.to_string()),
    ]);
    let balanced = trial.is_balanced() && parts == summary.fees && line_sum == summary.fees;
    Ok(LedgerShown { balanced, totals })
}
