//! Sources into snapshots, quality reports, catalogue entries and certificates.

use std::collections::BTreeMap;

use lingqu_domain::access::Duty;
use lingqu_domain::calendar::{Calendar, day_of};
use lingqu_domain::command::Command;
use lingqu_domain::id::{RegistrationId, ResourceId};
use lingqu_domain::quality::TicketStage;
use lingqu_domain::registration::{Registrable, RegistrationStage};
use lingqu_engine::source::SourceOptions;
use lingqu_quality::RuleSet;

use crate::cast::{Cast, Part};
use crate::catalogue::{TABLES, Table};
use crate::data::crosswalk::{Crosswalk, Difference, write_crosswalk};
use crate::data::drivers::{Request, Strand, generate};
use crate::data::{Written, rules, write_real};
use crate::report::Finding;
use crate::stage::Stage;
use crate::{DemoError, Recorder, SYNTHETIC_SEED};

/// What the later acts need.
pub struct Resources {
    /// Id of each table's resource.
    pub ids: BTreeMap<&'static str, ResourceId>,
    /// The synthetic strand with its planted truth.
    pub strand: Strand,
}

impl Resources {
    /// The resource of a table.
    pub fn id(&self, table: &str) -> ResourceId {
        self.ids[table].clone()
    }
}

/// Catalogues, imports, measures and registers all tables.
pub async fn bring_in(stage: &Stage, cast: &Cast, recorder: &mut Recorder<'_>) -> Result<Resources, DemoError> {
    let directory = stage.app.directory().join("sources");
    let strand = generate(&Request::standard(SYNTHETIC_SEED, day_of(stage.app.now())))?;
    let mut files = write_real(&directory)?;
    files.extend(strand.write(&directory)?);
    let (crosswalk_file, crosswalk) = write_crosswalk(&directory)?;
    files.push(crosswalk_file);
    let mut ids = BTreeMap::new();
    for table in TABLES {
        let handler = cast.user(table.provider, Duty::Handler);
        let draft = Command::DraftResource { details: Box::new(table.details()?) };
        let id: ResourceId = stage.give(&handler, draft, "resource.drafted").await?;
        ids.insert(table.name, id);
    }
    let resources = Resources { ids, strand };
    import(stage, cast, &resources, &files, recorder).await?;
    compare_divisions(&crosswalk, recorder);
    refuse_bad_file(stage, cast, &resources, recorder).await?;
    sign(stage, cast, &resources).await?;
    measure(stage, cast, &resources, recorder).await?;
    register(stage, cast, &resources, recorder).await?;
    Ok(resources)
}

async fn import(
    stage: &Stage,
    cast: &Cast,
    resources: &Resources,
    files: &[Written],
    recorder: &mut Recorder<'_>,
) -> Result<(), DemoError> {
    let mut rows = 0;
    let mut real = 0;
    let mut schema = String::new();
    for table in TABLES {
        let file = files
            .iter()
            .find(|file| file.table == table.name)
            .ok_or_else(|| DemoError::Unexpected(format!("the demo has no file for {}", table.name)))?;
        let options = SourceOptions { null_tokens: vec!["NA".to_owned()], ..SourceOptions::default() };
        if table.name == "flights" {
            // What the node works out by itself, before anybody declares anything.
            for column in stage.app.inspect_source(&file.path, options.clone())?.columns {
                schema.push_str(&format!("{} {}; ", column.name, column.column_type.describe()));
            }
        }
        let handler = cast.user(table.provider, Duty::Handler);
        let snapshot = stage.app.import_snapshot(&handler, &resources.id(table.name), &file.path, options).await?;
        rows += snapshot.rows;
        if snapshot.nature == lingqu_domain::resource::Nature::Real {
            real += snapshot.rows;
        }
    }
    let flights = stage.app.read(|state| {
        state.resources.get(&resources.id("flights")).and_then(|resource| resource.value.snapshot.clone())
    });
    recorder.step(
        "数据来源汇入为不可变快照（Delta）",
        "Sources read into immutable snapshots (Delta)",
        &[
            ("tables", TABLES.len().into()),
            ("schema_of_flights", schema.trim_end_matches("; ").into()),
            ("rows", rows.into()),
            ("rows_real", real.into()),
            ("rows_synthetic", (rows - real).into()),
            ("flights", flights.as_ref().map_or(0, |snapshot| snapshot.rows).into()),
            ("flights_digest", flights.map(|snapshot| snapshot.digest).unwrap_or_default().into()),
        ],
    );
    Ok(())
}

