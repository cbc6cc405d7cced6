//! The binary `lingqu`: a node's server and its command line. It reads the configuration, opens the node, puts control
//! plane, data plane and log on one listener, starts what the node does by itself, and ends it in order.
//!
//! A subcommand is a file of its own with its arguments and a `run`; what it prints goes through [`output`], why it
//! failed is a [`failure::Failure`], one sentence on stderr. Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
//!
//! Not here: rules, SQL, HTTP of either plane. Those are `domain`, `store`, `api` and `gateway`; the use cases are `app`'s.

mod admin;
mod alert;
mod audit;
mod config;
mod connection;
mod demo;
mod descriptors;
mod doctor;
mod erase;
mod expiry;
mod failure;
mod http;
mod ingest;
mod init;
mod jobs;
mod lineage;
mod log;
mod marking;
mod metrics;
mod misconduct;
mod node;
mod openapi;
mod output;
mod password;
mod quality;
mod regulator;
mod replay;
mod serve;
mod server;
mod signals;
mod source_connection;
mod storage;
mod telemetry;
mod tls;
mod trace;
mod watch;
mod witness;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Stack of a worker thread, in bytes: query plans nest, and unoptimised builds take large frames for each level.
const STACK_BYTES: usize = 8 << 20;

/// The allocator of the whole process. Requests of the keyed path allocate a few hundred small pieces each, and an
/// export gives back large ones: see decision 0029 for what it changes in speed and in memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lingqu 灵渠: public data under authorisation
#[derive(Debug, Parser)]
#[command(name = "lingqu", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArguments),
    Init(init::InitArguments),
    Serve(serve::ServeArguments),
    Doctor(doctor::DoctorArguments),
    Replay(replay::ReplayArguments),
    Ingest(ingest::IngestArguments),
    Quality(quality::QualityArguments),
    Audit(audit::AuditArguments),
    Lineage(lineage::LineageArguments),
    Trace(trace::TraceArguments),
    Marking(marking::MarkingArguments),
    Regulator(regulator::RegulatorArguments),
    Erase(erase::EraseArguments),
    Witness(witness::WitnessArguments),
    Openapi(openapi::OpenapiArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments.command)),
        Err(error) => {
            Err(Failure::Mend(format!("the system gives no threads: {error}; end other programs and try again")))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::tell(&format!("lingqu: {failure}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Init(arguments) => init::run(arguments).await,
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Replay(arguments) => replay::run(arguments).await,
        Command::Ingest(arguments) => ingest::run(arguments).await,
        Command::Quality(arguments) => quality::run(arguments).await,
        Command::Audit(arguments) => audit::run(arguments).await,
        Command::Lineage(arguments) => lineage::run(arguments).await,
        Command::Trace(arguments) => trace::run(arguments).await,
        Command::Marking(arguments) => marking::run(arguments).await,
        Command::Regulator(arguments) => regulator::run(arguments).await,
        Command::Erase(arguments) => erase::run(arguments).await,
        Command::Witness(arguments) => witness::run(arguments).await,
        Command::Openapi(arguments) => openapi::run(arguments),
    }
}
