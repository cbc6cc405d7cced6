//! Three tiers, each a process of its own: region, city and county witness one another's logs and publish what both others have
//! cosigned. An auditor with nothing but a policy follows them; one tier that is gone holds up what needs it, and comes back.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lingqu_app::{LogWatch, WatchError, WatchSetting};
use lingqu_tests::free_port;
use lingqu_tests::node::{Node, binary, run};
use lingqu_transparency::{Checkpoint, LogPolicy, NoteVerifier, Observation, SignedNote, TransparencyError};
use serde_json::Value;
use tempfile::TempDir;

/// How long three processes on one machine may take to agree.
const AGREED_MAX: Duration = Duration::from_secs(90);
const TIERS: [(&str, &str); 3] = [("region", "450000"), ("city", "450100"), ("county", "450123")];

/// A tier's node, before and while it serves.
struct Tier {
    directory: TempDir,
    port: u16,
    logs: Vec<NoteVerifier>,
    witness: Vec<String>,
}

impl Tier {
    fn new((tier, division): (&str, &str)) -> Tier {
        let directory = tempfile::tempdir().unwrap();
        let password = directory.path().join("password");
        std::fs::write(&password, "a password for tests\n").unwrap();
        let (node, password) = (directory.path().join("node").display().to_string(), password.display().to_string());
        let ended =
            run(&["init", "--tier", tier, "--division", division, "--dir", &node, "--password-file", &password]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let ended = run(&["witness", "key", "--json", "--dir", &node]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let keys: Value = serde_json::from_str(&ended.stdout).unwrap();
        let logs = keys["logs"].as_array().unwrap().iter().map(|log| log["vkey"].as_str().unwrap().parse().unwrap());
        let witness = keys["witness"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned());
        let port = free_port();
        Tier { port, logs: logs.collect(), witness: witness.collect(), directory }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn node(&self) -> std::path::PathBuf {
        self.directory.path().join("node")
    }

    /// Writes what it witnesses and by whom it is witnessed, as the others' `lingqu witness key` says it.
    fn configure(&self, neighbours: &[&Tier]) {
        let mut log = "[log]\nquorum = 2\n".to_owned();
        let mut witness = String::new();
        for neighbour in neighbours {
            log +=
                &format!("[[log.witnesses]]\nurl = '{}/witness'\nvkeys = {:?}\n", neighbour.url(), neighbour.witness);
            for key in &neighbour.logs {
                witness += &format!("[[witness.logs]]\norigin = '{}'\nvkeys = ['{key}']\n", key.name());
            }
        }
        let file = self.node().join("lingqu.toml");
        let before = std::fs::read_to_string(&file).unwrap_or_default();
        std::fs::write(&file, format!("{before}\n{log}\n{witness}")).unwrap();
    }

    fn serve(&self) -> Node {
        let mut command = Command::new(binary());
        command.args(["serve", "--json", "--listen", &format!("127.0.0.1:{}", self.port)]);
        for other in ["--admin-listen", "--flight-listen", "--postgres-listen"] {
            command.args([other, "127.0.0.1:0"]);
        }
        command.arg("--dir").arg(self.node());
        Node::serve_by(command)
    }

    /// A watch of one of its logs that wants both neighbours to have seen it.
    fn watch(&self, place: usize, neighbours: &[&Tier], state: &Path) -> LogWatch {
        let mut policy = format!("log {}\n", self.logs[place]);
        for (number, neighbour) in neighbours.iter().enumerate() {
            policy += &format!("witness w{number} {}\n", neighbour.witness[place]);
        }
        policy += "group both all w0 w1\nquorum both\n";
        let url = format!("{}/log{}", self.url(), ["", "/sm3"][place]);
        let policy = Some(LogPolicy::parse(&policy).unwrap());
        let state = Some(state.to_owned());
        LogWatch::begin(WatchSetting { url, log: self.logs[place].clone(), policy, state }).unwrap()
    }
}

/// Looks until something was seen.
async fn seen(watch: &mut LogWatch) -> Observation {
    let begun = Instant::now();
    loop {
        match watch.look().await {
            Ok(observation) => return observation,
            Err(error) => {
                let is_gone = matches!(error, WatchError::Unreachable { .. } | WatchError::Status { .. });
                // The checkpoint that `init` publishes nobody has cosigned. From the first cosigned one on each is, at every moment.
                let is_first = matches!(error, WatchError::Log(TransparencyError::NotWitnessed { .. }))
                    && watch.latest().is_none();
                assert!((is_gone || is_first) && begun.elapsed() < AGREED_MAX, "{error}");
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_tiers_witness_one_another() {
    let tiers = TIERS.map(Tier::new);
    let neighbours = |number: usize| [&tiers[(number + 1) % 3], &tiers[(number + 2) % 3]];
    for (number, tier) in tiers.iter().enumerate() {
        tier.configure(&neighbours(number));
    }
    let mut nodes: Vec<Option<Node>> = tiers.iter().map(|tier| Some(tier.serve())).collect();
    let states = tempfile::tempdir().unwrap();
    let mut watches = Vec::new();
    for (number, tier) in tiers.iter().enumerate() {
        for place in [0, 1] {
            let state = states.path().join(format!("{number}-{place}"));
            let mut watch = tier.watch(place, &neighbours(number), &state);
            let Observation::Grown { from: 0, to } = seen(&mut watch).await else { panic!("nothing was published") };
            assert!(to > 0);
            watches.push(watch);
        }
    }
    // What the neighbours serve to monitors is what they cosigned.
    let monitor = reqwest::Client::builder().no_proxy().build().unwrap();
    for key in &tiers[0].logs {
        for neighbour in neighbours(0) {
            let url = format!("{}/witness/{}", neighbour.url(), lingqu_transparency::monitoring_path(key.name()));
            let note = monitor.get(url).send().await.unwrap().text().await.unwrap();
            assert!(Checkpoint::open(&note, key).unwrap().size > 0);
            let keys: Vec<NoteVerifier> = neighbour.witness.iter().map(|key| key.parse().unwrap()).collect();
            assert_eq!(SignedNote::parse(&note).unwrap().verify(&keys).unwrap().len(), 1);
        }
    }
    // A neighbour dies: the region records something, and does not publish it without it.
    let published = Checkpoint::open(watches[0].latest().unwrap(), &tiers[0].logs[0]).unwrap().size;
    nodes[1].take().unwrap().kill();
    record(&tiers[0]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(watches[0].look().await.unwrap(), Observation::Unchanged, "the quorum is not there");
    // It comes back with what it had cosigned, and the log goes on.
    nodes[1] = Some(tiers[1].serve());
    let begun = Instant::now();
    loop {
        match seen(&mut watches[0]).await {
            Observation::Grown { from, to } => {
                assert!(from == published && to > from);
                break;
            }
            Observation::Unchanged => assert!(begun.elapsed() < AGREED_MAX, "the log did not go on"),
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Records something in a tier's log: its administrator adds a user.
async fn record(tier: &Tier) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let sign_in = serde_json::json!({ "login": "admin", "password": "a password for tests" });
    let session = client.post(format!("{}/api/v1/session", tier.url())).header("content-type", "application/json");
    let session = session.body(sign_in.to_string()).send().await.unwrap();
    assert_eq!(session.status(), 200);
    let cookie = session.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let session: Value = serde_json::from_str(&session.text().await.unwrap()).unwrap();
    let user = serde_json::json!({
        "party": session["party"], "duties": ["handler"], "login": "second", "display_name": "第二人",
        "password": "another password 1",
    });
    let added = client.post(format!("{}/api/v1/users", tier.url())).header("content-type", "application/json");
    let added = added.header("cookie", cookie).header("x-csrf-token", session["csrf"].as_str().unwrap());
    let added = added.header("idempotency-key", "tiers-1").body(user.to_string()).send().await.unwrap();
    assert!(added.status().is_success(), "{}", added.text().await.unwrap());
}
