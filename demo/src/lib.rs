//! The scripted life of data on real input: from source files to certified resources, authorised scenarios, products,
//! paid orders, governed deliveries with receipts, marked copies and a leak that names its order, a settlement that adds up, a log
//! that a second node witnesses, and evidence that anyone can check.
//!
//! The script gives commands as the users of its parties would, and asks for data over HTTP with nothing but a service
//! key, as a consumer would. It starts in the node's past and moves the node's clock forward through the deadlines, so
//! that publicity periods really pass; it ends at the machine's time. It does not start servers and prints nothing: who
//! calls it serves both nodes, and gets every step as it is done.

mod authorise;
mod cast;
mod catalogue;
pub mod data;
mod deliver;
mod leak;
mod market;
mod marking;
mod neighbour;
mod oversee;
mod person;
mod print;
mod published;
mod report;
mod resources;
mod settle;
mod stage;

use std::collections::BTreeMap;
use std::sync::Arc;

use lingqu_app::{App, AppError};
use lingqu_domain::refusal::Refusal;
use serde_json::Value;

pub use cast::DEMO_PASSWORD;
pub use neighbour::Neighbour;
pub use print::{print_report, print_step};
pub use report::{
    DemoReport, EvidenceShown, Finding, LedgerShown, LoginShown, OrderShown, RefusalShown, Step, SuspensionShown,
    TraceShown, WitnessShown,
};

/// How far in the past the node's clock must start.
pub const CLOCK_BEHIND_DAYS: i64 = 120;

/// Seed of the synthetic strand.
pub const SYNTHETIC_SEED: u64 = 20_231_101;

/// Why the demo stopped.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A use case said no or failed.
    #[error(transparent)]
    App(#[from] AppError),
    /// The domain said no while the script was being written down.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The demo's own input is damaged.
    #[error(transparent)]
    Data(#[from] data::DataError),
    /// The node does not answer over HTTP.
    #[error("the node does not answer: {0}")]
    Http(String),
    /// Something came out otherwise than it should.
    #[error("{0}")]
    Unexpected(String),
}

/// Called with each step as it is done.
pub type Progress<'a> = &'a mut (dyn FnMut(&Step) + Send);

/// Writes down what is done.
struct Recorder<'a> {
    report: DemoReport,
    progress: Progress<'a>,
}

impl Recorder<'_> {
    fn step(&mut self, name: &str, name_en: &str, figures: &[(&str, Value)]) {
        let step = Step {
            number: self.report.steps.len() + 1,
            name: name.to_owned(),
            name_en: name_en.to_owned(),
            ok: true,
            figures: figures
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect::<BTreeMap<_, _>>(),
        };
        (self.progress)(&step);
        self.report.steps.push(step);
    }
}

/// Plays the life of data on a fresh node whose data plane answers at `base_url`. The node's clock runs
/// [`CLOCK_BEHIND_DAYS`] behind at the start. A fresh neighbour, served too, witnesses its log. Error: the first thing that came out otherwise than it should.
pub async fn run(
    app: Arc<App>,
    base_url: &str,
    neighbour: &Neighbour,
    progress: Progress<'_>,
) -> Result<DemoReport, DemoError> {
    let stage = stage::Stage::new(app, base_url)?;
    let mut recorder = Recorder { report: DemoReport::default(), progress };
    let cast = cast::assemble(&stage).await?;
    neighbour::stand_by(&stage, neighbour).await?;
    recorder.report.logins.clone_from(&cast.logins);
    recorder.step(
        "主体与用户登记",
        "Parties and users",
        &[
            ("parties", stage.app.read(|state| state.parties.len()).into()),
            ("users", stage.app.read(|state| state.users.len()).into()),
        ],
    );
    let resources = resources::bring_in(&stage, &cast, &mut recorder).await?;
    let authorised = authorise::authorise(&stage, &cast, &resources, &mut recorder).await?;
    let products = market::offer(&stage, &cast, &resources, &authorised, &mut recorder).await?;
    let orders = market::order(&stage, &cast, &resources, &products, &mut recorder).await?;
    deliver::deliver(&stage, &resources, &orders, &mut recorder).await?;
    let copies = leak::copies(&stage, &cast, &orders, &mut recorder).await?;
    leak::trace(&stage, &orders, &copies, &mut recorder).await?;
    settle::settle(&stage, &cast, &mut recorder).await?;
    oversee::suspend(&stage, &cast, &authorised, &orders, &mut recorder).await?;
    neighbour::witness(&stage, neighbour, &mut recorder).await?;
    person::uses(&stage, &cast, &resources, &mut recorder).await?;
    oversee::prove(&stage, &orders, &mut recorder).await?;
    Ok(recorder.report)
}
