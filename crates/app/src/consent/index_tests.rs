//! The index beside the plain definition: somebody consents when one of his consents that permits everything is in force.

use lingqu_domain::scope::ColumnName;

use super::*;

/// A small generator of numbers (xorshift), so that a failing run is told by its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[derive(Clone)]
struct Given {
    details: ConsentDetails,
    ordinal: u32,
    batch: Option<(ConsentBatchId, u32)>,
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(second).unwrap()).unwrap()
}

fn resource(number: u64) -> ResourceId {
    format!("res_{number:032x}").parse().unwrap()
}

fn consumer() -> PartyId {
    format!("pty_{:032x}", 1).parse().unwrap()
}

fn column(name: &str) -> ColumnName {
    ColumnName::new(name).unwrap()
}

fn details(dice: &mut Dice, now: u64) -> ConsentDetails {
    let purposes = ["credit", "credit/loan", "credit/loan/house"];
    let purpose = Purpose(purposes[usize::try_from(dice.below(3)).unwrap()].to_owned());
    let mut resources = BTreeSet::from([resource(0)]);
    if dice.below(2) == 0 {
        resources.insert(resource(1));
    }
    let mut fields = Fields::new();
    if dice.below(2) == 0 {
        let given = if dice.below(2) == 0 { vec![column("a")] } else { vec![column("a"), column("b")] };
        fields.insert(resource(0), given.into_iter().collect());
    }
    let from = now + dice.below(20);
    let from = if dice.below(2) == 0 { now.saturating_sub(5) } else { from };
    // Ends of a few moments alone, so that several consents of one kind end together.
    let until = (from + 1 + dice.below(30)).next_multiple_of(10);
    let term = Term { from: at(from), until: at(until) };
    ConsentDetails { consumer: consumer(), purpose, resources, fields, term, statement: "同意".to_owned() }
}

fn questions() -> Vec<(Purpose, Fields)> {
    let purpose = |code: &str| Purpose(code.to_owned());
    let of = |number: u64, columns: &[&str]| {
        (resource(number), columns.iter().map(|name| column(name)).collect::<BTreeSet<_>>())
    };
    vec![
        (purpose("credit/loan"), Fields::from([of(0, &["a"])])),
        (purpose("credit/loan"), Fields::from([of(0, &["a", "b"])])),
        (purpose("credit/loan/house"), Fields::from([of(0, &["b"]), of(1, &[])])),
        (purpose("other"), Fields::from([of(0, &[])])),
    ]
}

fn expected(given: &[Given], purpose: &Purpose, needed: &Fields, now: Timestamp) -> BTreeSet<u32> {
    let covering = given
        .iter()
        .filter(|given| given.details.permits(&consumer(), purpose, needed) && given.details.term.covers(now));
    covering.map(|given| given.ordinal).collect()
}

#[test]
fn of_two_that_end_together_the_one_that_was_withdrawn_goes() {
    let given = |from: u64| ConsentDetails {
        consumer: consumer(),
        purpose: Purpose("credit".to_owned()),
        resources: BTreeSet::from([resource(0)]),
        fields: Fields::new(),
        term: Term { from: at(from), until: at(100) },
        statement: "同意".to_owned(),
    };
    let (running, waiting) = (given(0), given(50));
    for [first, second] in [[&waiting, &running], [&running, &waiting]] {
        let mut index = ConsumerConsents::new(at(10));
        index.give(&running, 7);
        index.give(&waiting, 7);
        index.take_back(first, 7);
        assert_eq!(index.holds(&[0], 7), first.term == waiting.term, "what is left of them is in force or not");
        index.take_back(second, 7);
        for moment in [10, 50, 99] {
            index.advance(at(moment));
            assert!(!index.holds(&[0], 7), "both were withdrawn, at {moment}");
        }
    }
}

