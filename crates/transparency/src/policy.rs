//! Policies in files: which logs are trusted, and which witnesses must have seen a checkpoint (C2SP tlog-policy).

use crate::cosignature::CosignerPolicy;
use crate::error::malformed;
use crate::{Checkpoint, NoteVerifier, SignedNote, TransparencyError};

/// The largest policy file that is read, in bytes.
pub const POLICY_BYTES_MAX: usize = 256 * 1024;

/// The most logs, witnesses and groups of a policy, each; the specification asks for 32.
pub const POLICY_NAMES_MAX: usize = 64;

/// The name of the quorum that asks for no witness.
const NONE: &str = "none";

const WHAT: &str = "a log policy";

/// A policy as read from a file (C2SP tlog-policy, "Policy file syntax and structure").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPolicy {
    logs: Vec<PolicyKey>,
    witnesses: Vec<PolicyKey>,
    /// Witnesses and groups in the order of their lines; a group names only what stands before it.
    names: Vec<(String, Member)>,
    /// Which of the names must have seen a checkpoint; `None` asks for none.
    quorum: Option<usize>,
}

/// A log or witness of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyKey {
    /// Its key.
    pub verifier: NoteVerifier,
    /// Where to reach it, as the file says; not checked.
    pub url: Option<String>,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    /// The witness at this place.
    Witness(usize),
    /// So many of these names.
    Group { required: usize, members: Vec<usize> },
}

impl LogPolicy {
    /// Reads a policy file, which must be UTF-8 (the specification only recommends it). Names are compared as written.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] with the line that is wrong; [`TransparencyError::TooLarge`].
    pub fn parse(file: &str) -> Result<LogPolicy, TransparencyError> {
        if file.len() > POLICY_BYTES_MAX {
            return Err(TransparencyError::TooLarge {
                what: "the length of a log policy in bytes",
                limit: POLICY_BYTES_MAX as u64,
            });
        }
        let Some(lines) = file.strip_suffix('\n') else {
            return Err(malformed(WHAT, "its last line does not end in a newline"));
        };
        let mut reading = Reading::default();
        for (number, line) in lines.split('\n').enumerate() {
            reading.line(line).map_err(|problem| match problem {
                Problem::Line(problem) => malformed(WHAT, format!("line {}: {problem}", number + 1)),
                Problem::Limit(what) => TransparencyError::TooLarge { what, limit: POLICY_NAMES_MAX as u64 },
            })?;
        }
        let quorum = reading.quorum.ok_or_else(|| malformed(WHAT, "it has no line `quorum`"))?;
        let Reading { logs, witnesses, names, .. } = reading;
        Ok(LogPolicy { logs, witnesses, names, quorum })
    }

    /// The logs that it trusts; none when the log is known from elsewhere.
    pub fn logs(&self) -> &[PolicyKey] {
        &self.logs
    }

    /// The witnesses that it names.
    pub fn witnesses(&self) -> &[PolicyKey] {
        &self.witnesses
    }

