//! Log lines on stderr. They hold no personal data and no governed data: addresses of the data plane carry keys of
//! lookups, so requests are told by their route, never by their address.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;
use crate::failure::Failure;

/// What filters log lines, such as `info` or `warn,lingqu_gateway=debug`.
pub const FILTER_VARIABLE: &str = "LINGQU_LOG";

/// Starts logging at a level (our own rooms; libraries tell of warnings and errors alone), unless the environment says otherwise. Call it once.
pub fn start(level: &str, format: LogFormat) -> Result<(), Failure> {
    let directives = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| format!("warn,lingqu={level}"));
    let filter = EnvFilter::try_new(&directives).map_err(|_| {
        Failure::Mend(format!(
            "{FILTER_VARIABLE} holds `{directives}`, which is no filter; write a level such as `info`, or `warn,lingqu_app=debug`"
        ))
    })?;
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    match format {
        LogFormat::Text => lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
