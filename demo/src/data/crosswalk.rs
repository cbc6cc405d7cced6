//! The crosswalk between the statistical division codes of 2023 and GB/T 2260 for Guangxi, and the true differences
//! between the two. A county keeps its place when its code changes, so codes are compared first and names within the
//! same city second. Townships are outside GB/T 2260 and take no part.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub use super::crosswalk_tables::{
    Level, NEWEST_REVISION, NationalDivision, StatisticalDivision, national_divisions, statistical_divisions,
};

use super::{DataError, Nature, Written, write_csv};

/// How a statistical division was recognised in GB/T 2260.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchedBy {
    /// The same code, after filling the statistical code with zeros to six digits.
    Code,
    /// Another code, the same name but for the kind of division (武鸣县, 武鸣区), in the same city.
    Stem,
    /// Another code and name: the only one left on each side in its city, and the names begin alike (横县, 横州市).
    LastLeft,
}

/// One division in both systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Statistical code as published: two, four or six digits.
    pub statistical_code: String,
    /// Name in the statistical table.
    pub statistical_name: String,
    /// Code in GB/T 2260: six digits.
    pub national_code: String,
    /// Name in GB/T 2260.
    pub national_name: String,
    /// How they were brought together.
    pub matched_by: MatchedBy,
}

/// A true difference between the two systems.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// A division with another code in each system; its name may have changed with it.
    CodeChanged {
        /// Code in GB/T 2260.
        national_code: String,
        /// Name in GB/T 2260.
        national_name: String,
        /// Code in the statistical table.
        statistical_code: String,
        /// Name in the statistical table.
        statistical_name: String,
    },
    /// The same code with another name.
    Renamed {
        /// The code, six digits.
        code: String,
        /// Name in GB/T 2260.
        national_name: String,
        /// Name in the statistical table.
        statistical_name: String,
    },
    /// A division that GB/T 2260 does not have.
    OnlyStatistical {
        /// Statistical code.
        code: String,
        /// Name.
        name: String,
    },
    /// A division that the statistical table does not have.
    OnlyNational {
        /// Code in GB/T 2260.
        code: String,
        /// Name.
        name: String,
        /// True for 市辖区, a heading of GB/T 2260 that the statistical table of the package leaves out.
        is_heading: bool,
    },
    /// A code that older revisions of GB/T 2260 have and the newest has not.
    Abolished {
        /// The code.
        code: String,
        /// Its last name.
        name: String,
        /// The last revision that has it.
        last_revision: String,
        /// The code in force in the same city whose name is the same but for the kind of division, where there is one.
        successor: Option<String>,
    },
}

/// What two systems say of the same region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crosswalk {
    /// Divisions in both, in the order of statistical codes.
    pub pairs: Vec<Pair>,
    /// Differences, by kind and then by code.
    pub differences: Vec<Difference>,
}

impl Crosswalk {
    /// The GB/T 2260 code of a statistical code (two to twelve digits; a township's is that of its county).
    pub fn national_code(&self, statistical_code: &str) -> Option<&str> {
        // A township's code is its county's with three digits more; a code in full is filled with zeros to twelve.
        let county = statistical_code.get(..6).unwrap_or(statistical_code);
        let wanted = fill(county);
        self.pairs.iter().find(|pair| fill(&pair.statistical_code) == wanted).map(|pair| pair.national_code.as_str())
    }

    /// The statistical code of a GB/T 2260 code in force.
    pub fn statistical_code(&self, national_code: &str) -> Option<&str> {
        self.pairs.iter().find(|pair| pair.national_code == national_code).map(|pair| pair.statistical_code.as_str())
    }
}

impl MatchedBy {
    /// The word in the table.
    fn word(self) -> &'static str {
        match self {
            MatchedBy::Code => "code",
            MatchedBy::Stem => "name",
            MatchedBy::LastLeft => "last_left",
        }
    }
}