/// What the two systems of division codes say of the same region.
fn compare_divisions(crosswalk: &Crosswalk, recorder: &mut Recorder<'_>) {
    let mut counts = [0u64; 5];
    for difference in &crosswalk.differences {
        let kind = match difference {
            Difference::CodeChanged { .. } => 0,
            Difference::Renamed { .. } => 1,
            Difference::OnlyStatistical { .. } => 2,
            Difference::OnlyNational { .. } => 3,
            Difference::Abolished { .. } => 4,
        };
        counts[kind] += 1;
    }
    let [code_changed, renamed, only_statistical, only_national, abolished] = counts;
    recorder.step(
        "广西区划代码对照：统计用代码与 GB/T 2260（REAL）",
        "Crosswalk of Guangxi's division codes (REAL)",
        &[
            ("in_both", crosswalk.pairs.len().into()),
            ("code_changed", code_changed.into()),
            ("renamed", renamed.into()),
            ("only_statistical", only_statistical.into()),
            ("only_gb2260", only_national.into()),
            ("abolished", abolished.into()),
        ],
    );
}

/// A source with a bad value in line 3: refused with line and column, and no snapshot is made.
async fn refuse_bad_file(
    stage: &Stage,
    cast: &Cast,
    resources: &Resources,
    recorder: &mut Recorder<'_>,
) -> Result<(), DemoError> {
    let path = stage.app.directory().join("sources").join("airlines_bad.csv");
    let write = std::fs::write(&path, "carrier,name\nAA,American\nDL\n");
    write.map_err(|error| DemoError::Unexpected(format!("can't write {}: {error}", path.display())))?;
    let handler = cast.user(Part::Airports, Duty::Handler);
    let refused = stage.app.import_snapshot(&handler, &resources.id("airlines"), &path, SourceOptions::default()).await;
    let Err(error) = refused else {
        return Err(DemoError::Unexpected("a bad file was imported".to_owned()));
    };
    let text = error.to_string();
    if !text.contains("line 3") && !text.contains(":3") {
        return Err(DemoError::Unexpected(format!("the refusal of a bad file names no line: {text}")));
    }
    recorder.step("错误文件按行列拒收", "A bad file is refused with line and column", &[("refusal", text.into())]);
    Ok(())
}

/// The chief data officers sign the entries. Only then are open tables open, and another provider's rules may name them.
async fn sign(stage: &Stage, cast: &Cast, resources: &Resources) -> Result<(), DemoError> {
    for table in TABLES {
        let officer = cast.user(table.provider, Duty::ChiefDataOfficer);
        stage.act(&officer, Command::SignResource { resource: resources.id(table.name) }).await?;
    }
    Ok(())
}

fn rule_set_of(table: &str) -> Result<RuleSet, DemoError> {
    let rules = match table {
        "flights" | "weather" | "planes" | "airports" | "airlines" => rules::flights(),
        "divisions_statistical" | "divisions_gb2260" | "division_crosswalk" => rules::divisions(),
        _ => rules::drivers(),
    };
    rules.map_err(|error| DemoError::App(error.into()))
}

