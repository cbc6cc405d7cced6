//! Everything a use case can say no or fail with, and the one place that turns it into a problem document (RFC 9457).

use std::path::{Path, PathBuf};

use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::state::FoldError;
use lingqu_engine::EngineError;
use lingqu_engine::allow::RefusalCode as StatementCode;
use lingqu_engine::lookup::LookupError;
use lingqu_engine::product::ProductError;
use lingqu_engine::snapshot::SnapshotError;
use lingqu_engine::source::SourceError;
use lingqu_quality::QualityError;
use lingqu_store::quota::QuotaError;
use lingqu_store::{AppendError, StoreError};
use serde::Serialize;

use crate::quota::is_shared;
use crate::storage;

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The domain said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Something the command read has changed since.
    #[error(
        "{stream} has changed since you looked at it (version {expected}, now {found}); load it again and decide anew"
    )]
    Conflict {
        /// What moved.
        stream: String,
        /// The version that was expected.
        expected: u64,
        /// The version found.
        found: u64,
    },
    /// An idempotency key was used for another request.
    #[error("this idempotency key was used for another request; use a new one")]
    KeyReused,
    /// Login or password is wrong; which of the two is not told.
    #[error("login or password is wrong")]
    BadCredentials,
    /// As many wait for their passwords to be checked as may.
    #[error("too many passwords are waiting to be checked; try again in a moment")]
    PasswordsBusy,
    /// A service key that is unknown, malformed or revoked; which is not told.
    #[error("the service key is not valid")]
    BadKey,
    /// A person's pass that is malformed, was not given by this node or has lapsed; which is not told.
    #[error("the person's pass is not valid")]
    BadPass,
    /// The node could not catch up with the journal in time.
    #[error("the node has not caught up with its journal; try again in a moment")]
    Behind,
    /// A request that is malformed in itself.
    #[error("{0}")]
    Invalid(String),
    /// The node directory is in use.
    #[error("{} is in use by another lingqu process; stop it or name another directory", .0.display())]
    InUse(PathBuf),
    /// The node directory is not initialised.
    #[error("{} holds no node; run `lingqu init` first", .0.display())]
    NotInitialised(PathBuf),
    /// A file operation failed.
    #[error("can't {doing} {}: {reason}", path.display())]
    File {
        /// The operation as a verb.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said and what to do.
        reason: String,
    },
    /// A file of the node is damaged.
    #[error("{} is damaged: {hint}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// The journal can't be folded.
    #[error("the journal does not fold: {0}; restore the database from a backup and tell the data authority")]
    Fold(#[from] FoldError),
    /// The system gives no randomness.
    #[error("the operating system gives no random bytes ({reason})")]
    NoRandom {
        /// What the system said.
        reason: String,
    },
    /// As many ingestions wait as may.
    #[error("too many ingestions are waiting; try again when some have ended")]
    TooManyIngestions,
    /// As many ingestions of the provider are open as he may have while others may come.
    #[error(
        "your ingestions have their share of the node's queue; try again when one of them has ended, or cancel one"
    )]
    TooManyOwnIngestions,
    /// Another table is read for its marks, and goes on longer than a request waits.
    #[error(
        "another table is being read for its marks, which the node does for one at a time; try again when that has ended, in some minutes"
    )]
    TooManySurveys,
    /// The room for uploaded files is used up.
    #[error("the room for uploaded files is used up; try again when some ingestions have ended")]
    UploadsFull,
    /// The provider's part of the room for uploaded files is used up.
    #[error(
        "your uploads have their share of the node's room; try again when one of your ingestions has ended, or have the node read the file where it lies"
    )]
    OwnUploadsFull,
    /// An upload that took too long.
    #[error("the upload did not end within {minutes} minutes; compress the file and send it again")]
    UploadTooLong {
        /// How long it may take.
        minutes: u64,
    },
    /// A source file was refused.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A snapshot could not be stored or opened.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A product could not be made.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// A key or claim was refused.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A rule set was refused or failed.
    #[error(transparent)]
    Quality(#[from] QualityError),
    /// The quota is used up.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The transparency log can't be published or read.
    #[error(transparent)]
    Log(lingqu_store::log::LogError),
    /// A checkpoint waits for the witnesses' quorum.
    #[error(
        "the newest checkpoint of the log has {found} of the {required} cosignatures that it needs; see that the witnesses under \
         `[log]` in lingqu.toml can be reached"
    )]
    AwaitingWitnesses {
        /// How many witnesses have cosigned it.
        found: usize,
        /// How many must have.
        required: usize,
    },
    /// The process that publishes the log waits for the witnesses' quorum.
    #[error(
        "the log is signed up to {size} entries and waits for its witnesses at the node that is running; see at GET /api/v1/witnesses or \
         on the console's page of the node which of those under `[log]` in lingqu.toml does not answer, and try again when it does"
    )]
    AwaitingWitnessesElsewhere {
        /// Entries under the checkpoint that waits.
        size: u64,
    },
    /// Something that must not happen.
    #[error("internal fault: {0}")]
    Fault(String),
}

