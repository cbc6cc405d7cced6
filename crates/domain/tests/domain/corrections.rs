//! What was metered or settled wrongly is put right without a fen lost: windows are charged less once both sides agree, and a
//! settlement is reversed by the same postings on the other sides.

use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::command::Command;
use lingqu_domain::id::{MeterId, SettlementId};
use lingqu_domain::refusal::RefusalCode;
use lingqu_domain::settlement::Settlement;
use lingqu_ledger::{Fen, Ledger};

use crate::details;
use crate::life::{DUE, Life};
use crate::world::created;

fn metered(calls: u64, data_sets: u64) -> (Life, MeterId) {
    let mut life = Life::until("keys");
    let readings = vec![details::reading(life.id("insurer's order"), 0, calls, data_sets)];
    let meter = created(&life.world.done(&Actor::Node, Command::CloseMeter { readings }));
    (life, meter)
}

fn propose(meter: &MeterId, calls: u64, data_sets: u64) -> Command {
    Command::ProposeMeterCorrection { meter: meter.clone(), calls, data_sets, reason: "计数器故障".to_owned() }
}

fn agree(meter: &MeterId, calls: u64, data_sets: u64) -> Command {
    Command::AgreeMeterCorrection { meter: meter.clone(), calls, data_sets }
}

fn close() -> Command {
    Command::CloseSettlement { period: "2026-12".to_owned() }
}

fn settle(life: &mut Life) -> Settlement {
    let recorded = life.world.done(&life.approver("operator"), close());
    let id: SettlementId = created(&recorded);
    life.world.state.settlements[&id].value.clone()
}

#[test]
fn an_absurd_meter_is_corrected_once_both_sides_agree() {
    let (mut life, meter) = metered(u64::MAX, u64::MAX);
    let (operator, implementer) = (life.handler("operator"), life.approver("implementer"));
    let closed_by = life.approver("operator");
    assert_eq!(life.world.refused(&closed_by, &close()).code, RefusalCode::Invalid, "more than money can hold");
    life.world.done(&operator, propose(&meter, 1_000, 0));
    assert_eq!(life.world.refused(&closed_by, &close()).code, RefusalCode::Invalid, "proposed is not agreed");
    life.world.done(&implementer, agree(&meter, 1_000, 0));
    let settlement = settle(&mut life);
    assert_eq!((settlement.lines[0].calls, settlement.lines[0].data_sets), (1_000, 0));
    assert_eq!(settlement.summary.fees.to_string(), "32.50");
    // What was read stands as it was, with the digest of its receipts.
    let meter = &life.world.state.meters[&meter].value;
    assert_eq!((meter.reading.calls, meter.charged()), (u64::MAX, (1_000, 0)));
}

#[test]
fn a_correction_only_lowers_and_is_agreed_to_as_it_was_proposed() {
    let (mut life, meter) = metered(1_000, 2);
    let (operator, implementer) = (life.handler("operator"), life.approver("implementer"));
    let code = |life: &Life, actor: &Actor, command: Command| life.world.refused(actor, &command).code;
    assert_eq!(code(&life, &operator, propose(&meter, 1_001, 0)), RefusalCode::Invalid);
    assert_eq!(code(&life, &operator, propose(&meter, 1_000, 3)), RefusalCode::Invalid);
    assert_eq!(code(&life, &implementer, propose(&meter, 1, 0)), RefusalCode::NotPermitted);
    assert_eq!(code(&life, &life.handler("insurer"), propose(&meter, 1, 0)), RefusalCode::NotPermitted);
    assert_eq!(code(&life, &implementer, agree(&meter, 1, 0)), RefusalCode::WrongState);
    life.world.done(&operator, propose(&meter, 900, 1));
    assert_eq!(code(&life, &implementer, agree(&meter, 0, 0)), RefusalCode::Invalid);
    assert_eq!(code(&life, &life.approver("operator"), agree(&meter, 900, 1)), RefusalCode::NotPermitted);
    life.world.done(&implementer, agree(&meter, 900, 1));
    assert_eq!(code(&life, &implementer, agree(&meter, 900, 1)), RefusalCode::WrongState, "twice");
    // Another proposal leaves what was agreed in force until it is agreed to in turn.
    life.world.done(&operator, propose(&meter, 1_000, 2));
    assert_eq!(life.world.state.meters[&meter].value.charged(), (900, 1));
    let settlement = settle(&mut life);
    assert_eq!((settlement.lines[0].calls, settlement.lines[0].data_sets), (900, 1));
    assert_eq!(code(&life, &implementer, agree(&meter, 1_000, 2)), RefusalCode::WrongState, "settled");
    assert_eq!(code(&life, &operator, propose(&meter, 0, 0)), RefusalCode::WrongState, "settled");
}

