//! One run: the sections in their order, within the time that they have, and what several of them share.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::failure::{BenchError, file_error};
use crate::load::Measured;
use crate::node::{Demo, Node};
use crate::orders::{Flight, Order, Orders};
use crate::report::{Figures, Report};
use crate::scale::{MAKING_SECONDS, Scale};
use crate::section::{Section, chosen};
use crate::{
    Arguments, cold, crowd, export, flight, gone, inside, lag, load, machine, memory, neighbour, node, orders, peers,
    tail,
};

/// Directories below `out` that are removed after a run: what was made for it.
const MADE: [&str; 11] =
    ["node", "scale", "small", "tpch", "consent", "marks", "log", "lag", "receipts", "uses", "trace"];

/// What sections over the demo's data share.
pub struct Played {
    /// The demo.
    pub demo: Demo,
    /// Orders with room for the load.
    pub orders: Orders,
    /// Orders of the crowd.
    pub crowd: Vec<Order>,
    /// What is asked for.
    pub flights: Vec<Flight>,
}

/// A run.
pub struct Bench {
    /// How it was asked for.
    pub arguments: Arguments,
    begun: Instant,
    played: Made<Played>,
    keyed: Option<Rc<Vec<Measured>>>,
    scale: Made<Scale>,
}

/// What several sections share: made when it is first asked for, and not tried again when that failed.
type Made<T> = Option<Result<Rc<T>, String>>;

impl Bench {
    /// A run that begins now.
    pub fn new(arguments: Arguments) -> Result<Bench, BenchError> {
        fs::create_dir_all(&arguments.out).map_err(|error| file_error("make", &arguments.out, &error))?;
        Ok(Bench { arguments, begun: Instant::now(), played: None, keyed: None, scale: None })
    }

    /// Measures one section after another. What fails is told in the report and stops no other.
    pub async fn run(mut self) -> Result<Report, BenchError> {
        let machine = machine::describe(&self.arguments.binary, &self.arguments.out)?;
        let arguments = serde_json::to_value(&self.arguments);
        let arguments = arguments.map_err(|error| BenchError::Unexpected(error.to_string()))?;
        let chosen = chosen(&self.arguments.only);
        let (mut sections, mut failures) = (BTreeMap::new(), BTreeMap::new());
        for (done, section) in chosen.iter().copied().enumerate() {
            let wanted = self.wanted(section);
            let (name, left) = (section.name(), self.left());
            if wanted > left {
                let why = format!(
                    "it takes about {} s and {} s are left; give it more --minutes",
                    wanted.as_secs(),
                    left.as_secs()
                );
                failures.insert(name, why);
                continue;
            }
            eprintln!(
                "[{}/{} at {} s] {name}: about {} s",
                done + 1,
                chosen.len(),
                self.begun.elapsed().as_secs(),
                wanted.as_secs()
            );
            match self.section(section).await {
                Ok(figures) => drop(sections.insert(section, figures)),
                Err(error) => {
                    eprintln!("{name} failed: {error}");
                    failures.insert(name, error.to_string());
                }
            }
        }
        Ok(Report { machine, arguments, sections, failures, seconds: self.begun.elapsed().as_secs_f64() })
    }

    /// About how long a section takes, with what has to be made for it first.
    fn wanted(&self, section: Section) -> Duration {
        let makes = section.needs_scale() && self.scale.is_none();
        let seconds = section.seconds(self.arguments.seconds, u64::from(self.arguments.runs));
        Duration::from_secs(seconds + if makes { MAKING_SECONDS } else { 0 })
    }

    /// What is left of the time; programs that are run have no more.
    pub fn left(&self) -> Duration {
        Duration::from_secs(60 * self.arguments.minutes).saturating_sub(self.begun.elapsed())
    }

    /// How long each route is measured.
    pub fn span(&self) -> Duration {
        Duration::from_secs(self.arguments.seconds)
    }

    /// How often things are repeated.
    pub fn runs(&self) -> usize {
        usize::from(self.arguments.runs)
    }

    async fn section(&mut self, section: Section) -> Result<Figures, BenchError> {
        match section {
            Section::Start => node::measure(self).await,
            Section::Keyed => {
                let (figures, measured) = load::measure(self).await?;
                self.keyed = Some(Rc::new(measured));
                Ok(figures)
            }
            Section::Export => export::measure(self).await,
            Section::Stream => flight::measure(self).await,
            Section::Crowd => crowd::measure(self).await,
            Section::Gone => gone::measure(self).await,
            Section::Neighbour => neighbour::measure(self).await,
            Section::Peers => {
                let keyed = match &self.keyed {
                    Some(keyed) => Rc::clone(keyed),
                    None => Rc::new(load::measure(self).await?.1),
                };
                peers::measure(self, &keyed).await
            }
            Section::LookupTail => {
                let scale = self.scale()?;
                tail::measure(self, &scale).await
            }
            Section::ColdSession => {
                let scale = self.scale()?;
                cold::measure(self, &scale).await
            }
            Section::ExportMemory => {
                let scale = self.scale()?;
                memory::measure(self, &scale).await
            }
            Section::Tpch => inside::tpch(self),
            Section::Consent => inside::consent(self),
            Section::Marks => inside::marks(self),
            Section::Log => inside::log(self),
            Section::Lag => lag::measure(self).await,
            Section::Receipts => inside::receipts(self),
            Section::Uses => inside::uses(self),
            Section::Trace => inside::trace(self),
        }
    }

    /// The demo's data with orders for it.
    pub async fn played(&mut self) -> Result<Rc<Played>, BenchError> {
        if self.played.is_none() {
            let made = self.play().await;
            self.played = Some(made.map(Rc::new).map_err(|error| error.to_string()));
        }
        found(self.played.as_ref())
    }

    async fn play(&self) -> Result<Played, BenchError> {
        eprintln!("playing the demo for its data");
        let demo = node::play_demo(&self.arguments, self.left())?;
        let node = Node::serve(&self.arguments.binary, &demo.directory)?;
        let (orders, crowd) = orders::place(&node, &demo, crowd::QUERIES / crowd::QUERIES_PER_ORDER).await?;
        node.stop()?;
        let flights = orders::flights(&demo)?;
        Ok(Played { demo, orders, crowd, flights })
    }

    /// The nodes with many orders and with few.
    fn scale(&mut self) -> Result<Rc<Scale>, BenchError> {
        if self.scale.is_none() {
            let made = Scale::make(self);
            self.scale = Some(made.map(Rc::new).map_err(|error| error.to_string()));
        }
        found(self.scale.as_ref())
    }
}

fn found<T>(made: Option<&Result<Rc<T>, String>>) -> Result<Rc<T>, BenchError> {
    match made {
        Some(Ok(made)) => Ok(Rc::clone(made)),
        Some(Err(why)) => Err(BenchError::Unexpected(why.clone())),
        None => Err(BenchError::Unexpected("nothing was made".to_owned())),
    }
}

/// Removes what was made for a run and is no result of it.
pub fn remove_made(out: &Path) -> Result<(), BenchError> {
    for name in MADE {
        let directory = out.join(name);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(file_error("remove", &directory, &error));
            }
            _ => {}
        }
    }
    Ok(())
}
