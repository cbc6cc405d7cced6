//! The catalogue as psql asks for it: everything that its commands beginning with `\d` and their like show.

use std::process::{Command, Stdio};

use crate::served::{Guarded, told};
use lingqu_tests::node::{Ended, run_command};

const COMMANDS: &[&str] = &[
    r"\d",
    r"\d+",
    r"\d *",
    r"\d *.*",
    r"\d trips",
    r"\d+ trip_guarded",
    r"\d+ trip_records",
    r"\d pg_stats",
    r"\dt *.*",
    r"\dt+",
    r"\dv+ *.*",
    r"\dm+",
    r"\di+ *.*",
    r"\ds+",
    r"\dE+",
    r"\df *.*",
    r"\da",
    r"\dn+",
    r"\du+",
    r"\dg",
    r"\dp",
    r"\z",
    r"\l+",
    r"\dx",
    r"\dD+",
    r"\dT+",
    r"\dC",
    r"\dO",
    r"\do",
    r"\dc",
    r"\dd",
    r"\ddp",
    r"\drds",
    r"\dconfig",
    r"\des+",
    r"\det+",
    r"\dew+",
    r"\deu+",
    r"\dF+",
    r"\dRp+",
    r"\dRs+",
    r"\dX",
    r"\dy",
    r"\dL",
    r"\dA",
    r"\sv trip_guarded",
    r"\sf trips",
    r"\db+",
    r"\conninfo",
    r"\dP+",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM information_schema.columns",
    "SELECT * FROM information_schema.schemata",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM pg_catalog.pg_attribute",
    "SELECT description FROM pg_catalog.pg_description WHERE objsubid > 0",
    "SELECT * FROM pg_catalog.pg_stats",
    "SELECT * FROM pg_catalog.pg_statistic",
    "SELECT relname, reltuples, relpages FROM pg_catalog.pg_class",
    "SELECT pg_relation_size('trip_guarded')",
    "SELECT pg_total_relation_size('trip_guarded')",
    "SELECT pg_get_viewdef('trip_guarded')",
    "SELECT obj_description('trip_guarded'::regclass)",
    "SELECT col_description('trip_guarded'::regclass, 6)",
    "SELECT 'trips'::regclass",
    "SELECT to_regclass('trip_records')",
    "SELECT current_setting('data_directory')",
    "SHOW data_directory",
    "SHOW config_file",
    "SELECT * FROM pg_ls_dir('.')",
    "SELECT * FROM pg_stat_activity",
    "SELECT * FROM pg_catalog.pg_authid",
    "EXPLAIN SELECT trip_id, vehicle FROM trip_guarded WHERE trip_id > 0",
    "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM trip_guarded",
    "EXPLAIN SELECT * FROM pg_catalog.pg_class",
    "COPY trip_guarded TO STDOUT",
    "COPY (SELECT * FROM trips) TO STDOUT WITH (FORMAT csv, HEADER)",
    r"\copy trip_guarded to stdout",
    r"\copy (select note from trips) to stdout",
];

/// Names of what the order does not have.
const FOREIGN: &[&str] = &["note", "trips", "trip_records", "trip_check", "trip_statistics", "person_check", "people"];

fn psql(address: &str, command: &str) -> Ended {
    let mut program = Command::new("psql");
    program.args(["-X", "--no-password", "-v", "VERBOSITY=verbose", "-P", "pager=off", "-d", address, "-c", command]);
    program.env("PGCONNECT_TIMEOUT", "20");
    run_command(program)
}

/// A word that stands in a text for itself.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|found| found == word)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql_shows_the_granted_table_and_nothing_of_another() {
    let version = Command::new("psql").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "psql is missing; run make setup");
        eprintln!("\n*** psql IS MISSING: THE CATALOGUE WAS NOT LOOKED AT. Run `make setup`. ***\n");
        return;
    }
    let guarded = Guarded::open().await;
    let where_ = guarded.postgres.trim_start_matches("postgres://");
    let address = format!("postgresql://{}:{}@{where_}", guarded.order.id, guarded.order.key);
    let mut wrong = Vec::new();
    let mut answered = 0;
    for command in COMMANDS {
        let (address, asked) = (address.clone(), (*command).to_owned());
        let ended = tokio::task::spawn_blocking(move || psql(&address, &asked)).await.expect("psql is run");
        answered += usize::from(ended.code == Some(0));
        let said = format!("{}\n{}", ended.stdout, ended.stderr);
        // The last part of a refusal repeats the statement.
        let said: String = said.lines().filter(|line| !line.starts_with("LINE ")).collect::<Vec<_>>().join("\n");
        let told = told(&said, command);
        if !told.is_empty() {
            wrong.push(format!("{command}\n  tells {told}  {said}"));
        }
        for name in FOREIGN.iter().filter(|name| has_word(&said, name) && !command.contains(**name)) {
            wrong.push(format!("{command}\n  tells of `{name}`\n  {said}"));
        }
        let is_explained = command.starts_with("EXPLAIN SELECT trip_id");
        if is_explained {
            assert!(
                said.contains("QUERY PLAN") && said.contains("Table: trip_guarded, columns=[trip_id, vehicle]"),
                "{said}"
            );
        } else if command.contains("copy") || command.starts_with("COPY") || command.starts_with("EXPLAIN") {
            assert_ne!(ended.code, Some(0), "{command} is answered: {said}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(answered >= 10, "only {answered} commands were answered");
    let shown = tokio::task::spawn_blocking(move || psql(&address, r"\d trip_guarded")).await.expect("psql is run");
    for column in ["trip_id", "line", "day", "delay", "vehicle"] {
        assert!(has_word(&shown.stdout, column), "{shown:?}");
    }
}
