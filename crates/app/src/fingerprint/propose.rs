//! What the data would bear: which columns could carry marks, and which are tied so that they move together or not at all.

use lingqu_domain::id::ResourceId;
use lingqu_domain::marking::{Carrier, Encoding, Mark, Marking, MomentBounds as ChosenBounds};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::refusal::Refusal;
use lingqu_domain::resource::{DataType, ResourceDetails};
use lingqu_domain::state::State;
use lingqu_fingerprint::Finding;

use crate::app::App;
use crate::error::AppError;
use crate::fingerprint::marking::marking_of;
use crate::fingerprint::survey::{Drawn, Seen};
use crate::fingerprint::{categories, promises};

/// Most columns of a product that takes marks. Each is held against each other: of two thousand that would take the node's memory
/// and many minutes, which a statement of a few bytes a column could ask for.
const COLUMNS_MAX: usize = 512;

/// What was found in a table.
#[derive(Debug)]
pub struct MarkingProposal {
    /// The table's name.
    pub table: String,
    /// Rows that there are, all of which were looked at; none of a resource about persons.
    pub rows: u64,
    /// What was found about columns, ties and dependencies.
    pub findings: Vec<Finding>,
    /// How many of the dependencies, the last ones, were seen in a sample alone, being too many to hold against every row.
    pub sampled_only: usize,
    /// The bounds of mean and deviation that copies keep: what the provider declares of a resource and a product's marking
    /// states, else the usual ones.
    pub moments: ChosenBounds,
    /// Columns that come from a resource about persons. They are exact by law (PIPL art. 8), so nothing is told of them.
    pub personal: Vec<String>,
}

/// A table that is looked at.
struct Asked {
    table: String,
    sql: String,
    /// Whose it is, where it is a product's.
    product: Option<ProductDetails>,
    moments: ChosenBounds,
    personal: Vec<String>,
}

/// A resource as it is looked at. One about persons takes no declaration.
fn asked_resource(details: &ResourceDetails) -> Asked {
    let columns: Vec<&str> = details.columns.iter().map(|column| column.name.as_str()).collect();
    let sql = format!("SELECT {} FROM {}", quoted(&columns), quoted(&[details.table.as_str()]));
    let personal = if details.subject.is_some() { columns } else { Vec::new() };
    Asked {
        table: details.table.to_string(),
        sql,
        product: None,
        moments: details.marks.as_ref().map(|declared| declared.limits.moments).unwrap_or_default(),
        personal: personal.into_iter().map(str::to_owned).collect(),
    }
}

/// A product as it is looked at. What is made of a column about persons is about them too, and so is whatever stands in a row that
/// names one.
fn asked_product(state: &State, details: &ProductDetails) -> Asked {
    let is_personal =
        |id: &ResourceId| state.resources.get(id).is_some_and(|found| found.value.details.subject.is_some());
    let personal =
        details.shape.columns.iter().filter(|column| {
            details.names_subjects() || column.lineage.iter().any(|source| is_personal(&source.resource))
        });
    let stated = details.marking.as_ref().and_then(|marking| marking.keeps.as_ref());
    Asked {
        table: details.table.to_string(),
        sql: details.sql.clone(),
        product: Some(details.clone()),
        moments: stated.map(|keeps| keeps.moments).unwrap_or_default(),
        personal: personal.map(|column| column.name.to_string()).collect(),
    }
}