#[test]
fn a_reversed_settlement_leaves_nothing_in_any_book_and_its_windows_are_settled_again() {
    let mut life = Life::until("confirmed");
    let id: SettlementId = life.id("settlement");
    let reverse = Command::ReverseSettlement { settlement: id.clone(), reason: "计量有误".to_owned() };
    let before = life.world.state.settlements[&id].value.clone();
    let second = life.add_user(&life.party("implementer"), &[Duty::Approver]);
    let refused = |actor: &Actor| life.world.refused(actor, &reverse).code;
    assert_eq!(refused(&life.approver("implementer")), RefusalCode::FourEyes, "who confirmed it");
    assert_eq!(refused(&life.approver("operator")), RefusalCode::NotPermitted);
    life.world.done(&second, reverse.clone());

    let reversed = life.world.state.settlements[&id].value.clone();
    assert_eq!(reversed.transactions.len(), 2 * before.transactions.len());
    let mut books = Ledger::new();
    for transaction in &reversed.transactions {
        books.apply(transaction).unwrap();
    }
    assert!(books.trial_balance(None).unwrap().rows.iter().all(|row| row.balance == Fen::ZERO));
    assert_eq!(life.world.state.permitted_revenues[&life.id("revenue")].value.earned, Fen::ZERO);
    assert_eq!(life.world.refused(&second, &reverse).code, RefusalCode::WrongState, "twice");
    let voucher =
        Command::RecordVoucher { settlement: id, number: "非税 3".to_owned(), amount: DUE.parse().unwrap() };
    assert_eq!(life.world.refused(&life.handler("finance"), &voucher).code, RefusalCode::WrongState);

    // Now the windows can be corrected, and the period is settled by another settlement.
    let mut of_insurer = life.world.state.meters.values().map(|meter| &meter.value);
    let meter = of_insurer.find(|meter| meter.reading.calls == 1_234).unwrap().id.clone();
    life.world.done(&life.handler("operator"), propose(&meter, 234, 1));
    life.world.done(&life.approver("implementer"), agree(&meter, 234, 1));
    let again = settle(&mut life);
    assert_ne!(again.id, before.id);
    // 235 calls at 0.0325 yuan and one data set.
    assert_eq!(again.summary.fees.to_string(), "2407.64");
    assert_eq!(life.world.state.permitted_revenues[&life.id("revenue")].value.earned, again.summary.operators);
}

#[test]
fn what_was_paid_in_to_the_treasury_is_not_reversed() {
    let mut life = Life::until("confirmed");
    let voucher = Command::RecordVoucher {
        settlement: life.id("settlement"),
        number: "非税 3".to_owned(),
        amount: "1".parse().unwrap(),
    };
    life.world.done(&life.handler("finance"), voucher);
    let second = life.add_user(&life.party("implementer"), &[Duty::Approver]);
    let reverse = Command::ReverseSettlement { settlement: life.id("settlement"), reason: "计量有误".to_owned() };
    let refusal = life.world.refused(&second, &reverse);
    assert_eq!(refusal.code, RefusalCode::WrongState);
    assert!(refusal.en.contains("nothing paid in"), "{refusal}");
}