    /// Checks that one of the policy's logs signed the checkpoint and that its quorum saw it.
    ///
    /// # Errors
    /// [`TransparencyError::NotSigned`] when the checkpoint is of none of its logs, what [`Checkpoint::open`] refuses, and
    /// those of [`LogPolicy::check_quorum`].
    pub fn open(&self, note: &str) -> Result<Checkpoint, TransparencyError> {
        let parsed = SignedNote::parse(note)?;
        let origin = Checkpoint::from_text(parsed.text())?.origin;
        let mut refused = TransparencyError::NotSigned { problem: "the policy names no log of this origin".to_owned() };
        for log in self.logs.iter().filter(|log| log.verifier.name() == origin) {
            match Checkpoint::open(note, &log.verifier) {
                Ok(checkpoint) => {
                    self.check_quorum(&parsed)?;
                    return Ok(checkpoint);
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Checks that the policy's quorum cosigned a note, whichever log it is of.
    ///
    /// # Errors
    /// [`TransparencyError::NotSigned`] when a known witness's signature fails, [`TransparencyError::NotWitnessed`] with how
    /// many members of the quorum saw it and how many must have.
    pub fn check_quorum(&self, note: &SignedNote) -> Result<(), TransparencyError> {
        let Some(quorum) = self.quorum else {
            return Ok(());
        };
        let keys = self.witnesses.iter().map(|witness| witness.verifier.clone()).collect();
        let known = CosignerPolicy::none_required(keys);
        let signed = known.check(note)?;
        // Groups name only what stands before them, so one pass in order settles all.
        let mut saw: Vec<bool> = Vec::new();
        let count = |members: &[usize], saw: &[bool]| members.iter().filter(|at| saw[**at]).count();
        for (_, member) in &self.names {
            saw.push(match member {
                Member::Witness(at) => signed.iter().any(|(key, _)| **key == self.witnesses[*at].verifier),
                Member::Group { required, members } => count(members, &saw) >= *required,
            });
        }
        if saw[quorum] {
            return Ok(());
        }
        let (found, required) = match &self.names[quorum].1 {
            Member::Witness(_) => (0, 1),
            Member::Group { required, members } => (count(members, &saw), *required),
        };
        Err(TransparencyError::NotWitnessed { found, required })
    }
}

/// What is wrong with a line.
enum Problem {
    Line(String),
    Limit(&'static str),
}

impl From<&str> for Problem {
    fn from(problem: &str) -> Problem {
        Problem::Line(problem.to_owned())
    }
}

#[derive(Default)]
struct Reading {
    logs: Vec<PolicyKey>,
    witnesses: Vec<PolicyKey>,
    names: Vec<(String, Member)>,
    /// Names that are members of a group already: each may be in one.
    taken: Vec<usize>,
    quorum: Option<Option<usize>>,
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<(), Problem> {
        if line.chars().any(|c| (c < ' ' && c != '\t') || c == '\u{7f}') {
            return Err("it has control characters other than tab".into());
        }
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words[..] {
            [] => Ok(()),
            [word, ..] if word.starts_with('#') => Ok(()),
            ["log", vkey] => self.log(vkey, None),
            ["log", vkey, url] => self.log(vkey, Some(url)),
            ["witness", name, vkey] => self.witness(name, vkey, None),
            ["witness", name, vkey, url] => self.witness(name, vkey, Some(url)),
            ["group", name, required, ref members @ ..] if !members.is_empty() => self.group(name, required, members),
            ["quorum", name] => self.quorum(name),
            _ => {
                Err("expected log VKEY [URL], witness NAME VKEY [URL], group NAME all|any|K NAME…, or quorum NAME"
                    .into())
            }
        }
    }

    fn log(&mut self, vkey: &str, url: Option<&str>) -> Result<(), Problem> {
        let key = key(vkey, url)?;
        if key.verifier.key_type().is_cosignature() {
            return Err("the key is a cosigner's, not a log's".into());
        }
        add(&mut self.logs, key, "the number of logs of a policy")
    }

    fn witness(&mut self, name: &str, vkey: &str, url: Option<&str>) -> Result<(), Problem> {
        let key = key(vkey, url)?;
        if !key.verifier.key_type().is_cosignature() {
            return Err("the key is a log's, not a cosigner's".into());
        }
        add(&mut self.witnesses, key, "the number of witnesses of a policy")?;
        self.name(name, Member::Witness(self.witnesses.len() - 1))
    }

    fn group(&mut self, name: &str, required: &str, members: &[&str]) -> Result<(), Problem> {
        let mut places = Vec::new();
        for member in members {
            let place = self.place(member).ok_or("a member of the group is not defined above it")?;
            if self.taken.contains(&place) || places.contains(&place) {
                return Err("a name is a member twice, of this group or of two".into());
            }
            places.push(place);
        }
        let count = places.len();
        let required = match required {
            "all" => count,
            "any" => 1,
            number => crate::checkpoint::parse_decimal(number)
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| (1..=count).contains(number))
                .ok_or("the number of members that must have signed is not between 1 and all of them")?,
        };
        if self.names.len() - self.witnesses.len() == POLICY_NAMES_MAX {
            return Err(Problem::Limit("the number of groups of a policy"));
        }
        self.taken.extend_from_slice(&places);
        self.name(name, Member::Group { required, members: places })
    }

    fn quorum(&mut self, name: &str) -> Result<(), Problem> {
        if self.quorum.is_some() {
            return Err("it is the second line `quorum`".into());
        }
        self.quorum = Some(match name {
            NONE => None,
            name => Some(self.place(name).ok_or("the quorum is not defined above it")?),
        });
        Ok(())
    }

    fn name(&mut self, name: &str, member: Member) -> Result<(), Problem> {
        if name == NONE || self.place(name).is_some() {
            return Err("the name is taken".into());
        }
        self.names.push((name.to_owned(), member));
        Ok(())
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|(known, _)| known == name)
    }
}

fn key(vkey: &str, url: Option<&str>) -> Result<PolicyKey, Problem> {
    let verifier = vkey.parse().map_err(|error: TransparencyError| Problem::Line(error.to_string()))?;
    Ok(PolicyKey { verifier, url: url.map(str::to_owned) })
}

fn add(keys: &mut Vec<PolicyKey>, key: PolicyKey, what: &'static str) -> Result<(), Problem> {
    if keys.len() == POLICY_NAMES_MAX {
        return Err(Problem::Limit(what));
    }
    // One key under two names would count twice.
    if keys.iter().any(|known| known.verifier.key() == key.verifier.key()) {
        return Err("the key stands in the policy already".into());
    }
    keys.push(key);
    Ok(())
}

#[cfg(test)]
mod tests {
    use lingqu_crypto::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::{Cosigner, NoteSigner};

    const TEXT: &str = "node.example/log\n9\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn log() -> NoteSigner {
        NoteSigner::new("node.example/log", SigningKey::from_seed([1; 32])).unwrap()
    }

    fn cosigner(number: u8) -> Cosigner {
        Cosigner::new(&format!("w.example/{number}"), SigningKey::from_seed([100 + number; 32])).unwrap()
    }

    fn note(cosigners: &[u8]) -> String {
        let mut note = crate::sign_note(TEXT, &[&log()]).unwrap();
        for number in cosigners {
            note += &cosigner(*number).cosign(TEXT, 7).unwrap().to_line();
        }
        note
    }

    /// The example of the specification, with keys: X1 to X3 are 1 to 3, Y1 to Y3 are 4 to 6.
    fn example() -> String {
        let mut file = format!("log {}\n\n", log().verifier());
        for (number, name) in ["X1", "X2", "X3", "Y1", "Y2", "Y3"].into_iter().enumerate() {
            file += &format!("witness {name} {}\n", cosigner(number as u8 + 1).verifier());
        }
        file + "group X-witnesses 2 X1 X2 X3\n group\tY-witnesses  any Y1 Y2 Y3 \n  # comment\n\
                group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
    }

    #[test]
    fn the_example_of_the_specification() {
        let policy = LogPolicy::parse(&example()).unwrap();
        assert_eq!((policy.logs().len(), policy.witnesses().len()), (1, 6));
        for set in 0..64_u8 {
            let cosigners: Vec<u8> = (1..=6).filter(|number| set & (1 << (number - 1)) != 0).collect();
            let enough = (set & 7).count_ones() >= 2 && set >> 3 != 0;
            let opened = policy.open(&note(&cosigners));
            assert_eq!(opened.is_ok(), enough, "{cosigners:?}");
        }
        assert_eq!(policy.open(&note(&[1, 2])), Err(TransparencyError::NotWitnessed { found: 1, required: 2 }));
        // The log's own signature is asked for as well, and by the name of its origin.
        let stranger = NoteSigner::new("node.example/log", SigningKey::from_seed([9; 32])).unwrap();
        let mut forged = crate::sign_note(TEXT, &[&stranger]).unwrap();
        for number in 1..=6 {
            forged += &cosigner(number).cosign(TEXT, 7).unwrap().to_line();
        }
        assert!(matches!(policy.open(&forged), Err(TransparencyError::NotSigned { .. })));
        assert!(policy.check_quorum(&SignedNote::parse(&forged).unwrap()).is_ok());
    }

    #[test]
    fn a_single_witness_and_none() {
        let one = format!("witness w {}\nquorum w\n", cosigner(1).verifier());
        let one = LogPolicy::parse(&one).unwrap();
        assert!(one.check_quorum(&SignedNote::parse(&note(&[1])).unwrap()).is_ok());
        assert!(one.check_quorum(&SignedNote::parse(&note(&[2])).unwrap()).is_err());
        // Without a log in the policy nothing is opened, only the quorum can be asked.
        assert!(one.open(&note(&[1])).is_err());
        let none =
            LogPolicy::parse(&format!("quorum none\nlog {} https://node.example/log\n", log().verifier())).unwrap();
        assert_eq!(none.open(&note(&[])).unwrap().size, 9);
        assert_eq!(none.logs()[0].url.as_deref(), Some("https://node.example/log"));
    }

    #[test]
    fn other_files_are_refused() {
        let (a, b, log) = (cosigner(1), cosigner(2), log());
        let (a, b, log) = (a.verifier(), b.verifier(), log.verifier());
        let again = NoteVerifier::cosigner("other.example", a.key().clone()).unwrap();
        for file in [
            String::new(),
            "\n".to_owned(),
            "quorum none".to_owned(),
            "quorum none\nquorum none\n".to_owned(),
            "quorum w\n".to_owned(),
            format!("quorum w\nwitness w {a}\n"),
            format!("witness w {log}\nquorum w\n"),
            format!("log {a}\nquorum none\n"),
            format!("log {log}\nlog {log}\nquorum none\n"),
            format!("witness w {a}\nwitness v {again}\nquorum w\n"),
            format!("witness w {a}\nwitness w {b}\nquorum w\n"),
            format!("witness none {a}\nquorum none\n"),
            format!("witness w {a}\ngroup none any w\nquorum none\n"),
            format!("witness w {a}\ngroup g any none\nquorum g\n"),
            format!("witness w {a}\ngroup g any\nquorum w\n"),
            format!("witness w {a}\ngroup g 0 w\nquorum g\n"),
            format!("witness w {a}\ngroup g 2 w\nquorum g\n"),
            format!("witness w {a}\ngroup g 01 w\nquorum g\n"),
            format!("witness w {a}\ngroup g 1 w w\nquorum g\n"),
            format!("witness w {a}\ngroup g any w\ngroup h any w\nquorum g\n"),
            format!("witness w {a}\ngroup g any g\nquorum g\n"),
            format!("witness w {a} url more\nquorum w\n"),
            format!("witness w {a}\r\nquorum w\n"),
            "Quorum none\n".to_owned(),
            "policy x\nquorum none\n".to_owned(),
        ] {
            assert!(LogPolicy::parse(&file).is_err(), "{file:?}");
        }
        assert!(matches!(
            LogPolicy::parse(&"\n".repeat(POLICY_BYTES_MAX + 1)),
            Err(TransparencyError::TooLarge { .. })
        ));
    }

    #[test]
    fn thirty_two_of_each_are_read_and_a_flood_is_not() {
        let file = |count: u8| {
            let mut file = String::new();
            for number in 0..count {
                let log = NoteSigner::new(&format!("l{number}.example"), SigningKey::from_seed([number; 32])).unwrap();
                file += &format!("log {}\nwitness w{number} {}\n", log.verifier(), cosigner(number).verifier());
                file += &format!("group g{number} any w{number}\n");
            }
            file + "quorum g0\n"
        };
        assert!(LogPolicy::parse(&file(64)).is_ok());
        assert!(matches!(LogPolicy::parse(&file(65)), Err(TransparencyError::TooLarge { .. })));
        let last = LogPolicy::parse(&file(64)).unwrap();
        assert!(last.check_quorum(&SignedNote::parse(&note(&[0])).unwrap()).is_ok());
    }

    proptest! {
        #[test]
        fn reading_never_panics(text: String, near in "((log|witness|group|quorum|#) [a-z0-9 \t]{0,20}\n){0,5}") {
            let _ = LogPolicy::parse(&text);
            let _ = LogPolicy::parse(&near);
        }
    }
}
