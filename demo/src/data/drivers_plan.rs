//! What happens to each synthetic driver: first a fate that decides the truth, then the events that the fate needs,
//! then ordinary offences that do not change it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use sha2::{Digest, Sha256};

use super::DataError;
use super::drivers::{Reason, Request};

/// What a driver's truth rests on. The boundary cases are there on purpose: a check that counts years, periods or
/// points a little wrong answers them wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Qualifies, nothing special.
    Clean,
    /// Qualifies with 10 or 11 points in a recent period.
    NearLimit,
    /// Qualifies with 15 points within two months, which lie in two periods.
    Split,
    /// Qualifies with 12 points in a period before the last three.
    OldTwelve,
    /// Qualifies: first issue three years ago, to the day or at most 30 days more.
    JustThreeYears,
    /// Has a record.
    Recorded,
    /// Has 12 points in one of the last three periods.
    RecentTwelve,
    /// Drove after drinking lately: a record and 12 points at once.
    Drunk,
    /// First issue 1 to 30 days too late.
    AlmostThreeYears,
    /// First issue well under three years ago.
    New,
}

impl Fate {
    /// Drivers of each fate in a thousand; who is left is clean.
    const SHARES: [(Fate, usize); 9] = [
        (Fate::NearLimit, 60),
        (Fate::Split, 30),
        (Fate::OldTwelve, 50),
        (Fate::JustThreeYears, 20),
        (Fate::Recorded, 60),
        (Fate::RecentTwelve, 120),
        (Fate::Drunk, 20),
        (Fate::AlmostThreeYears, 10),
        (Fate::New, 70),
    ];

    /// The planted truth.
    pub(super) fn reasons(self) -> BTreeSet<Reason> {
        match self {
            Fate::Clean | Fate::NearLimit | Fate::Split | Fate::OldTwelve | Fate::JustThreeYears => BTreeSet::new(),
            Fate::Recorded => BTreeSet::from([Reason::Record]),
            Fate::RecentTwelve => BTreeSet::from([Reason::TwelvePoints]),
            Fate::Drunk => BTreeSet::from([Reason::Record, Reason::TwelvePoints]),
            Fate::AlmostThreeYears | Fate::New => BTreeSet::from([Reason::Inexperienced]),
        }
    }
}

/// A driver before names and numbers.
pub(super) struct Life {
    pub fate: Fate,
    pub first_issued_on: Date,
    /// The period that runs on the day of the request, from 1.
    pub cycle_number: u32,
}

/// An offence before ids and places.
pub(super) struct PlannedOffence {
    pub driver: usize,
    pub occurred_on: Date,
    pub cycle_number: u32,
    pub kind: &'static str,
    pub points: u32,
}

/// A record before ids.
pub(super) struct PlannedRecord {
    pub driver: usize,
    pub recorded_on: Date,
    pub kind: &'static str,
}

/// All that happens.
pub(super) struct Plan {
    pub lives: Vec<Life>,
    pub offences: Vec<PlannedOffence>,
    pub records: Vec<PlannedRecord>,
}

/// Kinds of offence and their points (道路交通安全违法行为记分管理办法, as known generally). Driving after drinking
/// stands apart, because it leaves a record too.
const ONE_POINT: [&str; 2] = ["不按规定使用灯光", "不按规定系安全带"];
const THREE_POINTS: [&str; 2] = ["不按规定超车或让行", "驾驶时接听手持电话"];
const SIX_POINTS: [&str; 2] = ["不按交通信号灯指示通行", "驾驶证被暂扣期间驾驶"];
const NINE_POINTS: [&str; 2] = ["驾驶与准驾车型不符的机动车", "未悬挂机动车号牌"];
const TWELVE_POINTS: [&str; 2] = ["使用伪造或变造的机动车号牌", "造成轻微伤或财产损失后逃逸"];
const DRUNK: &str = "饮酒后驾驶";
/// Records of a driver who was not drunk.
const RECORDS: [&str; 3] = ["交通肇事犯罪", "危险驾驶犯罪", "吸毒"];
/// Most points of a period that must not count as one with twelve.
const POINTS_HARMLESS_MAX: u32 = 11;
/// Tries per ordinary offence before the request is refused.
const TRIES_MAX: u64 = 20;

