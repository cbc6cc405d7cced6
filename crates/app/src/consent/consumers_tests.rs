//! Indexes that don't fit into memory together: which of them goes, and that whoever comes again finds what the rows say.

use std::sync::Arc;

use jiff::SignedDuration;
use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::command::Command;
use lingqu_domain::consent::Fields;
use lingqu_domain::id::ResourceId;
use lingqu_domain::party::{Division, Organisation, PartyDetails, Role, Tier};
use lingqu_domain::resource::{Column, DataType, Grade, Nature, Openness, ResourceDetails, Sharing};
use lingqu_domain::scope::{ColumnName, Purpose, Term};
use zeroize::Zeroizing;

use super::*;
use crate::app::AppSettings;
use crate::identity::NewUser;

const PURPOSE: &str = "service/check";
const PASSWORD: &str = "a password for tests";

fn details(consumer: &PartyId, resource: &ResourceId, now: Timestamp) -> ConsentDetails {
    ConsentDetails {
        consumer: consumer.clone(),
        purpose: Purpose(PURPOSE.to_owned()),
        resources: BTreeSet::from([resource.clone()]),
        fields: Fields::new(),
        term: Term { from: now, until: now.checked_add(SignedDuration::from_hours(24)).unwrap() },
        statement: "同意".to_owned(),
    }
}

/// Who has consented to a consumer, as far as it is loaded.
fn held(index: &ConsentIndex, consumer: &PartyId, resource: &ResourceId, now: Timestamp) -> Option<Vec<u32>> {
    let needed = Fields::from([(resource.clone(), BTreeSet::new())]);
    index.look(consumer, now, |consents, _| {
        consents.held(&consents.covering(consumer, &Purpose(PURPOSE.to_owned()), &needed)).iter().collect()
    })
}

#[test]
fn whoever_was_asked_for_longest_ago_makes_room() {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let resource: ResourceId = format!("res_{:032x}", 1).parse().unwrap();
    let consumers: Vec<PartyId> = (0..4).map(|number| format!("pty_{number:032x}").parse().unwrap()).collect();
    // Everybody's index is of one size.
    let of = |consumer: &PartyId| {
        let mut consents = ConsumerConsents::new(now);
        (0..100).for_each(|ordinal| consents.give(&details(consumer, &resource, now), ordinal));
        consents
    };
    let bytes = of(&consumers[0]).memory_bytes();
    let index = ConsentIndex::default();
    assert_eq!(index.lock().bytes_max, BYTES_MAX);
    index.lock().bytes_max = 2 * bytes;
    let loaded = || consumers.iter().map(|consumer| index.is_loaded(consumer)).collect::<Vec<_>>();
    index.put(consumers[0].clone(), of(&consumers[0]));
    index.put(consumers[1].clone(), of(&consumers[1]));
    assert_eq!(loaded(), [true, true, false, false]);
    assert_eq!(held(&index, &consumers[0], &resource, now).map(|held| held.len()), Some(100));
    index.put(consumers[2].clone(), of(&consumers[2]));
    assert_eq!(loaded(), [true, false, true, false]);
    assert_eq!(held(&index, &consumers[1], &resource, now), None);
    index.put(consumers[3].clone(), of(&consumers[3]));
    assert_eq!(loaded(), [false, false, true, true]);
    // One that is larger than all the room is kept alone, or it could never be served.
    index.lock().bytes_max = bytes - 1;
    index.put(consumers[1].clone(), of(&consumers[1]));
    assert_eq!(loaded(), [false, true, false, false]);
}

/// A node with two consumers of one resource about persons.
struct Node {
    app: Arc<App>,
    consumers: [PartyId; 2],
    resource: ResourceId,
    _directory: tempfile::TempDir,
}

fn party(serial: u32, roles: &[Role]) -> PartyDetails {
    PartyDetails {
        name: format!("测试主体{serial}"),
        name_en: format!("Party {serial}"),
        credit_code: format!("TEST45000000000{serial:03}"),
        organisation: Organisation::Department,
        roles: roles.iter().copied().collect(),
        tier: Tier::Region,
        division: Division::new("450000").unwrap(),
        ties: BTreeSet::new(),
    }
}

