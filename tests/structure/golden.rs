//! Golden files: contracts that are committed and compared.

use lingqu_structure::{Repository, hold};

#[test]
fn every_golden_file_is_compared() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for golden in repository.files.iter().filter(|file| file.path.contains("/golden/")) {
        let named = repository.files.iter().any(|file| {
            let source = [".rs", ".ts", ".tsx", ".py"].iter().any(|end| file.path.ends_with(end));
            source && file.text().contains(golden.name())
        });
        if !named {
            violations.push(golden.path.clone());
        }
    }
    hold(
        "A golden file is named, with its whole file name, by the test that compares it.",
        "one that no test reads is out of date without anybody noticing; name it in its test or delete it",
        &violations,
    );
}
