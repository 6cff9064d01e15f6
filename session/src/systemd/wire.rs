//! The part of D-Bus's wire format that Berth speaks: method calls with a few types, and their replies
//! (D-Bus Specification, "Message Format").

use serde::{Deserialize, Serialize};

/// The longest message that is read. systemd's replies to Berth's calls have some hundred bytes.
const LONGEST: usize = 1 << 20;

/// The fixed part of every message's header, with the length of the fields behind it.
const FIXED: usize = 16;

/// This side's byte order.
const ENDIAN: u8 = if cfg!(target_endian = "little") {
    b'l'
} else {
    b'B'
};

/// The value of a unit's property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// `b`
    Flag(bool),
    /// `t`
    Number(u64),
    /// `s`
    Text(String),
    /// `ay`
    Bytes(Vec<u8>),
    /// `au`
    Processes(Vec<u32>),
    /// `a(st)`
    Rates(Vec<(String, u64)>),
}

/// A property of a unit (org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// systemd's name of it.
    pub name: String,
    /// What it is set to.
    pub value: Value,
}

impl Property {
    /// A property and its value.
    pub fn new(name: &str, value: Value) -> Property {
        Property {
            name: name.into(),
            value,
        }
    }
}

/// For tests, an answer as the specification has it and not as it is read: a header whose one field says which call it
/// is for, and a body. 2 is a return, 3 an error, 4 a signal.
#[cfg(any(test, feature = "fuzzing"))]
pub fn answer(kind: u8, serial: u32, body: &[u8]) -> Vec<u8> {
    let mut message = vec![ENDIAN, kind, 1, 1];
    message.extend((body.len() as u32).to_ne_bytes());
    message.extend(9_u32.to_ne_bytes());
    message.extend(8_u32.to_ne_bytes());
    message.extend(b"\x05\x01u\0");
    message.extend(serial.to_ne_bytes());
    message.extend(body);
    message
}

/// Arguments of a call, or a whole message, as they grow.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Up to a multiple of this; where a struct begins it is 8.
    pub(super) fn align(&mut self, to: usize) -> &mut Self {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
        self
    }

    /// `u`
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.align(4).0.extend(value.to_ne_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.align(8).0.extend(value.to_ne_bytes());
        self
    }

    /// `b`
    pub fn flag(&mut self, value: bool) -> &mut Self {
        self.u32(value.into())
    }

    /// `s`, or `o`
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.u32(value.len() as u32).0.extend(value.bytes());
        self.0.push(0);
        self
    }

    fn signature(&mut self, value: &str) -> &mut Self {
        self.0.push(value.len() as u8);
        self.0.extend(value.bytes());
        self.0.push(0);
        self
    }

    /// `a…`, of elements that begin at multiples of `align`.
    pub fn array(&mut self, align: usize, elements: impl FnOnce(&mut Writer)) -> &mut Self {
        self.u32(0);
        let end_of_length = self.0.len();
        let begin = self.align(align).0.len();
        elements(self);
        let length = (self.0.len() - begin) as u32;
        let place = end_of_length - 4..end_of_length;
        if let Some(place) = self.0.get_mut(place) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
        self
    }

    /// `a(sv)`
    pub fn properties(&mut self, properties: &[Property]) -> &mut Self {
        self.array(8, |all| {
            for property in properties {
                all.align(8).text(&property.name).variant(&property.value);
            }
        })
    }

    pub(super) fn variant(&mut self, value: &Value) {
        match value {
            Value::Flag(flag) => self.signature("b").flag(*flag),
            Value::Number(number) => self.signature("t").u64(*number),
            Value::Text(text) => self.signature("s").text(text),
            Value::Bytes(bytes) => self.signature("ay").array(1, |all| all.0.extend(bytes)),
            Value::Processes(pids) => self.signature("au").array(4, |all| {
                for pid in pids {
                    all.u32(*pid);
                }
            }),
            Value::Rates(rates) => self.signature("a(st)").array(8, |all| {
                for (path, rate) in rates {
                    all.align(8).text(path).u64(*rate);
                }
            }),
        };
    }
}

/// A method call.
#[derive(Debug)]
pub struct Call<'a> {
    /// Whose method; nobody's on a connection with systemd alone.
    pub destination: Option<&'a str>,
    pub path: &'a str,
    pub interface: &'a str,
    pub member: &'a str,
    /// The types of the arguments.
    pub signature: &'a str,
    pub arguments: Writer,
}

impl Call<'_> {
    /// The whole message.
    pub fn message(&self, serial: u32) -> Vec<u8> {
        const METHOD_CALL: u8 = 1;
        const VERSION: u8 = 1;
        let mut message = Writer(vec![ENDIAN, METHOD_CALL, 0, VERSION]);
        message.u32(self.arguments.0.len() as u32).u32(serial);
        message.array(8, |fields| {
            let mut field = |code: u8, kind: &str, value: &str| {
                fields.align(8).0.push(code);
                fields.signature(kind);
                match kind {
                    "g" => fields.signature(value),
                    _ => fields.text(value),
                };
            };
            field(1, "o", self.path);
            field(2, "s", self.interface);
            field(3, "s", self.member);
            if let Some(destination) = self.destination {
                field(6, "s", destination);
            }
            if !self.signature.is_empty() {
                field(8, "g", self.signature);
            }
        });
        message.align(8).0.extend(&self.arguments.0);
        message.0
    }
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The answer to the call of this serial: what it returned.
    Returned(u32, Vec<u8>),
    /// The answer to the call of this serial: the error's name, and what it says.
    Failed(u32, String),
    /// A signal, or something else that was not asked for.
    Other,
}

