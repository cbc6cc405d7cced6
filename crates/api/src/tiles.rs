//! The transparency log as static files, as C2SP tlog-tiles asks: `checkpoint`, `tile/<L>/<N>[.p/<W>]` and
//! `tile/entries/<N>[.p/<W>]`. A tile's content never changes; the checkpoint does.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::Shared;
use crate::problem::ProblemDocument;

/// Largest file of the log, in bytes: 256 entries of 1,000 pairs of digests stay well below.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Answers a file of the log.
pub(crate) async fn file(State(api): Shared, Path(path): Path<String>) -> Result<Response, ProblemDocument> {
    if !is_log_path(&path) {
        return Err(ProblemDocument::not_found(&path));
    }
    let file = api.settings.log_dir.join(&path);
    let bytes = match tokio::fs::metadata(&file).await {
        Ok(found) if found.is_file() && found.len() <= FILE_BYTES_MAX => tokio::fs::read(&file).await,
        Ok(_) => return Err(ProblemDocument::not_found(&path)),
        Err(error) => Err(error),
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(ProblemDocument::not_found(&path)),
        Err(error) => return Err(ProblemDocument::fault(format!("can't read the log: {error}"))),
    };
    let (content_type, cache) = if path == "checkpoint" {
        ("text/plain; charset=utf-8", "no-cache")
    } else {
        ("application/octet-stream", "public, max-age=31536000, immutable")
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ];
    Ok((headers, bytes).into_response())
}

/// True for the paths of the specification alone, so that nothing else under the directory is ever served.
fn is_log_path(path: &str) -> bool {
    if path == "checkpoint" {
        return true;
    }
    let mut parts = path.split('/');
    let is_tile = parts.next() == Some("tile");
    let is_level = parts.next().is_some_and(|level| level == "entries" || is_digits(level, 2));
    let mut index_parts = 0;
    let mut is_partial = false;
    for part in parts {
        if is_partial {
            // Nothing follows the width of a partial tile.
            return is_tile && is_level && index_parts > 0 && is_digits(part, 3) && path.ends_with(part);
        }
        let part = part.strip_suffix(".p").inspect(|_| is_partial = true).unwrap_or(part);
        index_parts += 1;
        if !is_digits(part.strip_prefix('x').unwrap_or(part), 3) || index_parts > 8 {
            return false;
        }
    }
    is_tile && is_level && index_parts > 0 && !is_partial
}

fn is_digits(text: &str, length_max: usize) -> bool {
    (1..=length_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::is_log_path;

    #[test]
    fn only_paths_of_the_specification_are_served() {
        for path in ["checkpoint", "tile/0/000", "tile/1/x001/x234/067", "tile/entries/x001/234", "tile/0/x001/234.p/7", "tile/entries/000.p/255"] {
            assert!(is_log_path(path), "{path}");
        }
        for path in [
            "", "tile", "tile/0", "tile/0/", "tile/../node.db", "tile/0/../../keys", "keys", "tile/entries", "tile/0/000.p",
            "tile/0/000.p/", "tile/0/000.p/7/8", "tile/0/000.p/7/../x", "tile/0/00a", "checkpoint/..", "tile//000", "tile/0/0000",
        ] {
            assert!(!is_log_path(path), "{path}");
        }
    }
}
