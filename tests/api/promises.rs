//! A marking that does more to the data than it promises is refused over HTTP when its product is drafted, and says how to mend it.

use lingqu_tests::scenario::{PERSON_CHECK, SIGHTED_STREET, Scenario, TRIP_MARKED, id_number};
use serde_json::{Value, json};

use crate::client::{Client, Served};

/// So many that each delay stands in several of them.
const TRIPS: usize = 400;

struct Desk {
    /// Holds the node's directory.
    served: Served,
    operator: Client,
    details: Value,
}

impl Desk {
    async fn open() -> Desk {
        Desk::of(Scenario::open_marked(TRIPS).await, TRIP_MARKED).await
    }

    async fn of(scenario: Scenario, product: &str) -> Desk {
        let served = Served::of(scenario).await;
        let product = served.scenario.product(product);
        let mut details =
            served.scenario.app.read(|state| serde_json::to_value(&state.products[product].value.details).unwrap());
        details["table"] = json!("trip_promised");
        Desk { operator: served.sign_in("clerk3").await, served, details }
    }

    /// The refusal of the draft whose marking is changed so; none where it is drafted.
    async fn refused(&self, change: impl FnOnce(&mut Value)) -> Option<(String, String)> {
        self.refused_whole(|details| change(&mut details["marking"])).await
    }

    /// The same of the draft that is changed anywhere.
    async fn refused_whole(&self, change: impl FnOnce(&mut Value)) -> Option<(String, String)> {
        let mut details = self.details.clone();
        change(&mut details);
        let command = json!({ "command": "draft_product", "details": details });
        let reply = self.operator.post("/api/v1/commands", &command).await;
        if reply.status == 200 {
            return None;
        }
        let (status, code) = reply.problem();
        assert_eq!(status, 422, "{reply:?}");
        let text = |field: &str| reply.json()[field].as_str().unwrap().to_owned();
        assert!(!text("detail").is_empty());
        Some((code, text("detail_en")))
    }
}

#[tokio::test]
async fn a_rate_beyond_the_bounds_is_refused_with_the_one_that_fits() {
    let desk = Desk::open().await;
    // 343 delays that spread over two hours, each a minute off: far more than a ten-thousandth of the deviation.
    let usual = |marking: &mut Value| {
        marking["keeps"].as_object_mut().unwrap().remove("moments");
    };
    let (code, told) = desk.refused(usual).await.unwrap();
    assert_eq!(code, "invalid");
    assert!(told.contains("mean of delay at most 100 and its deviation at most 1000 millionths"), "{told}");
    let fits = told.split("at most ").find_map(|part| part.split_once(" cells of a million")).unwrap().0;
    let fits: u32 = fits.parse().unwrap();
    assert!(fits > 0 && fits < 1_000, "{fits}");
    // Wider bounds than the provider declares are not the operator's to state.
    let beyond = |marking: &mut Value| marking["keeps"]["moments"]["mean_per_million"] = json!(20_001);
    assert_eq!(desk.refused(beyond).await.unwrap().0, "scope_too_wide");
    // As told it fits, and by one more it doesn't.
    let at = |rate: u32| {
        move |marking: &mut Value| {
            usual(marking);
            marking["marks"][0]["rate_per_million"] = json!(rate);
        }
    };
    assert!(desk.refused(at(fits + 1)).await.unwrap().1.contains("cells of a million can be marked"));
    assert_eq!(desk.refused(at(fits)).await, None);
}

#[tokio::test]
async fn an_order_that_marks_would_change_is_refused() {
    let desk = Desk::open().await;
    let (code, told) = desk.refused(|marking| marking["keeps"]["order"] = json!(["delay"])).await.unwrap();
    assert_eq!(code, "invalid");
    assert!(told.contains("the order by delay is to be kept"), "{told}");
    // A column that no mark moves keeps its order.
    assert_eq!(desk.refused(|marking| marking["keeps"]["order"] = json!(["day", "trip_id"])).await, None);
}