/// Writes `division_crosswalk.csv`: one line per division that both systems have, derived from the two real tables.
pub fn write_crosswalk(directory: &Path) -> Result<(Written, Crosswalk), DataError> {
    let crosswalk = crosswalk(&statistical_divisions()?, &national_divisions()?);
    let mut content = String::from("statistical_code,statistical_name,national_code,national_name,matched_by\n");
    for pair in &crosswalk.pairs {
        content.push_str(&format!(
            "{},{},{},{},{}\n",
            pair.statistical_code,
            pair.statistical_name,
            pair.national_code,
            pair.national_name,
            pair.matched_by.word()
        ));
    }
    let written = write_csv(directory, "division_crosswalk", content.as_bytes(), Nature::Real)?;
    Ok((written, crosswalk))
}

/// Brings the two tables together. Townships are left out; duplicates of a code keep the first.
pub fn crosswalk(statistical: &[StatisticalDivision], national: &[NationalDivision]) -> Crosswalk {
    let mut here: BTreeMap<String, &StatisticalDivision> = BTreeMap::new();
    for division in statistical.iter().filter(|division| division.level != Level::Township) {
        here.entry(fill(&division.code)).or_insert(division);
    }
    let mut there: BTreeMap<&str, &NationalDivision> = BTreeMap::new();
    for division in national.iter().filter(|division| division.is_in_force()) {
        there.entry(division.code.as_str()).or_insert(division);
    }

    let mut pairs = Vec::new();
    let mut differences = Vec::new();
    let common: Vec<String> = here.keys().filter(|code| there.contains_key(code.as_str())).cloned().collect();
    for code in common {
        if let (Some(mine), Some(theirs)) = (here.remove(&code), there.remove(code.as_str())) {
            if mine.name != theirs.name {
                differences.push(Difference::Renamed {
                    code: code.clone(),
                    national_name: theirs.name.clone(),
                    statistical_name: mine.name.clone(),
                });
            }
            pairs.push(pair(mine, theirs, MatchedBy::Code));
        }
    }
    // What has no partner by code is looked for in its own city, first by name, then as the only one left.
    let cities: BTreeSet<String> = here.keys().map(|code| city_of(code).to_owned()).collect();
    for city in cities {
        let left: Vec<String> = here.keys().filter(|code| city_of(code) == city).cloned().collect();
        for code in left {
            let candidates: Vec<&str> = there
                .values()
                .filter(|theirs| city_of(&theirs.code) == city && !theirs.is_heading())
                .filter(|theirs| stem(&theirs.name) == stem(&here[&code].name))
                .map(|theirs| theirs.code.as_str())
                .collect();
            if let [only] = candidates[..] {
                let (mine, theirs) = (here.remove(&code), there.remove(only));
                record_change(mine, theirs, MatchedBy::Stem, &mut pairs, &mut differences);
            }
        }
        let mine_left: Vec<String> = here.keys().filter(|code| city_of(code) == city).cloned().collect();
        let theirs_left: Vec<&str> = there
            .values()
            .filter(|theirs| city_of(&theirs.code) == city && !theirs.is_heading())
            .map(|theirs| theirs.code.as_str())
            .collect();
        if let ([mine], [theirs]) = (&mine_left[..], &theirs_left[..])
            && here[mine].name.chars().next() == there[theirs].name.chars().next()
        {
            let (mine, theirs) = (here.remove(mine), there.remove(theirs));
            record_change(mine, theirs, MatchedBy::LastLeft, &mut pairs, &mut differences);
        }
    }

    for division in here.values() {
        differences.push(Difference::OnlyStatistical { code: division.code.clone(), name: division.name.clone() });
    }
    for division in there.values() {
        differences.push(Difference::OnlyNational {
            code: division.code.clone(),
            name: division.name.clone(),
            is_heading: division.is_heading(),
        });
    }
    differences.extend(abolished(national));
    pairs.sort_by_key(|pair| fill(&pair.statistical_code));
    differences.sort();
    Crosswalk { pairs, differences }
}

