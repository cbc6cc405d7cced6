//! What a verification finds in reports and records that were changed.

use lingqu_engine::source::FragmentForm;
use serde_json::json;

use super::*;

const PRODUCT: &str = "prd_00000000000000000000000000000001";

/// A case of one product whose two recipients and three orders were tested.
fn case_of_two() -> CaseFile {
    let marks = json!({
        "epoch": 1, "positions": 9, "order_positions": 1, "tested": 2, "registered": 2, "possible": true, "power": 1.0,
        "channels": {},
    });
    let receipts = json!({
        "rows": 0, "versions_more": 0, "rows_nobody_had": 0, "orders": [], "orders_more": 0,
        "orders_without_columns": 0, "explanations": [], "explained_by": "nothing", "rows_missed_max": 0,
    });
    let fragment = json!({
        "digest": "", "form": FragmentForm::Separated, "rows_read": 9, "rows_traced": 9, "lines_left_out": 0, "columns": 1,
    });
    let (reason, reason_en) = accusing_words(0, 1e-6);
    let report = json!({
        "verdict": "accused", "reason": reason, "reason_en": reason_en, "accused": [], "bound": 1e-6, "tested": 2,
        "tries": { "before": 0, "share": 0.5, "of_same_versions": 0, "days": 30 }, "decoder_version": "1",
        "traced_at": "", "node": "", "fragment": fragment, "versions_tried": 1, "versions_not_tried": 0,
        "deliveries_not_comparable": 0, "assumptions": [],
        "products": [{ "product": PRODUCT, "name": "", "table": "", "versions": [], "marks": marks, "receipts": receipts }],
    });
    let settings = |registered: u64| json!({ "bound": 2.5e-7, "registered": registered });
    let product = json!({
        "product": PRODUCT, "epoch": 1, "observations": "", "recipients": settings(2), "orders": settings(3),
    });
    let case = json!({ "format": FORMAT, "report": report, "products": [product] });
    serde_json::from_value(case).unwrap()
}

/// A record from before records had digests of what is handed out and the tests of each product.
fn record_of_totals() -> TraceDetails {
    let record = json!({
        "bound": "1e-6", "compared": [], "decoder_version": "1", "fragment_digest": "", "fragment_rows": 9,
        "orders_tested": 3, "recipients_tested": 2, "report_digest": "",
    });
    serde_json::from_value(record).unwrap()
}

#[test]
fn a_case_is_held_against_all_that_its_record_says() {
    let (case, totals) = (case_of_two(), record_of_totals());
    assert_eq!(differs(&totals, &case, "report"), Vec::<&str>::new());
    let codes = TestedCodes { orders: 3, recipients: 2 };
    let mut whole = TraceDetails { shown_report_digest: Some("report".to_owned()), ..totals.clone() };
    whole.tested.insert(PRODUCT.parse().unwrap(), codes);
    assert_eq!(differs(&whole, &case, "report"), Vec::<&str>::new());
    assert_eq!(differs(&whole, &case, "another"), ["report"]);
    for codes in [TestedCodes { orders: 4, ..codes }, TestedCodes { recipients: 3, ..codes }] {
        whole.tested.insert(PRODUCT.parse().unwrap(), codes);
        assert_eq!(differs(&whole, &case, "report"), ["codes of each product"]);
    }
    // A report that is silent about the position that its record has would be counted by its time.
    let placed = TraceDetails { journal_position: Some(7), ..totals.clone() };
    assert_eq!(differs(&placed, &case, "report"), ["position in the journal"]);
    // Totals of one product are its own; where others were tested they are no less.
    let more = TraceDetails { orders_tested: 4, ..totals.clone() };
    assert_eq!(differs(&more, &case, "report"), ["number of orders"]);
    let more = TraceDetails { recipients_tested: 3, ..totals.clone() };
    assert_eq!(differs(&more, &case, "report"), ["number of recipients"]);
    // A case that is silent about its tries had the whole bound, as one that states another share of it.
    for tries in [None, case.report.tries.map(|tries| TriesTrace { share: 1.0, ..tries })] {
        let mut other = case_of_two();
        other.report.tries = tries;
        assert_eq!(differs(&totals, &other, "report"), ["tries"]);
    }
}

fn product(digit: u8) -> ProductId {
    format!("prd_{digit:032x}").parse().unwrap()
}

fn order(digit: u8) -> OrderId {
    format!("ord_{digit:032x}").parse().unwrap()
}

/// Keys of an order of a consumer, committed to at the place of the consumer's number.
fn committed(consumer: u8, of: u8) -> Committed {
    let party = |digit: u8| format!("pty_{digit:032x}").parse().unwrap();
    Committed {
        consumer: party(consumer),
        product: product(of),
        holder: party(9),
        epoch: 1,
        positions: DigestPair::of(b"positions"),
        recipient: DigestPair::of(&[consumer]),
        order: DigestPair::of(&[consumer, of]),
        at: "2026-03-01T00:00:00Z".to_owned(),
        position: u64::from(consumer),
        log_entry: 0,
    }
}

#[test]
fn keys_that_were_committed_to_after_the_trace_was_recorded_are_found() {
    let key = |number: u8, code_epoch| DisclosedKey {
        product: product(1),
        order: order(number),
        code_epoch,
        recipient: None,
        profile: String::new(),
        key: String::new(),
        salt: String::new(),
    };
    let keys = [key(1, 0), key(2, 0), key(2, 1), key(3, 0)];
    let all = [((order(1), 0), committed(4, 1)), ((order(2), 0), committed(5, 1)), ((order(2), 1), committed(7, 1))];
    let all: BTreeMap<(OrderId, u32), Committed> = all.into();
    let after = |position| committed_after(position, &keys, &all).into_iter().cloned().collect::<Vec<_>>();
    assert_eq!([after(7), after(6), after(4)], [vec![], vec![order(2)], vec![order(2)]]);
    assert_eq!(after(3), [order(1), order(2)]);
}

