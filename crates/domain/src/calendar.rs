//! Working days: deadlines of procedures count the days that are worked, on a calendar that a node can replace.

use std::collections::BTreeSet;

use jiff::civil::{Date, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

/// Most working days a deadline may lie ahead.
pub const WORKING_DAYS_MAX: u32 = 2_000;

/// Which days are worked. Monday to Friday, but for `holidays`, and the weekends in `working_weekends` (调休), as the
/// State Council publishes them year by year.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// Name of this version, recorded with each event.
    pub version: String,
    /// Days off that would be worked.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub holidays: BTreeSet<Date>,
    /// Weekend days that are worked.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub working_weekends: BTreeSet<Date>,
    /// The last year whose schedule is published.
    pub published_through_year: i16,
}

/// A day by which something must be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Deadline {
    /// The last day.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub on: Date,
    /// True when it lies in a year whose holidays are not yet published.
    pub provisional: bool,
}

/// Beijing time, in which civil days are counted.
pub fn beijing() -> TimeZone {
    TimeZone::fixed(Offset::constant(8))
}

/// The civil day of a moment in Beijing.
pub fn day_of(moment: Timestamp) -> Date {
    moment.to_zoned_datetime(beijing()).date()
}

impl Calendar {
    /// True when a day is worked.
    pub fn is_working_day(&self, day: Date) -> bool {
        let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        if weekend { self.working_weekends.contains(&day) } else { !self.holidays.contains(&day) }
    }

    /// The deadline `count` working days after the day of `from`; the day itself does not count (民法典 art. 201).
    /// `count` above [`WORKING_DAYS_MAX`] is taken as that.
    pub fn working_days_after(&self, from: Timestamp, count: u32) -> Deadline {
        let mut day = day_of(from);
        let mut left = count.min(WORKING_DAYS_MAX);
        // A year has fewer than 366 days off, so seven calendar days hold at least one working day on any calendar
        // that is published; the bound only guards against a calendar without any.
        let mut steps_left = WORKING_DAYS_MAX * 7;
        while left > 0 && steps_left > 0 {
            day = day.saturating_add(1.day());
            steps_left -= 1;
            if self.is_working_day(day) {
                left -= 1;
            }
        }
        Deadline { on: day, provisional: day.year() > self.published_through_year }
    }

    /// True when the whole day of the deadline has passed in Beijing.
    pub fn has_passed(deadline: Deadline, now: Timestamp) -> bool {
        day_of(now) > deadline.on
    }

    /// The schedules of 2025 and 2026 as the General Office of the State Council published them (国办发明电〔2024〕12号
    /// for 2025; for 2026 the notice of 4 November 2025), to be confirmed by the operator of a node before going live.
    pub fn published_2026() -> Self {
        let days = |year: i16, list: &[(i8, i8)]| -> Vec<Date> {
            list.iter().map(|(month, day)| jiff::civil::date(year, *month, *day)).collect()
        };
        let mut holidays = BTreeSet::new();
        holidays.extend(days(2025, &[(1, 1), (1, 28), (1, 29), (1, 30), (1, 31), (2, 3), (2, 4), (4, 4)]));
        holidays.extend(days(2025, &[(5, 1), (5, 2), (5, 5), (6, 2)]));
        holidays.extend(days(2025, &[(10, 1), (10, 2), (10, 3), (10, 6), (10, 7), (10, 8)]));
        holidays.extend(days(2026, &[(1, 1), (1, 2), (2, 16), (2, 17), (2, 18), (2, 19), (2, 20), (2, 23)]));
        holidays.extend(days(2026, &[(4, 6), (5, 1), (5, 4), (5, 5), (6, 19), (9, 25)]));
        holidays.extend(days(2026, &[(10, 1), (10, 2), (10, 5), (10, 6), (10, 7)]));
        let mut working_weekends = BTreeSet::new();
        working_weekends.extend(days(2025, &[(1, 26), (2, 8), (4, 27), (9, 28), (10, 11)]));
        working_weekends.extend(days(2026, &[(1, 4), (2, 14), (2, 28), (5, 9), (9, 20), (10, 10)]));
        Self { version: "2026".to_owned(), holidays, working_weekends, published_through_year: 2026 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn counts_over_weekends_holidays_and_worked_weekends() {
        let calendar = Calendar::published_2026();
        let cases = [
            ("2026-11-02T02:00:00Z", 1, "2026-11-03"),
            ("2026-11-06T02:00:00Z", 1, "2026-11-09"),
            ("2026-09-30T02:00:00Z", 1, "2026-10-08"),
            ("2026-10-08T02:00:00Z", 2, "2026-10-10"),
            // 2026-11-06 17:00 UTC is already the 7th in Beijing.
            ("2026-11-06T17:00:00Z", 1, "2026-11-09"),
        ];
        for (from, count, expected) in cases {
            assert_eq!(calendar.working_days_after(at(from), count).on.to_string(), expected, "{from} + {count}");
        }
    }

    #[test]
    fn a_deadline_in_an_unpublished_year_is_provisional() {
        let calendar = Calendar::published_2026();
        assert!(!calendar.working_days_after(at("2026-12-01T00:00:00Z"), 3).provisional);
        assert!(calendar.working_days_after(at("2026-12-30T00:00:00Z"), 10).provisional);
    }
}
