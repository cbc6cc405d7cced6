//! Prices (PRICE-65): the permitted revenue of an operator (最高准许收入), within it the ceiling of a product
//! (上限收费标准), at or below that the price the operator sets. Free for public governance and public interest.

use std::collections::BTreeSet;

use lingqu_ledger::{Fen, PermittedRevenue as RevenueParts, UnitPrice, profit_rate_ceiling};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{PartyId, PermittedRevenueId, ProductId};
use crate::product::{self, Product, ProductEvent};
use crate::refusal::{Refusal, RefusalCode};
use crate::scope::{Purpose, Term};
use crate::state::{Listed, Meta};

/// The purpose subtree that is always free of charge.
pub const PUBLIC_PURPOSE: &str = "public";

/// What a product's price may not exceed, per charging unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// Per call: a verification, a lookup, a query or a page of rows.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub per_call: UnitPrice,
    /// Per data set: one snapshot set delivered as a file.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub per_data_set: UnitPrice,
    /// The permitted revenue it stands within.
    pub permitted_revenue: PermittedRevenueId,
}

/// What a product costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Per call.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub per_call: UnitPrice,
    /// Per data set.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub per_data_set: UnitPrice,
    /// Further purposes that are free of charge.
    #[serde(default)]
    pub free_purposes: BTreeSet<Purpose>,
}

impl Price {
    /// True when orders for a purpose pay nothing.
    pub fn is_free_for(&self, purpose: &Purpose) -> bool {
        purpose.is_within(&Purpose(PUBLIC_PURPOSE.to_owned()))
            || self.free_purposes.iter().any(|free| purpose.is_within(free))
    }

    /// The fee for what was used: each unit's whole quantity rounded once. Error: more than money can hold.
    pub fn fee(&self, purpose: &Purpose, calls: u64, data_sets: u64) -> Result<Fen, lingqu_ledger::LedgerError> {
        if self.is_free_for(purpose) {
            return Ok(Fen::ZERO);
        }
        self.per_call.amount(calls)?.checked_add(self.per_data_set.amount(data_sets)?)
    }
}

/// What an operator may earn in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PermittedRevenue {
    /// Its id.
    pub id: PermittedRevenueId,
    /// The operator.
    pub operator: PartyId,
    /// The period.
    pub term: Term,
    /// Cost, profit rate and tax.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub parts: RevenueParts,
    /// The ten-year treasury yield it was fixed with, as a fraction.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub treasury_yield: Decimal,
    /// Income settled so far.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub earned: Fen,
    /// Who fixed it.
    pub by: Actor,
}

/// What happened to a permitted revenue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PermittedRevenueEvent {
    /// It was fixed.
    Fixed {
        /// The operator.
        operator: PartyId,
        /// The period.
        term: Term,
        /// Cost, profit rate and tax.
        parts: RevenueParts,
        /// The treasury yield.
        treasury_yield: Decimal,
    },
    /// A settlement earned something.
    Earned {
        /// The operator's income of the settlement.
        amount: Fen,
    },
    /// A settlement was reversed.
    Returned {
        /// The operator's income of the settlement.
        amount: Fen,
    },
}

impl PermittedRevenue {
    pub(crate) fn fold(
        previous: Option<Self>,
        id: PermittedRevenueId,
        event: &PermittedRevenueEvent,
        meta: &Meta,
    ) -> Option<Self> {
        match (previous, event) {
            (None, PermittedRevenueEvent::Fixed { operator, term, parts, treasury_yield }) => Some(Self {
                id,
                operator: operator.clone(),
                term: *term,
                parts: parts.clone(),
                treasury_yield: *treasury_yield,
                earned: Fen::ZERO,
                by: meta.actor.clone(),
            }),
            (Some(revenue), PermittedRevenueEvent::Earned { amount }) if *amount > Fen::ZERO => {
                let earned = revenue.earned.checked_add(*amount).ok()?;
                Some(Self { earned, ..revenue })
            }
            (Some(revenue), PermittedRevenueEvent::Returned { amount })
                if *amount > Fen::ZERO && *amount <= revenue.earned =>
            {
                let earned = revenue.earned.checked_sub(*amount).ok()?;
                Some(Self { earned, ..revenue })
            }
            _ => None,
        }
    }
}

impl Listed for PermittedRevenue {
    fn state(&self) -> &'static str {
        match self.parts.excess(self.earned) {
            Ok(excess) if excess == Fen::ZERO => "within",
            _ => "exceeded",
        }
    }
    fn title(&self) -> String {
        self.operator.to_string()
    }
    fn owner(&self) -> String {
        self.operator.to_string()
    }
}

