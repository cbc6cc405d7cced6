//! The contracts of the domain as golden files: who may command what, what refusals mean, and the encodings that the
//! journal, the receipts and the command endpoint keep for ever.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::access::PERMISSIONS;
use lingqu_domain::answer::{AnswerForm, AnswerSalt};
use lingqu_domain::command::Command;
use lingqu_domain::event::{Event, canonical};
use lingqu_domain::id::ReceiptId;
use lingqu_domain::lineage::{AnswerColumn, AnswerLineage};
use lingqu_domain::privacy::Rho;
use lingqu_domain::receipt::{Opening, Outcome, ReceiptBody, ReceiptRecord, RowNaming, Totals};
use lingqu_domain::refusal::RefusalCode;
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::{ColumnName, Mode, Precision};

use crate::details::purpose;
use crate::events::{COMMAND_NAMES, EVENT_KINDS, RECEIPT_KINDS, command_name, event_kind, receipt_kind};
use crate::golden;
use crate::implementers;
use crate::life::Life;
use crate::marking;
use crate::state_tables;
use crate::world::World;

/// A word of the domain as in JSON.
fn word(value: &impl serde::Serialize) -> String {
    canonical(value).trim_matches('"').to_owned()
}

#[test]
fn the_permission_matrix_is_as_agreed() {
    let mut text =
        String::from("# command | roles of the party, one of | duties of the user, one of | given also or only by\n");
    for line in PERMISSIONS {
        let words = |list: Vec<String>, any: &str| if list.is_empty() { any.to_owned() } else { list.join(", ") };
        let only_others = (line.subject || line.node) && line.roles.is_empty();
        let roles = words(line.roles.iter().map(word).collect(), if only_others { "-" } else { "any" });
        let duties = words(line.duties.iter().map(word).collect(), if only_others { "-" } else { "any" });
        let mut marks = Vec::new();
        for (mark, is_set) in [
            ("subject, also before a handler of a consent_agent", line.subject),
            ("node", line.node),
            ("use case of the node", line.internal),
        ] {
            if is_set {
                marks.push(mark);
            }
        }
        text.push_str(format!("{:<22} | {roles:<28} | {duties:<18} | {}", line.command, marks.join(", ")).trim_end());
        text.push('\n');
    }
    golden::check("permission_matrix.txt", &text);
}

#[test]
fn every_command_has_one_line_in_the_matrix_and_every_line_a_command() {
    let lines: Vec<&str> = PERMISSIONS.iter().map(|line| line.command).collect();
    let names: BTreeSet<&str> = COMMAND_NAMES.iter().copied().collect();
    assert_eq!(lines.iter().copied().collect::<BTreeSet<_>>(), names);
    assert_eq!(lines.len(), names.len(), "a command has two lines");
}

#[test]
fn problem_codes_are_as_agreed() {
    let mut text = String::from("# code: who should do what about it\n");
    let mut codes = BTreeSet::new();
    for code in RefusalCode::ALL {
        assert!(codes.insert(code.code()), "{} twice", code.code());
        assert_eq!(word(code), code.code());
        assert!(code.remedy().starts_with("the "), "{} says who", code.code());
        text.push_str(&format!("{}: {}\n", code.code(), code.remedy()));
    }
    golden::check("problem_codes.txt", &text);
}

/// Worlds in which between them every command was accepted and every event happened.
pub fn worlds() -> Vec<World> {
    let mut worlds = vec![Life::whole().world, implementers::whole().world, marking::whole()];
    for machine in state_tables::machines() {
        for (_, life) in machine.states {
            for (_, actor, command) in (machine.tries)(&life) {
                let mut world = life.world.clone();
                if world.give(&actor, command).is_ok() {
                    worlds.push(world);
                }
            }
        }
    }
    worlds
}

