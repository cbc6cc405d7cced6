//! Tells code from comments, texts and tests, as far as the laws need it.

/// The source with every comment and the content of every text and character literal replaced by spaces. Line breaks
/// stay, so line numbers hold. A token found in the result is code.
pub fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => text_end(bytes, at),
            b'r' if is_raw_text(bytes, at) => raw_text_end(bytes, at),
            b'\'' => match character_end(bytes, at) {
                Some(end) => end,
                None => {
                    at += 1; // A lifetime.
                    continue;
                }
            },
            byte => {
                // A name is skipped whole, so that the `r` at its end starts no raw text.
                at += 1;
                if is_name(byte) {
                    while at < bytes.len() && is_name(bytes[at]) {
                        at += 1;
                    }
                }
                continue;
            }
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("whole literals and comments were replaced by ASCII")
}

/// Code (as [`code_only`] gives it) without the items under `#[cfg(test)]`, and the names of modules that stand in files
/// of their own under `#[cfg(test)] mod name;`.
pub fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.to_string();
    let mut test_modules = Vec::new();
    let mut from = 0;
    while let Some(found) = out[from..].find(MARK) {
        let begin = from + found;
        let after = begin + MARK.len();
        let end = item_end(&out, after);
        let item = &out[after..end];
        if let Some(name) =
            item.trim_end().strip_suffix(';').and_then(|head| head.split_once("mod ")).map(|(_, name)| name.trim())
        {
            test_modules.push(name.to_string());
        }
        let blank: String = out[begin..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(begin..end, &blank);
        from = begin + blank.len();
    }
    (out, test_modules)
}

/// Where the item that begins at `from` ends: after its first `;` outside brackets, or after its closing brace.
fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0usize;
    for (offset, byte) in code.as_bytes()[from..].iter().enumerate() {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return from + offset + 1;
                }
            }
            b';' if depth == 0 => return from + offset + 1,
            _ => {}
        }
    }
    code.len()
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| from + length)
}

fn block_comment_end(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

fn text_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn is_raw_text(bytes: &[u8], at: usize) -> bool {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    bytes.get(at + 1 + hashes) == Some(&b'"')
}

fn raw_text_end(bytes: &[u8], from: usize) -> usize {
    let hashes = bytes[from + 1..].iter().take_while(|byte| **byte == b'#').count();
    let mut at = from + 2 + hashes;
    while at < bytes.len() {
        let closes = bytes[at] == b'"'
            && bytes.len() > at + hashes
            && bytes[at + 1..=at + hashes].iter().all(|byte| *byte == b'#');
        if closes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    bytes.len()
}

/// The end of a character literal, or nothing where the quote begins a lifetime.
fn character_end(bytes: &[u8], from: usize) -> Option<usize> {
    if bytes.get(from + 1) == Some(&b'\\') {
        let close = bytes.get(from + 3..)?.iter().position(|byte| *byte == b'\'')?;
        return Some(from + 3 + close + 1);
    }
    // One character of one to four bytes, then the closing quote.
    (from + 2..=from + 5)
        .find(|at| {
            bytes.get(*at) == Some(&b'\'')
                && std::str::from_utf8(&bytes[from + 1..*at]).is_ok_and(|text| text.chars().count() == 1)
        })
        .map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::{code_only, without_tests};

    #[test]
    fn comments_and_texts_are_blanked_and_code_stays() {
        let source = "let a = \"std::fs // no\"; // std::fs\nlet b = r#\"tokio \" x\"#; /* a /* b */ rand */ let c = '\\'';\nfn f<'a>(x: &'a str) -> char { '灵' }";
        let code = code_only(source);
        assert_eq!(code.len(), source.len());
        assert!(!code.contains("fs") && !code.contains("tokio") && !code.contains("rand"));
        assert!(code.contains("let b =") && code.contains("let c =") && code.contains("fn f<'a>(x: &'a str)"));
        assert_eq!(code.lines().count(), source.lines().count());
    }

    #[test]
    fn test_items_are_blanked_and_test_files_are_named() {
        let code = "fn live() {}\n#[cfg(test)]\nmod tests { fn a() -> [u8; 2] { b(); } }\n#[cfg(test)]\nmod golden;\nfn after() {}\n";
        let (rest, modules) = without_tests(code);
        assert!(rest.contains("live") && rest.contains("after"));
        assert!(!rest.contains("b()"));
        assert_eq!(modules, ["golden"]);
    }
}
