//! What was measured, one record a line in a file, so that a run that ended is gone on with by the next.
//!
//! A trial hangs on its line and number alone, numbers are taken in turn, and what ends a run is the clock and never what was seen;
//! so the trials of several runs are those of one long run. They are of one program: the file says which, and another refuses it.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::sync::Mutex;

use lingqu_fingerprint::DECODER_VERSION;

type Failure = Box<dyn Error + Send + Sync>;

/// A file of records, or none where nothing is to be kept.
pub struct State {
    file: Option<Mutex<File>>,
    before: HashMap<String, Vec<Vec<f64>>>,
}

impl State {
    /// What the file of this name holds; a new one where there is none.
    pub fn open(path: Option<&str>) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            return Ok(Self { file: None, before: HashMap::new() });
        };
        let program = lingqu_crypto::sha256(&std::fs::read(std::env::current_exe()?)?);
        let head = format!("attacks\t{DECODER_VERSION}\t{program}");
        let mut text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read?,
        };
        // What was being written when a run was killed is no record.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        let mut lines = text.lines();
        if lines.next().is_some_and(|first| first != head) {
            return Err(format!("{path} holds trials of another program, which don't add up: name another file").into());
        }
        let mut before: HashMap<String, Vec<Vec<f64>>> = HashMap::new();
        for line in lines {
            let mut cells = line.split('\t');
            let of = cells.next().unwrap_or_default();
            before.entry(of.to_owned()).or_default().push(cells.map(str::parse).collect::<Result<_, _>>()?);
        }
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.set_len(text.len() as u64)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
        if text.is_empty() {
            writeln!(file, "{head}")?;
        }
        Ok(Self { file: Some(Mutex::new(file)), before })
    }

    /// The records of this name from runs before.
    pub fn before(&self, of: &str) -> &[Vec<f64>] {
        self.before.get(of).map_or(&[], Vec::as_slice)
    }

    /// Keeps one more. Numbers are written so that reading them gives the same.
    pub fn keep(&self, of: &str, record: &[f64]) -> Result<(), Failure> {
        if let Some(file) = &self.file {
            let cells: String = record.iter().map(|number| format!("\t{number:?}")).collect();
            file.lock().map_err(|_| "a trial panicked")?.write_all(format!("{of}{cells}\n").as_bytes())?;
        }
        Ok(())
    }
}
