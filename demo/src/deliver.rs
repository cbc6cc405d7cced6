//! Deliveries over HTTP: what a consumer gets with his key, and what he does not get.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jiff::SignedDuration;
use lingqu_domain::consent::ConsentDetails;
use lingqu_domain::scope::Purpose;
use serde_json::{Value, json};

use crate::authorise::LICENCE;
use crate::market::{Ordered, Orders};
use crate::resources::Resources;
use crate::stage::{Reply, Stage, shown_reply};
use crate::{DemoError, Recorder};

/// Flights of the sample that are claimed.
const CLAIMS_COUNT: usize = 16;
/// Applicants who are checked, half of whom must fail.
const APPLICANTS_COUNT: usize = 20;

/// Asks for data in every mode, and for what must be refused.
pub async fn deliver(
    stage: &Stage,
    resources: &Resources,
    orders: &Orders,
    recorder: &mut Recorder<'_>,
) -> Result<(), DemoError> {
    // From here on the node's time is the machine's.
    stage.app.clock().advance(SignedDuration::from_hours(24 * 3_660));
    verify_flights(stage, orders, recorder).await?;
    statistics(stage, orders, recorder).await?;
    data_set(stage, orders, recorder).await?;
    licence(stage, resources, orders, recorder).await?;
    refusals(stage, orders, recorder).await
}

/// Sends one claim.
pub async fn claim(stage: &Stage, order: &Ordered, key: Value, claim: Value) -> Result<Reply, DemoError> {
    let path = format!("/data/v1/{}/verify", order.product);
    stage.send("POST", &path, Some(&order.key), Some(json!({"key": key, "claim": claim}))).await
}

/// A flight of the sample that everybody can look up: HA 51 of 9 January 2013, 21 hours late.
pub fn famous_flight() -> Value {
    json!({"year": 2013, "month": 1, "day": 9, "carrier": "HA", "flight": 51, "sched_dep_time": 900})
}

async fn verify_flights(stage: &Stage, orders: &Orders, recorder: &mut Recorder<'_>) -> Result<(), DemoError> {
    let source = std::fs::read_to_string(stage.app.directory().join("sources").join("flights.csv"))
        .map_err(|error| DemoError::Unexpected(format!("the flights' source can't be read: {error}")))?;
    let lines: Vec<&str> = source.lines().skip(1).collect();
    let every = lines.len() / CLAIMS_COUNT;
    let mut answers = [0u64; 3];
    let started = Instant::now();
    for line in lines.iter().step_by(every.max(1)).take(CLAIMS_COUNT) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |at: usize| fields[at].parse::<i64>().ok();
        if fields[9] == "OO" {
            continue;
        }
        let key = json!({"year": number(0), "month": number(1), "day": number(2), "carrier": fields[9],
                         "flight": number(10), "sched_dep_time": number(4)});
        let expected = if number(8).is_some_and(|delay| delay >= 180) { "match" } else { "mismatch" };
        let reply = claim(stage, &orders.claims, key, json!({"late_three_hours": true})).await?;
        let found = reply.answered("verification")?.json()["result"].as_str().unwrap_or("").to_owned();
        if found != expected {
            return Err(DemoError::Unexpected(format!("the claim on `{line}` came out as {found}, not {expected}")));
        }
        answers[usize::from(found == "mismatch")] += 1;
    }
    let late = claim(stage, &orders.claims, famous_flight(), json!({"late_three_hours": true})).await?;
    let late = late.answered("verification of HA 51")?;
    if late.json()["result"] != "match" {
        return Err(DemoError::Unexpected("HA 51 of 9 January was late by 21 hours".to_owned()));
    }
    answers[0] += 1;
    let unknown = json!({"year": 2013, "month": 1, "day": 9, "carrier": "HA", "flight": 9999, "sched_dep_time": 900});
    let unknown = claim(stage, &orders.claims, unknown, json!({"late_three_hours": true})).await?;
    if unknown.answered("verification of no flight")?.json()["result"] != "not_found" {
        return Err(DemoError::Unexpected("there is no flight HA 9999".to_owned()));
    }
    answers[2] += 1;
    recorder.step(
        "理赔核验：航班是否延误三小时（REAL）",
        "Claims verified: was the flight three hours late? (REAL)",
        &[
            ("match", answers[0].into()),
            ("mismatch", answers[1].into()),
            ("not_found", answers[2].into()),
            ("receipt", late.receipt.clone().into()),
            ("milliseconds", (started.elapsed().as_millis() as u64).into()),
        ],
    );
    Ok(())
}

