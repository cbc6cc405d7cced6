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
    /// No such address.
    #[error("there is nothing at this address")]
    NoRoute,
    /// The address does not know this method.
    #[error("this address does not answer to that method")]
    MethodNotAllowed,
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
            GatewayError::NoRoute => "the client: check the address",
            GatewayError::MethodNotAllowed => "the client: use the method that the address answers to",
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
            GatewayError::NoRoute => {
                own(404, "no_such_address", ("地址不存在", "No such address"), "该地址不存在，请核对")
            }
            GatewayError::MethodNotAllowed => {
                own(405, "method_not_allowed", ("方法不支持", "Method not allowed"), "该地址不支持此方法")
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
            GatewayError::NoRoute,
            GatewayError::MethodNotAllowed,
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
