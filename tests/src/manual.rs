//! Commands as the manual prints them, so that what a reader pastes is what was tested.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::node::Ended;

/// How long blocks may run, in seconds: a shell starts a program for each hash.
const RUN_SECONDS_MAX: &str = "300";

/// The blocks of commands (```` ```bash ````) that stand below a heading of a page of the manual, up to the next heading of its rank or
/// above, in order.
///
/// # Panics
/// When the page or the heading is not there, or has no commands.
pub fn commands(page: &str, heading: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/manual").join(page);
    let text = std::fs::read_to_string(&path).expect("the page is there");
    let rank = heading.chars().take_while(|letter| *letter == '#').count();
    let (mut blocks, mut is_below, mut block) = (Vec::new(), false, None::<String>);
    for line in text.lines() {
        if let Some(open) = &mut block {
            if line == "```" {
                blocks.extend(block.take());
            } else {
                open.push_str(line);
                open.push('\n');
            }
        } else if line == "```bash" && is_below {
            block = Some(String::new());
        } else if line == heading {
            is_below = true;
        } else if line.starts_with('#') && line.chars().take_while(|letter| *letter == '#').count() <= rank {
            is_below = false;
        }
    }
    assert!(!blocks.is_empty(), "{page} has no commands below {heading}");
    blocks
}

/// Runs blocks of commands one after the other in one shell, in a folder, with variables. What takes longer than five minutes is ended
/// (exit code 124).
///
/// # Panics
/// When the system has no `bash` or no `timeout`.
pub fn run_commands<'a>(
    blocks: impl IntoIterator<Item = &'a String>,
    folder: &Path,
    variables: &[(&str, &str)],
) -> Ended {
    let text: String = blocks.into_iter().map(String::as_str).collect();
    let mut command = Command::new("timeout");
    command.args([RUN_SECONDS_MAX, "bash", "-c"]).arg(text).current_dir(folder).envs(variables.iter().copied());
    let ended = command.stdin(Stdio::null()).output().expect("the system has bash and timeout");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: ended.status.code(), stdout: text(ended.stdout), stderr: text(ended.stderr) }
}