impl From<AppendError> for AppError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict { stream, expected, found } => AppError::Conflict { stream, expected, found },
            AppendError::KeyReused => AppError::KeyReused,
            AppendError::Store(error) => AppError::Store(error),
            // Both texts say what to do.
            AppendError::ClockRanBack { .. } | AppendError::Erased { .. } => AppError::Invalid(error.to_string()),
        }
    }
}

/// A problem document (RFC 9457), with its title and detail in Chinese and English.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `urn:lingqu:problem:<code>`
    #[serde(rename = "type")]
    pub problem_type: String,
    /// HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// Chinese title.
    pub title: String,
    /// Chinese sentence that says what to do.
    pub detail: String,
    /// English title.
    pub title_en: String,
    /// English sentence.
    pub detail_en: String,
    /// What it concerns, such as an id or column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// For faults: the id under which the log has the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
}

impl Problem {
    /// A problem without a subject.
    pub fn new(
        status: u16,
        code: &str,
        (title, title_en): (&str, &str),
        detail: impl Into<String>,
        detail_en: impl Into<String>,
    ) -> Self {
        Self {
            problem_type: format!("urn:lingqu:problem:{code}"),
            status,
            code: code.to_owned(),
            title: title.to_owned(),
            detail: detail.into(),
            title_en: title_en.to_owned(),
            detail_en: detail_en.into(),
            subject: None,
            correlation: None,
        }
    }
}