/// Sends a consumer's SQL.
pub async fn query(stage: &Stage, order: &Ordered, sql: &str) -> Result<Reply, DemoError> {
    let path = format!("/data/v1/{}/query", order.product);
    stage.send("POST", &path, Some(&order.key), Some(json!({"sql": sql}))).await
}

async fn statistics(stage: &Stage, orders: &Orders, recorder: &mut Recorder<'_>) -> Result<(), DemoError> {
    let sql = "SELECT carrier, count(*) AS flights, avg(arr_delay) AS mean_delay FROM flight_punctuality \
               WHERE month = 7 GROUP BY carrier ORDER BY carrier";
    let reply = query(stage, &orders.pricing, sql).await?.answered("statistics")?;
    let rows = rows_of(&reply.json());
    recorder.step(
        "准点统计：七月各承运人（REAL，最小群组 30）",
        "Punctuality by carrier in July (REAL, cohort floor 30)",
        &[("groups", rows.len().into()), ("first", rows.first().cloned().unwrap_or(Value::Null))],
    );
    Ok(())
}

/// The rows of a JSON answer, whether they stand in `rows` or alone.
fn rows_of(body: &Value) -> Vec<Value> {
    let rows = if body.is_array() { body } else { &body["rows"] };
    rows.as_array().cloned().unwrap_or_default()
}

async fn data_set(stage: &Stage, orders: &Orders, recorder: &mut Recorder<'_>) -> Result<(), DemoError> {
    let export = |order: &Ordered, format: &str| format!("/data/v1/{}/export?format={format}", order.product);
    let started = Instant::now();
    let insurer = &orders.insurer_set;
    let parquet = stage.send("GET", &export(insurer, "parquet"), Some(&insurer.key), None).await?.answered("export")?;
    let parquet_ms = started.elapsed().as_millis() as u64;
    let researcher = &orders.researcher_set;
    let started = Instant::now();
    let csv = stage.send("GET", &export(researcher, "csv"), Some(&researcher.key), None).await?.answered("export")?;
    let csv_ms = started.elapsed().as_millis() as u64;
    let csv_rows = csv.body.iter().filter(|byte| **byte == b'\n').count() as u64 - 1;
    let path = format!("/data/v1/{}/lookup/2013-01-09T14:00:00Z,HA,51", insurer.product);
    let one = stage.send("GET", &path, Some(&insurer.key), None).await?.answered("lookup")?;
    let other = stage.send("GET", &path, Some(&researcher.key), None).await?.answered("lookup")?;
    let tailnum = |reply: &Reply| rows_of(&reply.json()).first().map(|row| row["tailnum"].clone()).unwrap_or_default();
    let (one, other) = (tailnum(&one), tailnum(&other));
    if one == other || one.is_null() || one == "N380HA" {
        return Err(DemoError::Unexpected(format!("the aircraft is {one} for one consumer and {other} for another")));
    }
    let path =
        format!("/data/v1/{}/rows?columns=carrier,flight,arr_delay&filter=carrier:eq:HA&limit=5", insurer.product);
    let page = stage.send("GET", &path, Some(&insurer.key), None).await?.answered("rows")?;
    recorder.step(
        "数据集交付：Parquet 与 CSV、查询、按行（REAL）",
        "The data set as Parquet and CSV, lookup, rows (REAL)",
        &[
            ("parquet_bytes", parquet.body.len().into()),
            ("parquet_milliseconds", parquet_ms.into()),
            ("csv_rows", csv_rows.into()),
            ("csv_bytes", csv.body.len().into()),
            ("csv_milliseconds", csv_ms.into()),
            ("tailnum_for_insurer", one),
            ("tailnum_for_institute", other),
            ("rows_page", rows_of(&page.json()).len().into()),
            ("receipt", parquet.receipt.into()),
        ],
    );
    Ok(())
}

