//! Resources (公共数据资源): catalogued data sets with graded columns, a source and snapshots.
//!
//! A resource is drafted by a handler of its provider and signed by the provider's chief data officer, who answers for
//! catalogue, grades and attributes. What it may at most be used for, its *ceiling*, follows from the columns' grades,
//! the openness attribute and the rulebook: everything below is a narrowing of that.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{PartyId, RegistrationId, ResourceId, SnapshotId};
use crate::marking::{self, MarkDeclaration, MarkLimits};
use crate::party::Division;
use crate::refusal::{Refusal, RefusalCode};
use crate::registration::Certificate;
use crate::rulebook::Rulebook;
use crate::scope::{ColumnName, Mode, Precision, Precisions, Purpose, Scope, Term};
use crate::state::{Listed, Meta};

/// Most columns of a resource.
pub const COLUMNS_MAX: usize = 1_000;
/// Longest name of a connection, schema or table; PostgreSQL keeps no more of a name.
const LIVE_NAME_BYTES_MAX: usize = 63;

/// Grade of a column or resource (GB/T 43697-2024), from low to high.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// 一般 1
    #[serde(rename = "general_1")]
    General1,
    /// 一般 2
    #[serde(rename = "general_2")]
    General2,
    /// 一般 3
    #[serde(rename = "general_3")]
    General3,
    /// 一般 4
    #[serde(rename = "general_4")]
    General4,
    /// 重要
    Important,
    /// 核心
    Core,
}

/// 共享属性
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// 无条件共享
    Unconditional,
    /// 有条件共享
    Conditional {
        /// The conditions and the manner.
        conditions: String,
    },
    /// 不予共享
    NotShared {
        /// The legal basis.
        basis: String,
    },
}

/// 开放属性
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Openness {
    /// 无条件开放: rows and files may leave.
    Unconditional,
    /// 有条件开放: rows and files may leave where a permit names them after output review.
    Conditional,
    /// 不予开放: verification, statistics and in-domain computing only.
    NotOpen,
}

/// Whether data was collected in the world or made by a generator; never left out where data is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Nature {
    /// Collected in the world.
    Real,
    /// Made by a generator.
    Synthetic,
}

/// Type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// UTF-8 text.
    Text,
    /// 64-bit integer.
    Integer,
    /// 64-bit float.
    Float,
    /// Exact decimal.
    Decimal,
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// A time of day on a day, without an offset.
    LocalTimestamp,
    /// A point in time.
    Timestamp,
}

/// An information item (信息项).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Name.
    pub name: ColumnName,
    /// Type.
    pub data_type: DataType,
    /// Meaning, in Chinese.
    pub meaning: String,
    /// Grade.
    pub grade: Grade,
}

/// What a catalogue entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ResourceDetails {
    /// Table name in products' SQL; unique in the node.
    pub table: ColumnName,
    /// 名称
    pub name: String,
    /// Name in English.
    pub name_en: String,
    /// 摘要
    pub summary: String,
    /// Division.
    pub division: Division,
    /// Source and basis of collection.
    pub basis: String,
    /// Where it comes from, such as a file or table name.
    pub source: String,
    /// Information items.
    pub columns: Vec<Column>,
    /// Columns that identify a row; may be empty.
    pub key: Vec<ColumnName>,
    /// The column that names the data subject, where rows are about persons.
    pub subject: Option<ColumnName>,
    /// Whether the key, of one column, says whose a row is as the subject does: one row for each person, by whose key other tables
    /// name him. A mere number of rows does not. Products may join such tables by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key_names_subject: bool,
    /// Legal basis of processing personal data (PIPL art. 13); needed when there is a subject.
    pub personal_basis: Option<String>,
    /// 共享属性
    pub sharing: Sharing,
    /// 开放属性
    pub openness: Openness,
    /// 更新周期, in days; 0: not updated.
    pub update_cycle_days: u32,
    /// REAL or SYNTHETIC.
    pub nature: Nature,
    /// What marks may change in copies; nothing, unless it is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<MarkDeclaration>,
}

