//! A person asks where his data went, and checks each line against the public log alone.

use lingqu_app::TakenBy;
use lingqu_crypto::{DigestPair, Salt};
use lingqu_domain::access::{Actor, Duty};
use lingqu_transparency::{Checkpoint, LogEntry, LogProof, NoteVerifier};
use serde_json::Value;

use crate::cast::{Cast, Part};
use crate::resources::Resources;
use crate::stage::Stage;
use crate::{DemoError, Recorder, published};

fn unexpected(problem: impl std::fmt::Display) -> DemoError {
    DemoError::Unexpected(problem.to_string())
}

/// An applicant of the licence check stands before the consent desk, gets a pass, and reads every use of his data: the check that he
/// consented to, and not the attempt before he had.
pub async fn uses(
    stage: &Stage,
    cast: &Cast,
    resources: &Resources,
    recorder: &mut Recorder<'_>,
) -> Result<(), DemoError> {
    let strand = &resources.strand;
    let person = strand.truth.iter().zip(&strand.drivers).find(|(truth, _)| truth.qualifies());
    let (_, person) = person.ok_or_else(|| unexpected("the generator made no applicant who qualifies"))?;
    let Actor::User(clerk) = cast.user(Part::ConsentDesk, Duty::Handler) else {
        return Err(unexpected("the consent desk has no user"));
    };
    let taken_by = TakenBy { user: Some(clerk), ..TakenBy::default() };
    let pass = stage.app.issue_person_pass(&taken_by, &person.id_number)?;
    let page = stage.send("GET", "/api/v1/subjects/me/uses", Some(&pass.text), None).await?;
    let page = page.answered("the uses of a person's data")?.json();
    let items = page["items"].as_array().cloned().unwrap_or_default();
    let [item] = &items[..] else {
        return Err(unexpected(format!("the applicant's data was used {} times instead of once", items.len())));
    };
    let proven = prove(stage, &page, item).await?;
    let told = |value: &Value| Value::from(value.as_str().unwrap_or_default());
    recorder.step(
        "本人查询：我的数据被谁、为何、依何授权使用，逐条附存证证明（SYNTHETIC）",
        "A person reads who used his data, why and under which permit, with proofs (SYNTHETIC)",
        &[
            ("uses", items.len().into()),
            ("consumer", told(&item["consumer_name"])),
            ("purpose", told(&item["purpose"])),
            ("permit_scenario", told(&item["permits"][0]["scenario"])),
            ("columns", item["columns"].clone()),
            ("records_proven_by_the_public_log", proven.into()),
        ],
    );
    Ok(())
}

/// Checks every record of a line: its text makes the digests that stand in a public entry, and the checkpoint has that entry. Answers
/// how many there are.
async fn prove(stage: &Stage, page: &Value, item: &Value) -> Result<usize, DemoError> {
    let keys = stage.app.log_keys()?;
    let key: &NoteVerifier = keys.first().ok_or_else(|| unexpected("the log has no key"))?;
    let note = stage.send("GET", "/log/checkpoint", None, None).await?.answered("the checkpoint")?;
    let note = String::from_utf8(note.body).map_err(unexpected)?;
    let entries = published::entries(stage, Checkpoint::open(&note, key).map_err(unexpected)?.size).await?;
    let records = item["records"].as_array().cloned().unwrap_or_default();
    for record in &records {
        let text_of = |name: &str| record[name].as_str().ok_or_else(|| unexpected(format!("a record has no {name}")));
        let number_of = |name: &str| {
            let number = record[name].as_u64().and_then(|number| usize::try_from(number).ok());
            number.ok_or_else(|| unexpected(format!("a record has no {name}")))
        };
        let (index, place) = (number_of("log_entry")?, number_of("place")?);
        let entry = entries.get(index).ok_or_else(|| unexpected("a record's entry is not published"))?;
        let proof = page["proofs"][index.to_string()].as_str().unwrap_or_default();
        LogProof::from_text(proof).and_then(|proof| proof.verify(entry, key)).map_err(unexpected)?;
        let salt: Salt = text_of("salt")?.parse().map_err(unexpected)?;
        let digests = DigestPair::of_salted(&salt, text_of("text")?.as_bytes());
        let stands = LogEntry::decode(entry).map_err(unexpected)?.pairs().get(place) == Some(&digests);
        if !stands {
            return Err(unexpected("a record is not what the log committed to"));
        }
    }
    if records.is_empty() {
        return Err(unexpected("a use has no record"));
    }
    Ok(records.len())
}
