//! Checkpoints that witnesses cosigned, one of each day: they show what stood in the log on a day by the time of somebody else, long
//! after the witnesses have gone on to later ones.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use super::{LogError, LogReader, Published, blocking};

/// How the names of the kept checkpoints begin, below the log's prefix; the day follows. They are never served.
const WITNESSED_PREFIX: &str = "witnessed.";

/// The day that a checkpoint is kept for which was cosigned at an instant: the one of UTC.
pub fn witnessed_day(at: Timestamp) -> Date {
    Offset::UTC.to_datetime(at).date()
}

impl LogReader {
    /// Keeps a checkpoint that was cosigned, durably, unless one of that day is kept. One that can't be read is replaced.
    ///
    /// # Errors
    /// Faults of the disk.
    pub async fn keep_witnessed(&self, day: Date, note: &str) -> Result<(), LogError> {
        let (reader, note) = (self.clone(), note.to_owned());
        blocking(move || match reader.read_witnessed(day) {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(LogError::Log(_)) => reader.files.write_note(&format!("{WITNESSED_PREFIX}{day}"), &note),
            Err(error) => Err(error),
        })
        .await
    }

    /// The first checkpoint that has an entry, of those that were kept from a day to another; none where none has it. One that is
    /// damaged, or that the log signed with another key, is told in the node's log and passed over.
    ///
    /// # Errors
    /// Faults of the disk.
    pub async fn first_witnessed(&self, entry: u64, from: Date, to: Date) -> Result<Option<Published>, LogError> {
        let reader = self.clone();
        blocking(move || {
            let mut next = Some(from);
            while let Some(day) = next.filter(|day| *day <= to) {
                match reader.read_witnessed(day) {
                    Ok(Some(kept)) if kept.checkpoint.size > entry => return Ok(Some(kept)),
                    Ok(_) => {}
                    Err(error @ LogError::Log(_)) => tracing::warn!(%error, "a kept checkpoint is passed over"),
                    Err(error) => return Err(error),
                }
                next = day.tomorrow().ok();
            }
            Ok(None)
        })
        .await
    }

    fn read_witnessed(&self, day: Date) -> Result<Option<Published>, LogError> {
        self.read_note(&format!("{WITNESSED_PREFIX}{day}"))
    }
}
