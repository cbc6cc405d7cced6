//! The version that clients are told: that of the PostgreSQL whose catalogue is shown, since they choose their questions by
//! it.

/// As the parameter `server_version`.
pub(super) const SHORT: &str = "16.9";

/// As `version()`.
pub(super) fn long() -> String {
    format!("PostgreSQL {SHORT} (Lingqu {})", env!("CARGO_PKG_VERSION"))
}
