//! Following a log of ten million entries over HTTP, as `lingqu audit watch --entries` does: every bundle and every tile of hashes is
//! fetched from a server on this machine that does nothing but hand out files, and what was read is remembered on the way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use lingqu_app::{Audited, LogWatch, WatchSetting};
use lingqu_transparency::NoteVerifier;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::Failed;

/// Longest line of a request, and most lines of its head.
const LINE_BYTES_MAX: usize = 8_192;
const LINES_MAX: usize = 100;

/// What following came to.
pub struct Followed {
    pub entries: u64,
    pub files: u64,
    pub seconds: f64,
}

/// Follows the log whose files lie in a directory, from nothing to its checkpoint.
pub async fn follow(directory: &Path, key: &NoteVerifier, state: PathBuf) -> Result<Followed, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let served = Arc::new(Served { directory: directory.to_owned(), files: AtomicU64::new(0) });
    let serving = tokio::spawn(serve(listener, Arc::clone(&served)));
    let begun = Instant::now();
    let mut watch = LogWatch::begin(WatchSetting { url, log: key.clone(), policy: None, state: Some(state) })?;
    watch.look().await?;
    let audited = watch.audit_entries(None).await?;
    let seconds = begun.elapsed().as_secs_f64();
    serving.abort();
    let Audited::Whole { size, .. } = audited else { return Err("the log was said to lie".into()) };
    Ok(Followed { entries: size, files: served.files.load(Ordering::Relaxed), seconds })
}

/// What is served.
struct Served {
    directory: PathBuf,
    /// How often a file was asked for.
    files: AtomicU64,
}

async fn serve(listener: TcpListener, served: Arc<Served>) {
    while let Ok((stream, _)) = listener.accept().await {
        let served = Arc::clone(&served);
        // A connection that breaks is the watch's to tell.
        tokio::spawn(async move { drop(answer(stream, &served).await) });
    }
}

/// Answers requests over one connection for as long as it is kept (HTTP/1.1, `GET` alone).
async fn answer(stream: TcpStream, served: &Served) -> Result<(), Failed> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let (mut asked, mut line) = (None, String::new());
        for _ in 0..LINES_MAX {
            line.clear();
            if stream.read_line(&mut line).await? == 0 || line.len() > LINE_BYTES_MAX {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            asked =
                asked.or_else(|| line.strip_prefix("GET /").and_then(|rest| rest.split(' ').next()).map(str::to_owned));
        }
        let path = asked.filter(|path| path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._".contains(&byte)));
        let path = path.filter(|path| !path.contains("..")).ok_or("a request is none")?;
        served.files.fetch_add(1, Ordering::Relaxed);
        let file = served.directory.join(path);
        let (status, body) = match tokio::task::spawn_blocking(move || std::fs::read(file)).await? {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.into_bytes(), body].concat()).await?;
    }
}
