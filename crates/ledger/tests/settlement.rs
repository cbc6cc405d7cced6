//! A period from fees to paid-out money, checked to the fen, and the same for arbitrary fees and splits.

use lingqu_ledger::{
    Account, AccountCode, Fen, Ledger, LedgerError, PartyShare, RevenueSplit, SettlementLine, UnitPrice, deposit,
    fee_payment, provider_payment, settle, statement, treasury_voucher,
};
use proptest::prelude::*;
use rust_decimal::Decimal;

const AT: &str = "2026-11-30T18:00:00+08:00";

fn party(owner: &str, rate: &str) -> PartyShare {
    PartyShare { owner: owner.to_owned(), rate: rate.parse().unwrap() }
}

fn line(number: usize, consumer: &str, fee: Fen, split: &RevenueSplit) -> SettlementLine {
    SettlementLine {
        transaction_id: format!("txn_{number}"),
        order: format!("ord_{number}"),
        product: "prd_1".to_owned(),
        consumer: consumer.to_owned(),
        fee,
        split: split.clone(),
    }
}

#[test]
fn a_period_is_settled_paid_and_leaves_no_debt() {
    let with_grid =
        RevenueSplit::new(party("pty_operator", "0.7"), party("pty_treasury", "0.2"), vec![party("pty_grid", "0.1")])
            .unwrap();
    let public_only = RevenueSplit::new(party("pty_operator", "0.75"), party("pty_treasury", "0.25"), vec![]).unwrap();
    let per_call: UnitPrice = "0.0325".parse().unwrap();
    let lines = [
        line(1, "pty_insurer", per_call.amount(1_234).unwrap(), &with_grid),
        line(2, "pty_insurer", "2400".parse().unwrap(), &public_only),
        line(3, "pty_traffic", Fen::ZERO, &public_only),
    ];
    let settlement = settle("2026-11", AT, &lines).unwrap();

    // 40.11 yuan: exact parts 28.077, 8.022 and 4.011; the odd fen goes to the operator's largest fraction.
    assert_eq!(settlement.transactions.len(), 2);
    let summary = &settlement.summary;
    assert_eq!(summary.fees, Fen(244_011));
    assert_eq!(summary.operators, Fen(2_808 + 180_000));
    assert_eq!(summary.treasuries, Fen(802 + 60_000));
    assert_eq!(summary.providers, Fen(401));
    assert_eq!((summary.charged_count, summary.free_count), (2, 1));

    let mut ledger = Ledger::new();
    for transaction in &settlement.transactions {
        ledger.apply(transaction).unwrap();
    }
    let balance = |ledger: &Ledger, owner, code| ledger.balance(&Account::new(owner, code));
    assert_eq!(balance(&ledger, "pty_insurer", AccountCode::ServiceFeePayable), Fen(244_011));
    assert_eq!(balance(&ledger, "pty_operator", AccountCode::FiscalRevenuePayable), Fen(60_802));

    let payments = [
        deposit("txn_10", AT, "pty_insurer", Fen(300_000)).unwrap(),
        fee_payment("txn_11", AT, "pty_insurer", "pty_operator", summary.fees).unwrap(),
        treasury_voucher("txn_12", AT, "pty_operator", "pty_treasury", "4500-1", summary.treasuries).unwrap(),
        provider_payment("txn_13", AT, "pty_operator", "pty_grid", summary.providers).unwrap(),
    ];
    for payment in &payments {
        ledger.apply(payment).unwrap();
    }
    for (owner, code) in [
        ("pty_insurer", AccountCode::ServiceFeePayable),
        ("pty_operator", AccountCode::ServiceFeeReceivable),
        ("pty_operator", AccountCode::FiscalRevenuePayable),
        ("pty_operator", AccountCode::ProviderRevenuePayable),
        ("pty_treasury", AccountCode::FiscalRevenueReceivable),
        ("pty_grid", AccountCode::ProviderRevenueReceivable),
    ] {
        assert_eq!(balance(&ledger, owner, code), Fen::ZERO, "{owner} {code:?}");
    }
    assert_eq!(balance(&ledger, "pty_insurer", AccountCode::Bank), Fen(300_000 - 244_011));
    assert_eq!(balance(&ledger, "pty_operator", AccountCode::Bank), summary.operators);
    assert_eq!(balance(&ledger, "pty_treasury", AccountCode::Bank), summary.treasuries);
    assert_eq!(balance(&ledger, "pty_grid", AccountCode::Bank), summary.providers);

    // The statement of an account closes at the ledger's balance and names the counterparties.
    let account = Account::new("pty_operator", AccountCode::FiscalRevenuePayable);
    let all: Vec<_> = settlement.transactions.iter().chain(&payments).cloned().collect();
    let walked = statement(&account, Fen::ZERO, &all).unwrap();
    let balances: Vec<String> = walked.lines.iter().map(|line| line.balance.to_string()).collect();
    assert_eq!(balances, ["8.02", "608.02", "0.00"]);
    assert_eq!(walked.closing, ledger.balance(&account));
    assert!(walked.lines.iter().all(|line| line.counterparty.as_deref() == Some("pty_treasury")));
}

