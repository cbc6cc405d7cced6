//! `lingqu regulator init | request | share`: the half of the keys of marks that a supervising party holds outside the node.
//!
//! `init` and `share` run where the half lies and need no node; `request` runs beside the node. What passes between them is two
//! small files: a request, which holds no secret, and the shares that answer it, which do.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use lingqu_app::{KeyRequest, RegulatorHalf};
use lingqu_domain::id::OrderId;
use zeroize::Zeroizing;

use crate::config::NodeArguments;
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::{output, telemetry};

/// Longest file of a half or a request, in bytes.
const FILE_BYTES_MAX: u64 = 16_384;

/// The auditor's half of the keys that copies are marked with
#[derive(Debug, clap::Args)]
pub struct RegulatorArguments {
    #[command(subcommand)]
    command: RegulatorCommand,
}

#[derive(Debug, Subcommand)]
enum RegulatorCommand {
    Init(InitArguments),
    Request(RequestArguments),
    Share(ShareArguments),
}

/// Make a new half and write it to a file that only its owner can read. It never goes to the node; whoever loses it can give no
/// more shares, so keep a copy in a safe place
#[derive(Debug, clap::Args)]
struct InitArguments {
    /// The file to make; one that is there is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Print what the node asks of the auditor for an order whose copies are marked. It holds no secret
#[derive(Debug, clap::Args)]
struct RequestArguments {
    /// The order (ord_…)
    order: OrderId,
    #[command(flatten)]
    node: NodeArguments,
}

/// Answer a request with the half's shares. They are secret: hand them in over TLS, to /api/v1/orders/ORDER/key-shares, and delete
/// the file
#[derive(Debug, clap::Args)]
struct ShareArguments {
    /// The file of the half
    half: PathBuf,
    /// The request, as `lingqu regulator request` prints it; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The file to write; one that is there is not overwritten [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Carries out the subcommand.
pub async fn run(arguments: RegulatorArguments) -> Result<(), Failure> {
    match arguments.command {
        RegulatorCommand::Init(arguments) => init(&arguments.out),
        RegulatorCommand::Request(arguments) => request(arguments).await,
        RegulatorCommand::Share(arguments) => share(&arguments),
    }
}

fn init(out: &Path) -> Result<(), Failure> {
    let is_node = |place: &Path| place.join("keys").join("node.secret").exists();
    let place = std::path::absolute(out).map_err(|error| Failure::file("find", out, error))?;
    if place.ancestors().skip(1).any(is_node) {
        return Err(Failure::Mend(format!(
            "{} lies in a node's directory; who has both halves can make anybody's copy, so keep this one on another machine",
            out.display()
        )));
    }
    write_private(out, &RegulatorHalf::generate()?)?;
    output::tell(&format!(
        "wrote {}; keep it and a copy in a safe place, off the node: without it no order can be given keys",
        out.display()
    ));
    Ok(())
}

async fn request(arguments: RequestArguments) -> Result<(), Failure> {
    let configuration = arguments.node.configuration()?;
    telemetry::start("warn", configuration.log_format)?;
    let app = node::open(&configuration, Access::Reading).await?;
    let asked = app.key_request(&arguments.order);
    app.close().await?;
    output::print_json(&asked?)
}

fn share(arguments: &ShareArguments) -> Result<(), Failure> {
    let half = read_half(&arguments.half)?;
    let text = read_bounded(&arguments.request, "read the request from")?;
    let request: KeyRequest = serde_json::from_str(&text).map_err(|error| {
        Failure::Mend(format!(
            "{} is no request ({error}); fetch it with `lingqu regulator request ORDER` or from /api/v1/orders/ORDER/key-request",
            arguments.request.display()
        ))
    })?;
    let renewed = match request.code_epoch {
        0 => String::new(),
        epoch => format!(", epoch {epoch}: its codes before were renewed"),
    };
    output::tell(&format!(
        "giving the shares of order {} of consumer {} for product {}{renewed}",
        request.order, request.consumer, request.product
    ));
    let shares = half.answer(request);
    let text = serde_json::to_string(&shares).map_err(|error| Failure::Output(error.into()))?;
    let text = Zeroizing::new(text + "\n");
    match &arguments.out {
        Some(out) => write_private(out, &text),
        None => output::print(&text),
    }
}

fn read_half(path: &Path) -> Result<RegulatorHalf, Failure> {
    let text = read_bounded(path, "read the half from")?;
    RegulatorHalf::read(&text).ok_or_else(|| {
        Failure::Mend(format!(
            "{} is no half as `lingqu regulator init` writes it; restore it from its copy",
            path.display()
        ))
    })
}

/// Reads a small file, or stdin where the path is `-`. What it holds is wiped when dropped.
fn read_bounded(path: &Path, doing: &'static str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let outcome = if path == Path::new("-") {
        std::io::stdin().lock().take(FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
    };
    outcome.map_err(|error| Failure::file(doing, path, error))?;
    Ok(text)
}

/// Makes a file that only its owner can read.
pub fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let write = || -> std::io::Result<()> {
        let mut file = options.open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| Failure::file("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_file(directory: &Path) -> PathBuf {
        let id = |prefix: &str| format!("{prefix}_{:032}", 1);
        let request = serde_json::json!({
            "order": id("ord"), "product": id("prd"), "consumer": id("pty"), "epoch": 0, "profile": "aes-sha256",
        });
        let path = directory.join("request.json");
        std::fs::write(&path, request.to_string()).unwrap();
        path
    }

    fn shares(directory: &Path, half: &Path, name: &str) -> serde_json::Value {
        let out = directory.join(name);
        let (half, request) = (half.to_owned(), request_file(directory));
        share(&ShareArguments { half, request, out: Some(out.clone()) }).unwrap();
        serde_json::from_str(&std::fs::read_to_string(out).unwrap()).unwrap()
    }

    #[test]
    fn a_half_answers_the_same_request_always_alike_and_another_half_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (directory.path().join("one"), directory.path().join("other"));
        init(&one).unwrap();
        init(&other).unwrap();
        let first = shares(directory.path(), &one, "first");
        assert_eq!(first, shares(directory.path(), &one, "again"));
        let second = shares(directory.path(), &other, "second");
        for part in ["positions", "recipient", "order"] {
            assert_ne!(first[part], second[part]);
            assert_eq!(first[part].as_str().unwrap().len(), 64);
        }
        assert_ne!(first["recipient"], first["order"]);
    }

    #[test]
    fn a_half_is_private_stays_away_from_nodes_and_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("half");
        init(&out).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let before = std::fs::read(&out).unwrap();
        assert!(init(&out).is_err());
        assert_eq!(std::fs::read(&out).unwrap(), before);
        std::fs::create_dir(directory.path().join("keys")).unwrap();
        std::fs::write(directory.path().join("keys/node.secret"), "").unwrap();
        let inside = directory.path().join("deep");
        assert!(init(&inside).unwrap_err().to_string().contains("node's directory"));
        assert!(!inside.exists());
    }

    #[test]
    fn a_damaged_half_says_nothing_of_its_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let half = directory.path().join("half");
        std::fs::write(&half, "lingqu regulator half v1\n5ec4e7\n").unwrap();
        let message = read_half(&half).map(|_| ()).unwrap_err().to_string();
        assert!(!message.contains("5ec4e7") && message.contains("restore"), "{message}");
    }
}
