//! A marking that does more to the data than it promises is refused over HTTP when its product is drafted, and says how to mend it.

use lingqu_tests::scenario::{Scenario, TRIP_MARKED};
use serde_json::{Value, json};

use crate::client::{Client, Served};

/// So many that each delay stands in several of them.
const TRIPS: usize = 400;

struct Desk {
    /// Holds the node's directory.
    _served: Served,
    operator: Client,
    details: Value,
}

impl Desk {
    async fn open() -> Desk {
        let served = Served::of(Scenario::open_marked(TRIPS).await).await;
        let product = served.scenario.product(TRIP_MARKED);
        let mut details =
            served.scenario.app.read(|state| serde_json::to_value(&state.products[product].value.details).unwrap());
        details["table"] = json!("trip_promised");
        Desk { operator: served.sign_in("clerk3").await, _served: served, details }
    }

    /// The refusal of the draft whose marking is changed so; none where it is drafted.
    async fn refused(&self, change: impl FnOnce(&mut Value)) -> Option<(String, String)> {
        let mut details = self.details.clone();
        change(&mut details["marking"]);
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
