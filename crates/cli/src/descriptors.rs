//! File descriptors: how many connections there may be. A process without a descriptor left can write neither journal nor
//! receipts, so some are kept back for files, and clients share the rest.

/// Descriptors that no client of the data plane or console may take: files, the database, the administrative listener.
const KEPT_BACK: u64 = 256;
/// Connections of the administrative listener, of those kept back.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Most connections of one listener, however many descriptors there are: each costs memory too.
const CONNECTIONS_MAX: u64 = 4_096;
/// What a listener is expected to hold: below it, the operator is told how to have more.
const CONNECTIONS_WANTED: u64 = 2_000;
/// The listeners that clients use: HTTP, Flight SQL, PostgreSQL.
const LISTENERS: u64 = 3;

/// How many descriptors this process may have, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    limit: u64,
}

impl Descriptors {
    /// Raises this process's limit as far as it may be raised without rights, and reads it.
    pub fn raise() -> Descriptors {
        // Where the system does not say, what is common everywhere holds.
        Descriptors { limit: rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024) }
    }

    /// Connections of one listener.
    pub fn connections(self) -> usize {
        let each = (self.limit.saturating_sub(KEPT_BACK) / LISTENERS).clamp(1, CONNECTIONS_MAX);
        usize::try_from(each).expect("at most CONNECTIONS_MAX")
    }

    /// What to do when that is few.
    pub fn advice(self) -> Option<String> {
        let each = self.connections();
        if each as u64 >= CONNECTIONS_WANTED {
            return None;
        }
        Some(format!(
            "the process may have {} open files, which is enough for {each} connections of each protocol; for {CONNECTIONS_WANTED} \
             set LimitNOFILE={} for its service, or `ulimit -n` before it is started",
            self.limit,
            KEPT_BACK + LISTENERS * CONNECTIONS_WANTED
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_files() {
        for limit in [0, 1, 256, 1_024, 6_256, 20_000, 1 << 40] {
            let descriptors = Descriptors { limit };
            let each = descriptors.connections() as u64;
            assert!(each >= 1);
            assert!(limit < KEPT_BACK + LISTENERS || LISTENERS * each + KEPT_BACK <= limit, "{limit}: {each}");
            assert_eq!(descriptors.advice().is_none(), each >= CONNECTIONS_WANTED);
        }
        assert_eq!(Descriptors { limit: 1_024 }.connections(), 256);
        assert_eq!(Descriptors { limit: 6_256 }.connections(), 2_000);
        assert_eq!(Descriptors { limit: 1 << 40 }.connections(), 4_096);
    }

    #[test]
    fn the_limit_is_raised() {
        let before = rlimit::getrlimit(rlimit::Resource::NOFILE).unwrap();
        let raised = Descriptors::raise();
        assert!(raised.limit >= before.0.min(before.1), "{raised:?}, {before:?}");
    }
}
