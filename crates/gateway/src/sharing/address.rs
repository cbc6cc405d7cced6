//! Signed addresses of files: who has one may take the file without the key, until it expires.
//!
//! The signature binds the delivery, its order, the file and the time; it is made with a key of the node's. An address that
//! leaks is good for what it was good for, no longer than it says and only as long as the grant stands.

use jiff::Timestamp;
use lingqu_app::App;
use lingqu_crypto::KeyedDigest;

use crate::delivery::Handed;
use crate::error::GatewayError;

/// What signatures of addresses are told by from other uses of a key.
const CONTEXT: &str = "lingqu file address v1";

/// The address of a file below `place`, good as long as it is handed out.
pub(super) fn address_of(app: &App, place: &str, handed: &Handed) -> String {
    let expires = handed.until.as_millisecond();
    let signature = signature(app, handed, expires);
    let Handed { receipt, .. } = handed;
    format!("{place}/files/{receipt}?expires={expires}&signature={signature}")
}

/// Checks what an address says of the file that it leads to. Error: `file_address_not_valid`, whatever is wrong with it.
pub(super) fn check(app: &App, handed: &Handed, expires: &str, given: &str) -> Result<(), GatewayError> {
    let (Ok(expires), Ok(given)) = (expires.parse::<i64>(), given.parse::<KeyedDigest>()) else {
        return Err(GatewayError::FileAddressNotValid);
    };
    let is_over = Timestamp::from_millisecond(expires).is_ok_and(|end| end <= app.now());
    // Compared in constant time.
    if given != signature(app, handed, expires) || is_over {
        return Err(GatewayError::FileAddressNotValid);
    }
    Ok(())
}

fn signature(app: &App, handed: &Handed, expires_ms: i64) -> KeyedDigest {
    let (order, receipt, name) = (handed.order.as_str(), handed.receipt.as_str(), handed.name.to_string());
    app.address_key().digest(CONTEXT, format!("{order}\n{receipt}\n{name}\n{expires_ms}").as_bytes())
}
