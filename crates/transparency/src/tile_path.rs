use std::fmt;
use std::str::FromStr;

use crate::TransparencyError;
use crate::error::malformed;

/// How many hashes or entries a full tile holds (tlog-tiles, "Merkle Tree": tiles of height 8).
pub const TILE_WIDTH: u64 = 256;

/// The highest tile level that a path can name.
const LEVEL_MAX: u8 = 63;

/// What a file of the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileKind {
    /// Hashes of the tree; the level counts tiles, each eight tree levels high.
    Hashes {
        /// 0 for leaf hashes.
        level: u8,
    },
    /// Entries, as a bundle.
    Entries,
}

/// The place of one tile or entry bundle below the log's prefix (tlog-tiles, "Merkle Tree" and "Log Entries").
///
/// Text form: `tile/0/x001/x234/067`, with `.p/W` for a partial tile of `W` elements; entry bundles have `entries` for
/// the level. Paths come in from clients, so reading is strict: one place, one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TilePath {
    /// What the file holds.
    pub kind: TileKind,
    /// Its number within its level.
    pub index: u64,
    /// How many elements it has: 1 to 256.
    pub width: u16,
}

impl TilePath {
    /// The tile of hashes at a level and index.
    pub fn hashes(level: u8, index: u64, width: u16) -> TilePath {
        TilePath { kind: TileKind::Hashes { level }, index, width }
    }

    /// The bundle of entries at an index.
    pub fn entries(index: u64, width: u16) -> TilePath {
        TilePath { kind: TileKind::Entries, index, width }
    }

    /// Whether it has all its 256 elements.
    pub fn is_full(self) -> bool {
        u64::from(self.width) == TILE_WIDTH
    }

    /// The full tile that this one is a beginning of.
    pub(crate) fn to_full(self) -> TilePath {
        TilePath { width: TILE_WIDTH as u16, ..self }
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        // Groups of three digits, each but the last behind an `x`. A 64-bit index has at most seven groups.
        let digits = self.index.to_string();
        let padded = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
        for (number, group) in padded.as_bytes().chunks(3).enumerate() {
            let last = (number + 1) * 3 == padded.len();
            let group = std::str::from_utf8(group).expect("a decimal number is ASCII");
            let (mark, end) = if last { ("", "") } else { ("x", "/") };
            write!(f, "{mark}{group}{end}")?;
        }
        if !self.is_full() {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for TilePath {
    type Err = TransparencyError;

    fn from_str(text: &str) -> Result<TilePath, TransparencyError> {
        let refused = || malformed("the path of a tile", "expected tile/LEVEL/xNNN/NNN with .p/WIDTH when partial");
        // The longest path there is has 49 characters.
        if text.len() > 64 {
            return Err(refused());
        }
        let rest = text.strip_prefix("tile/").ok_or_else(refused)?;
        let (level, rest) = rest.split_once('/').ok_or_else(refused)?;
        let kind = match level {
            "entries" => TileKind::Entries,
            _ => TileKind::Hashes { level: level.parse().map_err(|_| refused())? },
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().map_err(|_| refused())?),
            None => (rest, TILE_WIDTH as u16),
        };
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let path = TilePath { kind, index: digits.parse().map_err(|_| refused())?, width };
        let level_known = !matches!(kind, TileKind::Hashes { level } if level > LEVEL_MAX);
        let width_known = (1..=TILE_WIDTH as u16).contains(&width);
        // Writing the path again settles leading zeros, signs, groups and stray characters at once.
        if level_known && width_known && path.to_string() == text { Ok(path) } else { Err(refused()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_of_the_specification() {
        for (path, text) in [
            (TilePath::hashes(0, 1_234_067, 256), "tile/0/x001/x234/067"),
            (TilePath::hashes(0, 0, 256), "tile/0/000"),
            (TilePath::hashes(0, 273, 112), "tile/0/273.p/112"),
            (TilePath::hashes(1, 1, 17), "tile/1/001.p/17"),
            (TilePath::hashes(2, 0, 1), "tile/2/000.p/1"),
            (TilePath::entries(1_000, 255), "tile/entries/x001/000.p/255"),
            (TilePath::hashes(63, u64::MAX, 1), "tile/63/x018/x446/x744/x073/x709/x551/615.p/1"),
        ] {
            assert_eq!(path.to_string(), text);
            assert_eq!(text.parse(), Ok(path));
        }
    }

    #[test]
    fn other_paths_are_refused() {
        for text in [
            "",
            "tile/0/",
            "tile/0/0",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/+1/000",
            "tile/0/x000/000",
            "tile/0/1/234",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/../000",
            "tile/entries/000.p/1/2",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "tile/0/００0",
        ] {
            assert!(text.parse::<TilePath>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn paths_round_trip(level in 0..64_u8, index: u64, width in 1..=256_u16, entries: bool) {
            let path = if entries { TilePath::entries(index, width) } else { TilePath::hashes(level, index, width) };
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }

        #[test]
        fn parsing_never_panics(text: String, near in "tile/[0-9ex]{1,3}/[x0-9/]{0,30}[.p/]{0,3}[0-9]{0,4}") {
            let _ = text.parse::<TilePath>();
            let _ = near.parse::<TilePath>();
        }
    }
}