/// Plans every driver, offence and record of a request.
pub(super) fn plan(draw: &Draw, request: &Request) -> Result<Plan, DataError> {
    let fates = fates(draw, request.driver_count);
    let mut writer =
        Writer { draw, as_of: request.as_of, offences: Vec::new(), records: Vec::new(), points: BTreeMap::new() };
    let mut lives = Vec::with_capacity(fates.len());
    for (driver, fate) in fates.into_iter().enumerate() {
        let first_issued_on = first_issue(draw, driver as u64, fate, request.as_of);
        let cycle_number = cycle_of(first_issued_on, request.as_of);
        let life = Life { fate, first_issued_on, cycle_number };
        writer.plant(driver, &life);
        lives.push(life);
    }
    if writer.offences.len() > request.offence_count {
        let reason = format!(
            "{} offences are asked for and {} are needed to plant the truth; ask for more",
            request.offence_count,
            writer.offences.len()
        );
        return Err(DataError::Generator { reason });
    }
    writer.fill(&lives, request.offence_count)?;
    Ok(Plan { lives, offences: writer.offences, records: writer.records })
}

/// A fate for each driver, in shares that are exact, at drawn places.
fn fates(draw: &Draw, count: usize) -> Vec<Fate> {
    let mut fates = vec![Fate::Clean; count];
    let mut places = draw.order("fate", count).into_iter();
    for (fate, share) in Fate::SHARES {
        for place in places.by_ref().take(count * share / 1_000) {
            fates[place] = fate;
        }
    }
    fates
}

fn first_issue(draw: &Draw, at: u64, fate: Fate, as_of: Date) -> Date {
    let years = |years: i64| as_of.saturating_sub(jiff::Span::new().years(years));
    let drawn = |purpose: &str, below: u64| i64::try_from(draw.below(purpose, at, below)).unwrap_or(0);
    let earlier = |day: Date, days: i64| day.saturating_sub(jiff::Span::new().days(days));
    match fate {
        Fate::JustThreeYears => not_leap_day(earlier(years(3), drawn("issue days", 31)), -1),
        Fate::AlmostThreeYears => not_leap_day(earlier(years(3), -1 - drawn("issue days", 30)), 1),
        Fate::New => not_leap_day(earlier(as_of, 60 + drawn("issue days", 940)), -1),
        Fate::OldTwelve => {
            not_leap_day(earlier(years(5 + drawn("issue years", 19)), 61 + drawn("issue days", 300)), -1)
        }
        _ => not_leap_day(earlier(years(3 + drawn("issue years", 21)), 61 + drawn("issue days", 300)), -1),
    }
}

/// Licences issued on 29 February would make "a year later" a question of taste, so there are none.
fn not_leap_day(day: Date, step_days: i64) -> Date {
    if day.month() == 2 && day.day() == 29 { day.saturating_add(jiff::Span::new().days(step_days)) } else { day }
}

/// First day of a scoring period.
fn cycle_start(first_issued_on: Date, cycle_number: u32) -> Date {
    first_issued_on.saturating_add(jiff::Span::new().years(i64::from(cycle_number) - 1))
}

/// The scoring period in which a day lies, from 1.
fn cycle_of(first_issued_on: Date, day: Date) -> u32 {
    let mut cycle_number = 1;
    // Nobody here has driven for a hundred years.
    while cycle_number < 100 && cycle_start(first_issued_on, cycle_number + 1) <= day {
        cycle_number += 1;
    }
    cycle_number
}

/// Collects the events and the points of each driver and period.
struct Writer<'a> {
    draw: &'a Draw,
    as_of: Date,
    offences: Vec<PlannedOffence>,
    records: Vec<PlannedRecord>,
    points: BTreeMap<(usize, u32), u32>,
}

