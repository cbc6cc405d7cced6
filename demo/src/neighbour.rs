//! The city's node as a witness of the region's log: it cosigns what continues what it saw, and refuses whoever rewrites it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lingqu_app::{App, AskedWitnessSetting, CosigningSetting, WitnessSetting, WitnessedLogSetting};
use lingqu_crypto::{IndexKey, SigningKey};
use lingqu_domain::party::{Division, Organisation, PartyDetails, Role, Tier};
use lingqu_transparency::{
    AddCheckpoint, Checkpoint, Conviction, Misconduct, NoteSigner, NoteVerifier, SignedNote, leaf_hash, root,
};
use zeroize::Zeroizing;

use crate::cast::DEMO_PASSWORD;
use crate::report::WitnessShown;
use crate::stage::Stage;
use crate::{DemoError, Recorder, published};

/// Nanning, whose node is the witness.
const CITY: &str = "450100";
/// Which entry is rewritten: one of the log's first half, that the witness saw long ago.
const REWRITTEN_SHARE: u64 = 3;

/// A second node, open and served by whoever plays the demo.
pub struct Neighbour {
    /// The node, not yet initialised.
    pub app: Arc<App>,
    /// Where its listener answers, without a slash at the end.
    pub base_url: String,
}

fn unexpected(problem: impl std::fmt::Display) -> DemoError {
    DemoError::Unexpected(problem.to_string())
}

/// Brings the neighbour into being; it watches both of the region's logs, and the region publishes no checkpoint that it has not
/// cosigned.
pub async fn stand_by(stage: &Stage, neighbour: &Neighbour) -> Result<(), DemoError> {
    let authority = PartyDetails {
        name: "南宁市数据主管部门（示范）".to_owned(),
        name_en: "Data authority of Nanning (demo)".to_owned(),
        credit_code: "DEMO45010000000000".to_owned(),
        organisation: Organisation::Department,
        roles: BTreeSet::from([Role::DataAuthority]),
        tier: Tier::City,
        division: Division::new(CITY)?,
        ties: BTreeSet::new(),
    };
    let name = Zeroizing::new("示范管理员".to_owned());
    let app = &neighbour.app;
    app.initialise(Tier::City, Division::new(CITY)?, authority, "admin", name, DEMO_PASSWORD).await?;
    let logs = stage.app.log_keys()?.into_iter();
    let logs = logs.map(|key| WitnessedLogSetting { origin: key.name().to_owned(), keys: vec![key] }).collect();
    app.be_witness(WitnessSetting { name: None, logs })?;
    let asked =
        AskedWitnessSetting { url: format!("{}/witness", neighbour.base_url), keys: app.own_witness_keys(None)? };
    stage.app.ask_witnesses(CosigningSetting { witnesses: vec![asked], quorum: 1, twin_quorum: None })?;
    Ok(())
}

