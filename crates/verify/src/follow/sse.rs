//! Server-sent events (HTML Living Standard §9.2), as far as the feed has them.

/// Longest event, in bytes.
const MOST: usize = 64 * 1024;

/// An event, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// Makes events of bytes as they come.
#[derive(Debug, Default)]
pub(super) struct Parser {
    buffer: Vec<u8>,
    event: Event,
    size: usize,
}

/// An event longer than any of the feed's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Parser {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.size += 1;
                if self.size > MOST {
                    return Err(TooLong);
                }
                self.buffer.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.buffer);
            let line = String::from_utf8_lossy(&line);
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                self.size = 0;
                let event = std::mem::take(&mut self.event);
                events.extend((!event.data.is_empty()).then_some(event));
            } else {
                self.field(line);
            }
        }
        Ok(events)
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.name),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments have an empty name; `retry` is not asked.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_the_bytes_are_cut() {
        let text = ": hello\n\nevent: revoked\r\nid: 7\r\ndata: {\"a\":1}\r\n\r\nevent: alive\ndata:x\ndata: y\n\nid: 9\n\n";
        let expected = [
            Event { name: "revoked".into(), id: Some("7".into()), data: r#"{"a":1}"#.into() },
            Event { name: "alive".into(), id: None, data: "x\ny".into() },
        ];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let events: Vec<_> =
                text.as_bytes().chunks(size).flat_map(|part| parser.push(part).unwrap()).collect();
            assert_eq!(events, expected, "cut every {size}");
        }
    }

    #[test]
    fn an_endless_event_is_cut_off() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'a'; MOST]), Ok(Vec::new()));
        assert_eq!(parser.push(b"a"), Err(TooLong));
        let mut parser = Parser::default();
        assert_eq!(parser.push("data:x\n".repeat(MOST).as_bytes()), Err(TooLong), "in many lines, too");
    }
}