/// Where the data of a live resource stays: a table of its department's own database, read for each answer and never
/// stored by the node. It names a connection of the node's configuration; addresses and passwords stand there alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LiveSource {
    /// The connection.
    pub connection: String,
    /// The schema of the table.
    pub schema: String,
    /// The table or view.
    pub table: String,
}

/// An immutable version of a resource's data, as the engine stored it; of a live resource what was agreed about its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Version of the resource's table, from 0.
    pub version: u64,
    /// Rows.
    pub rows: u64,
    /// SHA-256 over the digests of the data files, hexadecimal.
    pub digest: String,
    /// SHA-256 of the source file, hexadecimal.
    pub source_digest: String,
    /// REAL or SYNTHETIC.
    pub nature: Nature,
    /// When it was taken.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub taken_at: Timestamp,
    /// Where the data stays, when it is not stored by the node. There are no rows and files then, and the digests are of the
    /// agreement: connection, table and columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveSource>,
}

/// A catalogued data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Resource {
    /// Its id.
    pub id: ResourceId,
    /// The party that holds it and answers for its quality.
    pub provider: PartyId,
    /// The catalogue entry.
    pub details: ResourceDetails,
    /// Who drafted it.
    pub drafted_by: Actor,
    /// Who signed it, once the chief data officer has.
    pub signed_by: Option<Actor>,
    /// The registration that is under way or done.
    pub registration: Option<RegistrationId>,
    /// The certificate in force.
    pub certificate: Option<Certificate>,
    /// The newest snapshot.
    pub snapshot: Option<Snapshot>,
    /// Count of snapshots taken.
    pub snapshot_count: u64,
}

/// What happened to a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceEvent {
    /// It was drafted.
    Drafted {
        /// Its provider.
        provider: PartyId,
        /// The entry.
        details: Box<ResourceDetails>,
    },
    /// The chief data officer signed entry, grades and attributes.
    Signed,
    /// A snapshot was stored.
    SnapshotTaken(Snapshot),
    /// A registration was applied for.
    RegistrationApplied(RegistrationId),
    /// A certificate was issued.
    Certified(Certificate),
}

impl Resource {
    pub(crate) fn fold(previous: Option<Self>, id: ResourceId, event: &ResourceEvent, meta: &Meta) -> Option<Self> {
        let mut resource = match (previous, event) {
            (None, ResourceEvent::Drafted { provider, details }) => {
                return Some(Self {
                    id,
                    provider: provider.clone(),
                    details: (**details).clone(),
                    drafted_by: meta.actor.clone(),
                    signed_by: None,
                    registration: None,
                    certificate: None,
                    snapshot: None,
                    snapshot_count: 0,
                });
            }
            (Some(resource), _) => resource,
            (None, _) => return None,
        };
        match event {
            ResourceEvent::Signed if resource.signed_by.is_none() => resource.signed_by = Some(meta.actor.clone()),
            ResourceEvent::SnapshotTaken(snapshot)
                if resource.snapshot.as_ref().is_none_or(|newest| newest.version < snapshot.version) =>
            {
                resource.snapshot = Some(snapshot.clone());
                resource.snapshot_count += 1;
            }
            ResourceEvent::RegistrationApplied(registration)
                if resource.signed_by.is_some()
                    && resource.snapshot.is_some()
                    && resource.registration.as_ref() != Some(registration) =>
            {
                resource.registration = Some(registration.clone());
            }
            ResourceEvent::Certified(certificate)
                if resource.registration.as_ref() == Some(&certificate.registration)
                    && resource
                        .certificate
                        .as_ref()
                        .is_none_or(|held| held.registration != certificate.registration) =>
            {
                resource.certificate = Some(certificate.clone());
            }
            _ => return None,
        }
        Some(resource)
    }