#[test]
fn every_event_keeps_its_encoding() {
    let mut examples: BTreeMap<&str, String> = BTreeMap::new();
    for world in worlds() {
        for recorded in &world.journal {
            let kind = event_kind(&recorded.event);
            assert_eq!(recorded.event.kind(), kind);
            examples.entry(kind).or_insert_with(|| canonical(&recorded.event));
        }
    }
    let mut text = String::new();
    for kind in EVENT_KINDS {
        let example =
            examples.get(kind).unwrap_or_else(|| panic!("no example of {kind}: add a step or a state that makes one"));
        text.push_str(example);
        text.push('\n');
    }
    golden::check("events.jsonl", &text);
    for line in golden::read("events.jsonl").lines() {
        assert_eq!(canonical(&serde_json::from_str::<Event>(line).unwrap()), line, "read and written again");
    }
}

#[test]
fn every_command_keeps_its_encoding() {
    let mut examples: BTreeMap<&str, String> = BTreeMap::new();
    for world in worlds() {
        for (_, command) in &world.accepted {
            assert_eq!(command.name(), command_name(command));
            examples.entry(command.name()).or_insert_with(|| canonical(command));
        }
    }
    let mut text = String::new();
    for name in COMMAND_NAMES {
        let example =
            examples.get(name).unwrap_or_else(|| panic!("no example of {name}: add a step or a try that gives one"));
        let value: serde_json::Value = serde_json::from_str(example).unwrap();
        assert_eq!(value["command"], *name);
        text.push_str(example);
        text.push('\n');
    }
    golden::check("commands.jsonl", &text);
    for line in golden::read("commands.jsonl").lines() {
        assert_eq!(canonical(&serde_json::from_str::<Command>(line).unwrap()), line, "read and written again");
    }
}

#[test]
fn commands_with_a_field_too_many_are_refused() {
    let command = Command::SignResource { resource: Life::until("resources drafted").id("flights") };
    let mut value = serde_json::to_value(&command).unwrap();
    assert!(serde_json::from_value::<Command>(value.clone()).is_ok());
    value["approved"] = serde_json::json!(true);
    assert!(serde_json::from_value::<Command>(value).is_err(), "a misspelt field must not be ignored");
}

