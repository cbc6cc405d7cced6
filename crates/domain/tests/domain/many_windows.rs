//! More metering windows than one settlement has room for: each is settled once, the oldest first.

use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::event::{Event, Recorded, canonical};
use lingqu_domain::id::{OrderId, SettlementId};
use lingqu_domain::refusal::RefusalCode;
use lingqu_domain::settlement::{METERS_MAX, MeterEvent, MeterReading, SETTLEMENT_POSTINGS_MAX, Settlement};

use crate::details;
use crate::invariants::{self, Seen};
use crate::life::Life;
use crate::world::{World, created};

/// What the store takes of one record.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Closes a window without a decision: thousands of them would look through all the others each time.
fn close_window(world: &mut World, id: &str, reading: MeterReading) {
    let event = Recorded {
        position: world.state.position + 1,
        at: world.now,
        actor: Actor::Node,
        stream: id.to_owned(),
        stream_version: 1,
        event: Event::Meter(MeterEvent::Closed(reading)),
    };
    world.state.apply(&event).unwrap();
}

fn close() -> Command {
    Command::CloseSettlement { period: "2026-12".to_owned() }
}

fn settle(life: &mut Life) -> Settlement {
    let recorded = life.world.done(&life.approver("operator"), close());
    let closed = recorded.last().unwrap();
    assert!(canonical(&closed.event).len() <= BODY_BYTES_MAX);
    let id: SettlementId = created(&recorded);
    life.world.state.settlements[&id].value.clone()
}

fn ends(life: &Life, is_settled: bool) -> Vec<u64> {
    let meters = life.world.state.meters.values().map(|meter| &meter.value);
    meters.filter(|meter| meter.settlement.is_some() == is_settled).map(|meter| meter.reading.end_position).collect()
}

#[test]
fn what_one_settlement_has_no_room_for_another_one_of_the_period_takes() {
    let mut life = Life::until("keys");
    let orders: [OrderId; 2] = [life.id("insurer's order"), life.id("platform's order")];
    let count = METERS_MAX as u64 + 11;
    for (number, order) in (0..count).zip(orders.iter().cycle()) {
        // Later windows have smaller ids, so that it is not these that say which are the oldest.
        let id = format!("mtr_{:032}", count - number);
        close_window(&mut life.world, &id, details::reading(order.clone(), 100 * number, 1, 0));
    }
    let mut calls = 0;
    for (taken, left) in [(METERS_MAX, 11), (11, 0)] {
        let settlement = settle(&mut life);
        assert_eq!(settlement.lines.iter().map(|line| line.meters.len()).sum::<usize>(), taken);
        assert_eq!(settlement.lines.len(), orders.len());
        calls += settlement.lines.iter().map(|line| line.calls).sum::<u64>();
        let unsettled = ends(&life, false);
        assert_eq!(unsettled.len(), left);
        assert!(unsettled.iter().min().is_none_or(|first| ends(&life, true).iter().all(|end| end < first)));
    }
    assert_eq!(calls, count);
    assert_eq!(life.world.refused(&life.approver("operator"), &close()).code, RefusalCode::Invalid);
    invariants::money_is_conserved(&life.world, &mut Seen::default());
}

#[test]
fn a_settlement_takes_no_more_orders_than_its_record_has_room_for() {
    let mut life = Life::until("keys");
    let pattern = life.world.state.orders[&life.id::<OrderId>("insurer's order")].clone();
    let mut readings = Vec::new();
    for number in 0..1_500 {
        let id: OrderId = format!("ord_{number:032}").parse().unwrap();
        let mut order = pattern.clone();
        order.value.id = id.clone();
        life.world.state.orders.insert(id.clone(), order);
        readings.push(details::reading(id, 0, 1_000, 1));
    }
    let count = readings.len();
    life.world.done(&Actor::Node, Command::CloseMeter { readings });
    let first = settle(&mut life);
    let postings: usize = first.transactions.iter().map(|transaction| transaction.postings().len()).sum();
    assert!(postings <= SETTLEMENT_POSTINGS_MAX && first.lines.len() < count, "{postings} postings");
    let second = settle(&mut life);
    assert_eq!(first.lines.len() + second.lines.len(), count);
    assert!(first.lines.iter().all(|line| second.lines.iter().all(|other| other.order != line.order)));
    assert_eq!(life.world.refused(&life.approver("operator"), &close()).code, RefusalCode::Invalid);
    invariants::money_is_conserved(&life.world, &mut Seen::default());
}
