//! Messages of the PostgreSQL protocol 3.0 as they lie on the wire (PostgreSQL's documentation, "Message Formats").
//!
//! Reading is total: whatever the bytes are, they are a request or they are refused.

use bytes::{BufMut, Bytes, BytesMut};
use pgwire::api::results::{FieldFormat, FieldInfo};

/// A message of a client after the connection was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Statements of the simple protocol.
    Query(String),
    /// A statement to prepare; the types of its parameters as far as the client says (0 where he does not).
    Parse { name: String, sql: String, types: Vec<u32> },
    /// A prepared statement with the values of its parameters.
    Bind(Bind),
    /// A question for the columns (and parameters) of what bears the name.
    Describe { target: Target, name: String },
    /// At most so many rows of a portal; 0 for all.
    Execute { portal: String, rows_max: u32 },
    /// What bears the name is no longer needed.
    Close { target: Target, name: String },
    /// The end of a group of messages of the extended protocol.
    Sync,
    /// Send what is waiting.
    Flush,
    /// The client goes.
    Terminate,
    /// A message of the authentication.
    Password(Bytes),
    /// Data of a COPY, which after a refusal may still be on its way.
    CopyData,
}

/// See [`Request::Bind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bind {
    pub(super) portal: String,
    pub(super) statement: String,
    /// Formats of the values: none for text, one for all, or one each.
    pub(super) value_formats: Vec<i16>,
    /// The values; none for null.
    pub(super) values: Vec<Option<Bytes>>,
    /// Formats of the result's columns, likewise.
    pub(super) result_formats: Vec<i16>,
}

/// What a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Statement,
    Portal,
}

/// The first message of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// TLS is asked for.
    Tls,
    /// Encryption by GSSAPI is asked for.
    Gss,
    /// A running statement is to be stopped.
    Cancel { id: i32, secret: i32 },
    /// The connection's parameters; the minor version of the protocol.
    Startup { minor: u16, parameters: Vec<(String, String)> },
}

/// The format of a column or value of a list of formats.
pub(super) fn format_of(formats: &[i16], at: usize) -> FieldFormat {
    let code = match formats {
        [] => 0,
        [one] => *one,
        many => many.get(at).copied().unwrap_or(0),
    };
    FieldFormat::from(code)
}

/// Reads the body of a message. Nothing when it is no message of the protocol.
pub(super) fn read_request(tag: u8, body: Bytes) -> Option<Request> {
    let mut reader = Reader { rest: body };
    let request = match tag {
        b'Q' => Request::Query(reader.text()?),
        b'P' => {
            let (name, sql) = (reader.text()?, reader.text()?);
            Request::Parse { name, sql, types: reader.list(|reader| Some(reader.int()? as u32))? }
        }
        b'B' => {
            let (portal, statement) = (reader.text()?, reader.text()?);
            let value_formats = reader.list(Reader::short)?;
            let values = reader.list(Reader::value)?;
            let result_formats = reader.list(Reader::short)?;
            Request::Bind(Bind { portal, statement, value_formats, values, result_formats })
        }
        b'D' => Request::Describe { target: reader.target()?, name: reader.text()? },
        b'C' => Request::Close { target: reader.target()?, name: reader.text()? },
        b'E' => {
            let (portal, rows_max) = (reader.text()?, reader.int()?);
            // Zero or less is no limit, as in PostgreSQL.
            Request::Execute { portal, rows_max: u32::try_from(rows_max).unwrap_or(0) }
        }
        b'S' => Request::Sync,
        b'H' => Request::Flush,
        b'X' => Request::Terminate,
        b'p' => return Some(Request::Password(reader.rest)),
        b'd' | b'c' | b'f' => return Some(Request::CopyData),
        _ => return None,
    };
    reader.rest.is_empty().then_some(request)
}

/// Reads the body of a connection's first message. Nothing when it is none.
pub(super) fn read_opening(body: Bytes) -> Option<Opening> {
    let mut reader = Reader { rest: body };
    let code = reader.int()?;
    let (major, minor) = (code >> 16, (code & 0xffff) as u16);
    match (major, minor) {
        (1234, 5679) => Some(Opening::Tls),
        (1234, 5680) => Some(Opening::Gss),
        (1234, 5678) => Some(Opening::Cancel { id: reader.int()?, secret: reader.int()? }),
        (3, _) => {
            let mut parameters = Vec::new();
            loop {
                let name = reader.text()?;
                if name.is_empty() {
                    return reader.rest.is_empty().then_some(Opening::Startup { minor, parameters });
                }
                parameters.push((name, reader.text()?));
            }
        }
        _ => None,
    }
}