async fn measure(
    stage: &Stage,
    cast: &Cast,
    resources: &Resources,
    recorder: &mut Recorder<'_>,
) -> Result<(), DemoError> {
    let mut rule_count = 0;
    for table in TABLES {
        let rules = rule_set_of(table.name)?;
        if !rules.tables().contains(&table.name) {
            // The crosswalk is derived; what it is derived from is measured.
            continue;
        }
        let handler = cast.user(table.provider, Duty::Handler);
        let report = stage.app.run_quality(&handler, &resources.id(table.name), &rules, &mut |_| {}).await?;
        for finding in &report.findings {
            rule_count += 1;
            if finding.failing_count > 0 {
                recorder.report.quality.push(Finding {
                    rule: finding.rule.clone(),
                    table: finding.table.clone(),
                    column: finding.columns.join(","),
                    failing: finding.failing_count,
                    checked: finding.checked_count,
                    sentence: finding.sentence.clone(),
                });
            }
        }
    }
    let open = stage.app.read(|state| state.tickets.keys().cloned().collect::<Vec<_>>());
    stage.wait_hours(20);
    // One ticket goes its whole way: the provider answers, the data authority verifies and closes.
    if let Some(ticket) = open.first() {
        let provider = stage.app.read(|state| state.tickets.get(ticket).map(|ticket| ticket.value.provider.clone()));
        for table in TABLES {
            if Some(cast.party(table.provider)) == provider {
                let answer = "源系统对取消的航班不填离港时刻；已在字段说明中注明，不属于漏采。".to_owned();
                let handler = cast.user(table.provider, Duty::Handler);
                stage.act(&handler, Command::AnswerTicket { ticket: ticket.clone(), answer }).await?;
                let verification = "核对字段说明与取消航班数量一致，予以关闭。".to_owned();
                let authority = cast.user(Part::Authority, Duty::Handler);
                stage.act(&authority, Command::CloseTicket { ticket: ticket.clone(), verification }).await?;
                break;
            }
        }
    }
    let closed = stage.app.read(|state| {
        state.tickets.values().filter(|ticket| matches!(ticket.value.stage, TicketStage::Closed { .. })).count()
    });
    recorder.step(
        "质量报告与问题工单",
        "Quality reports and tickets",
        &[
            ("rules", rule_count.into()),
            ("findings", recorder.report.quality.len().into()),
            ("tickets_opened", open.len().into()),
            ("tickets_closed", closed.into()),
        ],
    );
    Ok(())
}

async fn register(
    stage: &Stage,
    cast: &Cast,
    resources: &Resources,
    recorder: &mut Recorder<'_>,
) -> Result<(), DemoError> {
    let mut registrations = Vec::new();
    for table in TABLES {
        registrations.push(apply(stage, cast, resources, table).await?);
    }
    let started = stage.app.now();
    let refusal = certify(stage, cast, &registrations).await?;
    recorder.report.refusals.push(refusal);
    let codes = stage.app.read(|state| {
        let mut codes = Vec::new();
        for registration in &registrations {
            if let Some(RegistrationStage::Certified(certificate)) =
                state.registrations.get(registration).map(|registration| &registration.value.stage)
            {
                codes.push(certificate.code.clone());
            }
        }
        codes
    });
    let days = stage.app.now().duration_since(started).as_hours() / 24;
    recorder.step(
        "资源编目、签署、登记、公示、发证",
        "Catalogue, signature, registration, publicity, certificate",
        &[
            ("certificates", codes.len().into()),
            ("first_code", codes.first().cloned().unwrap_or_default().into()),
            ("publicity_calendar_days", days.into()),
        ],
    );
    Ok(())
}

async fn apply(stage: &Stage, cast: &Cast, resources: &Resources, table: &Table) -> Result<RegistrationId, DemoError> {
    let handler = cast.user(table.provider, Duty::Handler);
    let object = Registrable::Resource(resources.id(table.name));
    let registration: RegistrationId =
        stage.give(&handler, Command::ApplyRegistration { object }, "registration.applied").await?;
    Ok(registration)
}

/// Takes registrations from application through publicity to their certificates. Answers the refusal of a certificate
/// that was asked for before publicity had ended.
pub async fn certify(
    stage: &Stage,
    cast: &Cast,
    registrations: &[RegistrationId],
) -> Result<crate::RefusalShown, DemoError> {
    let handler = cast.user(Part::Registrar, Duty::Handler);
    let approver = cast.user(Part::Registrar, Duty::Approver);
    stage.wait_hours(24);
    for registration in registrations {
        stage.act(&handler, Command::AcceptRegistration { registration: registration.clone() }).await?;
        stage.act(&approver, Command::ReviewRegistration { registration: registration.clone() }).await?;
    }
    let first = registrations.first().ok_or_else(|| DemoError::Unexpected("nothing to register".to_owned()))?;
    let early = Command::CertifyRegistration { registration: first.clone() };
    let refusal = stage.must_refuse("公示期未满即申请发证", &approver, early, "too_early").await?;
    stage.wait_until(|now| {
        stage.app.read(|state| {
            registrations.iter().all(|id| match state.registrations.get(id).map(|r| &r.value.stage) {
                Some(RegistrationStage::Publicity { until, .. }) => Calendar::has_passed(*until, now),
                _ => false,
            })
        })
    })?;
    for registration in registrations {
        stage.act(&approver, Command::CertifyRegistration { registration: registration.clone() }).await?;
    }
    Ok(refusal)
}