fn receipts() -> Vec<ReceiptRecord> {
    let life = Life::whole();
    let grant = life.grant("insurer's order").unwrap();
    let opening = |mode| Opening {
        order: grant.order.clone(),
        consumer: grant.consumer.clone(),
        product: grant.product.clone(),
        purpose: purpose("insurance/claim"),
        mode,
        protocol: "rest".to_owned(),
        grant_digest: grant.digest(),
        rulebook_version: grant.rulebook_version.clone(),
        nature: Nature::Real,
        snapshots: grant
            .inputs
            .iter()
            .map(|(resource, input)| format!("{resource}@{}", input.snapshot_version))
            .collect(),
        request_digest: lingqu_crypto::sha256(b"salt and request").to_string(),
        code_id: None,
        day: None,
        process: None,
        lineage: None,
        made_from: None,
        marked: Vec::new(),
        masks: BTreeMap::new(),
        node: None,
        query_digest: None,
        rho_spent: None,
        rows_named_by: RowNaming::Number,
    };
    let noised = Opening { rho_spent: Some("0.05".parse().unwrap()), ..opening(Mode::Statistics) };
    let repeated = Opening { rho_spent: Some(Rho::ZERO), ..opening(Mode::Statistics) };
    let column = |name: &str| ColumnName::new(name).unwrap();
    let traced = Opening {
        lineage: Some(AnswerLineage {
            columns: vec![
                AnswerColumn { from: BTreeSet::from([column("carrier")]), computed: false },
                AnswerColumn { from: BTreeSet::from([column("delay")]), computed: true },
            ],
            conditions: BTreeSet::from([column("day")]),
            at_most: false,
        }),
        ..opening(Mode::Rows)
    };
    let made = Opening { made_from: Some("0123456789abcdef0123456789abcdef".to_owned()), ..opening(Mode::Lookup) };
    let copied = Opening {
        code_id: Some("89abcdef0123456789abcdef01234567".to_owned()),
        marked: vec![column("delay")],
        ..opening(Mode::File)
    };
    let live = Opening { rows_named_by: RowNaming::KeyDigest, ..opening(Mode::Rows) };
    let told = Opening {
        masks: BTreeMap::from([
            (column("day"), Precision::Month),
            (column("delay"), "rounded:15".parse::<Precision>().unwrap()),
        ]),
        node: Some(life.world.state.node.values().next().unwrap().value.id.clone()),
        query_digest: Some(lingqu_crypto::sha256(b"salt and canonical form").to_string()),
        ..opening(Mode::Rows)
    };
    let totals = |rows, calls, data_sets| Totals {
        answer: None,
        rows,
        answer_rows: rows,
        bytes: 4_096,
        calls,
        data_sets,
        day: None,
    };
    let salt = AnswerSalt::of_request(&[7; 16]);
    let digested =
        |form| Totals { answer: Some(salt.digest(form, &lingqu_crypto::sha256(b"an answer"))), ..totals(3, 1, 0) };
    let row_set = "OjAAAAEAAAAAAAIAEAAAAAEAAgADAA==".to_owned();
    let record = |number: u32, second: i64, body| ReceiptRecord {
        receipt: format!("rcp_{number:032}").parse::<ReceiptId>().unwrap(),
        at: jiff::Timestamp::from_second(1_796_259_600 + second).unwrap(),
        body,
    };
    let part = |answer_rows, bytes_reserved, row_set| ReceiptBody::Part {
        answer_rows,
        bytes_reserved,
        number: 0,
        rows: 3,
        row_set,
    };
    let by_day = Opening {
        day: Some(jiff::civil::date(2026, 12, 3)),
        process: Some("prc_0123456789abcdef0123456789abcdef".to_owned()),
        ..opening(Mode::Rows)
    };
    let stopped = Outcome::Stopped { code: "grant_suspended".to_owned() };
    vec![
        record(1, 0, ReceiptBody::Opened(opening(Mode::File))),
        record(1, 1, part(0, 0, row_set.clone())),
        record(1, 2, ReceiptBody::Closed { outcome: Outcome::Delivered, totals: totals(3, 0, 1) }),
        record(2, 3, ReceiptBody::Closed { outcome: stopped, totals: totals(0, 0, 0) }),
        record(
            3,
            4,
            ReceiptBody::Single {
                opening: opening(Mode::Verification),
                totals: totals(1, 1, 0),
                row_set: row_set.clone(),
            },
        ),
        record(4, 5, ReceiptBody::Opened(traced)),
        record(5, 6, ReceiptBody::Opened(noised)),
        record(6, 7, ReceiptBody::Opened(repeated)),
        record(7, 8, ReceiptBody::Opened(live)),
        record(8, 9, ReceiptBody::Opened(made)),
        record(9, 10, ReceiptBody::Opened(copied)),
        record(10, 11, ReceiptBody::Opened(told)),
        record(10, 12, ReceiptBody::Closed { outcome: Outcome::Delivered, totals: digested(AnswerForm::Bytes) }),
        record(11, 13, ReceiptBody::Closed { outcome: Outcome::Delivered, totals: digested(AnswerForm::Values) }),
        record(10, 11, ReceiptBody::Opened(by_day)),
        record(10, 12, part(2, 1_048_576, row_set)),
        record(11, 14, ReceiptBody::Closed { outcome: Outcome::Delivered, totals: digested(AnswerForm::ValueBlocks) }),
    ]
}

#[test]
fn every_receipt_keeps_its_encoding() {
    let mut text = String::new();
    let mut kinds = BTreeSet::new();
    for record in receipts() {
        assert_eq!(record.kind(), receipt_kind(&record.body));
        kinds.insert(record.kind());
        assert_eq!(record.canonical(), canonical(&record), "fields of records stand in the order of their names");
        text.push_str(&record.canonical());
        text.push('\n');
    }
    assert_eq!(kinds, RECEIPT_KINDS.iter().copied().collect::<BTreeSet<_>>());
    golden::check("receipts.jsonl", &text);
    for line in golden::read("receipts.jsonl").lines() {
        let record: ReceiptRecord = serde_json::from_str(line).unwrap();
        assert_eq!(record.canonical(), line, "read and written again");
    }
}