impl App {
    /// Looks at the newest snapshot of a resource, or at what a product makes of the permitted part of those of its inputs, by id or
    /// table name. Of columns about persons it tells the names alone, and which other columns hang on them.
    ///
    /// Errors: `not_found`; `wrong_state` where the data is not here; the refusal of a right of the product that is not in force.
    pub async fn propose_marking(&self, name: &str) -> Result<MarkingProposal, AppError> {
        self.refresh().await?;
        let found = self.read(|state| {
            let resource = state.resources.values().map(|resource| &resource.value);
            let resource = resource
                .clone()
                .find(|resource| resource.id.as_str() == name || resource.details.table.as_str() == name);
            if let Some(resource) = resource {
                return Some(asked_resource(&resource.details));
            }
            let mut products = state.products.values().map(|product| &product.value);
            let product =
                products.find(|product| product.id.as_str() == name || product.details.table.as_str() == name)?;
            Some(asked_product(state, &product.details))
        });
        let Asked { table, sql, product, moments, personal } = found.ok_or_else(|| Refusal::not_found(name))?;
        if product.is_none() && !personal.is_empty() {
            return Ok(MarkingProposal { table, rows: 0, findings: Vec::new(), sampled_only: 0, moments, personal });
        }
        let session = match &product {
            Some(details) => self.rows_of_inputs(details).await?,
            None => self.rows_of_resource(&table).await?,
        };
        let seen = match session {
            Some(session) => self.surveyed(&session, &sql, None).await?,
            None => None,
        };
        let Some(Seen { rows, mut findings, sampled_only, .. }) = seen else {
            return Err(Refusal::wrong_state(name, "without rows of its own here", "a snapshot with rows").into());
        };
        let is_personal = |column: &&str| personal.iter().any(|name| name == column);
        findings.retain(|finding| match finding {
            // That a column hangs on one about persons is said: it can carry no mark then.
            Finding::Sum { .. } | Finding::Copy { .. } | Finding::Dependency { .. } => {
                !finding.columns().iter().all(is_personal)
            }
            _ => !finding.columns().iter().any(is_personal),
        });
        Ok(MarkingProposal { table, rows, findings, sampled_only, moments, personal })
    }

    /// Refuses a marking that takes apart what the data ties together, who knows the tie would find the marks and undo them, or
    /// that does more to the data than it promises. All rows are looked at; where there is none, nothing could be held against it,
    /// and it is refused as well. Of live data the node looks at nothing. Error: `invalid` with the columns and how to mend it.
    pub(crate) async fn must_bear_marking(&self, details: &ProductDetails) -> Result<(), AppError> {
        must_be_narrow(details)?;
        must_hang_on_key(details)?;
        if self.bears_marking(details).await? { Ok(()) } else { Err(unseen().into()) }
    }

    /// The same of whatever rows there are; false where there is none.
    pub(super) async fn bears_marking(&self, details: &ProductDetails) -> Result<bool, AppError> {
        let Some(marking) = details.marking.as_ref().filter(|marking| !marking.marks.is_empty()) else {
            return Ok(true);
        };
        let is_live = self.read(|state| {
            let inputs = details.inputs.keys().filter_map(|resource| state.resources.get(resource));
            let mut snapshots = inputs.filter_map(|resource| resource.value.snapshot.as_ref());
            snapshots.any(|snapshot| snapshot.live.is_some())
        });
        if is_live {
            // It is refused by what the catalogue says, before anybody would ask the data.
            return Ok(true);
        }
        let keeps = marking.keeps.clone().unwrap_or_default();
        let drawn = marking_of(&details.key, marking)?;
        let drawn = Drawn {
            marking: &drawn,
            moments: promises::bounds_of(&keeps),
            share_change: promises::share_change_of(&keeps),
        };
        let Some(session) = self.rows_of_inputs(details).await? else { return Ok(false) };
        let Some(seen) = self.surveyed(&session, &details.sql, Some(drawn)).await? else { return Ok(false) };
        if let Some(finding) = seen.findings.iter().find(|finding| !keeps_tie(marking, finding)) {
            return Err(tied(finding).into());
        }
        promises::check(marking, &seen.findings, &seen.effects, &seen.whole)?;
        categories::check(marking, &seen.swaps, &seen.told_apart)?;
        Ok(true)
    }
}

/// Refuses a marking of a product with so many columns that they can't be held against each other.
fn must_be_narrow(details: &ProductDetails) -> Result<(), Refusal> {
    if details.marking.is_some() { must_be_of_few(details.shape.columns.len()) } else { Ok(()) }
}