fn record_change(
    mine: Option<&StatisticalDivision>,
    theirs: Option<&NationalDivision>,
    matched_by: MatchedBy,
    pairs: &mut Vec<Pair>,
    differences: &mut Vec<Difference>,
) {
    let (Some(mine), Some(theirs)) = (mine, theirs) else { return };
    differences.push(Difference::CodeChanged {
        national_code: theirs.code.clone(),
        national_name: theirs.name.clone(),
        statistical_code: mine.code.clone(),
        statistical_name: mine.name.clone(),
    });
    pairs.push(pair(mine, theirs, matched_by));
}

fn pair(mine: &StatisticalDivision, theirs: &NationalDivision, matched_by: MatchedBy) -> Pair {
    Pair {
        statistical_code: mine.code.clone(),
        statistical_name: mine.name.clone(),
        national_code: theirs.code.clone(),
        national_name: theirs.name.clone(),
        matched_by,
    }
}

/// Codes of older revisions only, each with its successor where the name tells it.
fn abolished(national: &[NationalDivision]) -> Vec<Difference> {
    let mut found = Vec::new();
    for old in national.iter().filter(|division| !division.is_in_force()) {
        let successor = national
            .iter()
            .find(|new| {
                new.is_in_force() && city_of(&new.code) == city_of(&old.code) && stem(&new.name) == stem(&old.name)
            })
            .map(|new| new.code.clone());
        found.push(Difference::Abolished {
            code: old.code.clone(),
            name: old.name.clone(),
            last_revision: old.revision.clone(),
            successor,
        });
    }
    found
}

/// A statistical code with zeros to six digits.
fn fill(code: &str) -> String {
    format!("{code:0<6}")
}

fn city_of(code: &str) -> &str {
    code.get(..4).unwrap_or(code)
}

