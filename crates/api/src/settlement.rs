//! What of a settlement is whose to see: whole for those whose duty it is, its own part for a provider.

use lingqu_domain::party::Role;
use lingqu_domain::settlement::Settlement;
use lingqu_ledger::{Fen, SettlementSummary};

use crate::visibility::{Sight, Visible};

/// True for those to whom a settlement is shown whole: the operator, the duties of price and treasury, oversight, and the
/// implementers of what was sold, who confirm it.
pub(crate) fn sees_whole(settlement: &Settlement, sight: &Sight<'_>) -> bool {
    let state = sight.state;
    sight.is_own(&settlement.operator)
        || sight.is_oversight()
        || sight.is_about_money()
        || settlement.lines.iter().any(|line| {
            let order = state.orders.get(&line.order).map(|order| &order.value);
            let product = order.and_then(|order| state.products.get(&order.details.product));
            product.is_some_and(|product| {
                let mut permits = product.value.details.inputs.values();
                permits.any(|permit| {
                    state.permits.get(permit).is_some_and(|permit| sight.is_own(&permit.value.implementer))
                })
            })
        })
}

impl Visible for Settlement {
    /// Those who see it whole, providers with a part in it, and treasuries that it is due to. A consumer sees the fees of its own orders on the orders.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        let has_part = || self.summary.by_party.contains_key(sight.viewer.session.party.as_str());
        let is_due = || self.due.contains_key(&sight.viewer.session.party);
        sees_whole(self, sight) || (sight.has_role(Role::Provider) && has_part()) || is_due()
    }

    /// A provider sees its own part, and the lines of orders that its own data went into; a treasury what is due to it and what it
    /// was paid. Neither sees what others earned.
    fn shown(&self, sight: &Sight<'_>) -> Self {
        let mut shown = self.clone();
        if sees_whole(self, sight) {
            return shown;
        }
        let party = sight.viewer.session.party.as_str();
        shown
            .lines
            .retain(|line| sight.state.orders.get(&line.order).is_some_and(|order| order.value.is_visible(sight)));
        let own = self.summary.by_party.get(party).copied();
        let fees = shown.lines.iter().try_fold(Fen::ZERO, |sum, line| sum.checked_add(line.fee));
        let is_due = self.due.contains_key(&sight.viewer.session.party);
        let (providers, treasuries) = if is_due { (None, own) } else { (own, None) };
        shown.summary = SettlementSummary {
            fees: fees.unwrap_or_default(),
            providers: providers.unwrap_or_default(),
            treasuries: treasuries.unwrap_or_default(),
            by_party: own.map(|amount| (party.to_owned(), amount)).into_iter().collect(),
            ..SettlementSummary::default()
        };
        // A transaction is balanced over the books of all, so none of it can be left out; the ledger shows the own books.
        shown.transactions.clear();
        shown.due.retain(|treasury, _| sight.is_own(treasury));
        shown.paid_in.retain(|treasury, _| sight.is_own(treasury));
        shown.vouchers.clear();
        shown
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lingqu_app::SessionView;
    use lingqu_domain::state::State;
    use serde_json::json;

    use super::*;
    use crate::session::Viewer;

    const ORDER: &str = "ord_0000000000000000000000000000000a";

    fn party(digit: char) -> String {
        format!("pty_{}", digit.to_string().repeat(32))
    }

    fn viewer(digit: char, role: Role) -> Viewer {
        let session = SessionView {
            user: format!("usr_{}", "0".repeat(32)).parse().unwrap(),
            party: party(digit).parse().unwrap(),
            duties: BTreeSet::new(),
            display_name: String::new(),
            csrf: String::new(),
            expires_at: jiff::Timestamp::MAX,
        };
        Viewer { session, roles: BTreeSet::from([role]) }
    }

    /// Of operator `a`; provider `b` and provider `c` have a part in it, treasury `d` its due.
    fn settlement() -> Settlement {
        let (operator, one, other, treasury) = (party('a'), party('b'), party('c'), party('d'));
        serde_json::from_value(json!({
            "id": format!("stl_{}", "0".repeat(32)), "operator": operator, "period": "2026-11",
            "lines": [{ "order": ORDER, "meters": [], "calls": 10, "data_sets": 0, "fee": "100.00" }],
            "summary": {
                "fees": "100.00", "operators": "60.00", "treasuries": "10.00", "providers": "30.00",
                "by_party": { operator.as_str(): "60.00", one.as_str(): "20.00", other.as_str(): "10.00", treasury.as_str(): "10.00" },
                "charged_count": 1, "free_count": 0,
            },
            "transactions": [], "paid_in": {}, "due": { treasury.as_str(): "10.00" }, "vouchers": ["凭证 1"],
            "closed_by": "node", "confirmed_by": null,
        }))
        .unwrap()
    }

    #[test]
    fn a_provider_sees_its_own_part_and_nothing_of_what_others_earn() {
        let (state, settlement) = (State::default(), settlement());
        let provider = viewer('b', Role::Provider);
        let sight = Sight::new(&provider, &state);
        assert!(settlement.is_visible(&sight) && !sees_whole(&settlement, &sight));
        let shown = settlement.shown(&sight);
        assert_eq!(shown.summary.by_party.keys().collect::<Vec<_>>(), [&party('b')]);
        assert_eq!((shown.summary.providers, shown.summary.operators), (Fen(2_000), Fen::ZERO));
        // The order is none of its business here, so neither is its fee.
        assert!(shown.lines.is_empty() && shown.due.is_empty() && shown.vouchers.is_empty());
        assert_eq!(shown.summary.fees, Fen::ZERO);
    }

    #[test]
    fn a_treasury_sees_what_is_due_to_it() {
        let (state, settlement) = (State::default(), settlement());
        let treasury = viewer('d', Role::Finance);
        let sight = Sight::new(&treasury, &state);
        assert!(settlement.is_visible(&sight));
        let shown = settlement.shown(&sight);
        assert_eq!(shown.due, settlement.due);
        assert_eq!((shown.summary.treasuries, shown.summary.providers), (Fen(1_000), Fen::ZERO));
        assert!(shown.lines.is_empty() && shown.summary.by_party.len() == 1);
    }

    #[test]
    fn whose_duty_it_is_sees_all_of_it_and_strangers_nothing() {
        let (state, settlement) = (State::default(), settlement());
        for (digit, role) in [('a', Role::Operator), ('e', Role::PriceAuthority), ('e', Role::Auditor)] {
            let viewer = viewer(digit, role);
            assert_eq!(settlement.shown(&Sight::new(&viewer, &state)), settlement);
        }
        // The treasury of a division within the node's is a stranger to what it does not collect.
        for (digit, role) in [('e', Role::Operator), ('e', Role::Provider), ('b', Role::Consumer), ('e', Role::Finance)]
        {
            let viewer = viewer(digit, role);
            assert!(!settlement.is_visible(&Sight::new(&viewer, &state)), "{digit} {role:?}");
        }
    }
}