#[test]
fn what_can_not_be_settled_is_refused() {
    let split = RevenueSplit::new(party("o", "0.8"), party("t", "0.2"), vec![]).unwrap();
    assert!(matches!(settle("p", AT, &[line(1, "c", Fen(-1), &split)]), Err(LedgerError::NegativeFee { .. })));
    assert!(matches!(settle("p", AT, &[line(1, "t", Fen(100), &split)]), Err(LedgerError::PartyTwice { .. })));
    assert!(RevenueSplit::new(party("o", "0.8"), party("o", "0.2"), vec![]).is_err());
    assert!(RevenueSplit::new(party("o", "0.8"), party("t", "0.1"), vec![]).is_err());
    let json = serde_json::to_string(&split).unwrap();
    assert_eq!(serde_json::from_str::<RevenueSplit>(&json).unwrap(), split);
    assert!(serde_json::from_str::<RevenueSplit>(&json.replace("0.8", "0.9")).is_err());
    assert!(serde_json::from_str::<RevenueSplit>(&json.replace("\"rate\"", "\"part\"")).is_err());
}

proptest! {
    #[test]
    fn money_is_conserved(
        fees in proptest::collection::vec(0..10_000_000_000_i64, 0..30),
        percent in 0..=100_i64,
        provider_count in 0..4_usize,
    ) {
        // The operator has `percent`, the providers a fifth of the rest each, the treasury what is left.
        let rest = 100 - percent;
        let provider_rate = Decimal::new(rest * 2, 3);
        let treasury_rate = Decimal::new(rest, 2) - provider_rate * Decimal::from(provider_count);
        let providers = (0..provider_count)
            .map(|number| PartyShare { owner: format!("p{number}"), rate: provider_rate })
            .collect();
        let operator = PartyShare { owner: "o".to_owned(), rate: Decimal::new(percent, 2) };
        let treasury = PartyShare { owner: "t".to_owned(), rate: treasury_rate };
        let split = RevenueSplit::new(operator, treasury, providers).unwrap();
        let lines: Vec<_> = fees
            .iter()
            .enumerate()
            .map(|(number, fee)| line(number, "c", Fen(*fee), &split))
            .collect();
        let settlement = settle("p", AT, &lines).unwrap();

        let summary = &settlement.summary;
        prop_assert_eq!(summary.fees.0, fees.iter().sum::<i64>());
        prop_assert_eq!(summary.fees.0, summary.operators.0 + summary.treasuries.0 + summary.providers.0);
        prop_assert_eq!(summary.fees.0, summary.by_party.values().map(|fen| fen.0).sum::<i64>());

        let mut ledger = Ledger::new();
        for transaction in &settlement.transactions {
            ledger.apply(transaction).unwrap();
        }
        prop_assert!(ledger.trial_balance(None).unwrap().is_balanced());
        let earned = |owner: &str, code| ledger.balance(&Account::new(owner, code));
        let mut received = earned("o", AccountCode::OperationIncome).0 + earned("t", AccountCode::FiscalRevenue).0;
        for number in 0..provider_count {
            received += earned(&format!("p{number}"), AccountCode::ProviderRevenue).0;
        }
        prop_assert_eq!(received, earned("c", AccountCode::ServiceFeeExpense).0);
    }
}