#[tokio::test]
async fn a_dependency_goes_on_holding_or_is_given_up_by_name() {
    let desk = Desk::open().await;
    let breaks = |breaks: Value| move |marking: &mut Value| marking["keeps"]["breaks"] = breaks;
    let (code, told) = desk.refused(breaks(json!([]))).await.unwrap();
    assert_eq!(code, "invalid");
    assert!(told.contains("in the data delay determines line") && told.contains("keeps.breaks"), "{told}");
    // Another one that is given up is not this one, in either direction.
    for other in [json!([{"by": ["line"], "column": "delay"}]), json!([{"by": ["delay", "day"], "column": "line"}])] {
        assert!(desk.refused(breaks(other)).await.unwrap().1.contains("delay determines line"));
    }
    assert_eq!(desk.refused(breaks(json!([{"by": ["delay"], "column": "line"}]))).await, None);
}

#[tokio::test]
async fn a_total_that_marks_would_move_is_refused() {
    let desk = Desk::open().await;
    let (code, told) = desk.refused(|marking| marking["keeps"]["totals"] = json!([["delay"]])).await.unwrap();
    assert_eq!(code, "invalid");
    assert!(told.contains("the total delay is to be exact"), "{told}");
    assert_eq!(desk.refused(|marking| marking["keeps"]["totals"] = json!([["trip_id"]])).await, None);
}

/// A key that has no one form is refused before anybody orders copies that could never be made, whatever is marked.
#[tokio::test]
async fn a_key_that_marks_cannot_hang_on_is_refused() {
    let desk = Desk::open().await;
    for is_in_values in [true, false] {
        let by_number = |details: &mut Value| {
            let sql = details["sql"].as_str().unwrap();
            let sql = sql.replace("SELECT trip_id,", "SELECT CAST(trip_id AS DOUBLE) AS number,");
            details["sql"] = json!(sql);
            details["key"] = json!(["number"]);
            if !is_in_values {
                details["marking"]["marks"] = json!([]);
            }
        };
        let (code, told) = desk.refused_whole(by_number).await.unwrap();
        assert_eq!(code, "invalid");
        assert!(told.contains("marks hang on the key") && told.contains("number"), "{told}");
    }
}

/// Each column is held against each other, so there are not so many that a short statement keeps the node busy.
#[tokio::test]
async fn a_product_of_very_many_columns_takes_no_marks() {
    let desk = Desk::open().await;
    let wide = |details: &mut Value| {
        let lines: Vec<String> = (0..510).map(|number| format!(", line AS l{number}")).collect();
        let sql = details["sql"].as_str().unwrap().replace(" FROM", &format!("{} FROM", lines.concat()));
        details["sql"] = json!(sql);
    };
    let (code, told) = desk.refused_whole(wide).await.unwrap();
    assert_eq!(code, "invalid");
    assert!(told.contains("516 columns") && told.contains("at most 512"), "{told}");
}

/// What a mark hangs on is shown as it is and not marked itself.
#[tokio::test]
async fn a_mark_hangs_on_columns_that_are_not_marked() {
    let desk = Desk::open().await;
    let by = |columns: Value| move |marking: &mut Value| marking["marks"][0]["by"] = columns;
    for (strange, why) in [
        (json!(["delay"]), "is not marked"),
        (json!(["line", "delay"]), "is not marked"),
        (json!(["nowhere"]), "nowhere"),
    ] {
        let (code, told) = desk.refused(by(strange)).await.unwrap();
        assert_eq!(code, "invalid");
        assert!(told.contains(why), "{told}");
    }
    assert_eq!(desk.refused(by(json!(["line"]))).await, None);
}

/// What its marks promise can't be held against a product without rows, so there is none such.
#[tokio::test]
async fn a_marked_product_without_a_row_is_refused_until_its_data_is_here() {
    let desk = Desk::open().await;
    let sql = |condition: &'static str| {
        move |details: &mut Value| {
            let sql = details["sql"].as_str().unwrap().to_owned();
            details["sql"] = json!(format!("{sql} WHERE {condition}"));
        }
    };
    let (code, told) = desk.refused_whole(sql("trip_id < 0")).await.unwrap();
    assert_eq!(code, "invalid");
    assert!(told.contains("has no row now") && told.contains("draft it when its data is here"), "{told}");
    assert_eq!(desk.refused_whole(sql("trip_id >= 0")).await, None);
}