impl Incoming {
    /// Whether it is the answer to a call.
    pub fn is_to(&self, call: u32) -> bool {
        matches!(self, Incoming::Returned(serial, _) | Incoming::Failed(serial, _) if *serial == call)
    }
}

/// Takes one message off the front of what was read. `None` as long as it is not whole; an error if it is
/// none.
pub fn take(read: &mut Vec<u8>) -> Result<Option<Incoming>, &'static str> {
    let Some(fixed) = read.get(..FIXED) else {
        return Ok(None);
    };
    if fixed.first() != Some(&ENDIAN) {
        return Err("not a message in this machine's byte order");
    }
    let mut fixed = Reader::new(fixed);
    let kind = fixed.skip(1).and_then(|()| fixed.byte()).unwrap_or(0);
    let lengths = (|| {
        fixed.skip(2)?;
        let body = fixed.u32()?;
        fixed.skip(4)?;
        Some((body as usize, fixed.u32()? as usize))
    })();
    let (body, fields) = lengths.unwrap_or((LONGEST, LONGEST));
    if body > LONGEST || fields > LONGEST {
        return Err("a message that is too long");
    }
    let header = FIXED + fields.next_multiple_of(8);
    let Some(message) = read.get(..header + body) else {
        return Ok(None);
    };
    let incoming = parse(kind, message, FIXED + fields, header);
    read.drain(..header + body);
    incoming.map(Some).ok_or("a message with a broken header")
}

fn parse(kind: u8, message: &[u8], fields: usize, header: usize) -> Option<Incoming> {
    const METHOD_RETURN: u8 = 2;
    const ERROR: u8 = 3;
    let (mut reply_to, mut error) = (None, String::new());
    let mut head = Reader::new(message.get(..fields)?);
    head.skip(FIXED)?;
    while !head.is_at_end() {
        head.align(8)?;
        let code = head.byte()?;
        match (code, head.signature()?) {
            (5, "u") => reply_to = Some(head.u32()?),
            (4, "s") => error = head.text()?.to_owned(),
            (_, "u") => head.u32().map(drop)?,
            (_, "s" | "o") => head.text().map(drop)?,
            (_, "g") => head.signature().map(drop)?,
            _ => return None,
        }
    }
    let body = message.get(header..)?;
    Some(match (kind, reply_to) {
        (METHOD_RETURN, Some(serial)) => Incoming::Returned(serial, body.to_vec()),
        (ERROR, Some(serial)) => {
            // What it says is the first argument, if that is a text.
            let says = Reader::new(body).text().unwrap_or_default();
            Incoming::Failed(serial, format!("{says} ({error})"))
        }
        _ => Incoming::Other,
    })
}

/// Reads a variant of a type that properties have here, which is all that a body holds.
pub fn variant(body: &[u8]) -> Option<Value> {
    variant_at(body, 0)
}

pub(super) fn variant_at(body: &[u8], at: usize) -> Option<Value> {
    let mut body = Reader { from: body, at };
    Some(match body.signature()? {
        "b" => Value::Flag(body.u32()? != 0),
        "t" => Value::Number(body.u64()?),
        "s" => Value::Text(body.text()?.to_owned()),
        "ay" => {
            let length = body.u32()? as usize;
            Value::Bytes(body.bytes(length)?.to_vec())
        }
        "a(st)" => {
            let length = body.u32()? as usize;
            body.align(8)?;
            let end = body.at.checked_add(length)?;
            let mut rates = Vec::new();
            while body.at < end {
                body.align(8)?;
                rates.push((body.text()?.to_owned(), body.u64()?));
            }
            Value::Rates(rates)
        }
        _ => return None,
    })
}

/// Reads from a message; `None` past its end.
struct Reader<'a> {
    from: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(from: &'a [u8]) -> Reader<'a> {
        Reader { from, at: 0 }
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.from.len()
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let bytes = self.from.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.bytes(count).map(drop)
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.skip(self.at.next_multiple_of(to) - self.at)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4)?;
        Some(u32::from_ne_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        self.align(8)?;
        Some(u64::from_ne_bytes(self.bytes(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        let text = std::str::from_utf8(self.bytes(length)?).ok()?;
        self.skip(1)?;
        Some(text)
    }

    fn signature(&mut self) -> Option<&'a str> {
        let length = self.byte()?.into();
        let text = std::str::from_utf8(self.bytes(length)?).ok()?;
        self.skip(1)?;
        Some(text)
    }
}