    /// What the resource may at most be used for: every column in the modes that its grade and the openness attribute
    /// allow, for every purpose, as long as its certificate holds. `None` before it is certified.
    pub fn ceiling(&self, rulebook: &Rulebook) -> Option<Scope> {
        let certificate = self.certificate.as_ref()?;
        let open_modes: BTreeSet<Mode> = match self.details.openness {
            Openness::Unconditional | Openness::Conditional => Mode::ALL.into(),
            Openness::NotOpen => Mode::IN_DOMAIN.into(),
        };
        let mut columns = BTreeMap::new();
        let mut modes = BTreeSet::new();
        for column in &self.details.columns {
            let mut precisions = BTreeMap::new();
            for mode in rulebook.grade_modes.get(&column.grade).into_iter().flatten() {
                if open_modes.contains(mode) {
                    precisions.insert(*mode, Precision::Exact);
                    modes.insert(*mode);
                }
            }
            columns.insert(column.name.clone(), Precisions(precisions));
        }
        let personal = self.details.subject.is_some();
        Some(Scope {
            columns,
            rows: BTreeSet::new(),
            purposes: BTreeSet::from([Purpose::any()]),
            modes,
            term: Term { from: certificate.issued_at, until: certificate.valid_until },
            cohort_floor: if personal { rulebook.cohort_floor_personal } else { rulebook.cohort_floor },
            consent_required: personal,
            marks: match &self.details.marks {
                Some(declared) if !personal && !declared.credit_data => declared.limits.clone(),
                _ => MarkLimits::default(),
            },
        })
    }
}

impl Listed for Resource {
    fn state(&self) -> &'static str {
        match (&self.certificate, &self.registration, &self.signed_by) {
            (Some(_), _, _) => "registered",
            (None, Some(_), _) => "in_registration",
            (None, None, Some(_)) => "signed",
            (None, None, None) => "drafted",
        }
    }
    fn title(&self) -> String {
        self.details.name.clone()
    }
    fn owner(&self) -> String {
        self.provider.to_string()
    }
}

pub(crate) fn draft(deciding: &mut Deciding<'_>, acting: &Acting, details: &ResourceDetails) -> Result<(), Refusal> {
    check(details, &deciding.state.rulebook())?;
    deciding.scan();
    if let Some(twin) = deciding.state.resources.values().find(|other| other.value.details.table == details.table) {
        return Err(Refusal::new(
            RefusalCode::AlreadyExists,
            &details.table,
            format!("表名 {} 已被 {} 使用", details.table, twin.value.id),
            format!("table name {} is taken by {}", details.table, twin.value.id),
        ));
    }
    let id = ResourceId::next(&mut deciding.ids);
    let event = ResourceEvent::Drafted { provider: acting.party()?.clone(), details: Box::new(details.clone()) };
    deciding.emit(&id, Event::Resource(event));
    Ok(())
}

fn check(details: &ResourceDetails, rulebook: &Rulebook) -> Result<(), Refusal> {
    if details.columns.is_empty() || details.columns.len() > COLUMNS_MAX {
        return Err(Refusal::invalid(
            "columns",
            format!("信息项为 1 至 {COLUMNS_MAX} 个"),
            format!("a resource has 1 to {COLUMNS_MAX} columns"),
        ));
    }
    let mut names = BTreeSet::new();
    for column in &details.columns {
        if !names.insert(&column.name) {
            return Err(Refusal::invalid(
                "columns",
                format!("信息项 {} 重复", column.name),
                format!("column {} is named twice", column.name),
            ));
        }
        if !rulebook.grade_modes.contains_key(&column.grade) {
            return Err(Refusal::new(
                RefusalCode::GradeRefused,
                &column.name,
                format!("信息项 {} 的级别不得编入本目录（核心数据、国家秘密、军事数据不予收录）", column.name),
                format!(
                    "column {} has a grade that is not catalogued here (core data, state secrets, military data)",
                    column.name
                ),
            ));
        }
    }
    for name in details.key.iter().chain(&details.subject) {
        if !names.contains(name) {
            return Err(Refusal::invalid(
                "key",
                format!("{name} 不是本资源的信息项"),
                format!("{name} is not a column of this resource"),
            ));
        }
    }
    if details.key_names_subject && (details.subject.is_none() || details.key.len() != 1) {
        return Err(Refusal::invalid(
            "key_names_subject",
            "仅当资源有主体字段、且主键为一列时，主键才能指明主体",
            "a key says whose a row is only where it is one column of a resource with a subject",
        ));
    }
    if details.subject.is_some() && details.personal_basis.as_deref().is_none_or(|basis| basis.trim().is_empty()) {
        return Err(Refusal::invalid(
            "personal_basis",
            "含个人信息的资源须写明处理的合法性基础（个人信息保护法第十三条）",
            "a resource with personal data states its legal basis (PIPL art. 13)",
        ));
    }
    marking::check_declaration(details)?;
    for (field, text) in [("name", &details.name), ("summary", &details.summary), ("basis", &details.basis)] {
        if text.trim().is_empty() || text.chars().count() > 2_000 {
            return Err(Refusal::invalid(field, "须填写，且不超过 2000 字", "needs 1 to 2,000 characters"));
        }
    }
    Ok(())
}