/// Refuses to look at so many columns.
pub(super) fn must_be_of_few(columns: usize) -> Result<(), Refusal> {
    if columns <= COLUMNS_MAX {
        return Ok(());
    }
    Err(Refusal::invalid(
        "marking",
        format!(
            "此表有 {columns} 列，带标记的产品至多 {COLUMNS_MAX} 列，否则无从逐列核对：请减少输出列，或省略 marking"
        ),
        format!(
            "the table has {columns} columns, and with marks it has at most {COLUMNS_MAX}, since each is held against each other: choose fewer, or leave the marking out"
        ),
    ))
}

/// Refuses a marking of a product whose key has no one form that marks could hang on, so that no copy would ever be made.
fn must_hang_on_key(details: &ProductDetails) -> Result<(), Refusal> {
    if details.marking.is_none() {
        return Ok(());
    }
    let mut key = details.shape.columns.iter().filter(|column| details.key.contains(&column.name));
    match key.find(|column| matches!(column.data_type, DataType::Float | DataType::Boolean)) {
        None => Ok(()),
        Some(column) => Err(Refusal::invalid(
            "marking",
            format!(
                "主键 {} 是浮点数或真假值，水印无从依附：请以整数、小数、文本、日期或时间列作 key，或省略 marking",
                column.name
            ),
            format!(
                "marks hang on the key of a row, and {} is a floating-point number or a truth value: name columns of whole numbers, decimals, texts, days or moments as its key, or leave the marking out",
                column.name
            ),
        )),
    }
}

fn unseen() -> Refusal {
    Refusal::invalid(
        "marking",
        "产品现在没有任何行，标记的承诺（均值、排序、依赖等）无从核对：请在数据入库后再起草带标记的产品，或先省略 marking",
        "the product has no row now, so what its marks promise (means, orders, dependencies) can't be held against anything; draft it when its data is here, or leave the marking out",
    )
}

/// Names as SQL writes them, whatever they are.
fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// Whether a tie goes on holding when the marks move their columns.
fn keeps_tie(marking: &Marking, finding: &Finding) -> bool {
    let (first, parts): (&str, Vec<&str>) = match finding {
        Finding::Sum { first, second, third, .. } => (first, vec![second, third]),
        Finding::Copy { first, second, .. } => (first, vec![second]),
        _ => return true,
    };
    let columns: Vec<&str> = std::iter::once(first).chain(parts.iter().copied()).collect();
    // Each mark draws its own bits, so the tie must hold for each of them by itself.
    marking.marks.iter().all(|mark| {
        if !mark.columns().iter().any(|column| columns.contains(&column.as_str())) {
            return true;
        }
        let reach: Option<Vec<i128>> = columns.iter().map(|column| reach_of(mark, column)).collect();
        reach.is_some_and(|reach| reach[0] == reach[1..].iter().sum::<i128>())
    })
}

/// By how much a bit moves a column, in millionths of a millionth of its unit (a second for times, a minute for clock times); zero
/// where the mark leaves it, none where that can't be told.
fn reach_of(mark: &Mark, column: &str) -> Option<i128> {
    const DECIMALS: u32 = 12;
    // Places and spellings are moved by no multiple of a step, so they keep no tie of numbers.
    let Carrier::Number { members, .. } = &mark.carrier else {
        return (!mark.columns().iter().any(|moved| moved.as_str() == column)).then_some(0);
    };
    let Some(member) = members.iter().find(|member| member.column.as_str() == column) else { return Some(0) };
    let (mantissa, scale) = match &member.encoding {
        Encoding::Lattice { step } | Encoding::Time { step } => {
            let step = step.normalize();
            (step.mantissa(), step.scale())
        }
        Encoding::HoursMinutes => (1, 0),
    };
    let one = 10_i128.checked_pow(DECIMALS.checked_sub(scale)?)?;
    mantissa.checked_mul(one)?.checked_mul(i128::from(member.coefficient))
}

fn tied(finding: &Finding) -> Refusal {
    let tie = match finding {
        Finding::Sum { first, second, third, .. } => format!("{first} = {second} + {third}"),
        Finding::Copy { first, second, .. } => format!("{first} = {second}"),
        _ => String::new(),
    };
    Refusal::invalid(
        "marking",
        format!("数据中恒有 {tie}（相差常数），只改动其中部分列会暴露标记：请将相关列按系数列入同一标记，或都不标记"),
        format!(
            "{tie} (but for a constant) holds in every row, so a mark that breaks it would be found: tie these columns in one mark by their coefficients, or mark none of them"
        ),
    )
}