impl AppError {
    /// A file operation that failed; a full or read-only disk is told apart, with what to do.
    pub fn file(doing: &'static str, path: &Path, error: &std::io::Error) -> Self {
        let reason = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                "the disk is full; free some space and try again".to_owned()
            }
            std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
                format!("{error}; give the user that runs lingqu the right to write there, or name another directory")
            }
            _ => error.to_string(),
        };
        AppError::File { doing, path: path.to_owned(), reason }
    }

    /// The problem document for whoever asked. A fault is logged here under the correlation id that the document names.
    pub fn problem(&self) -> Problem {
        if storage::is_temporary(self) {
            return storage::problem(self.logged());
        }
        match self {
            AppError::Refused(refusal) => of_refusal(refusal),
            AppError::Conflict { stream, .. } => {
                let zh = format!("{stream} 已被他人更改，请重新打开后再办理");
                let mut problem =
                    Problem::new(409, "conflict", ("内容已变更", "Changed meanwhile"), zh, self.to_string());
                problem.subject = Some(stream.clone());
                problem
            }
            AppError::KeyReused => Problem::new(
                422,
                "idempotency_key_reused",
                ("幂等键重复使用", "Idempotency key reused"),
                "该幂等键已用于另一请求，请换用新的幂等键",
                self.to_string(),
            ),
            AppError::BadCredentials => Problem::new(
                401,
                "bad_credentials",
                ("登录失败", "Sign-in failed"),
                "用户名或密码错误",
                self.to_string(),
            ),
            AppError::PasswordsBusy => {
                Problem::new(503, "busy", ("系统繁忙", "Busy"), "等待核对的密码过多，请稍后重试", self.to_string())
            }
            AppError::BadKey => Problem::new(
                401,
                "bad_service_key",
                ("服务密钥无效", "Invalid service key"),
                "服务密钥无效或已注销，请使用订单的有效密钥",
                "the service key is unknown or revoked; use a key of the order",
            ),
            AppError::BadPass => Problem::new(
                401,
                "bad_pass",
                ("凭据无效", "Invalid pass"),
                "个人查询凭据无效或已过期，请向受理机构重新获取",
                "the person's pass is malformed or has lapsed; ask the consent agent for a new one",
            ),
            AppError::Behind => Problem::new(
                503,
                "behind",
                ("节点正在同步", "Node is catching up"),
                "节点尚未同步到最新记录，请稍后重试",
                self.to_string(),
            ),
            // What a link above the order has set and others have used is between others.
            AppError::Quota(QuotaError::Exhausted { account, .. }) if is_shared(account) => Problem::new(
                403,
                "quota_exceeded",
                ("配额已用完", "Quota exceeded"),
                "订单之上的共用配额已用完，请等待下一周期或联系运营机构",
                "a quota above the order, which other orders use too, is used up; wait for the next period or ask the operator",
            ),
            AppError::Quota(QuotaError::Exhausted { account, limit }) => {
                let zh = format!("配额 {limit} 已用完，请增订或等待下一周期");
                let en = format!("the quota of {limit} is used up; order more, or wait for the next period");
                let mut problem = Problem::new(403, "quota_exceeded", ("配额已用完", "Quota exceeded"), zh, en);
                problem.subject = Some(account.clone());
                problem
            }
            AppError::Engine(error) => of_engine(error).unwrap_or_else(|| self.fault()),
            AppError::Lookup(LookupError::Engine(error)) => of_engine(error).unwrap_or_else(|| self.fault()),
            AppError::Lookup(LookupError::ColumnNotGranted { column, granted }) => column_not_granted(column, granted),
            AppError::Lookup(LookupError::Storage(_)) => self.fault(),
            AppError::Lookup(error) => {
                Problem::new(422, "invalid", ("请求有误", "Invalid request"), error.to_string(), error.to_string())
            }
            AppError::Product(ProductError::Engine(error)) => of_engine(error).unwrap_or_else(|| self.fault()),
            AppError::Product(
                error @ (ProductError::NotAKey { .. } | ProductError::KeyMissing | ProductError::ColumnMissing { .. }),
            ) => {
                Problem::new(422, "invalid", ("产品定义有误", "Invalid product"), error.to_string(), error.to_string())
            }
            AppError::Source(SourceError::Database(error))
            | AppError::Snapshot(SnapshotError::Source(SourceError::Database(error))) => Problem::new(
                if error.is_unavailable() { 503 } else { 422 },
                if error.is_unavailable() { "source_unavailable" } else { "bad_source_table" },
                ("数据库读取失败", "Source database"),
                error.to_string(),
                error.to_string(),
            ),
            AppError::Source(error) | AppError::Snapshot(SnapshotError::Source(error)) => Problem::new(
                422,
                "bad_source_file",
                ("数据文件有误", "Bad source file"),
                error.to_string(),
                error.to_string(),
            ),
            AppError::TooManyIngestions => Problem::new(
                429,
                "too_many_ingestions",
                ("汇入作业过多", "Too many ingestions"),
                "等待办理的汇入作业过多，请待部分作业完成后再提交",
                self.to_string(),
            ),
            AppError::TooManySurveys => Problem::new(
                429,
                "too_many_surveys",
                ("正在核对另一份标记", "Another marking is being checked"),
                "节点正在为标记逐行核对另一张表，同时只核对一张；请数分钟后重试",
                self.to_string(),
            ),
            AppError::TooManyOwnIngestions => Problem::new(
                429,
                "too_many_own_ingestions",
                ("本单位汇入作业过多", "Too many ingestions of yours"),
                "本单位的汇入作业已占满其份额，请待其中一项完成或取消一项后再提交",
                self.to_string(),
            ),
            AppError::OwnUploadsFull => Problem::new(
                429,
                "own_uploads_full",
                ("本单位上传份额已满", "Your share of uploads is used up"),
                "本单位暂存的上传文件已占满其份额，请待本单位的汇入作业完成后再提交，或由节点就地读取该文件",
                self.to_string(),
            ),
            AppError::UploadTooLong { minutes } => Problem::new(
                408,
                "upload_too_long",
                ("上传时间过长", "Upload too long"),
                format!("文件未在 {minutes} 分钟内传完，请压缩后重新上传"),
                self.to_string(),
            ),
            AppError::UploadsFull => Problem::new(
                503,
                "uploads_full",
                ("上传空间不足", "No room for uploads"),
                "节点暂存上传文件的空间已用完，请待部分汇入作业完成后再提交",
                self.to_string(),
            ),
            AppError::Snapshot(SnapshotError::Stopped) => Problem::new(
                503,
                "ingestion_interrupted",
                ("汇入已中断", "Ingestion interrupted"),
                "节点正在停止，汇入已中断；节点重新启动后将自动继续",
                self.to_string(),
            ),
            AppError::Quality(QualityError::Engine { .. }) => self.fault(),
            AppError::Quality(error) => {
                Problem::new(422, "invalid", ("规则有误", "Invalid rules"), error.to_string(), error.to_string())
            }
            AppError::AwaitingWitnesses { found, required } => Problem::new(
                503,
                "awaiting_witnesses",
                ("等待见证方联署", "Waiting for witnesses"),
                format!("日志最新检查点已有 {found} 个联署，需 {required} 个，请稍后重试或请节点运维人员检查见证方"),
                self.to_string(),
            ),
            AppError::AwaitingWitnessesElsewhere { size } => Problem::new(
                503,
                "awaiting_witnesses",
                ("等待见证方联署", "Waiting for witnesses"),
                format!("日志已签至 {size} 条，运行中的节点正等待见证方联署，请检查见证方后重试"),
                self.to_string(),
            ),
            AppError::Invalid(what) => Problem::new(422, "invalid", ("请求有误", "Invalid request"), what, what),
            _ => self.fault(),
        }
    }

    /// Writes the fault into the log and answers the correlation id under which it stands there.
    fn logged(&self) -> String {
        let correlation = match crate::keys::random::<8>() {
            Ok(bytes) => hex::encode(bytes),
            Err(_) => "none".to_owned(),
        };
        tracing::error!(correlation, error = %self, "request failed");
        correlation
    }

    /// What he can't mend gets a correlation id, and the log has the rest.
    fn fault(&self) -> Problem {
        let correlation = self.logged();
        let mut problem = Problem::new(
            500,
            "fault",
            ("系统故障", "Internal fault"),
            format!("系统故障，请将编号 {correlation} 告知节点运维人员"),
            format!("something failed here; tell the operator of the node the number {correlation}"),
        );
        problem.correlation = Some(correlation);
        problem
    }
}