pub(crate) fn sign(deciding: &mut Deciding<'_>, acting: &Acting, id: &ResourceId) -> Result<(), Refusal> {
    let resource = deciding.resource(id)?;
    acting.must_act_for(&resource.provider)?;
    if resource.signed_by.is_some() {
        return Err(Refusal::wrong_state(id, resource.state(), "drafted"));
    }
    if resource.drafted_by == acting.actor {
        return Err(Refusal::four_eyes(id));
    }
    deciding.emit(id, Event::Resource(ResourceEvent::Signed));
    Ok(())
}

pub(crate) fn record_snapshot(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &ResourceId,
    snapshot: &Snapshot,
) -> Result<(), Refusal> {
    let resource = deciding.resource(id)?;
    acting.must_act_for(&resource.provider)?;
    if snapshot.nature != resource.details.nature {
        return Err(Refusal::invalid(
            "nature",
            "快照的真实/合成属性须与目录一致",
            "a snapshot is REAL or SYNTHETIC as the catalogue entry says",
        ));
    }
    if let Some(live) = &snapshot.live {
        must_be_fit_for_live(resource, live)?;
    }
    if let Some(newest) = &resource.snapshot
        && newest.live.is_some() != snapshot.live.is_some()
    {
        // Stored versions are counted by the store and live ones here; the two would run into each other.
        let (found, wanted) = if newest.live.is_some() { ("live", "stored") } else { ("stored", "live") };
        return Err(Refusal::wrong_state(id, found, wanted));
    }
    // A version that was stored but never recorded, because the node stopped in between, is skipped for good.
    if let Some(newest) = &resource.snapshot
        && snapshot.version <= newest.version
    {
        return Err(Refusal::wrong_state(id, &format!("at version {}", newest.version), "a later version"));
    }
    deciding.emit(id, Event::Resource(ResourceEvent::SnapshotTaken(snapshot.clone())));
    Ok(())
}

/// Refuses a live source that receipts could not speak of.
fn must_be_fit_for_live(resource: &Resource, live: &LiveSource) -> Result<(), Refusal> {
    if resource.details.key.is_empty() {
        return Err(Refusal::invalid(
            "key",
            "数据不入库的资源须声明主键：回执以主键的加盐摘要记录行",
            "a live resource declares a key: receipts name its rows by salted digests of it",
        ));
    }
    for (field, name) in [("connection", &live.connection), ("schema", &live.schema), ("table", &live.table)] {
        if name.is_empty() || name.len() > LIVE_NAME_BYTES_MAX || name.contains('\0') {
            return Err(Refusal::invalid(
                field,
                format!("名称为 1 至 {LIVE_NAME_BYTES_MAX} 字节"),
                format!("a name has 1 to {LIVE_NAME_BYTES_MAX} bytes"),
            ));
        }
    }
    Ok(())
}