#[test]
fn keys_that_were_committed_to_after_the_codes_were_taken_were_not_tested() {
    let key = |number: u8, recipient: Option<u8>| DisclosedKey {
        product: product(1),
        order: order(number),
        code_epoch: 0,
        recipient: recipient.map(|digit| format!("pty_{digit:032x}").parse().unwrap()),
        profile: String::new(),
        key: String::new(),
        salt: String::new(),
    };
    let later = Committed {
        order: DigestPair::of(b"another order"),
        at: "2026-03-02T00:00:00Z".to_owned(),
        position: 2,
        ..committed(1, 1)
    };
    let all = [((order(1), 0), committed(1, 1)), ((order(2), 0), later)];
    let mut logged = Logged { orders: all.into(), ..Logged::default() };
    let mut tested = |taken: Option<(&str, Option<u64>)>| {
        logged.traced = taken.map(|(at, position)| traced(at, position, 9));
        [key(1, None), key(2, None), key(2, Some(1))]
            .map(|key| logged.was_tested(&key, &logged.orders[&(key.order.clone(), 0)]))
    };
    // A recipient's key is that of all its orders.
    assert_eq!(tested(Some(("2026-03-02T00:00:00Z", None))), [true, false, true]);
    assert_eq!(tested(Some(("2026-03-01T00:00:00Z", None))), [false, false, false]);
    assert_eq!([tested(Some(("2026-03-02T00:00:01Z", None))), tested(None)], [[true; 3]; 2]);
    // Where a position is named it decides, whatever the time: two events may have the same.
    for at in ["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"] {
        assert_eq!([1, 2].map(|position| tested(Some((at, Some(position))))), [[true, false, true], [true; 3]]);
    }
}

fn traced(at: &str, position: Option<u64>, recorded: u64) -> Traced {
    Traced { at: at.parse().unwrap(), position, recorded }
}

#[test]
fn the_time_of_codes_is_that_of_their_position() {
    let times = [(3, "00:00:00"), (5, "01:00:00"), (7, "02:00:00"), (9, "02:00:10")];
    let at = |time: &str| format!("2026-03-02T{time}Z");
    let times = times.map(|(place, time)| (place, at(time).parse::<Timestamp>().unwrap()));
    let unlike = |time: &str, position| traced(&at(time), Some(position), 9).unlike(&times);
    // Clocks may differ by a minute.
    for (time, position) in [("01:00:00", 5), ("00:59:00", 5), ("01:59:59", 6), ("02:01:00", 6), ("02:00:10", 8)] {
        assert_eq!(unlike(time, position), None, "{time} at {position}");
    }
    for (time, position, told) in [
        ("00:58:59", 5, "record 5"),
        ("02:01:01", 5, "record 7"),
        ("02:00:00", 4, "record 5"),
        ("03:00:00", 8, "record 9"),
        ("02:00:10", 9, "its own record is 9"),
        ("02:00:10", u64::MAX, "its own record is 9"),
    ] {
        let problem = unlike(time, position).unwrap_or_default();
        assert!(problem.contains(told), "{time} at {position}: {problem}");
    }
    assert_eq!(traced(&at("05:00:00"), None, 9).unlike(&times), None, "a report from before it named one");
}

#[test]
fn copies_show_nothing_by_channels_that_their_marking_lacks() {
    let bare = super::super::unmarked(vec!["line".to_owned()]);
    let thinned = Marking { presence: Some(lingqu_fingerprint::Presence { omitted: 1 }), ..bare.clone() };
    let shows = |marking: &Marking, has_decoys| {
        [Source::Mark(0), Source::Presence, Source::Decoy].map(|source| has_channel(marking, has_decoys, source))
    };
    assert_eq!(shows(&bare, false), [false, false, false]);
    assert_eq!(shows(&thinned, true), [false, true, true]);
}

#[test]
fn no_fewer_are_registered_than_the_bundle_itself_has_keys_of() {
    let all = [committed(1, 1), committed(1, 1), committed(2, 1), committed(3, 2)];
    let orders = (0..).zip(all).map(|(number, found): (u8, _)| ((order(number), 0), found)).collect();
    let mut logged = Logged { orders, ..Logged::default() };
    let least =
        |logged: &Logged, of: u8| [false, true].map(|of_orders| logged.registered_at_least(&product(of), of_orders));
    assert_eq!([least(&logged, 1), least(&logged, 2), least(&logged, 4)], [[2, 3], [1, 1], [0, 0]]);
    // A code that was renewed counts with each of its epochs, but for those that came after the codes were taken.
    let renewed = Committed { position: 8, at: "2026-03-02T00:00:10Z".to_owned(), ..committed(2, 1) };
    logged.orders.insert((order(2), 1), renewed);
    assert_eq!(least(&logged, 1), [3, 4]);
    for (time, position, recorded, expected) in [
        ("00:00:11Z", None, 9, [3, 4]),
        ("00:00:10Z", None, 9, [2, 3]),
        ("00:00:11Z", None, 8, [2, 3]),
        ("00:00:10Z", Some(8), 10, [3, 4]),
        ("00:00:10Z", Some(7), 10, [2, 3]),
    ] {
        logged.traced = Some(traced(&format!("2026-03-02T{time}"), position, recorded));
        assert_eq!(least(&logged, 1), expected, "{time}, {position:?}, {recorded}");
    }
}
