//! Words of the report: how codes, instants and parties are called in Chinese, as the console calls them.

use jiff::Timestamp;
use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::calendar::beijing;
use lingqu_domain::event::{Event, Recorded};
use lingqu_domain::id::{PartyId, UserId};
use lingqu_domain::order::QuotaUnit;
use lingqu_domain::plan::AuthorisationMode;
use lingqu_domain::resource::{Nature, Openness};
use lingqu_domain::scope::{Mode, Precision, Term};
use lingqu_domain::state::State;

use super::check::Checked;

/// Letters of an id that are shown where the whole id stands elsewhere.
const ID_END_CHARS: usize = 6;
/// Most journal positions that are listed of one entity.
const POSITIONS_MAX: usize = 12;

pub(super) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Compute => "域内计算",
        Mode::Verification => "核验",
        Mode::Statistics => "统计",
        Mode::Lookup => "查询",
        Mode::Rows => "明细",
        Mode::File => "数据集",
    }
}

pub(super) fn modes<'a>(all: impl IntoIterator<Item = &'a Mode>) -> String {
    join(all.into_iter().map(|one| mode(*one).to_owned()))
}

pub(super) fn precision(precision: Precision) -> String {
    match precision {
        Precision::Exact => "原值".to_owned(),
        Precision::Month => "到月".to_owned(),
        Precision::Year => "到年".to_owned(),
        Precision::County => "到县".to_owned(),
        Precision::City => "到市".to_owned(),
        Precision::Rounded(step) => format!("取整到 {step}"),
        Precision::PseudonymOfPermit => "场景假名".to_owned(),
        Precision::PseudonymOfConsumer => "使用方假名".to_owned(),
        Precision::PseudonymOfOrder => "订单假名".to_owned(),
        Precision::Hidden => "不可见".to_owned(),
    }
}

pub(super) fn openness(openness: Openness) -> &'static str {
    match openness {
        Openness::Unconditional => "无条件开放",
        Openness::Conditional => "有条件开放",
        Openness::NotOpen => "不予开放",
    }
}

pub(super) fn nature(nature: Nature) -> &'static str {
    match nature {
        Nature::Real => "真实数据 REAL",
        Nature::Synthetic => "合成数据 SYNTHETIC（由生成程序产生，不对应任何真实的人和事）",
    }
}

pub(super) fn authorisation_mode(mode: AuthorisationMode) -> &'static str {
    match mode {
        AuthorisationMode::Overall => "整体授权",
        AuthorisationMode::ByField => "分领域授权",
        AuthorisationMode::ByScenario => "依场景授权",
    }
}

pub(super) fn quota_unit(unit: QuotaUnit) -> &'static str {
    match unit {
        QuotaUnit::Calls => "次调用",
        QuotaUnit::DataSets => "个数据集",
        QuotaUnit::Rows => "行",
        QuotaUnit::Bytes => "字节",
        QuotaUnit::Subjects => "个主体",
    }
}

fn duty(duty: Duty) -> &'static str {
    match duty {
        Duty::Administrator => "系统管理员",
        Duty::Handler => "经办人",
        Duty::Approver => "审批人",
        Duty::ChiefDataOfficer => "首席数据官",
    }
}

/// The names of things, one behind the other.
pub(super) fn join(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<String> = parts.into_iter().collect();
    if parts.is_empty() { "（无）".to_owned() } else { parts.join("、") }
}