/// Reads a message of SASL's beginning: the mechanism and the client's first message.
pub(super) fn read_sasl_beginning(body: Bytes) -> Option<(String, Bytes)> {
    let mut reader = Reader { rest: body };
    let mechanism = reader.text()?;
    Some((mechanism, reader.value()??))
}

struct Reader {
    rest: Bytes,
}

impl Reader {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.rest.len()).then(|| self.rest.split_to(length))
    }

    fn short(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?[..].try_into().ok()?))
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?[..].try_into().ok()?))
    }

    /// A text that ends with a zero byte.
    fn text(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|byte| *byte == 0)?;
        let bytes = self.take(end + 1)?;
        std::str::from_utf8(&bytes[..end]).ok().map(str::to_owned)
    }

    /// A length and so many bytes; the length -1 is null.
    fn value(&mut self) -> Option<Option<Bytes>> {
        match self.int()? {
            -1 => Some(None),
            length => Some(Some(self.take(usize::try_from(length).ok()?)?)),
        }
    }

    /// A count and so many of something. Each takes at least two bytes, so the count is never believed beyond the message.
    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::from(self.short()? as u16);
        let mut list = Vec::with_capacity(count.min(self.rest.len() / 2));
        for _ in 0..count {
            list.push(read(self)?);
        }
        Some(list)
    }

    fn target(&mut self) -> Option<Target> {
        match self.take(1)?[0] {
            b'S' => Some(Target::Statement),
            b'P' => Some(Target::Portal),
            _ => None,
        }
    }
}

/// Messages that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) bytes: BytesMut,
}

/// A field of a refusal or notice (PostgreSQL's documentation, "Error and Notice Message Fields").
pub(super) type NoticeField<'a> = (u8, &'a str);