/// A name without the kind of division at its end, so that 武鸣县 and 武鸣区 are alike.
fn stem(name: &str) -> &str {
    for kind in ["自治县", "县", "区", "市"] {
        if let Some(stem) = name.strip_suffix(kind) {
            return stem;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real() -> Crosswalk {
        crosswalk(&statistical_divisions().unwrap(), &national_divisions().unwrap())
    }

    #[test]
    fn the_true_differences_of_guangxi_are_these() {
        let found = real();
        assert_eq!(found.pairs.len(), 125);
        let by = |kind: MatchedBy| found.pairs.iter().filter(|pair| pair.matched_by == kind).count();
        assert_eq!((by(MatchedBy::Code), by(MatchedBy::Stem), by(MatchedBy::LastLeft)), (117, 7, 1));

        let mut changed = Vec::new();
        let (mut headings, mut renamed, mut only_national) = (0, 0, 0);
        let (mut only_statistical, mut abolished) = (Vec::new(), Vec::new());
        for difference in &found.differences {
            match difference {
                Difference::CodeChanged { national_code, national_name, statistical_code, statistical_name } => {
                    changed.push(format!("{national_code}{national_name}→{statistical_code}{statistical_name}"));
                }
                Difference::Renamed { .. } => renamed += 1,
                Difference::OnlyStatistical { code, name } => only_statistical.push(format!("{code}{name}")),
                Difference::OnlyNational { is_heading: true, .. } => headings += 1,
                Difference::OnlyNational { .. } => only_national += 1,
                Difference::Abolished { code, successor, .. } => abolished.push((code.as_str(), successor.as_deref())),
            }
        }
        assert_eq!(
            changed,
            [
                "450122武鸣县→450110武鸣区",
                "450127横县→450181横州市",
                "450221柳江县→450206柳江区",
                "450331荔浦县→450381荔浦市",
                "451021田阳县→451003田阳区",
                "451023平果县→451082平果市",
                "451025靖西县→451081靖西市",
                "451281宜州市→451203宜州区",
            ]
        );
        assert_eq!(only_statistical, ["451103平桂区"]);
        assert_eq!((headings, renamed, only_national), (14, 0, 0));
        assert_eq!(
            abolished,
            [
                ("450104", None),
                ("450106", None),
                ("450121", Some("450109")),
                ("450322", Some("450312")),
                ("450404", None),
                ("450411", None),
            ]
        );
    }

    #[test]
    fn codes_of_every_level_are_translated() {
        let found = real();
        assert_eq!(found.national_code("45"), Some("450000"));
        assert_eq!(found.national_code("4501"), Some("450100"));
        assert_eq!(found.national_code("450110"), Some("450122"));
        assert_eq!(found.national_code("450110100"), Some("450122"));
        assert_eq!(found.national_code("450102001000"), Some("450102"));
        assert_eq!(found.national_code("451103"), None);
        assert_eq!(found.statistical_code("450100"), Some("4501"));
        assert_eq!(found.statistical_code("450127"), Some("450181"));
        assert_eq!(found.statistical_code("450101"), None);
    }

    #[test]
    fn no_division_is_lost_or_matched_twice() {
        let statistical = statistical_divisions().unwrap();
        let national = national_divisions().unwrap();
        let found = crosswalk(&statistical, &national);
        let mut mine: Vec<&str> = found.pairs.iter().map(|pair| pair.statistical_code.as_str()).collect();
        let mut theirs: Vec<&str> = found.pairs.iter().map(|pair| pair.national_code.as_str()).collect();
        for difference in &found.differences {
            match difference {
                Difference::OnlyStatistical { code, .. } => mine.push(code),
                Difference::OnlyNational { code, .. } | Difference::Abolished { code, .. } => theirs.push(code),
                Difference::CodeChanged { .. } | Difference::Renamed { .. } => {}
            }
        }
        mine.sort_unstable();
        theirs.sort_unstable();
        let mut all_mine: Vec<&str> = statistical
            .iter()
            .filter(|division| division.level != Level::Township)
            .map(|division| division.code.as_str())
            .collect();
        all_mine.sort_unstable();
        let all_theirs: Vec<&str> = national.iter().map(|division| division.code.as_str()).collect();
        assert_eq!(mine, all_mine);
        assert_eq!(theirs, all_theirs);
    }

    #[test]
    fn every_county_has_its_city_and_at_least_one_township() {
        let divisions = statistical_divisions().unwrap();
        let codes: BTreeSet<&str> = divisions.iter().map(|division| division.code.as_str()).collect();
        let parents: BTreeSet<&str> = divisions.iter().filter_map(|division| division.parent.as_deref()).collect();
        assert_eq!(divisions.iter().filter(|division| division.level == Level::County).count(), 111);
        for division in divisions.iter().filter(|division| division.level == Level::County) {
            assert!(parents.contains(division.code.as_str()), "{} has no township", division.code);
            assert!(codes.contains(division.parent.as_deref().unwrap()), "{} has no city", division.code);
        }
    }

    #[test]
    fn a_renamed_division_keeps_its_code_and_an_ambiguous_name_is_not_matched() {
        let division = |code: &str, name: &str| StatisticalDivision {
            code: code.to_owned(),
            name: name.to_owned(),
            level: Level::County,
            parent: None,
        };
        let standard = |code: &str, name: &str| NationalDivision {
            code: code.to_owned(),
            name: name.to_owned(),
            revision: NEWEST_REVISION.to_owned(),
            first_revision: NEWEST_REVISION.to_owned(),
        };
        let found = crosswalk(
            &[division("450102", "甲区"), division("450110", "乙区")],
            &[standard("450102", "丙区"), standard("450121", "乙县"), standard("450181", "乙市")],
        );
        assert_eq!(found.pairs.len(), 1);
        assert!(matches!(&found.differences[0], Difference::Renamed { code, .. } if code == "450102"));
        assert_eq!(found.differences.len(), 4);
    }
}