#[cfg(test)]
mod tests {
    use lingqu_domain::marking::{MarkProfile, Member};
    use lingqu_domain::scope::ColumnName;

    use super::*;

    fn member(column: &str, encoding: Encoding, coefficient: i32) -> Member {
        let column = ColumnName::new(column).unwrap();
        Member { column, encoding, coefficient, least: None, greatest: None }
    }

    fn minutes(step: &str) -> Encoding {
        Encoding::Lattice { step: step.parse().unwrap() }
    }

    fn marking(marks: Vec<Vec<Member>>) -> Marking {
        let mark = |(number, members): (usize, Vec<Member>)| Mark {
            name: ColumnName::new(format!("m{number}")).unwrap(),
            rate_per_million: 1,
            by: Default::default(),
            carrier: Carrier::Number { members, amplitude: 1 },
        };
        let marks = marks.into_iter().enumerate().map(mark).collect();
        Marking { profile: MarkProfile::Aes, marks, omitted_per_million: 0, decoys_per_million: 0, keeps: None }
    }

    #[test]
    fn a_place_whose_coordinate_stands_in_another_column_too_is_no_place_for_marks() {
        let name = |text: &str| ColumnName::new(text).unwrap();
        let carrier = Carrier::Place { latitude: name("lat"), longitude: name("lon"), decimals: 6, metres: 10 };
        let mark = Mark { name: name("place"), rate_per_million: 1, by: Default::default(), carrier };
        let places = Marking { marks: vec![mark], ..marking(vec![]) };
        let copy = |first: &str| Finding::Copy { first: first.to_owned(), second: "x".to_owned(), constant: 0 };
        assert!(!keeps_tie(&places, &copy("lat")) && !keeps_tie(&places, &copy("lon")));
        assert!(keeps_tie(&places, &copy("height")), "another column");
    }

    /// The flights' arrival: `arr_time` = `sched_arr_time` + `arr_delay` modulo a day.
    #[test]
    fn a_tie_is_kept_whole_or_left_alone() {
        let tie = Finding::Sum {
            first: "arr_time".to_owned(),
            second: "sched_arr_time".to_owned(),
            third: "arr_delay".to_owned(),
            constant: 0,
            modulus: Some(1_440),
        };
        let (clock, delay) = (Encoding::HoursMinutes, minutes("1"));
        let kept = |marks| keeps_tie(&marking(marks), &tie);
        assert!(kept(vec![vec![member("arr_delay", delay.clone(), 1), member("arr_time", clock.clone(), 1)]]));
        assert!(kept(vec![vec![member("air_time", delay.clone(), 1)]]), "another column");
        assert!(!kept(vec![vec![member("arr_delay", delay.clone(), 1)]]), "one side alone");
        assert!(!kept(vec![vec![member("arr_delay", delay.clone(), 1), member("arr_time", clock.clone(), -1)]]));
        assert!(!kept(vec![vec![member("arr_delay", minutes("0.5"), 1), member("arr_time", clock.clone(), 1)]]));
        // In two marks the bits are not the same.
        assert!(!kept(vec![vec![member("arr_delay", delay.clone(), 1)], vec![member("arr_time", clock.clone(), 1)]]));
        // Both parts may share what the sum moves by.
        let both = vec![
            member("arr_time", clock.clone(), 1),
            member("arr_delay", delay.clone(), 2),
            member("sched_arr_time", clock, -1),
        ];
        assert!(kept(vec![both]));
        let copy = Finding::Copy { first: "a".to_owned(), second: "b".to_owned(), constant: 5 };
        assert!(!keeps_tie(&marking(vec![vec![member("a", delay.clone(), 1)]]), &copy));
        assert!(keeps_tie(&marking(vec![vec![member("a", delay.clone(), 1), member("b", delay, 1)]]), &copy));
    }
}