fn of_refusal(refusal: &Refusal) -> Problem {
    let (status, title, title_en) = match refusal.code {
        RefusalCode::NotPermitted => (403, "无权办理", "Not permitted"),
        RefusalCode::NotFound => (404, "不存在", "Not found"),
        RefusalCode::WrongState => (409, "状态不符", "Wrong state"),
        RefusalCode::FourEyes => (403, "须由他人审批", "Four eyes"),
        RefusalCode::RolesNotDistinct => (422, "角色不得兼任", "Roles not distinct"),
        RefusalCode::ScopeTooWide => (422, "超出上级权限范围", "Scope too wide"),
        RefusalCode::Invalid => (422, "内容有误", "Invalid"),
        RefusalCode::TooEarly => (409, "未到时间", "Too early"),
        RefusalCode::Expired => (409, "已过期", "Expired"),
        RefusalCode::RightMissing => (403, "缺少数据权利", "Right missing"),
        RefusalCode::NotInForce => (403, "尚未生效", "Not in force"),
        RefusalCode::PriceAboveCeiling => (422, "超出上限收费标准", "Price above ceiling"),
        RefusalCode::GradeRefused => (422, "级别不予收录", "Grade refused"),
        RefusalCode::ModeNotGranted => (403, "交付方式未授权", "Mode not granted"),
        RefusalCode::ColumnNotGranted => (403, "字段未授权", "Column not granted"),
        RefusalCode::PurposeNotPermitted => (403, "用途未授权", "Purpose not permitted"),
        RefusalCode::GrantSuspended => (403, "授权已中止", "Grant suspended"),
        RefusalCode::GrantEnded => (403, "授权已终止", "Grant ended"),
        RefusalCode::QuotaExceeded => (403, "配额已用完", "Quota exceeded"),
        RefusalCode::NoiseRequired => (403, "须加噪统计", "Noise required"),
        RefusalCode::CohortTooSmall => (403, "群组过小", "Cohort too small"),
        RefusalCode::MarkedAndExact => (409, "带标记与原值并存", "Marked and exact"),
        RefusalCode::MarkKeysMissing => (409, "水印密钥未就绪", "Mark keys missing"),
        RefusalCode::RelatedParties => (403, "存在关联关系", "Related parties"),
        RefusalCode::AlreadyExists => (409, "已存在", "Already exists"),
        RefusalCode::LimitExceeded => (422, "超出限额", "Limit exceeded"),
        RefusalCode::NodeState => (409, "节点状态不符", "Node state"),
    };
    let mut problem =
        Problem::new(status, refusal.code.code(), (title, title_en), refusal.zh.as_str(), refusal.en.as_str());
    problem.subject = Some(refusal.subject.clone()).filter(|subject| !subject.is_empty());
    problem
}