#[test]
fn whatever_happens_the_index_says_what_the_definition_says() {
    for seed in 1..=300_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut now = 100;
        let mut index = ConsumerConsents::new(at(now));
        let mut given: Vec<Given> = Vec::new();
        let mut batches = 0_u64;
        // What somebody has who follows the changes alone.
        let mut followed: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); questions().len()];
        let mut sequence = index.sequence();
        for step in 0..120 {
            match dice.below(6) {
                0 | 1 => {
                    let details = details(&mut dice, now);
                    let ordinal = u32::try_from(dice.below(12)).unwrap();
                    index.give(&details, ordinal);
                    given.push(Given { details, ordinal, batch: None });
                }
                2 => {
                    let details = details(&mut dice, now);
                    let first = u32::try_from(dice.below(8)).unwrap();
                    let id: ConsentBatchId = format!("csb_{batches:032x}").parse().unwrap();
                    batches += 1;
                    let ordinals: Vec<u32> = (first..first + 5).rev().collect();
                    index.give_batch(&id, &details, ordinals.clone(), &BTreeSet::new());
                    for (place, ordinal) in (0..).zip(ordinals) {
                        given.push(Given { details: details.clone(), ordinal, batch: Some((id.clone(), place)) });
                    }
                }
                3 if !given.is_empty() => {
                    let at = usize::try_from(dice.below(given.len() as u64)).unwrap();
                    let taken = given.swap_remove(at);
                    match taken.batch {
                        None => index.take_back(&taken.details, taken.ordinal),
                        Some((batch, place)) => index.take_back_member(&batch, place),
                    }
                }
                _ => {
                    now += dice.below(6);
                    index.advance(at(now));
                }
            }
            for (question, (purpose, needed)) in questions().iter().enumerate() {
                let covering = index.covering(&consumer(), purpose, needed);
                let wanted = expected(&given, purpose, needed, at(now));
                let held: BTreeSet<u32> = index.held(&covering).iter().collect();
                assert_eq!(held, wanted, "seed {seed}, step {step}, question {question}");
                let follow = &mut followed[question];
                for change in index.changes_since(sequence).expect("few changes") {
                    change.who.any(|ordinal| {
                        if index.holds(&covering, ordinal) {
                            follow.insert(ordinal);
                        } else {
                            follow.remove(&ordinal);
                        }
                        false
                    });
                }
                assert_eq!(*follow, wanted, "seed {seed}, step {step}, question {question}: following");
            }
            sequence = index.sequence();
            if let Some(next) = index.next_boundary() {
                assert!(next > at(now), "seed {seed}, step {step}: a boundary that has passed");
            }
        }
        // Made anew from what stands, it says the same.
        let mut anew = ConsumerConsents::new(at(now));
        for given in &given {
            anew.give(&given.details, given.ordinal);
        }
        for (purpose, needed) in questions() {
            let of = |index: &ConsumerConsents| {
                index.held(&index.covering(&consumer(), &purpose, &needed)).iter().collect::<Vec<_>>()
            };
            assert_eq!(of(&anew), of(&index), "seed {seed}");
        }
    }
}

#[test]
fn who_missed_too_much_is_told_so() {
    let mut dice = Dice(7);
    let now = 100;
    let mut index = ConsumerConsents::new(at(now));
    let consent = ConsentDetails { term: Term { from: at(0), until: at(1_000) }, ..details(&mut dice, now) };
    for ordinal in 0..u32::try_from(CHANGES_MAX).unwrap() + 1 {
        index.give(&consent, ordinal);
    }
    assert!(index.changes_since(0).is_none());
    assert_eq!(index.changes_since(1).expect("they are remembered").count(), CHANGES_MAX);
    assert_eq!(index.changes_since(index.sequence()).expect("nothing is missed").count(), 0);
}

#[test]
fn a_million_consents_take_a_few_bytes_each_and_a_change_touches_one() {
    const BATCHES: u32 = 100;
    const MEMBERS: u32 = 10_000;
    let mut dice = Dice(3);
    let mut index = ConsumerConsents::new(at(100));
    let consent = ConsentDetails { term: Term { from: at(0), until: at(1_000) }, ..details(&mut dice, 100) };
    let id = |batch: u32| -> ConsentBatchId { format!("csb_{batch:032x}").parse().unwrap() };
    for batch in 0..BATCHES {
        // In an order of their own: the factor is a prime.
        let places = (batch * MEMBERS..(batch + 1) * MEMBERS).map(|place| u64::from(place) * 7_919);
        let ordinals = places.map(|place| u32::try_from(place % u64::from(BATCHES * MEMBERS)).unwrap()).collect();
        index.give_batch(&id(batch), &consent, ordinals, &BTreeSet::new());
    }
    let kinds = index.covering(&consumer(), &consent.purpose, &Fields::from([(resource(0), BTreeSet::new())]));
    assert_eq!(index.held(&kinds).len(), u64::from(BATCHES * MEMBERS));
    let bytes = index.memory_bytes();
    assert!(bytes <= 8 * (BATCHES * MEMBERS) as usize, "{bytes} bytes");
    let sequence = index.sequence();
    index.take_back_member(&id(7), 9_999);
    let changes: Vec<&Change> = index.changes_since(sequence).expect("it is remembered").collect();
    assert!(matches!(changes[..], [Change { is_loss: true, who: Who::One(_), .. }]), "{changes:?}");
    assert_eq!(index.held(&kinds).len(), u64::from(BATCHES * MEMBERS) - 1);
    // All of them end at once, and nothing is left behind.
    index.advance(at(1_000));
    assert!(index.held(&kinds).is_empty());
    assert!(index.memory_bytes() < 10_000, "{}", index.memory_bytes());
}
