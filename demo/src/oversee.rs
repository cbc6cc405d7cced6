//! Suspension and resumption of the mandate; evidence; replay.

use std::time::Instant;

use lingqu_app::verify_evidence;
use lingqu_domain::access::Duty;
use lingqu_domain::command::Command;
use serde_json::json;

use crate::authorise::Authorised;
use crate::cast::{Cast, Part};
use crate::deliver::{claim, famous_flight, query};
use crate::market::{DELAY_CHECK, Ordered, Orders, PUNCTUALITY};
use crate::report::{EvidenceShown, SuspensionShown};
use crate::stage::{Reply, Stage, shown_reply};
use crate::{DemoError, Recorder};

/// Bytes of the evidence that are changed, one at a time.
const CHANGES_TRIED: usize = 48;

/// One request under an order, of a kind that its mode allows.
async fn ask(stage: &Stage, order: &Ordered) -> Result<Reply, DemoError> {
    match order.product {
        DELAY_CHECK => claim(stage, order, famous_flight(), json!({"late_three_hours": true})).await,
        PUNCTUALITY => {
            query(stage, order, "SELECT month, count(*) AS flights FROM flight_punctuality GROUP BY month").await
        }
        _ => stage.send("GET", &format!("/data/v1/{}/rows?limit=1", order.product), Some(&order.key), None).await,
    }
}

/// Suspends the mandate over the flights: the next request of every order under it is refused. Then resumes it.
pub async fn suspend(
    stage: &Stage,
    cast: &Cast,
    authorised: &Authorised,
    orders: &Orders,
    recorder: &mut Recorder<'_>,
) -> Result<(), DemoError> {
    // The trial's quota is used up, so it can't tell one refusal from another.
    let under: Vec<&Ordered> = orders.of_flights().filter(|order| order.id != orders.trial.id).collect();
    let mut shown = SuspensionShown::default();
    for order in &under {
        ask(stage, order).await?.answered("a request before suspension")?;
        shown.requests_before += 1;
    }
    let mandate = authorised.flight_mandate.clone();
    let implementer = cast.user(Part::Implementer, Duty::Approver);
    let reason = "年度安全评估发现问题，限期整改".to_owned();
    stage.act(&implementer, Command::SuspendMandate { mandate: mandate.clone(), reason }).await?;
    let acknowledged = Instant::now();
    let mut first = None;
    for order in &under {
        let reply = ask(stage, order).await?;
        let refusal = shown_reply("授权中止后的下一次请求", &reply, "grant_suspended");
        if !refusal.expected {
            return Err(DemoError::Unexpected(format!("after suspension {} was answered {}", order.id, reply.status)));
        }
        shown.refused_after += 1;
        first = first.or(Some(refusal));
    }
    shown.time_to_refusal_ms = acknowledged.elapsed().as_secs_f64() * 1_000.0;
    recorder.report.refusals.extend(first);
    let reason = "整改完成并复核".to_owned();
    stage.act(&implementer, Command::ResumeMandate { mandate, reason }).await?;
    for order in &under {
        ask(stage, order).await?.answered("a request after resumption")?;
        shown.answered_after_resumption += 1;
    }
    recorder.step(
        "授权中止即刻关停全部下级权利，恢复后继续",
        "Suspension shuts every right below at once; resumption",
        &[
            ("refused_after", shown.refused_after.into()),
            ("time_to_refusal_ms", ((shown.time_to_refusal_ms * 10.0).round() / 10.0).into()),
            ("answered_after_resumption", shown.answered_after_resumption.into()),
        ],
    );
    recorder.report.suspension = shown;
    Ok(())
}

/// Writes the evidence of the insurer's data set, verifies it offline, changes single bytes and finds each; replays.
pub async fn prove(stage: &Stage, orders: &Orders, recorder: &mut Recorder<'_>) -> Result<(), DemoError> {
    let order = &orders.insurer_set.id;
    let bundle = stage.app.export_evidence(order).await?;
    let file = stage.app.directory().join(format!("{order}.evidence"));
    std::fs::write(&file, &bundle)
        .map_err(|error| DemoError::Unexpected(format!("can't write {}: {error}", file.display())))?;
    let report = verify_evidence(&bundle, None);
    if !report.verified {
        return Err(DemoError::Unexpected(format!("the evidence does not verify: {:?}", report.findings)));
    }
    let mut found = 0;
    let mut example = String::new();
    for change in 0..CHANGES_TRIED {
        let mut copy = bundle.clone();
        let at = change * (copy.len() - 1) / (CHANGES_TRIED - 1);
        copy[at] ^= 0x01;
        let changed = verify_evidence(&copy, None);
        if let Some((item, problem)) = changed.findings.first() {
            found += 1;
            example = format!("{item}: {problem}");
        }
    }
    recorder.report.evidence = EvidenceShown {
        file: file.display().to_string(),
        verified: true,
        journal_records: report.journal_records,
        receipt_records: report.receipt_records,
        changes_tried: CHANGES_TRIED,
        changes_found: found,
    };
    recorder.step(
        "证据包导出与离线验证",
        "Evidence exported and verified offline",
        &[
            ("journal_records", report.journal_records.into()),
            ("receipt_records", report.receipt_records.into()),
            ("log_entries", report.log_size.into()),
            ("witnesses_cosigned", report.cosigned.len().into()),
            ("bytes", bundle.len().into()),
            ("changed_bytes_found", format!("{found}/{CHANGES_TRIED}").into()),
            ("example", example.into()),
        ],
    );
    let replay = stage.app.replay_check().await?;
    if !replay.agrees {
        return Err(DemoError::Unexpected(format!("replay differs: {:?}", replay.differences)));
    }
    recorder.step(
        "重放核对：日志、读表、分录、存证日志一致",
        "Replay: journal, tables, postings and log agree",
        &[
            ("events", replay.events.into()),
            ("rows", replay.rows.into()),
            ("postings", replay.postings.into()),
            ("log_entries", replay.log_entries.into()),
        ],
    );
    Ok(())
}
