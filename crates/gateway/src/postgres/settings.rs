//! Settings of a session. One has an effect, `statement_timeout`; the others are what they are, and a client that sets them
//! to anything else is told.

use std::time::Duration;

use super::frame::Outbox;
use super::refusal::Refused;
use super::version;

/// Settings that a client is told of when a connection begins, in this order, and that never change.
const TOLD: &[(&str, &str)] = &[
    ("server_version", version::SHORT),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
    ("is_superuser", "off"),
    // Nothing can be written here, as on a standby that never becomes anything else.
    ("default_transaction_read_only", "on"),
    ("in_hot_standby", "off"),
];
/// Others that clients ask for.
const FIXED: &[(&str, &str)] = &[
    ("bytea_output", "hex"),
    ("datestyle", "ISO, MDY"),
    ("extra_float_digits", "1"),
    ("lc_collate", "C.UTF-8"),
    ("lc_ctype", "C.UTF-8"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("search_path", "public"),
    ("server_version_num", "160009"),
    ("session_replication_role", "origin"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
];
/// The session's own names. A client reads them as parameters of the connection or by SHOW.
pub(super) const RECEIPT: &str = "lingqu.receipt";
pub(super) const NATURE: &str = "lingqu.nature";
pub(super) const ROWS: &str = "lingqu.receipt_rows";
pub(super) const ANSWER_SALT: &str = "lingqu.answer_salt";

/// The settings of one session.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// How long a statement, or one fetch of a cursor, may take; none for as long as the node lets it.
    pub(super) statement_timeout: Option<Duration>,
    application_name: String,
    user: String,
    /// Of the last answer.
    own: Vec<(&'static str, String)>,
}

impl Settings {
    /// Those of a session that begins, with what the client's first message asks for.
    pub(super) fn begin(user: &str, parameters: &[(String, String)]) -> Result<Settings, Refused> {
        let mut settings = Settings { user: user.to_owned(), ..Settings::default() };
        for (name, value) in parameters {
            match name.as_str() {
                "user" | "database" => {}
                "options" => {
                    for (name, value) in options(value) {
                        settings.set(&name, Some(&value))?;
                    }
                }
                "replication" if !matches!(value.as_str(), "false" | "off" | "no" | "0") => {
                    return Err(Refused::unsupported("不支持复制连接", "there is no replication here"));
                }
                name => {
                    settings.set(&name.to_ascii_lowercase(), Some(value))?;
                }
            }
        }
        Ok(settings)
    }

    /// Tells a client everything that it is told of when a connection begins.
    pub(super) fn tell(&self, outbox: &mut Outbox) {
        for (name, value) in TOLD {
            outbox.parameter(name, value);
        }
        outbox.parameter("session_authorization", &self.user);
        outbox.parameter("application_name", &self.application_name);
    }

    /// Sets a setting; none for what it began with. Answers whether the client is to be told of it anew. Error: a value that
    /// it can't have here.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) -> Result<bool, Refused> {
        let refused = |zh: &str, en: &str| {
            Refused::malformed("22023", format!("{name} 只能为 {zh}"), format!("`{name}` can only be {en} here"))
        };
        match name {
            "statement_timeout" => {
                let time = value.map_or(Some(Duration::ZERO), timeout);
                let time =
                    time.ok_or_else(|| refused("毫秒数或如 5s 的时长", "a number of milliseconds or a time like 5s"))?;
                self.statement_timeout = Some(time).filter(|time| !time.is_zero());
            }
            "application_name" => {
                let printable = |character: &char| character.is_ascii_graphic() || *character == ' ';
                self.application_name = value.unwrap_or_default().chars().filter(printable).take(64).collect();
                return Ok(true);
            }
            "client_encoding" => {
                let encoding = value.unwrap_or("UTF8").to_ascii_uppercase().replace(['-', '_'], "");
                // Whoever says SQL_ASCII takes what there is, as it is: psql does in a terminal without a locale.
                if !matches!(encoding.as_str(), "UTF8" | "UNICODE" | "SQLASCII") {
                    return Err(refused("UTF8", "UTF8"));
                }
            }
            "datestyle" if value.is_some_and(|value| !value.to_ascii_uppercase().starts_with("ISO")) => {
                return Err(refused("ISO", "ISO"));
            }
            "standard_conforming_strings" if value.is_some_and(|value| !matches!(value, "on" | "true" | "1")) => {
                return Err(refused("on", "on"));
            }
            // Without an effect: what a client is told of them stays true.
            _ => {}
        }
        Ok(false)
    }

    /// Tells a client of the one setting that may change.
    pub(super) fn tell_application_name(&self, outbox: &mut Outbox) {
        outbox.parameter("application_name", &self.application_name);
    }

    /// What SHOW answers. Error: there is no such setting.
    pub(super) fn show(&self, name: &str) -> Result<String, Refused> {
        let fixed = TOLD.iter().chain(FIXED).find(|(known, _)| known.eq_ignore_ascii_case(name));
        let own = self.own.iter().find(|(known, _)| *known == name);
        match (name, fixed, own) {
            (_, Some((_, value)), _) => Ok((*value).to_owned()),
            (_, _, Some((_, value))) => Ok(value.clone()),
            (RECEIPT | NATURE | ROWS | ANSWER_SALT, _, _) => Ok(String::new()),
            ("statement_timeout", _, _) => Ok(match self.statement_timeout {
                Some(time) => format!("{}ms", time.as_millis()),
                None => "0".to_owned(),
            }),
            ("application_name", _, _) => Ok(self.application_name.clone()),
            ("session_authorization", _, _) => Ok(self.user.clone()),
            _ => Err(Refused::malformed("42704", "没有此设置", "there is no such setting")),
        }
    }

    /// Keeps what an answer says of itself, and tells the client.
    pub(super) fn label(&mut self, labels: [(&'static str, String); 4], outbox: &mut Outbox) {
        for (name, value) in &labels {
            outbox.parameter(name, value);
        }
        self.own = labels.into();
    }
}

/// Settings of the parameter `options`: `-c name=value` and `--name=value`, separated by blanks.
fn options(text: &str) -> Vec<(String, String)> {
    let mut options = Vec::new();
    for word in text.split_whitespace() {
        let word = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).unwrap_or(word);
        if let Some((name, value)) = word.split_once('=') {
            options.push((name.to_ascii_lowercase().replace('-', "_"), value.to_owned()));
        }
    }
    options
}

/// A time as PostgreSQL reads one; a bare number is milliseconds.
fn timeout(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let milliseconds = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(milliseconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_and_told() {
        let mut settings = Settings::default();
        for (text, told) in [("1500", "1500ms"), ("2s", "2000ms"), ("1 min", "60000ms"), ("0", "0")] {
            settings.set("statement_timeout", Some(text)).unwrap();
            assert_eq!(settings.show("statement_timeout").unwrap(), told);
        }
        for text in ["", "s", "-1", "5 years", "99999999999999999999"] {
            assert!(settings.set("statement_timeout", Some(text)).is_err(), "{text}");
        }
        let parameters = [("options".to_owned(), "-c statement_timeout=5s --search_path=a".to_owned())];
        assert_eq!(Settings::begin("ord", &parameters).unwrap().statement_timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn what_can_not_be_is_refused_and_the_rest_has_no_effect() {
        let mut settings = Settings::begin("ord_1", &[("TimeZone".to_owned(), "Asia/Shanghai".to_owned())]).unwrap();
        assert_eq!(settings.show("TimeZone").unwrap(), "UTC");
        assert!(settings.set("client_encoding", Some("GBK")).is_err());
        assert!(settings.set("client_encoding", Some("'utf-8'".trim_matches('\''))).is_ok());
        assert!(settings.set("client_encoding", Some("SQL_ASCII")).is_ok());
        assert!(settings.set("datestyle", Some("German")).is_err());
        assert!(settings.set("standard_conforming_strings", Some("off")).is_err());
        assert!(settings.set("search_path", Some("other")).is_ok());
        assert_eq!(settings.show("search_path").unwrap(), "public");
        assert_eq!(settings.show("session_authorization").unwrap(), "ord_1");
        assert_eq!(settings.show(RECEIPT).unwrap(), "");
        assert!(settings.show("no.such").is_err());
        assert!(Settings::begin("ord_1", &[("replication".to_owned(), "database".to_owned())]).is_err());
    }
}