impl Writer<'_> {
    /// The events that a fate needs.
    fn plant(&mut self, driver: usize, life: &Life) {
        let at = driver as u64;
        let now = life.cycle_number;
        match life.fate {
            Fate::Clean | Fate::JustThreeYears | Fate::AlmostThreeYears | Fate::New => {}
            Fate::NearLimit => {
                let back = 1 + self.draw.below("near limit period", at, 2) as u32;
                let pattern =
                    self.draw.pick("near limit", at, &[&[9, 1][..], &[6, 3, 1], &[6, 3, 1, 1], &[3, 3, 3, 1]]);
                self.several(driver, life, now - back, pattern);
            }
            Fate::Split => {
                let turn = cycle_start(life.first_issued_on, now - 1);
                let before = 1 + self.draw.below("split before", at, 30) as i64;
                let after = self.draw.below("split after", at, 30) as i64;
                let before = turn.saturating_sub(jiff::Span::new().days(before));
                let after = turn.saturating_add(jiff::Span::new().days(after));
                self.offence(driver, now - 2, before, 9);
                self.offence(driver, now - 1, after, 6);
            }
            Fate::OldTwelve => {
                // Half of them lie in the last period that no longer counts.
                let oldest = u64::from(now - 3);
                let cycle_number = if self.draw.below("old edge", at, 2) == 0 {
                    now - 3
                } else {
                    1 + self.draw.below("old period", at, oldest) as u32
                };
                self.twelve(driver, life, cycle_number);
            }
            Fate::RecentTwelve => {
                // Half of them lie in the first period that still counts.
                let cycle_number = if self.draw.below("recent edge", at, 2) == 0 {
                    now - 2
                } else {
                    now - self.draw.below("recent period", at, 2) as u32
                };
                self.twelve(driver, life, cycle_number);
            }
            Fate::Drunk => {
                let cycle_number = now - 1 - self.draw.below("drunk period", at, 2) as u32;
                let day = self.day_in(driver, life, cycle_number);
                self.push(driver, cycle_number, day, DRUNK, 12);
                self.records.push(PlannedRecord { driver, recorded_on: day, kind: DRUNK });
            }
            Fate::Recorded => {
                let cycle_number = 1 + self.draw.below("record period", at, u64::from(now)) as u32;
                let recorded_on = self.day_in(driver, life, cycle_number);
                let kind = self.draw.pick("record", at, &RECORDS);
                self.records.push(PlannedRecord { driver, recorded_on, kind });
            }
        }
    }

    /// Ordinary offences until there are as many as asked for; no period comes to twelve points by them.
    fn fill(&mut self, lives: &[Life], offence_count: usize) -> Result<(), DataError> {
        let tries_max = offence_count as u64 * TRIES_MAX;
        let mut tries = 0;
        while self.offences.len() < offence_count {
            if tries == tries_max {
                let reason = format!(
                    "{offence_count} offences do not fit {} drivers without changing the truth; ask for fewer",
                    lives.len()
                );
                return Err(DataError::Generator { reason });
            }
            tries += 1;
            let driver = self.draw.below("fill driver", tries, lives.len() as u64) as usize;
            let life = &lives[driver];
            let back = self.draw.below("fill period", tries, u64::from(life.cycle_number.min(6))) as u32;
            let cycle_number = life.cycle_number - back;
            let points = match self.draw.below("fill points", tries, 100) {
                0..60 => 1,
                60..88 => 3,
                88..98 => 6,
                _ => 9,
            };
            let so_far = self.points.get(&(driver, cycle_number)).copied().unwrap_or(0);
            if so_far + points <= POINTS_HARMLESS_MAX {
                let day = self.day_in(driver, life, cycle_number);
                self.offence(driver, cycle_number, day, points);
            }
        }
        Ok(())
    }

    fn twelve(&mut self, driver: usize, life: &Life, cycle_number: u32) {
        let patterns = [&[12][..], &[9, 3], &[6, 6], &[6, 3, 3], &[9, 6]];
        let pattern = self.draw.pick("twelve", driver as u64, &patterns);
        self.several(driver, life, cycle_number, pattern);
    }

    fn several(&mut self, driver: usize, life: &Life, cycle_number: u32, pattern: &[u32]) {
        for points in pattern {
            let day = self.day_in(driver, life, cycle_number);
            self.offence(driver, cycle_number, day, *points);
        }
    }

    fn offence(&mut self, driver: usize, cycle_number: u32, occurred_on: Date, points: u32) {
        let kinds = match points {
            1 => &ONE_POINT,
            3 => &THREE_POINTS,
            6 => &SIX_POINTS,
            9 => &NINE_POINTS,
            _ => &TWELVE_POINTS,
        };
        let kind = self.draw.pick("kind", self.offences.len() as u64, kinds);
        self.push(driver, cycle_number, occurred_on, kind, points);
    }

    fn push(&mut self, driver: usize, cycle_number: u32, occurred_on: Date, kind: &'static str, points: u32) {
        *self.points.entry((driver, cycle_number)).or_insert(0) += points;
        self.offences.push(PlannedOffence { driver, occurred_on, cycle_number, kind, points });
    }

    /// A day of a period, before the day of the request, unless the period begins on that very day.
    fn day_in(&self, driver: usize, life: &Life, cycle_number: u32) -> Date {
        let start = cycle_start(life.first_issued_on, cycle_number);
        let next = cycle_start(life.first_issued_on, cycle_number + 1);
        let end = next.min(self.as_of);
        let days = start.until(end).map_or(1, |span| span.get_days()).max(1);
        // Each event so far has its own draw, so that two of one period fall on different days.
        let at = ((driver as u64) << 32) | (self.offences.len() + self.records.len()) as u64;
        let offset = self.draw.below("day", at, u64::from(days.unsigned_abs())) as i64;
        start.saturating_add(jiff::Span::new().days(offset))
    }
}

