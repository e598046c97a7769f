//! The calendar: from days to dates and from dates to days.
//!
//! PostgreSQL counts in the proleptic Gregorian calendar, without leap seconds, from 2000-01-01; internal time counts
//! from 1970-01-01.

use std::fmt;

pub(super) const US_PER_SECOND: i64 = 1_000_000;
pub(super) const US_PER_DAY: i64 = 86_400 * US_PER_SECOND;

/// Days from 1970-01-01, where internal time begins, to 2000-01-01, where PostgreSQL's begins.
pub(super) const EPOCH_DAYS: i64 = 10_957;

/// From the first day of the year that begins in March of 1 BC to 1970-01-01.
const DAYS_TO_MARCH_0: i64 = 719_468;
/// After 400 years the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;

/// A day of the proleptic Gregorian calendar; the year before 1 AD is 0.
///
/// Counts in years that begin in March, so that the leap day is the last day of its year, and in eras of 400 years,
/// which all have the same length (Howard Hinnant, "chrono-compatible low-level date algorithms").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    year: i64,
    month: i64,
    day: i64,
}

impl Civil {
    /// This day of this month (from 1) of this year; `None` if the calendar has no such day.
    #[inline]
    pub(super) fn new(year: i64, month: i64, day: i64) -> Option<Civil> {
        let exists = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
        exists.then_some(Civil { year, month, day })
    }

    /// The date `days` after 1970-01-01.
    pub(super) fn from_days(days: i64) -> Civil {
        let days = days + DAYS_TO_MARCH_0;
        let day_of_era = days.rem_euclid(DAYS_PER_ERA);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = days.div_euclid(DAYS_PER_ERA) * 400 + year_of_era + i64::from(month <= 2);
        Civil { year, month, day }
    }

    /// Days since 1970-01-01.
    #[inline]
    pub(super) fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let month_from_march = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * month_from_march + 2) / 5 + self.day - 1;
        let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
        year.div_euclid(400) * DAYS_PER_ERA + day_of_era - DAYS_TO_MARCH_0
    }

    /// What follows the date and time of a year before 1 AD.
    pub(super) fn era(self) -> &'static str {
        if self.year <= 0 { " BC" } else { "" }
    }
}

/// How many days this month, from 1 to 12, has in this year.
#[inline]
fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[inline]
fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

impl fmt::Display for Civil {
    /// Four digits of the year at least: fewer would be read as a day or a month.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let year = if self.year <= 0 { 1 - self.year } else { self.year };
        write!(f, "{year:04}-{:02}-{:02}", self.month, self.day)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow and obvious way: days before the year, before the month, in the month.
    pub(in crate::pgcopy) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
        let leaps_before =
            |year: i64| (year - 1).div_euclid(4) - (year - 1).div_euclid(100) + (year - 1).div_euclid(400);
        let is_leap = leaps_before(year + 1) > leaps_before(year);
        let lengths = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let before_month: i64 = lengths[..month as usize - 1].iter().sum();
        assert!((1..=lengths[month as usize - 1]).contains(&day));
        (year - 1970) * 365 + leaps_before(year) - leaps_before(1970) + before_month + day - 1
    }

    #[test]
    fn every_day_of_an_era_follows_the_one_before() {
        let mut expected = days_from_civil(1600, 1, 1);
        for (year, month, day) in
            (1600..2000).flat_map(|y| (0..=13).flat_map(move |m| (0..=32).map(move |d| (y, m, d))))
        {
            let Some(civil) = Civil::new(year, month, day) else { continue };
            assert_eq!((civil.days(), Civil::from_days(expected)), (expected, civil));
            assert_eq!(days_from_civil(year, month, day), expected);
            expected += 1;
        }
        assert_eq!(expected, days_from_civil(2000, 1, 1));
    }

    #[test]
    fn days_that_no_calendar_has_are_none() {
        for (year, month, day) in
            [(2023, 2, 29), (1900, 2, 29), (2024, 2, 30), (2024, 4, 31), (2024, 13, 1), (2024, 0, 1), (2024, 1, 0)]
        {
            assert_eq!(Civil::new(year, month, day), None, "{year}-{month}-{day}");
        }
        assert!(Civil::new(2000, 2, 29).is_some() && Civil::new(2024, 2, 29).is_some());
    }

    #[test]
    fn every_day_of_thirty_centuries_reads_back() {
        for days in -900_000..200_000 {
            let civil = Civil::from_days(days);
            assert_eq!(days_from_civil(civil.year, civil.month, civil.day), days);
            assert_eq!(civil.days(), days);
        }
    }

    proptest! {
        #[test]
        fn dates_and_days_are_each_other_s_inverse(days in -200_000_000_000i64..200_000_000_000) {
            let civil = Civil::from_days(days);
            prop_assert_eq!(Civil::new(civil.year, civil.month, civil.day), Some(civil));
            prop_assert_eq!(civil.days(), days);
            prop_assert_eq!(days_from_civil(civil.year, civil.month, civil.day), days);
        }
    }
}