/// A draft that the rights don't allow is refused before any row is looked at: who is among the persons of a resource is not told
/// by whether the refusal is that of a product without rows.
#[tokio::test]
async fn no_row_is_looked_at_for_a_draft_that_the_rights_do_not_allow() {
    let desk = Desk::open().await;
    let mut mark = desk.details["marking"].clone();
    mark["marks"][0]["carrier"]["number"]["members"][0]["column"] = json!("points");
    let scenario = &desk.served.scenario;
    let check = scenario.app.read(|state| json!(state.products[scenario.product(PERSON_CHECK)].value.details.clone()));
    let mut told = Vec::new();
    for person in [id_number(1), id_number(9_999)] {
        let guess = |details: &mut Value| {
            *details = check.clone();
            details["table"] = json!("person_guessed");
            details["sql"] = json!(format!("SELECT id_number, points FROM people WHERE id_number = '{person}'"));
            details["marking"] = mark.clone();
        };
        told.push(desk.refused_whole(guess).await.unwrap());
    }
    assert_eq!(told[0], told[1]);
}

/// Swaps of texts keep the share of the rows that each has, as far as is stated.
#[tokio::test]
async fn shares_of_texts_beyond_the_bound_are_refused_with_the_rate_that_fits() {
    let desk = Desk::of(Scenario::open_sighted().await, SIGHTED_STREET).await;
    let usual = |marking: &mut Value| {
        marking["keeps"]["moments"].as_object_mut().unwrap().remove("share_per_million");
    };
    let (code, told) = desk.refused(usual).await.unwrap();
    assert_eq!(code, "invalid");
    assert!(told.contains("each text of street has at most 1000 millionths off"), "{told}");
    let fits = |told: &str| -> u32 {
        told.split(", at most ").find_map(|part| part.split_once(" cells of a million")).unwrap().0.parse().unwrap()
    };
    // Of 3,000 rows a thousandth is three, which a single swap or two may be already.
    assert_eq!(fits(&told), 0);
    // Wider bounds than the provider declares are not the operator's to state.
    let beyond = |marking: &mut Value| marking["keeps"]["moments"]["share_per_million"] = json!(100_001);
    assert_eq!(desk.refused(beyond).await.unwrap().0, "scope_too_wide");
    let narrow = |marking: &mut Value| marking["keeps"]["moments"]["share_per_million"] = json!(20_000);
    let most = fits(&desk.refused(narrow).await.unwrap().1);
    assert!((1_000..900_000).contains(&most), "{most}");
    let at = |rate: u32| {
        move |marking: &mut Value| {
            marking["keeps"]["moments"]["share_per_million"] = json!(20_000);
            marking["marks"][0]["rate_per_million"] = json!(rate);
        }
    };
    assert!(desk.refused(at(most + 1)).await.unwrap().1.contains("cells of a million can be marked"));
    assert_eq!(desk.refused(at(most)).await, None);
    // Texts that the data does not have bear no mark.
    let absent = |marking: &mut Value| marking["marks"][0]["carrier"]["category"]["sets"] = json!([["甲街", "乙街"]]);
    assert!(desk.refused(absent).await.is_some());
}

/// Wide streets have the second spelling of each set, so a swapped one stands beside a width that is not its own.
#[tokio::test]
async fn texts_that_another_column_tells_apart_are_refused_with_its_name() {
    let desk = Desk::of(Scenario::open_sighted().await, SIGHTED_STREET).await;
    let with_width = |details: &mut Value| {
        let sql = details["sql"].as_str().unwrap().replace("street FROM", "street, width FROM");
        assert!(sql.contains("width"), "{sql}");
        details["sql"] = json!(sql);
    };
    let (code, told) = desk.refused_whole(with_width).await.unwrap();
    assert_eq!(code, "invalid");
    assert!(told.contains("the column width can tell texts of one set of street apart"), "{told}");
    assert!(!told.contains("人民") && !told.contains("Minzu"), "no value is in a refusal: {told}");
    // Whoever states it bears the risk; without the column there is none.
    let with_risk = |details: &mut Value| {
        with_width(details);
        details["marking"]["keeps"]["reach_per_million"] = json!(1_000_000);
    };
    let refused = desk.refused_whole(with_risk).await.unwrap();
    assert!(refused.1.contains("can tell texts"), "a column that tells without fail is beyond any reach: {refused:?}");
    assert_eq!(desk.refused_whole(|_| ()).await, None);
}
