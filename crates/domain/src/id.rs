//! Typed, prefixed, time-ordered identifiers (UUIDv7, RFC 9562): `res_0192…`.
//!
//! The domain draws no randomness: [`IdSource`] derives the ids of a command from the command's own id and time, so
//! the same command on the same state always makes the same events.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use lingqu_crypto::sha256;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Text that is not an id of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form {prefix}_<32 hexadecimal digits>")]
pub struct BadId {
    /// What was given.
    pub text: String,
    /// The prefix that was expected.
    pub prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// What stands before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The next id of a source.
            pub fn next(source: &mut IdSource) -> Self {
                Self(format!("{}_{}", $prefix, source.next_uuid().simple()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let digits = text.strip_prefix(concat!($prefix, "_"));
                match digits {
                    Some(digits)
                        if digits.len() == 32
                            && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) =>
                    {
                        Ok(Self(text.to_owned()))
                    }
                    _ => Err(BadId { text: text.chars().take(80).collect(), prefix: $prefix }),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A command, as the journal names it; also its idempotency key.
    CommandId = "cmd";
    /// A node.
    NodeId = "nod";
    /// A party (主体).
    PartyId = "pty";
    /// A user who acts for a party.
    UserId = "usr";
    /// A data subject, as journal and receipts name him; who that is stands in the vault alone.
    SubjectId = "sub";
    /// A catalogued resource (公共数据资源).
    ResourceId = "res";
    /// A snapshot of a resource.
    SnapshotId = "snp";
    /// An ingestion: the reading of a source into a snapshot.
    IngestionId = "ing";
    /// A quality report.
    QualityReportId = "qrp";
    /// A quality ticket (问题工单).
    TicketId = "tkt";
    /// A registration procedure.
    RegistrationId = "reg";
    /// A legal position in the register of rights.
    RightId = "rgt";
    /// A supply (供数确认).
    SupplyId = "sup";
    /// An implementation plan (实施方案).
    PlanId = "pln";
    /// A mandate (授权).
    MandateId = "mdt";
    /// A permit (场景授权).
    PermitId = "pmt";
    /// A product.
    ProductId = "prd";
    /// A permitted revenue (最高准许收入) of an operator and period.
    PermittedRevenueId = "prv";
    /// An order (订单).
    OrderId = "ord";
    /// A service key of an order.
    ServiceKeyId = "key";
    /// A consent (授权同意).
    ConsentId = "cst";
    /// Consents of many subjects that were recorded together.
    ConsentBatchId = "csb";
    /// A trace (溯源) of a leaked file.
    TraceId = "trc";
    /// An erasure (删除) of personal data.
    ErasureId = "ers";
    /// A closed metering window.
    MeterId = "mtr";
    /// A settlement (结算).
    SettlementId = "stl";
    /// A delivery's receipt (交付回执).
    ReceiptId = "rcp";
}

impl CommandId {
    /// The id of 16 random bytes and a time, UUIDv7.
    pub fn of_random(at: Timestamp, random: [u8; 16]) -> Self {
        let mut tail = [0u8; 10];
        tail.copy_from_slice(&random[..10]);
        let unix_ms = u64::try_from(at.as_millisecond()).unwrap_or(0);
        let uuid = uuid::Builder::from_unix_timestamp_millis(unix_ms, &tail).into_uuid();
        Self(format!("{}_{}", Self::PREFIX, uuid.simple()))
    }
}

/// Derives the ids of one command: UUIDv7 whose time is the command's and whose other bits are the SHA-256 of the
/// command id and a counter.
#[derive(Clone, Debug)]
pub struct IdSource {
    command: CommandId,
    unix_ms: u64,
    count: u64,
}

impl IdSource {
    /// The source for a command at a time.
    pub fn new(command: CommandId, at: Timestamp) -> Self {
        Self { command, unix_ms: u64::try_from(at.as_millisecond()).unwrap_or(0), count: 0 }
    }

    fn next_uuid(&mut self) -> Uuid {
        self.count += 1;
        let digest = sha256(format!("{}/{}", self.command, self.count).as_bytes());
        let mut random = [0u8; 10];
        random.copy_from_slice(&digest.0[..10]);
        // The counter leads the random part, so that ids of one command sort in the order they were made.
        random[0] = 0;
        random[1] = u8::try_from(self.count.min(255)).unwrap_or(255);
        uuid::Builder::from_unix_timestamp_millis(self.unix_ms, &random).into_uuid()
    }
}