fn column_not_granted(column: &str, granted: &[String]) -> Problem {
    let list = granted.join(", ");
    let mut problem = Problem::new(
        403,
        "column_not_granted",
        ("字段未授权", "Column not granted"),
        format!("字段 {column} 不存在或未授权；已授权的字段：{list}"),
        format!("column `{column}` does not exist or is not granted; granted: {list}"),
    );
    problem.subject = Some(column.to_owned());
    problem
}

/// Problems of the engine that whoever asked can mend; `None` for faults.
fn of_engine(error: &EngineError) -> Option<Problem> {
    let simple = |status: u16, code: &str, title: &str, title_en: &str, zh: &str, en: String| {
        Some(Problem::new(status, code, (title, title_en), zh, en))
    };
    // Both sentences name the id under which the log has more, since not every protocol has a place for it beside them.
    let logged = |status: u16, code: &str, titles: (&str, &str), zh: String, correlation: &str| {
        let problem = Problem::new(status, code, titles, zh, error.to_string());
        Some(Problem { correlation: Some(correlation.to_owned()), ..problem })
    };
    match error {
        EngineError::Refused(refusal) => {
            let code = refusal.code.as_str();
            let (status, title, title_en, zh) = match refusal.code {
                StatementCode::ColumnNotGranted => {
                    (403, "字段未授权", "Column not granted", "查询中的字段不存在或未授权")
                }
                StatementCode::TableNotGranted => (403, "表未授权", "Table not granted", "查询中的表不存在或未授权"),
                StatementCode::CohortTooSmall => {
                    (403, "群组过小", "Cohort too small", "结果涉及的群组小于最小群组，请扩大统计范围")
                }
                StatementCode::DifferenceTooSmall => (
                    403,
                    "差异过小",
                    "Difference too small",
                    "与此前已提供的统计结果相比差异过小，或因产品的主键、主体字段不同而无法比较；请沿用原有的产品和筛选条件，或使用差异更大的条件",
                ),
                StatementCode::ReleaseLimitReached => (
                    403,
                    "统计结果已达上限",
                    "Release limit reached",
                    "已向使用方提供的不同统计结果达到上限，请使用已提供过的统计",
                ),
                StatementCode::DomainNotDeclared => {
                    (422, "维度取值未声明", "Domain not declared", "产品未声明该维度的取值，加噪统计不能按其分组")
                }
                StatementCode::RefusalsExhausted => {
                    (403, "被拒次数过多", "Too many refusals", "当日因保护群组而被拒的查询过多，请次日再试")
                }
                _ => (422, "查询不被允许", "Statement refused", "该查询语句不被允许"),
            };
            let zh = if refusal.granted.is_empty() {
                format!("{zh}：{}", refusal.what)
            } else {
                format!("{zh}；可用：{}", refusal.granted.join("、"))
            };
            let mut problem = Problem::new(status, code, (title, title_en), zh, refusal.what.as_str());
            problem.subject = refusal.granted.first().map(|_| refusal.granted.join(","));
            Some(problem)
        }
        EngineError::PrivacyExhausted(exhausted) => {
            let zh = format!(
                "{} 为资源 {} 设定的隐私预算余 {}，本次结果需 {}；预算不随时间恢复，只能由数据提供方另行核定，已提供过的结果可再次免费取得",
                exhausted.link, exhausted.resource, exhausted.left, exhausted.needed
            );
            let mut problem = Problem::new(
                403,
                "privacy_budget_exhausted",
                ("隐私预算已用完", "Privacy budget exhausted"),
                zh,
                error.to_string(),
            );
            problem.subject = Some(exhausted.link.clone());
            Some(problem)
        }
        EngineError::SourceUnavailable { correlation } => {
            let zh = format!("数据保存在提供部门，其数据库暂时无法读取，请稍后重试（日志编号 {correlation}）");
            logged(503, "source_unavailable", ("数据源暂不可用", "Source unavailable"), zh, correlation)
        }
        EngineError::SourceChanged { correlation } => {
            let zh = format!(
                "数据保存在提供部门，其数据表结构已变更，本次未读取；请重新请求，仍不可用时请联系数据提供方，变更内容见节点日志（编号 {correlation}）"
            );
            logged(503, "source_changed", ("数据源结构已变更", "Source changed"), zh, correlation)
        }
        EngineError::Busy => simple(503, "busy", "系统繁忙", "Busy", "当前查询过多，请稍后重试", error.to_string()),
        EngineError::Govern(lingqu_engine::governed::GovernError::SchemaChanged { column }) => {
            let mut problem = Problem::new(
                409,
                "schema_changed",
                ("数据结构已变更", "Schema changed"),
                format!("字段 {column} 已不可用，请重新获取产品说明"),
                error.to_string(),
            );
            problem.subject = Some(column.clone());
            Some(problem)
        }
        EngineError::Govern(lingqu_engine::governed::GovernError::NothingVisible { .. }) => simple(
            403,
            "mode_not_granted",
            "交付方式未授权",
            "Mode not granted",
            "该交付方式下没有可见字段",
            error.to_string(),
        ),
        EngineError::Storage(_)
        | EngineError::Settings { .. }
        | EngineError::Govern(_)
        | EngineError::Record { .. } => None,
        EngineError::TimedOut { seconds } => {
            let zh = format!("查询用时超过 {seconds} 秒；请缩小筛选范围或减少字段");
            simple(422, "time_limit_exceeded", "查询超时", "Time limit exceeded", &zh, error.to_string())
        }
        EngineError::TooManyRows { rows_max } => {
            let zh = format!("结果超过 {rows_max} 行；请缩小筛选范围、加 LIMIT 或使用导出");
            simple(422, "rows_limit_exceeded", "结果行数超限", "Row limit exceeded", &zh, error.to_string())
        }
        EngineError::TooManyBytes { bytes_max } => {
            let zh = format!("结果超过 {bytes_max} 字节；请缩小筛选范围、加 LIMIT，或减少字段或主键");
            simple(422, "bytes_limit_exceeded", "结果大小超限", "Size limit exceeded", &zh, error.to_string())
        }
        EngineError::OutOfMemory => simple(
            422,
            "memory_limit_exceeded",
            "查询内存超限",
            "Memory limit exceeded",
            "查询所需内存或临时磁盘空间超过限额；请减少分组字段或排序，或缩小筛选范围",
            error.to_string(),
        ),
        EngineError::Execution { correlation } => {
            let zh = format!(
                "查询在执行中失败（例如除以零、有无法转换的值，或整数之和超出 64 位，须先转为 DECIMAL 再求和），请检查语句（日志编号 {correlation}）"
            );
            logged(422, "query_failed", ("查询执行失败", "Query failed"), zh, correlation)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_has_more_of_is_named_in_both_languages() {
        let correlation = "0123456789abcdef0123456789abcdef".to_owned();
        for error in [
            EngineError::Execution { correlation: correlation.clone() },
            EngineError::SourceUnavailable { correlation: correlation.clone() },
            EngineError::SourceChanged { correlation: correlation.clone() },
        ] {
            let problem = AppError::from(error).problem();
            assert_eq!(problem.correlation.as_ref(), Some(&correlation), "{}", problem.code);
            for sentence in [&problem.detail, &problem.detail_en] {
                assert!(sentence.contains(&correlation), "{sentence}");
            }
        }
    }
}