/// A fraction, as it is written in decimals, in per cent.
pub(super) fn percent(fraction: &impl std::fmt::Display) -> String {
    let fraction = fraction.to_string();
    let (whole, rest) = fraction.split_once('.').unwrap_or((&fraction, ""));
    let rest = format!("{rest:0<2}");
    let (hundredths, rest) = rest.split_at(2);
    let whole = format!("{whole}{hundredths}");
    let (whole, rest) = (whole.trim_start_matches('0'), rest.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    if rest.is_empty() { format!("{whole}%") } else { format!("{whole}.{rest}%") }
}

/// An instant in Beijing, to the second.
pub(crate) fn instant(at: Timestamp) -> String {
    at.to_zoned_datetime(beijing()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A day in Beijing.
pub(super) fn day(at: Timestamp) -> String {
    at.to_zoned_datetime(beijing()).strftime("%Y-%m-%d").to_string()
}

pub(super) fn term(term: &Term) -> String {
    format!("{} 起，至 {} 止", instant(term.from), instant(term.until))
}

/// The end of an id, where the whole of it stands elsewhere.
pub(super) fn short(id: &str) -> String {
    let (prefix, rest) = id.split_once('_').unwrap_or(("", id));
    let start = rest.char_indices().rev().nth(ID_END_CHARS - 1).map_or(0, |(start, _)| start);
    format!("{prefix}_…{}", &rest[start..])
}

/// The name of a party, or its id where no record of it is in the bundle.
pub(super) fn party(state: &State, id: &PartyId) -> String {
    state.parties.get(id).map_or_else(|| id.to_string(), |party| party.value.name.clone())
}

/// Who did something: the party and post that he acted for.
pub(super) fn actor(state: &State, actor: &Actor) -> String {
    match actor {
        Actor::User(user) => user_words(state, user),
        Actor::Subject(subject) => format!("数据主体本人（{}）", short(subject.as_str())),
        Actor::SubjectBefore { subject, user } => {
            format!("数据主体本人（{}），由{}受理", short(subject.as_str()), user_words(state, user))
        }
        Actor::Node => "节点自动办理".to_owned(),
    }
}

fn user_words(state: &State, user: &UserId) -> String {
    match state.users.get(user) {
        Some(found) => {
            let duties = join(found.value.duties.iter().map(|found| duty(*found).to_owned()));
            format!("{}{duties}（{}）", party(state, &found.value.party), short(user.as_str()))
        }
        None => format!("用户 {}", short(user.as_str())),
    }
}

/// The reason that an event gives, where it gives one.
fn reason(event: &Event) -> Option<String> {
    let value = serde_json::to_value(event).ok()?;
    let of_entity = value.as_object()?.values().next()?;
    Some(of_entity.as_object()?.values().next()?.get("reason")?.as_str()?.to_owned())
}

impl Checked {
    /// The first event of a kind in a stream.
    pub(super) fn first(&self, stream: &str, kind: &str) -> Option<&Recorded> {
        self.events.iter().find(|event| event.stream == stream && event.event.kind() == kind)
    }

    /// When and by whom something first happened, in words.
    pub(super) fn done(&self, stream: &str, kind: &str) -> String {
        self.first(stream, kind).map_or_else(|| "（无记录）".to_owned(), |event| self.done_words(event))
    }

    /// When and by whom something happened, every time.
    pub(super) fn done_each(&self, stream: &str, kind: &str) -> String {
        let events = self.events.iter().filter(|event| event.stream == stream && event.event.kind() == kind);
        let words: Vec<String> = events.map(|event| self.done_words(event)).collect();
        if words.is_empty() { "（无记录）".to_owned() } else { words.join("；") }
    }

    fn done_words(&self, event: &Recorded) -> String {
        let done = format!("{}，{}", instant(event.at), actor(&self.state, &event.actor));
        match reason(&event.event) {
            Some(reason) => format!("{done}，理由：{reason}"),
            None => done,
        }
    }

    /// Where the records of a stream stand in the journal.
    pub(super) fn positions(&self, stream: &str) -> String {
        let all: Vec<u64> =
            self.events.iter().filter(|event| event.stream == stream).map(|event| event.position).collect();
        let listed = all.iter().take(POSITIONS_MAX).map(ToString::to_string).collect::<Vec<_>>().join("、");
        let more = if all.len() > POSITIONS_MAX { " 等" } else { "" };
        format!("业务日志第 {listed} 号{more}，共 {} 条", all.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{percent, short};

    #[test]
    fn fractions_are_told_in_per_cent() {
        for (fraction, words) in [
            ("0.15", "15%"),
            ("0.125", "12.5%"),
            ("1", "100%"),
            ("0", "0%"),
            ("0.005", "0.5%"),
            ("0.60", "60%"),
            ("0.1", "10%"),
        ] {
            assert_eq!(percent(&fraction), words);
        }
    }

    #[test]
    fn ids_are_shortened_to_their_ends() {
        assert_eq!(short("ord_0123456789abcdef"), "ord_…abcdef");
        assert_eq!(short("a_b"), "a_…b");
        assert_eq!(short("编号"), "_…编号");
    }
}