/// Draws by name: a number depends on the seed, what it is for and an index, never on the draws before it. A column
/// that is added later leaves all others as they were. SHA-256 serves as the random function; the modulus is so small
/// against 2⁶⁴ that its bias does not matter.
pub(super) struct Draw {
    seed: u64,
}

impl Draw {
    pub(super) fn new(seed: u64) -> Draw {
        Draw { seed }
    }

    /// A number from 0 up to but not including `below`, which is at least 1.
    pub(super) fn below(&self, purpose: &str, index: u64, below: u64) -> u64 {
        self.number(purpose, index) % below.max(1)
    }

    /// One of a list that is not empty.
    pub(super) fn pick<T: Clone>(&self, purpose: &str, index: u64, from: &[T]) -> T {
        from[self.below(purpose, index, from.len() as u64) as usize].clone()
    }

    /// The numbers below `count` in a drawn order.
    pub(super) fn order(&self, purpose: &str, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_cached_key(|place| self.number(purpose, *place as u64));
        order
    }

    pub(super) fn name(&self, index: u64) -> String {
        const SURNAMES: [&str; 24] = [
            "韦", "黄", "覃", "陆", "蒙", "李", "陈", "梁", "莫", "农", "罗", "潘", "唐", "周", "廖", "邓", "蓝", "谭",
            "刘", "王", "张", "何", "吴", "杨",
        ];
        const GIVEN: [&str; 32] = [
            "明", "华", "强", "丽", "芳", "军", "平", "勇", "秀", "英", "海", "玉", "兰", "桂", "林", "春", "梅", "国",
            "建", "文", "志", "伟", "红", "燕", "江", "山", "福", "荣", "敏", "静", "涛", "波",
        ];
        let mut name = String::from(self.pick("surname", index, &SURNAMES));
        name.push_str(self.pick("given", index, &GIVEN));
        if self.below("given count", index, 5) > 0 {
            name.push_str(self.pick("second given", index, &GIVEN));
        }
        name
    }

    pub(super) fn licence_class(&self, index: u64) -> &'static str {
        match self.below("licence class", index, 100) {
            0..70 => "C1",
            70..85 => "C2",
            85..93 => "B1",
            93..97 => "A3",
            _ => "A1",
        }
    }

    fn number(&self, purpose: &str, index: u64) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(index.to_le_bytes());
        hash.update(purpose.as_bytes());
        let digest = hash.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_le_bytes(first)
    }
}
