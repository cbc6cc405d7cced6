//! Why a subcommand did not do what was asked: one sentence on stderr that says what to do, and exit code 1.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lingqu_app::AppError;
use lingqu_demo::DemoError;

use crate::config::ConfigError;

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The work was done and its outcome, which stands on stdout, is that something is wrong.
    #[error("{0}")]
    Outcome(String),
    /// A use case said no or failed.
    #[error(transparent)]
    App(#[from] AppError),
    /// The configuration file can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another program listens there.
    #[error("{address} is in use by another program; stop it, or name another address with {option}")]
    PortBusy {
        /// The address.
        address: SocketAddr,
        /// The option that names another.
        option: &'static str,
    },
    /// An address that can't be listened on.
    #[error("can't listen on {address}: {error}; name an address of this machine with {option}")]
    CannotListen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
        /// The option that names another.
        option: &'static str,
    },
    /// Governed data would leave the machine unencrypted.
    #[error(
        "{address} can be reached from other machines and would be spoken to in plaintext; set `tls_certificate` and \
         `tls_key` in lingqu.toml, listen on 127.0.0.1 behind a TLS proxy, or set `allow_plaintext = true` where the network \
         itself is trusted"
    )]
    Plaintext {
        /// The address.
        address: SocketAddr,
    },
    /// A file operation failed.
    #[error("can't {doing} {}: {error}{}", path.display(), hint(error))]
    File {
        /// The operation as a verb.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The demo came out otherwise than it should.
    #[error("the demo stopped: {error}; its node is kept in {}", directory.display())]
    Demo {
        /// Why.
        error: Box<DemoError>,
        /// Where its node is.
        directory: PathBuf,
    },
    /// An id or name that no resource has.
    #[error("there is no resource `{0}`; give its id (res_…) or its table name, as the console's catalogue shows them")]
    NoSuchResource(String),
    /// What is printed can't be written.
    #[error("can't write the output: {0}")]
    Output(io::Error),
    /// Something that whoever called can mend, and how.
    #[error("{0}")]
    Mend(String),
}

impl Failure {
    /// A file operation that failed.
    pub fn file(doing: &'static str, path: &Path, error: io::Error) -> Self {
        Failure::File { doing, path: path.to_owned(), error }
    }
}

/// What to do about an error of the file system, where that can be told.
pub fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space and try again",
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "; give the user that runs lingqu the right to it, or name another place"
        }
        io::ErrorKind::NotADirectory => "; a part of the path is a file, name a path through directories",
        io::ErrorKind::NotFound => "; check the path",
        _ => "",
    }
}
