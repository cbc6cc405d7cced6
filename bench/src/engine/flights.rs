//! A table of the shape of the flights of a year, made up by arithmetic (SYNTHETIC), and its marking: delays are tied to their
//! times and marked as one position at 36 and 44 %, air time is marked everywhere.

use lingqu_fingerprint::{
    BiasTable, Carrier, Encoding, Mark, MarkKey, Marking, Member, Profile, RATE_ONE, RecipientCode, Step, share_to_rate,
};

/// Whole numbers.
pub const WHOLE: Encoding = Encoding::Lattice(Step { unscaled: 1, decimals: 0 });

/// A key that is known to everybody.
pub fn key(profile: Profile, byte: u8) -> MarkKey {
    MarkKey::from_bytes(profile, [byte; 32])
}

/// The code of such a key, of the profile with AES.
pub fn code(byte: u8) -> RecipientCode {
    RecipientCode::new(&key(Profile::Aes, byte))
}

/// A column of a mark.
pub fn member(column: &str, encoding: Encoding) -> Member {
    Member { column: column.to_owned(), encoding, coefficient: 1, domain: None }
}

/// A mark of one step.
pub fn mark(name: &str, rate: u32, members: Vec<Member>) -> Mark {
    Mark {
        name: name.to_owned(),
        rate,
        by: Vec::new(),
        carrier: Carrier::Number { members, amplitude: 1, tolerance: 1 },
    }
}

/// A marking of a table whose key is `id`.
pub fn marking(marks: Vec<Mark>) -> Marking {
    Marking { key: vec!["id".to_owned()], marks, order_share: 6_554, biases: BiasTable::default(), presence: None }
}

/// The marking of the flights.
pub fn marked() -> Marking {
    let tied = |delay: &str, time: &str| vec![member(delay, WHOLE), member(time, Encoding::HoursMinutes)];
    marking(vec![
        mark("departure", share_to_rate(0.36), tied("dep_delay", "dep_time")),
        mark("arrival", share_to_rate(0.44), tied("arr_delay", "arr_time")),
        mark("air time", RATE_ONE, vec![member("air_time", WHOLE)]),
    ])
}

/// The query that makes so many flights. Minutes of the day first; hours and minutes read as one number come of them.
pub fn sql(rows: u32) -> String {
    format!(
        "SELECT id, 2013 AS year, planned % 12 + 1 AS month, id % 28 + 1 AS day, \
         left_at / 60 * 100 + left_at % 60 AS dep_time, planned / 60 * 100 + planned % 60 AS sched_dep_time, \
         left_at - planned AS dep_delay, came_at / 60 * 100 + came_at % 60 AS arr_time, \
         due / 60 * 100 + due % 60 AS sched_arr_time, came_at - due AS arr_delay, \
         'C' || CAST(id * 13 % 16 AS text) AS carrier, id * 31 % 3843 AS flight, \
         'N' || lpad(CAST(id * 7919 % 4043 AS text), 5, '0') AS tailnum, 'O' || CAST(id % 3 AS text) AS origin, \
         'D' || CAST(id * 17 % 105 AS text) AS dest, id * 37 % 500 + 20 AS air_time, id * 41 % 4900 + 80 AS distance \
         FROM (SELECT id, planned, planned + id * 23 % 61 - 10 AS left_at, planned + 150 AS due, \
         planned + 150 + id * 29 % 91 - 20 AS came_at \
         FROM (SELECT value AS id, 300 + value * 7 % 900 AS planned FROM generate_series(0, {})))",
        i64::from(rows) - 1
    )
}
