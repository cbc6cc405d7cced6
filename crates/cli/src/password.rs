//! Passwords on the command line: read from a file or from stdin, never from an argument, which other users of the
//! machine can see; and generated ones.

use std::io::{IsTerminal, Read};
use std::path::Path;

use zeroize::Zeroizing;

use crate::failure::Failure;

/// Longest file that holds a password, in bytes.
const FILE_BYTES_MAX: u64 = 4_096;
/// Letters and digits that are not mistaken for each other; 32 of them, so that five random bits choose one.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Characters of a generated password: 20 × 5 = 100 random bits.
const GENERATED_CHARS: usize = 20;
/// Characters between two hyphens.
const GROUP_CHARS: usize = 5;

/// The first line of a file; of stdin where the path is `-`.
pub fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let from_stdin = path == Path::new("-");
    if from_stdin && std::io::stdin().is_terminal() {
        return Err(Failure::Mend(
            "a terminal would show the password; name a file that holds it with --password-file, or pipe it in"
                .to_owned(),
        ));
    }
    let outcome = if from_stdin {
        std::io::stdin().lock().take(FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
    };
    outcome.map_err(|error| Failure::file("read the password from", path, error))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        let place = if from_stdin { "stdin".to_owned() } else { path.display().to_string() };
        return Err(Failure::Mend(format!("the first line of {place} is empty; write the password there")));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// A new random password.
pub fn generate() -> Result<Zeroizing<String>, Failure> {
    let mut random = Zeroizing::new([0u8; GENERATED_CHARS]);
    getrandom::fill(&mut random[..]).map_err(|error| {
        Failure::Mend(format!("the system gives no random bytes ({error}); see that /dev/urandom exists"))
    })?;
    let mut password = Zeroizing::new(String::with_capacity(GENERATED_CHARS + GENERATED_CHARS / GROUP_CHARS));
    for (place, byte) in random.iter().enumerate() {
        if place > 0 && place % GROUP_CHARS == 0 {
            password.push('-');
        }
        password.push(char::from(ALPHABET[usize::from(byte & 31)]));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_differ_and_have_their_form() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert_ne!(*one, *other);
        assert_eq!(one.len(), 23);
        assert!(one.split('-').all(|group| group.len() == GROUP_CHARS));
    }

    #[test]
    fn every_letter_of_the_alphabet_is_another() {
        let distinct: std::collections::BTreeSet<_> = ALPHABET.iter().collect();
        assert_eq!(distinct.len(), ALPHABET.len());
    }

    #[test]
    fn the_first_line_of_a_file_is_the_password() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a long enough one\nmore\n").unwrap();
        assert_eq!(*read(file.path()).unwrap(), "a long enough one");
        std::fs::write(file.path(), "\nmore\n").unwrap();
        assert!(read(file.path()).unwrap_err().to_string().contains("is empty"));
    }
}