async fn licence(
    stage: &Stage,
    resources: &Resources,
    orders: &Orders,
    recorder: &mut Recorder<'_>,
) -> Result<(), DemoError> {
    let strand = &resources.strand;
    let mut chosen = Vec::new();
    for wanted in [true, false] {
        let alike = strand.truth.iter().zip(&strand.drivers).filter(|(truth, _)| truth.qualifies() == wanted);
        chosen.extend(alike.take(APPLICANTS_COUNT / 2).map(|(_, driver)| (driver.id_number.clone(), wanted)));
    }
    let inputs = ["drivers", "offences", "dangerous_records"].map(|table| resources.id(table));
    let consent = ConsentDetails {
        consumer: stage
            .app
            .read(|state| state.orders.get(&orders.licence.id).map(|order| order.value.consumer.clone()))
            .ok_or_else(|| DemoError::Unexpected("the licence order is not there".to_owned()))?,
        purpose: Purpose(LICENCE.to_owned()),
        resources: BTreeSet::from(inputs),
        fields: BTreeMap::new(),
        term: stage.term_days(1),
        statement: "本人同意从业资格办理窗口为核验从业条件，查询本人的驾驶证、违法记分和危险驾驶记录的核验结果，有效期一天，可随时撤回。"
            .to_owned(),
    };
    let check = async |id_number: &str| {
        claim(stage, &orders.licence, json!({"id_number": id_number}), json!({"qualified": true})).await
    };
    // Who has not consented is answered as if he were not there, so that the answer tells nothing of him.
    let result_of = |reply: Reply| -> Result<String, DemoError> {
        let reply = reply.answered("licence check")?.json();
        Ok(reply["result"].as_str().unwrap_or_default().to_owned())
    };
    let without = result_of(check(&chosen[0].0).await?)?;
    let mut last = None;
    for (id_number, wanted) in &chosen {
        let given = stage.app.give_consent(id_number, consent.clone()).await?;
        let found = result_of(check(id_number).await?)?;
        let expected = if *wanted { "match" } else { "mismatch" };
        if found != expected {
            return Err(DemoError::Unexpected(format!("an applicant came out as {found}, not {expected}")));
        }
        last = Some((id_number.clone(), given));
    }
    let Some((id_number, given)) = last else {
        return Err(DemoError::Unexpected("the generator made no applicants".to_owned()));
    };
    stage.app.withdraw_consent(&id_number, &given).await?;
    let after = result_of(check(&id_number).await?)?;
    if [&without, &after] != ["not_found"; 2] {
        return Err(DemoError::Unexpected(format!("without consent it is `{without}`, after withdrawal `{after}`")));
    }
    recorder.step(
        "从业资格“扫脸即办”核验（SYNTHETIC，经本人同意）",
        "Taxi-driver licence check with consent (SYNTHETIC)",
        &[
            ("applicants", chosen.len().into()),
            ("qualified", (chosen.iter().filter(|(_, wanted)| *wanted).count()).into()),
            ("truth_agrees", true.into()),
            ("before_consent", without.into()),
            ("after_withdrawal", after.into()),
        ],
    );
    Ok(())
}

async fn refusals(stage: &Stage, orders: &Orders, recorder: &mut Recorder<'_>) -> Result<(), DemoError> {
    let mut shown = Vec::new();
    let reply =
        query(stage, &orders.pricing, "SELECT tailnum, count(*) FROM flight_punctuality GROUP BY tailnum").await?;
    shown.push(shown_reply("统计产品中查询未授权字段 tailnum", &reply, "column_not_granted"));
    let path = format!("/data/v1/{}/rows", orders.claims.product);
    let reply = stage.send("GET", &path, Some(&orders.claims.key), None).await?;
    shown.push(shown_reply("仅授权核验的订单请求按行交付", &reply, "mode_not_granted"));
    let reply = query(
        stage,
        &orders.pricing,
        "SELECT dest, avg(arr_delay) AS mean_delay FROM flight_punctuality WHERE dest = 'LEX' GROUP BY dest",
    )
    .await?;
    shown.push(shown_reply("统计只有一个航班的目的地", &reply, "cohort_too_small"));
    let mut reply = claim(stage, &orders.trial, famous_flight(), json!({"late_three_hours": true})).await?;
    for _ in 0..3 {
        reply = claim(stage, &orders.trial, famous_flight(), json!({"late_three_hours": true})).await?;
    }
    shown.push(shown_reply("配额三次，第四次核验", &reply, "quota_exceeded"));
    let path = format!("/data/v1/{}/rows?limit=1", orders.insurer_set.product);
    let reply = stage.send("GET", &path, Some(&orders.claims.key), None).await?;
    shown.push(shown_reply("用另一订单的密钥取数据集", &reply, "order_product_mismatch"));
    recorder.step("有意触发的拒绝", "Refusals shown on purpose", &[("refusals", shown.len().into())]);
    recorder.report.refusals.extend(shown);
    Ok(())
}