pub(crate) fn fix_permitted_revenue(
    deciding: &mut Deciding<'_>,
    operator: &PartyId,
    term: Term,
    cost: Fen,
    profit_rate: Decimal,
    tax: Fen,
    treasury_yield: Decimal,
) -> Result<(), Refusal> {
    deciding.party(operator)?;
    if let Some(user) = deciding.context.actor.user()
        && deciding.user(user)?.party == *operator
    {
        return Err(Refusal::new(
            RefusalCode::RelatedParties,
            operator,
            "运营机构的准许收入由其他主体的价格主管部门核定",
            "an operator's permitted revenue is fixed by a price authority that is another party",
        ));
    }
    if term.from >= term.until {
        return Err(Refusal::invalid("term", "起止时间有误", "the term is empty"));
    }
    let refused = |error: lingqu_ledger::LedgerError| {
        Refusal::invalid("profit_rate", format!("准许收入有误（发改价格〔2025〕65号）：{error}"), error)
    };
    let rate_max = profit_rate_ceiling(treasury_yield, deciding.state.rulebook().profit_points_max).map_err(refused)?;
    let parts = RevenueParts::new(cost, profit_rate, tax, rate_max).map_err(refused)?;
    let id = PermittedRevenueId::next(&mut deciding.ids);
    let fixed = PermittedRevenueEvent::Fixed { operator: operator.clone(), term, parts, treasury_yield };
    deciding.emit(&id, Event::PermittedRevenue(fixed));
    Ok(())
}

pub(crate) fn set_ceiling(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &ProductId,
    ceiling: &Ceiling,
) -> Result<(), Refusal> {
    let product = deciding.product(id)?;
    let implementers = product::implementers(deciding, product)?;
    let implementer = acting.must_act_for_one_of(&implementers)?.clone();
    let revenue = deciding.permitted_revenue(&ceiling.permitted_revenue)?;
    if revenue.operator != product.operator || !revenue.term.covers(deciding.context.now) {
        return Err(Refusal::new(
            RefusalCode::NotInForce,
            &ceiling.permitted_revenue,
            "该准许收入不属于此运营机构或不在有效期内",
            "this permitted revenue is another operator's, or is not in force now",
        ));
    }
    // A single unit that costs more than the whole period may earn can't be within it.
    let total = revenue.parts.total().map_err(|error| Refusal::invalid("permitted_revenue", &error, &error))?;
    for (field, unit) in [("per_call", ceiling.per_call), ("per_data_set", ceiling.per_data_set)] {
        let one = unit.amount(1).map_err(|error| Refusal::invalid(field, &error, &error))?;
        if one > total {
            return Err(Refusal::new(
                RefusalCode::PriceAboveCeiling,
                field,
                format!("上限收费标准 {one} 元超出最高准许收入 {total} 元"),
                format!("the ceiling of {one} yuan is outside the permitted revenue of {total} yuan"),
            ));
        }
    }
    let mut lowest = ceiling.clone();
    if implementers.len() > 1 {
        let agreed = ProductEvent::CeilingAgreed { implementer: implementer.clone(), ceiling: ceiling.clone() };
        deciding.emit(id, Event::Product(agreed));
        for other in implementers.iter().filter(|other| **other != implementer) {
            let Some(other) = product.ceilings.get(other) else { return Ok(()) };
            lowest.per_call = lowest.per_call.min(other.per_call);
            lowest.per_data_set = lowest.per_data_set.min(other.per_data_set);
        }
    }
    deciding.emit(id, Event::Product(ProductEvent::CeilingSet(lowest)));
    Ok(())
}

pub(crate) fn set_price(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &ProductId,
    price: &Price,
) -> Result<(), Refusal> {
    let product = deciding.product(id)?;
    acting.must_act_for(&product.operator)?;
    let Some(ceiling) = &product.ceiling else {
        return Err(Refusal::wrong_state(id, "without a ceiling", "a ceiling set by the implementer"));
    };
    check_within(price, ceiling)?;
    deciding.emit(id, Event::Product(ProductEvent::PriceSet(price.clone())));
    Ok(())
}

/// The price of a product, which must not be above its ceiling: the implementer may have lowered that since.
pub(crate) fn in_force<'a>(id: &ProductId, product: &'a Product) -> Result<&'a Price, Refusal> {
    match (&product.price, &product.ceiling) {
        (Some(price), Some(ceiling)) => {
            check_within(price, ceiling)?;
            Ok(price)
        }
        _ => Err(Refusal::wrong_state(id, "without a price", "a price")),
    }
}

/// Refuses a contract at a price above the product's ceiling as it stands now. Error: `price_above_ceiling`.
pub(crate) fn must_be_allowed(price: &Price, product: &Product) -> Result<(), Refusal> {
    let Some(ceiling) = &product.ceiling else { return Ok(()) };
    check_within(price, ceiling).map_err(|above| {
        Refusal::new(
            above.code,
            &above.subject,
            format!("{}；上限在下单后下调，请终止此订单（end_order）后重新下单", above.zh),
            format!("{}, which was lowered since the order was placed; end it (end_order) and place it anew", above.en),
        )
    })
}

fn check_within(price: &Price, ceiling: &Ceiling) -> Result<(), Refusal> {
    for (field, asked, allowed) in
        [("per_call", price.per_call, ceiling.per_call), ("per_data_set", price.per_data_set, ceiling.per_data_set)]
    {
        if asked > allowed {
            return Err(Refusal::new(
                RefusalCode::PriceAboveCeiling,
                field,
                format!("{field} 定价 {} 元高于上限收费标准 {} 元", asked.yuan(), allowed.yuan()),
                format!("{field}: {} yuan is above the ceiling of {} yuan", asked.yuan(), allowed.yuan()),
            ));
        }
    }
    Ok(())
}
