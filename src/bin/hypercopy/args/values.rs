//! What stands behind a flag, read: sizes, rates, times, layouts.

use std::time::Duration;

use hypercopy::error::{Error, Kind, Result};
use hypercopy::ident::{MAX_IDENT_BYTES, QualifiedName};
use hypercopy::migrate::Resume;
use hypercopy::plan::HashRequest;
use hypercopy::throttle::Rate;

/// A number of bytes, with a unit or without.
pub(super) fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    let text = text.trim();
    let (number, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit))
}

/// The size of a chunk.
pub(super) fn chunk_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is no number of bytes: write 500MB or 1GB");
    bytes(text).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

/// Bytes or rows in a second.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || format!("\"{text}\" is no rate: write 50MB/s or 100000rows/s");
    let amount = text.trim().strip_suffix("/s").ok_or_else(wrong)?.trim();
    match amount.strip_suffix("rows") {
        Some(rows) => {
            let rows: f64 = rows.trim().parse().map_err(|_| wrong())?;
            Some(rows).filter(|rows| rows.is_finite() && *rows > 0.0).map(Rate::Rows).ok_or_else(wrong)
        }
        None => bytes(amount).filter(|bytes| *bytes > 0).map(|bytes| Rate::Bytes(bytes as f64)).ok_or_else(wrong),
    }
}

pub(super) fn resume(text: &str) -> Result<Resume, String> {
    let before = text.strip_prefix("trust-before").and_then(|rest| rest.strip_prefix([' ', '=']));
    match (text, before.map(str::trim)) {
        ("", _) => Ok(Resume::Compare),
        ("trust", _) => Ok(Resume::Trust),
        ("follow-deletes", _) => Ok(Resume::FollowDeletes),
        (_, Some(value)) if !value.is_empty() => Ok(Resume::TrustBefore(value.to_string())),
        _ => Err("it takes nothing, trust, trust-before VALUE or follow-deletes".to_string()),
    }
}

/// A number and a unit, as PostgreSQL's settings take them.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 5] = [("ms", 0.001), ("min", 60.0), ("s", 1.0), ("h", 3600.0), ("d", 86_400.0)];
    let unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?.trim(), seconds)));
    let (number, seconds) = unit.ok_or("it takes a number and a unit: ms, s, min, h or d")?;
    let number: f64 = number.parse().map_err(|_| "the number before the unit is none")?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "it is out of range".to_string())
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| "it is out of range".to_string()),
        Err(_) => duration(text),
    }
}

/// An interval is read by the server; what no server would take is wrong already here.
pub(super) fn interval(text: &str) -> Result<()> {
    let is_wrong = text.trim().is_empty() || text.trim().parse::<i64>().is_ok_and(|integer| integer <= 0);
    match is_wrong {
        false => Ok(()),
        true => Err(Error::new(Kind::Usage, format!("--chunk-interval \"{text}\" is no interval"))
            .hint("Write an interval such as '1 day', or a positive integer for an integer dimension.")),
    }
}

pub(super) fn hash_partitions(text: &str) -> Result<HashRequest> {
    if text == "none" {
        return Ok(HashRequest::None);
    }
    let wrong = || {
        Error::new(Kind::Usage, format!("--hash-partitions \"{text}\" is not COLUMN:N"))
            .hint("Write the column's name, a colon and a number, such as device_id:4; or none.")
    };
    let (column, partitions) = text.rsplit_once(':').ok_or_else(wrong)?;
    // A column is named as a table would be: folded to lower case unless it is quoted.
    let column = QualifiedName::parse(column, "")?;
    if !column.schema.is_empty() {
        return Err(wrong());
    }
    let partitions = partitions.trim().parse().map_err(|_| wrong())?;
    if !(1..=MAX_PARTITIONS).contains(&partitions) {
        return Err(Error::new(Kind::Usage, format!("--hash-partitions \"{text}\" is no number of partitions"))
            .hint(format!("It goes from 1 to {MAX_PARTITIONS}.")));
    }
    Ok(HashRequest::Column { column: column.name, partitions })
}

/// TimescaleDB numbers the partitions of a dimension by a smallint.
const MAX_PARTITIONS: i32 = i16::MAX as i32;

/// The name of a table to be made: a longer one than PostgreSQL keeps would be cut, and then be another one.
pub(super) fn new_name(text: &str) -> Result<()> {
    let name = QualifiedName::parse(text, "")?;
    match [name.schema, name.name].into_iter().find(|part| part.len() > MAX_IDENT_BYTES) {
        None => Ok(()),
        Some(long) => Err(Error::new(Kind::Usage, format!("--as names \"{long}\", which has {} bytes", long.len()))
            .hint(format!("PostgreSQL keeps {MAX_IDENT_BYTES} bytes of a name."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_a_unit() {
        assert_eq!(duration("5min"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("500 ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(seconds("30"), Ok(Duration::from_secs(30)));
        for wrong in ["", "5", "-1s", "min", "1 week", "NaNs", "infs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_interval_is_positive() {
        assert!(interval("1 day").is_ok() && interval("86400").is_ok());
        for wrong in ["", " ", "0", "-5"] {
            assert_eq!(interval(wrong).unwrap_err().kind(), Kind::Usage, "{wrong}");
        }
    }

    #[test]
    fn hash_partitions_take_a_column_and_a_number() {
        let column = |name: &str, partitions| HashRequest::Column { column: name.into(), partitions };
        assert_eq!(hash_partitions("Device:4").unwrap(), column("device", 4));
        assert_eq!(hash_partitions("\"a:b\":2").unwrap(), column("a:b", 2));
        assert_eq!(hash_partitions("none").unwrap(), HashRequest::None);
        for wrong in ["device", "device:", "device:x", ":4", "a.b:2", "device:0", "device:-1", "device:32768"] {
            assert_eq!(hash_partitions(wrong).unwrap_err().kind(), Kind::Usage, "{wrong}");
        }
    }
}
