//! Why a request got no data, as the problem document (RFC 9457) that the client gets.

use lingqu_app::{AppError, Problem};
use lingqu_domain::refusal::Refusal;
use lingqu_engine::EngineError;
use lingqu_engine::lookup::LookupError;
use lingqu_store::quota::QuotaError;

/// Why a request got no data.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A room below said no or failed.
    #[error(transparent)]
    App(#[from] AppError),
    /// No service key was sent.
    #[error("send the order's service key as a bearer token")]
    NoKey,
    /// The key belongs to an order of another product.
    #[error("the service key is not for this product")]
    OrderProductMismatch,
    /// Too many deliveries of the order run at once.
    #[error("{limit} deliveries of this order are running, which is the most; wait until one has ended")]
    TooManyDeliveries {
        /// The most at a time.
        limit: u32,
    },
    /// The client did not take what it asked for.
    #[error("nothing was taken for {seconds} seconds; read faster, or ask for less")]
    ReceiverTooSlow {
        /// How long.
        seconds: u64,
    },
    /// The request can't be understood.
    #[error("{en}")]
    Malformed {
        /// What to mend, in Chinese.
        zh: String,
        /// What to mend, in English.
        en: String,
    },
    /// A cursor of another order, grant or question.
    #[error("the cursor does not belong to this order and question as they are now; begin again without a cursor")]
    CursorNotValid,
    /// A format that this answer does not come in.
    #[error("the answer can't be given in that format; it comes as {offered}")]
    NotAcceptable {
        /// The media types that can be had.
        offered: String,
    },
    /// The body is too large.
    #[error("the request is larger than {bytes_max} bytes; send less at a time")]
    RequestTooLarge {
        /// The most.
        bytes_max: usize,
    },
    /// The body took too long to arrive.
    #[error("the request's body did not arrive within {seconds} seconds; send less at a time, or over a faster line")]
    RequestTooSlow {
        /// The most.
        seconds: u64,
    },
    /// A streamed answer in a version of HTTP where its end can't be told from its being cut off.
    #[error(
        "streamed answers need HTTP/1.1 or HTTP/2: in HTTP/1.0 a cut one looks whole; of nginx set `proxy_http_version 1.1`"
    )]
    HttpTooOld,
    /// No mode of the order answers a statement.
    #[error(
        "this order answers no statements, it grants {}; verifications and files are asked for over HTTP at /data/v1/{product}",
        modes.join(", ")
    )]
    StatementsNotGranted {
        /// The product's table.
        product: String,
        /// The modes that are granted.
        modes: Vec<String>,
    },
    /// A statement of an order that looks rows up by their key alone.
    #[error(
        "this order looks up one row at a time: SELECT … FROM {table} WHERE {} and nothing else",
        key.iter().map(|part| format!("{part} = …")).collect::<Vec<_>>().join(" AND ")
    )]
    KeyPredicateNeeded {
        /// The product's table.
        table: String,
        /// The parts of the key.
        key: Vec<String>,
    },
    /// The address of a file that was handed out is wrong, too old, or of what would be other bytes by now.
    #[error("the file's address is not valid, or not any more; ask for the table or the export again")]
    FileAddressNotValid,
    /// A data set that does not fit among the finished files.
    #[error(
        "the data set is larger than {bytes_max} bytes, the most that is kept as a file; take it as a stream by REST export"
    )]
    FileTooLarge {
        /// The most.
        bytes_max: u64,
    },
    /// Nothing of that name is shared with the order.
    #[error("nothing of that name is shared with this order; list its tables")]
    NotShared,
    /// A user's name that is not one of the key's order.
    #[error(
        "the user does not name the order of this key; give the order's id as the user, and its key as the password"
    )]
    UserMismatch,
    /// Too many handshakes failed.
    #[error("too many handshakes have failed; check the key and try again in {seconds} seconds")]
    TooManyAttempts {
        /// How long failures are counted.
        seconds: u64,
    },
    /// A ticket that was changed, is of another order, was cancelled or has expired.
    #[error("the ticket is not one of this order, or has expired or been cancelled; ask for the flight again")]
    TicketNotValid,
    /// The grant changed between asking and fetching.
    #[error("the columns of this answer have changed since it was described; ask for the flight again")]
    SchemaChanged,
    /// No such prepared statement.
    #[error("there is no such prepared statement of this order, or it was unused for too long; prepare it again")]
    PreparedNotKnown,
    /// Too many prepared statements of the order.
    #[error("{limit} statements of this order are prepared, which is the most; close one")]
    TooManyPrepared {
        /// The most at a time.
        limit: usize,
    },
    /// Something of a protocol that this node does not do.
    #[error("{en}")]
    NotOffered {
        /// What to do instead, in Chinese.
        zh: String,
        /// What to do instead, in English.
        en: String,
    },
    /// A statement over the order's table and over what tells of it.
    #[error("the catalogue is asked by itself: send one statement for it and another for `{table}`")]
    SchemaAskedWithData {
        /// The order's table.
        table: String,
    },
    /// No such address.
    #[error("there is nothing at this address")]
    NoRoute,
    /// The address does not know this method.
    #[error("this address does not answer to that method")]
    MethodNotAllowed,
    /// The client asked for the end of his statement.
    #[error("the statement was stopped, as you asked")]
    Cancelled,
    /// The time that the client gave his statements.
    #[error("the statement took longer than its statement_timeout of {milliseconds} ms; set a longer one or narrow it")]
    StatementTimeout {
        /// That time.
        milliseconds: u64,
    },
    /// The listener has no place for another connection.
    #[error("{limit} connections are open, which is the most; close one, or use a pool")]
    TooManyConnections {
        /// The most at a time.
        limit: usize,
    },
    /// A connection from elsewhere that is not encrypted.
    #[error("this connection is not encrypted; connect with TLS (sslmode=require)")]
    TlsRequired,
    /// A connection that nothing came over.
    #[error("nothing was asked for {minutes} minutes; connect again")]
    ConnectionIdle {
        /// How long.
        minutes: u64,
    },
    /// The node ends.
    #[error("the node is stopping; connect again in a moment")]
    NodeStopping,
    /// A delivery that had begun was stopped before any byte left.
    #[error("{}", .0.detail_en)]
    Stopped(Box<Problem>),
}