impl Outbox {
    fn message(&mut self, tag: u8, body: impl FnOnce(&mut BytesMut)) {
        self.bytes.put_u8(tag);
        let at = self.bytes.len();
        self.bytes.put_i32(0);
        body(&mut self.bytes);
        let length = (self.bytes.len() - at) as i32;
        self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub(super) fn authentication(&mut self, code: i32, body: &[u8]) {
        self.message(b'R', |bytes| {
            bytes.put_i32(code);
            bytes.put_slice(body);
        });
    }

    /// Says that the protocol is 3.0, and which of the client's options are not known.
    pub(super) fn negotiate_version(&mut self, unknown: &[&str]) {
        self.message(b'v', |bytes| {
            bytes.put_i32(3 << 16);
            bytes.put_i32(unknown.len() as i32);
            for option in unknown {
                put_text(bytes, option);
            }
        });
    }

    pub(super) fn parameter(&mut self, name: &str, value: &str) {
        self.message(b'S', |bytes| {
            put_text(bytes, name);
            put_text(bytes, value);
        });
    }

    pub(super) fn cancel_key(&mut self, id: i32, secret: i32) {
        self.message(b'K', |bytes| {
            bytes.put_i32(id);
            bytes.put_i32(secret);
        });
    }

    pub(super) fn ready(&mut self, transaction: u8) {
        self.message(b'Z', |bytes| bytes.put_u8(transaction));
    }

    pub(super) fn refusal(&mut self, fields: &[NoticeField<'_>]) {
        self.notice_or_refusal(b'E', fields);
    }

    pub(super) fn notice(&mut self, fields: &[NoticeField<'_>]) {
        self.notice_or_refusal(b'N', fields);
    }

    fn notice_or_refusal(&mut self, tag: u8, fields: &[NoticeField<'_>]) {
        self.message(tag, |bytes| {
            for (field, text) in fields {
                bytes.put_u8(*field);
                put_text(bytes, text);
            }
            bytes.put_u8(0);
        });
    }

    pub(super) fn row_description(&mut self, fields: &[FieldInfo]) {
        self.message(b'T', |bytes| {
            bytes.put_i16(fields.len() as i16);
            for field in fields {
                put_text(bytes, field.name());
                bytes.put_i32(0);
                bytes.put_i16(0);
                bytes.put_u32(field.datatype().oid());
                bytes.put_i16(type_size(field.datatype().oid()));
                bytes.put_i32(-1);
                bytes.put_i16(field.format().value());
            }
        });
    }

    pub(super) fn data_row(&mut self, columns: usize, values: &[u8]) {
        self.message(b'D', |bytes| {
            bytes.put_i16(columns as i16);
            bytes.put_slice(values);
        });
    }

    pub(super) fn parameter_description(&mut self, types: &[u32]) {
        self.message(b't', |bytes| {
            bytes.put_i16(types.len() as i16);
            for oid in types {
                bytes.put_u32(*oid);
            }
        });
    }

    pub(super) fn command_complete(&mut self, tag: &str) {
        self.message(b'C', |bytes| put_text(bytes, tag));
    }

    /// A message without a body: `1` parsed, `2` bound, `3` closed, `I` empty statement, `n` no columns, `s` suspended.
    pub(super) fn bare(&mut self, tag: u8) {
        self.message(tag, |_| {});
    }
}

/// A text and its zero byte. A zero byte inside would end it early, so it is left out.
fn put_text(bytes: &mut BytesMut, text: &str) {
    bytes.extend(text.bytes().filter(|byte| *byte != 0));
    bytes.put_u8(0);
}

/// Bytes of a type's values; -1 where they differ (`pg_type.typlen`).
fn type_size(oid: u32) -> i16 {
    match oid {
        16 | 18 => 1,
        21 => 2,
        23 | 26 | 700 | 1082 => 4,
        20 | 701 | 1083 | 1114 | 1184 => 8,
        19 => 64,
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(tag: u8, body: &[u8]) -> Option<Request> {
        read_request(tag, Bytes::copy_from_slice(body))
    }

    #[test]
    fn requests_are_read_whole_or_not_at_all() {
        assert_eq!(request(b'Q', b"SELECT 1\0"), Some(Request::Query("SELECT 1".to_owned())));
        assert_eq!(request(b'Q', b"SELECT 1"), None);
        assert_eq!(request(b'Q', b"SELECT 1\0x"), None);
        assert_eq!(request(b'Q', b"\xff\0"), None);
        let bind = request(b'B', b"\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\0").unwrap();
        let Request::Bind(bind) = bind else { panic!("{bind:?}") };
        assert_eq!(bind.values, [Some(Bytes::from_static(b"ab")), None]);
        assert_eq!(format_of(&bind.value_formats, 1), FieldFormat::Binary);
        assert_eq!(format_of(&bind.result_formats, 1), FieldFormat::Text);
        // A count and a length far beyond the message.
        assert_eq!(request(b'B', b"\0\0\xff\xff"), None);
        assert_eq!(request(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff"), None);
        assert_eq!(request(b'E', b"\0\xff\xff\xff\xff"), Some(Request::Execute { portal: String::new(), rows_max: 0 }));
        assert_eq!(request(b'?', b""), None);
    }

    #[test]
    fn openings_are_read() {
        let read = |body: &[u8]| read_opening(Bytes::copy_from_slice(body));
        assert_eq!(read(&80_877_103_i32.to_be_bytes()), Some(Opening::Tls));
        assert_eq!(read(b"\x04\xd2\x16\x2e\0\0\0\x05\0\0\0\x06"), Some(Opening::Cancel { id: 5, secret: 6 }));
        let parameters = vec![("user".to_owned(), "ord_1".to_owned())];
        assert_eq!(read(b"\0\x03\0\0user\0ord_1\0\0"), Some(Opening::Startup { minor: 0, parameters }));
        assert_eq!(read(b"\0\x03\0\0user\0ord_1\0"), None);
        assert_eq!(read(b"\0\x02\0\0"), None);
    }

    proptest! {
        #[test]
        fn reading_never_panics(tag: u8, body: Vec<u8>) {
            let _ = request(tag, &body);
            let _ = read_opening(Bytes::from(body.clone()));
            let _ = read_sasl_beginning(Bytes::from(body));
        }
    }
}