fn people() -> ResourceDetails {
    let id_number = ColumnName::new("id_number").unwrap();
    let column = Column {
        name: id_number.clone(),
        data_type: DataType::Text,
        meaning: "号码".to_owned(),
        grade: Grade::General3,
    };
    ResourceDetails {
        table: ColumnName::new("people").unwrap(),
        name: "测试资源".to_owned(),
        name_en: "people".to_owned(),
        summary: "测试资源".to_owned(),
        division: Division::new("450000").unwrap(),
        basis: "测试".to_owned(),
        source: "people.csv".to_owned(),
        columns: vec![column],
        key: vec![id_number.clone()],
        subject: Some(id_number),
        key_names_subject: false,
        personal_basis: Some("履行法定职责所必需".to_owned()),
        sharing: Sharing::Unconditional,
        openness: Openness::NotOpen,
        update_cycle_days: 0,
        nature: Nature::Synthetic,
        marks: None,
    }
}

impl Node {
    async fn open() -> Node {
        let directory = tempfile::tempdir().unwrap();
        let settings = AppSettings::of(directory.path().to_owned());
        let app = App::open(settings).await.unwrap();
        let name = |name: &str| Zeroizing::new(name.to_owned());
        let division = Division::new("450000").unwrap();
        let authority = party(1, &[Role::DataAuthority, Role::Provider, Role::Consumer]);
        let admin = app.initialise(Tier::Region, division, authority, "admin", name("管理员"), PASSWORD).await;
        let admin = Actor::User(admin.unwrap());
        let authority = app.read(|state| state.parties.keys().next().cloned()).unwrap();
        let new = NewUser {
            party: authority.clone(),
            duties: BTreeSet::from([Duty::Handler]),
            login: "clerk".to_owned(),
            display_name: name("经办"),
            password: name(PASSWORD),
        };
        let clerk = Actor::User(app.add_user(&admin, new, Default::default()).await.unwrap());
        let register = Command::RegisterParty { details: party(2, &[Role::Consumer]) };
        let other = app.execute(&admin, register, Default::default()).await.unwrap();
        let other = other.stream_of("party.registered").unwrap().parse().unwrap();
        let draft = Command::DraftResource { details: Box::new(people()) };
        let resource = app.execute(&clerk, draft, Default::default()).await.unwrap();
        let resource = resource.stream_of("resource.drafted").unwrap().parse().unwrap();
        Node { app, consumers: [authority, other], resource, _directory: directory }
    }

    async fn consent(&self, person: &str, consumer: usize) -> ConsentId {
        let details = details(&self.consumers[consumer], &self.resource, self.app.now());
        self.app.give_consent(person, details).await.unwrap()
    }

    /// How many have consented to each, as far as it is loaded.
    fn held(&self) -> [Option<usize>; 2] {
        let now = self.app.now();
        let index = &self.app.consents;
        [0, 1].map(|at| held(index, &self.consumers[at], &self.resource, now).map(|held| held.len()))
    }
}

#[tokio::test]
async fn who_was_given_up_is_loaded_again_with_what_came_meanwhile() {
    let node = Node::open().await;
    let app = &node.app;
    // No two of them have room.
    app.consents.lock().bytes_max = 0;
    let first = node.consent("甲", 0).await;
    node.consent("乙", 0).await;
    node.consent("甲", 1).await;
    assert_eq!(node.held(), [None, None], "nobody was asked for");
    app.load_consents(&node.consumers[0]).await.unwrap();
    assert_eq!(node.held(), [Some(2), None]);
    // What comes while it is loaded is followed.
    node.consent("丙", 0).await;
    assert_eq!(node.held(), [Some(3), None]);
    app.load_consents(&node.consumers[1]).await.unwrap();
    assert_eq!(node.held(), [None, Some(1)]);
    // What comes while it is not is found in the rows.
    app.withdraw_consent("甲", &first).await.unwrap();
    node.consent("丁", 0).await;
    assert_eq!(node.held(), [None, Some(1)]);
    app.load_consents(&node.consumers[0]).await.unwrap();
    assert_eq!(node.held(), [Some(3), None]);
    app.load_consents(&node.consumers[1]).await.unwrap();
    assert_eq!(node.held(), [None, Some(1)]);
}