impl From<Refusal> for GatewayError {
    fn from(refusal: Refusal) -> Self {
        AppError::Refused(refusal).into()
    }
}

impl From<EngineError> for GatewayError {
    fn from(error: EngineError) -> Self {
        AppError::Engine(error).into()
    }
}

impl From<LookupError> for GatewayError {
    fn from(error: LookupError) -> Self {
        AppError::Lookup(error).into()
    }
}

impl From<QuotaError> for GatewayError {
    fn from(error: QuotaError) -> Self {
        AppError::Quota(error).into()
    }
}

impl GatewayError {
    /// A request that can't be understood.
    pub fn malformed(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self::Malformed { zh: zh.into(), en: en.into() }
    }

    /// For the codes that arise here: who should do what about it. `None` for those of the rooms below.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            GatewayError::App(_) | GatewayError::Stopped(_) => return None,
            GatewayError::NoKey => "the client: send the order's service key as a bearer token",
            GatewayError::OrderProductMismatch => "the consumer: use a key of an order for this product",
            GatewayError::TooManyDeliveries { .. } => "the client: wait until one of the order's deliveries has ended",
            GatewayError::ReceiverTooSlow { .. } => "the client: read faster, or ask for less at a time",
            GatewayError::Malformed { .. } => "the client: mend the request as the message says",
            GatewayError::CursorNotValid => "the client: begin the pages again without a cursor",
            GatewayError::NotAcceptable { .. } => "the client: ask for one of the formats that are named",
            GatewayError::RequestTooLarge { .. } => "the client: split the request",
            GatewayError::RequestTooSlow { .. } => "the client: send the body faster, or less at a time",
            GatewayError::HttpTooOld => "the client, or the proxy before the node: speak HTTP/1.1 or HTTP/2",
            GatewayError::StatementsNotGranted { .. } => "the client: use the data plane over HTTP for what is granted",
            GatewayError::KeyPredicateNeeded { .. } => "the client: ask for the row of one whole key",
            GatewayError::FileAddressNotValid => "the client: ask for the table or the export again",
            GatewayError::FileTooLarge { .. } => "the client: take the data set as a stream by REST export",
            GatewayError::NotShared => "the client: list the tables that are shared with the order",
            GatewayError::UserMismatch => "the client: name the order of the key as the user",
            GatewayError::TooManyAttempts { .. } => "the client: check the key and wait",
            GatewayError::TicketNotValid => "the client: ask for the flight again",
            GatewayError::SchemaChanged => "the client: ask for the flight again and take the new columns",
            GatewayError::PreparedNotKnown => "the client: prepare the statement again",
            GatewayError::TooManyPrepared { .. } => "the client: close prepared statements that are no longer used",
            GatewayError::NotOffered { .. } => "the client: do what the message says instead",
            GatewayError::SchemaAskedWithData { .. } => "the client: send one statement for each",
            GatewayError::NoRoute => "the client: check the address",
            GatewayError::MethodNotAllowed => "the client: use the method that the address answers to",
            GatewayError::Cancelled => "nobody: the client stopped his own statement",
            GatewayError::StatementTimeout { .. } => {
                "the client: set a longer statement_timeout, or narrow the statement"
            }
            GatewayError::TooManyConnections { .. } => "the client: close connections, or use a pool",
            GatewayError::TlsRequired => "the client: connect with TLS",
            GatewayError::ConnectionIdle { .. } => "the client: connect again",
            GatewayError::NodeStopping => "the client: connect again in a moment",
        })
    }

    /// The problem document. Call it once: a fault is logged under a new correlation id each time.
    pub fn problem(&self) -> Problem {
        let own = |status, code, titles, zh: &str| Problem::new(status, code, titles, zh, self.to_string());
        match self {
            GatewayError::App(error) => error.problem(),
            GatewayError::NoKey => own(
                401,
                "service_key_missing",
                ("缺少服务密钥", "Service key missing"),
                "请以 Bearer 方式提供订单的服务密钥",
            ),
            // Nothing is told of the product that was asked for, not even whether there is one.
            GatewayError::OrderProductMismatch => own(
                403,
                "order_product_mismatch",
                ("密钥与产品不符", "Key of another product"),
                "该服务密钥所属的订单不含此产品，请使用此产品订单的密钥",
            ),
            GatewayError::TooManyDeliveries { limit } => own(
                429,
                "too_many_deliveries",
                ("并发交付过多", "Too many deliveries"),
                &format!("该订单同时进行的交付已达上限 {limit}，请待其中之一结束后再试"),
            ),
            GatewayError::ReceiverTooSlow { seconds } => own(
                408,
                "receiver_too_slow",
                ("接收过慢", "Receiver too slow"),
                &format!("{seconds} 秒内未接收任何数据，请提高接收速度或减少请求量"),
            ),
            GatewayError::Malformed { zh, .. } => {
                own(400, "malformed_request", ("请求格式有误", "Malformed request"), zh)
            }
            GatewayError::CursorNotValid => own(
                400,
                "cursor_not_valid",
                ("游标无效", "Cursor not valid"),
                "游标不属于该订单当前的授权与查询，请不带游标从头开始",
            ),
            GatewayError::NotAcceptable { offered } => {
                own(406, "not_acceptable", ("格式不支持", "Not acceptable"), &format!("可用的格式：{offered}"))
            }
            GatewayError::RequestTooLarge { bytes_max } => own(
                413,
                "request_too_large",
                ("请求过大", "Request too large"),
                &format!("请求不得超过 {bytes_max} 字节，请分批发送"),
            ),
            GatewayError::RequestTooSlow { seconds } => own(
                408,
                "request_too_slow",
                ("请求过慢", "Request too slow"),
                &format!("请求体未在 {seconds} 秒内完整到达，请减少每次发送的内容或改用更快的网络"),
            ),
            GatewayError::HttpTooOld => own(
                505,
                "http_too_old",
                ("HTTP 版本过低", "HTTP version not supported"),
                "流式结果须使用 HTTP/1.1 或 HTTP/2：HTTP/1.0 无法区分结果完整与中断；若经 nginx 转发，请设置 proxy_http_version 1.1",
            ),
            GatewayError::StatementsNotGranted { product, modes } => own(
                403,
                "statements_not_granted",
                ("未授权查询语句", "Statements not granted"),
                &format!(
                    "本订单仅授权 {}，不接受查询语句；请通过 HTTP 地址 /data/v1/{product} 核验或下载文件",
                    modes.join("、")
                ),
            ),
            GatewayError::KeyPredicateNeeded { table, key } => own(
                422,
                "key_predicate_needed",
                ("须按主键查询", "Key predicate needed"),
                &format!(
                    "本订单仅可按主键逐条查询：SELECT … FROM {table} WHERE {}，不得带其他条件",
                    key.iter().map(|part| format!("{part} = …")).collect::<Vec<_>>().join(" AND ")
                ),
            ),
            GatewayError::FileAddressNotValid => own(
                403,
                "file_address_not_valid",
                ("文件地址无效", "File address not valid"),
                "文件地址有误或已失效，请重新查询数据表或重新导出",
            ),
            GatewayError::FileTooLarge { bytes_max } => own(
                422,
                "file_too_large",
                ("数据集过大", "Data set too large"),
                &format!("数据集超过 {bytes_max} 字节，不能以文件方式保存，请用 REST 导出以流方式获取"),
            ),
            // Nothing is told of what is shared with others, not even whether there is something.
            GatewayError::NotShared => {
                own(404, "not_shared", ("未共享", "Not shared"), "没有以该名称共享给此订单的内容，请先列出可用的数据表")
            }
            GatewayError::UserMismatch => own(
                401,
                "user_not_of_key",
                ("用户名与密钥不符", "User not of this key"),
                "用户名须为该密钥所属订单的编号，密码为其服务密钥",
            ),
            GatewayError::TooManyAttempts { seconds } => own(
                429,
                "too_many_attempts",
                ("失败次数过多", "Too many attempts"),
                &format!("握手失败次数过多，请核对密钥并在 {seconds} 秒后重试"),
            ),
            GatewayError::TicketNotValid => own(
                400,
                "ticket_not_valid",
                ("票据无效", "Ticket not valid"),
                "票据不属于该订单、已过期或已取消，请重新请求",
            ),
            GatewayError::SchemaChanged => {
                own(409, "schema_changed", ("字段已变更", "Schema changed"), "结果的字段在请求之后发生变更，请重新请求")
            }
            GatewayError::PreparedNotKnown => own(
                404,
                "prepared_statement_not_known",
                ("预编译语句不存在", "Prepared statement not known"),
                "该订单没有此预编译语句，或因久未使用已释放，请重新预编译",
            ),
            GatewayError::TooManyPrepared { limit } => own(
                429,
                "too_many_prepared_statements",
                ("预编译语句过多", "Too many prepared statements"),
                &format!("该订单的预编译语句已达上限 {limit}，请关闭不再使用的语句"),
            ),
            GatewayError::NotOffered { zh, .. } => own(501, "not_offered", ("不支持", "Not offered"), zh),
            GatewayError::SchemaAskedWithData { table } => own(
                422,
                "schema_asked_with_data",
                ("目录与数据须分开查询", "Schema asked with data"),
                &format!("目录须单独查询，请将其与 {table} 分成两条语句"),
            ),
            GatewayError::NoRoute => {
                own(404, "no_such_address", ("地址不存在", "No such address"), "该地址不存在，请核对")
            }
            GatewayError::MethodNotAllowed => {
                own(405, "method_not_allowed", ("方法不支持", "Method not allowed"), "该地址不支持此方法")
            }
            GatewayError::Cancelled => own(499, "cancelled", ("已取消", "Cancelled"), "已按请求中止该语句"),
            GatewayError::StatementTimeout { milliseconds } => own(
                408,
                "statement_timeout",
                ("语句超时", "Statement timeout"),
                &format!("语句超过所设的 statement_timeout（{milliseconds} 毫秒），请延长时限或缩小范围"),
            ),
            GatewayError::TooManyConnections { limit } => own(
                503,
                "too_many_connections",
                ("连接过多", "Too many connections"),
                &format!("连接数已达上限 {limit}，请关闭部分连接或使用连接池"),
            ),
            GatewayError::TlsRequired => own(
                403,
                "tls_required",
                ("须使用 TLS", "TLS required"),
                "该连接未加密，请使用 TLS 连接（sslmode=require）",
            ),
            GatewayError::ConnectionIdle { minutes } => own(
                408,
                "connection_idle",
                ("连接空闲过久", "Connection idle"),
                &format!("连接空闲超过 {minutes} 分钟，请重新连接"),
            ),
            GatewayError::NodeStopping => {
                own(503, "node_stopping", ("节点正在停止", "Node stopping"), "节点正在停止，请稍后重新连接")
            }
            GatewayError::Stopped(problem) => (**problem).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every problem that arises here.
    fn all() -> Vec<GatewayError> {
        vec![
            GatewayError::NoKey,
            GatewayError::OrderProductMismatch,
            GatewayError::TooManyDeliveries { limit: 4 },
            GatewayError::ReceiverTooSlow { seconds: 60 },
            GatewayError::malformed("请求有误", "the request is wrong"),
            GatewayError::CursorNotValid,
            GatewayError::NotAcceptable { offered: "application/json".to_owned() },
            GatewayError::RequestTooLarge { bytes_max: 1 },
            GatewayError::RequestTooSlow { seconds: 30 },
            GatewayError::HttpTooOld,
            GatewayError::StatementsNotGranted { product: "p".to_owned(), modes: vec!["verification".to_owned()] },
            GatewayError::KeyPredicateNeeded { table: "t".to_owned(), key: vec!["k".to_owned()] },
            GatewayError::FileAddressNotValid,
            GatewayError::FileTooLarge { bytes_max: 1 },
            GatewayError::NotShared,
            GatewayError::UserMismatch,
            GatewayError::TooManyAttempts { seconds: 60 },
            GatewayError::TicketNotValid,
            GatewayError::SchemaChanged,
            GatewayError::PreparedNotKnown,
            GatewayError::TooManyPrepared { limit: 64 },
            GatewayError::NotOffered { zh: "不支持".to_owned(), en: "not offered".to_owned() },
            GatewayError::SchemaAskedWithData { table: "t".to_owned() },
            GatewayError::NoRoute,
            GatewayError::MethodNotAllowed,
            GatewayError::Cancelled,
            GatewayError::StatementTimeout { milliseconds: 1 },
            GatewayError::TooManyConnections { limit: 1 },
            GatewayError::TlsRequired,
            GatewayError::ConnectionIdle { minutes: 1 },
            GatewayError::NodeStopping,
        ]
    }

    #[test]
    fn problem_codes_are_as_agreed() {
        let mut text = "# status code: who should do what about it\n".to_owned();
        for error in all() {
            let problem = error.problem();
            let remedy = error.remedy().expect("it arises here");
            text.push_str(&format!("{} {}: {remedy}\n", problem.status, problem.code));
        }
        let agreed = include_str!("../golden/data_problem_codes.txt");
        assert_eq!(text, agreed, "a contract: if the change is meant, put the text on the left into the golden file");
    }
}