/// Shows the checkpoint that the neighbour cosigned; then somebody who has the region's own keys rewrites an old entry and asks
/// for a cosignature. The neighbour refuses, and keeps a proof that convicts the log with nothing but the log's key.
pub async fn witness(stage: &Stage, neighbour: &Neighbour, recorder: &mut Recorder<'_>) -> Result<(), DemoError> {
    let head = stage.app.publish_log().await?;
    let twin = head.twin.as_ref().ok_or_else(|| unexpected("the twin log is not published"))?;
    let keys = neighbour.app.own_witness_keys(None)?;
    let mut lines = 0;
    for note in [&head.note, &twin.note] {
        lines += SignedNote::parse(note).and_then(|note| Ok(note.verify(&keys)?.len())).map_err(unexpected)?;
    }
    if lines != 2 {
        return Err(unexpected(format!("the neighbour cosigned {lines} of two checkpoints")));
    }
    recorder.step(
        "邻近节点见证：日志头由南宁市节点副署",
        "The city's node witnesses: it cosigns the region's checkpoints",
        &[
            ("log_entries", head.size.into()),
            ("cosigned_logs", lines.into()),
            ("checkpoint", one_line(&head.note).into()),
        ],
    );
    let entries = published::entries(stage, head.size).await?;
    let leaves: Vec<[u8; 32]> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let honest = Checkpoint::open(&head.note, &key_of(stage)?).map_err(unexpected)?;
    if root(&leaves) != honest.root {
        return Err(unexpected("the published entries do not make the published root"));
    }
    let forged = rewritten(stage, &honest, leaves)?;
    let request = AddCheckpoint { old_size: honest.size, proof: Vec::new(), note: forged };
    let reply = stage.post_text(&format!("{}/witness/add-checkpoint", neighbour.base_url), request.to_text()).await?;
    let refusal = String::from_utf8_lossy(&reply.body).trim().to_owned();
    let (proof, conviction) = proof_of(neighbour.app.directory(), &key_of(stage)?)?;
    let is_refused = reply.status == 422 && conviction.size == honest.size;
    if !is_refused {
        return Err(unexpected(format!("the rewritten checkpoint was answered {} {refusal}", reply.status)));
    }
    recorder.step(
        "改写昨天的记录：见证方拒绝副署，并留存定罪证据",
        "Yesterday rewritten: the witness refuses, and keeps the proof",
        &[
            ("entries_rewritten", 1.into()),
            ("witness_status", reply.status.into()),
            ("witness_says", refusal.into()),
            ("proof_convicts_with_the_log_key_alone", true.into()),
        ],
    );
    recorder.report.witness = WitnessShown {
        log_size: head.size,
        cosigned_logs: lines,
        rewriting_refused: is_refused,
        proof: proof.display().to_string(),
    };
    Ok(())
}

/// Origin, size and root.
fn one_line(note: &str) -> String {
    note.lines().take(3).collect::<Vec<_>>().join(" · ")
}

/// The key of the region's log over SHA-256.
fn key_of(stage: &Stage) -> Result<NoteVerifier, DemoError> {
    stage.app.log_keys()?.into_iter().next().ok_or_else(|| unexpected("the log has no key"))
}

/// A checkpoint of the same size over other entries, signed with the node's own key, as whoever took its machine could.
fn rewritten(stage: &Stage, honest: &Checkpoint, mut leaves: Vec<[u8; 32]>) -> Result<String, DemoError> {
    let old = usize::try_from(honest.size / REWRITTEN_SHARE).map_err(unexpected)?;
    let leaf = leaves.get_mut(old).ok_or_else(|| unexpected("the log is empty"))?;
    *leaf = leaf_hash("那天什么也没有交付".as_bytes());
    let path = stage.app.directory().join("keys").join("node.secret");
    let secret = std::fs::read_to_string(&path).map(Zeroizing::new).map_err(unexpected)?;
    let mut bytes = Zeroizing::new([0; 32]);
    for (place, byte) in bytes.iter_mut().enumerate() {
        let digits = secret.get(2 * place..2 * place + 2).ok_or_else(|| unexpected("the node's secret is cut"))?;
        *byte = u8::from_str_radix(digits, 16).map_err(unexpected)?;
    }
    let seed = IndexKey::from_bytes(*bytes).digest("lingqu node key v1", b"signing").0;
    let signer = NoteSigner::new(&honest.origin, SigningKey::from_seed(seed)).map_err(unexpected)?;
    let forged = Checkpoint { origin: honest.origin.clone(), size: honest.size, root: root(&leaves) };
    forged.sign(&signer).map_err(unexpected)
}

/// The proof that the witness kept, checked as a third party checks it.
fn proof_of(directory: &Path, log: &NoteVerifier) -> Result<(PathBuf, Conviction), DemoError> {
    let listed = std::fs::read_dir(directory.join("misconduct")).map_err(unexpected)?;
    let file = listed.flatten().map(|entry| entry.path()).next();
    let file = file.ok_or_else(|| unexpected("the witness kept no proof"))?;
    let text = std::fs::read_to_string(&file).map_err(unexpected)?;
    let conviction = Misconduct::from_text(&text).and_then(|proof| proof.verify(log, None)).map_err(unexpected)?;
    Ok((file, conviction))
}
