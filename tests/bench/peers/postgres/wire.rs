//! PostgreSQL's protocol, version 3: as much of it as two prepared statements need.

use std::io::{Error, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::peers::load::Front;

/// A connection that waits for each answer.
pub(super) struct Session {
    stream: TcpStream,
    /// What the server said of itself: names and values.
    parameters: Vec<(String, String)>,
}

impl Session {
    pub(super) fn connect(port: u16, user: &str, password: &str) -> Result<Self, String> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(text)?;
        let mut session = Self::new(stream);
        session.log_in(user, password)?;
        Ok(session)
    }

    /// On a connection that has said nothing yet.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, parameters: Vec::new() }
    }

    pub(super) fn log_in(&mut self, user: &str, password: &str) -> Result<(), String> {
        const VERSION: u32 = 3 << 16;
        let words = format!("user\0{user}\0database\0postgres\0\0");
        let mut out = ((words.len() + 8) as u32).to_be_bytes().to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(words.as_bytes());
        self.stream.write_all(&out).map_err(text)?;
        self.until_ready(password)
    }

    /// Runs a statement whose rows nobody wants.
    pub(super) fn query(&mut self, statement: &str) -> Result<(), String> {
        self.send(b'Q', &[statement.as_bytes(), b"\0"])?;
        self.until_ready("")
    }

    pub(super) fn prepare(&mut self, name: &str, statement: &str) -> Result<(), String> {
        self.send(b'P', &[name.as_bytes(), b"\0", statement.as_bytes(), b"\0\0\0"])?;
        self.send(b'S', &[])?;
        self.until_ready("")
    }

    /// What the server said of itself when it was logged in to.
    pub(super) fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(there, _)| there == name);
        // Debian adds its own version in parentheses.
        found.map_or("", |(_, value)| value.split(' ').next().unwrap_or_default())
    }

    fn send(&mut self, kind: u8, parts: &[&[u8]]) -> Result<(), String> {
        let mut out = Vec::new();
        message(&mut out, kind, |out| parts.iter().for_each(|part| out.extend_from_slice(part)));
        self.stream.write_all(&out).map_err(text)
    }

    /// Reads up to and with ReadyForQuery.
    fn until_ready(&mut self, password: &str) -> Result<(), String> {
        const PASSWORD: [u8; 4] = [0, 0, 0, 3];
        const OK: [u8; 4] = [0; 4];
        let mut failure = None;
        loop {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head).map_err(text)?;
            let mut body = vec![0; length(&head).saturating_sub(head.len())];
            self.stream.read_exact(&mut body).map_err(text)?;
            match head[0] {
                b'Z' => return failure.map_or(Ok(()), Err),
                b'R' if body == PASSWORD => self.send(b'p', &[password.as_bytes(), b"\0"])?,
                b'R' if body != OK => return Err("it wants to know us in another way".to_owned()),
                b'S' => {
                    let mut words =
                        body.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
                    self.parameters.extend(words.next().zip(words.next()));
                }
                // A refused login is not followed by anything.
                b'E' if self.parameters.is_empty() => return Err(complaint(&body)),
                b'E' => failure = Some(complaint(&body)),
                _ => {}
            }
        }
    }
}

/// Appends Bind, Execute and Sync of a prepared statement: one round trip. Parameters and results are binary.
pub(super) fn execute(out: &mut Vec<u8>, statement: &str, parameters: &[&[u8]]) {
    const BINARY: [u8; 2] = 1u16.to_be_bytes();
    const ONE: [u8; 2] = 1u16.to_be_bytes();
    message(out, b'B', |out| {
        out.push(0);
        out.extend_from_slice(statement.as_bytes());
        out.push(0);
        out.extend_from_slice(&[ONE, BINARY].concat());
        out.extend_from_slice(&(parameters.len() as u16).to_be_bytes());
        for parameter in parameters {
            out.extend_from_slice(&(parameter.len() as u32).to_be_bytes());
            out.extend_from_slice(parameter);
        }
        out.extend_from_slice(&[ONE, BINARY].concat());
    });
    // The unnamed portal, all rows.
    message(out, b'E', |out| out.extend_from_slice(&[0; 5]));
    message(out, b'S', |_| {});
}

/// Reads the answer to [`execute`]: the first two columns of its row, where it has one.
pub(super) fn answer(input: &[u8]) -> Front<Option<[u64; 2]>> {
    let (mut at, mut row, mut failure) = (0, None, None);
    while let Some(head) = input.get(at..at + 5) {
        let Some(body) = input.get(at + 5..at + length(head)) else { return Ok(None) };
        at += length(head);
        match head[0] {
            b'Z' => return failure.map_or(Ok(Some((at, row))), Err),
            b'D' => row = Some(columns(body).ok_or("a row without two numbers in front")?),
            b'E' => failure = Some(complaint(body)),
            _ => {}
        }
    }
    Ok(None)
}

/// The first two columns of a DataRow, both bigint: behind their count a length and eight bytes each.
fn columns(body: &[u8]) -> Option<[u64; 2]> {
    let number = |at: usize| Some(u64::from_be_bytes(body.get(at + 4..at + 12)?.try_into().ok()?));
    Some([number(2)?, number(14)?])
}

fn message(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Of a message with its first byte, which does not count itself.
fn length(head: &[u8]) -> usize {
    let length = head[1..5].try_into().map_or(0, u32::from_be_bytes);
    length as usize + 1
}

/// The message field of an ErrorResponse.
fn complaint(body: &[u8]) -> String {
    let message = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"M"));
    String::from_utf8_lossy(message.unwrap_or(body)).into_owned()
}

fn text(error: Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_ready_for_query() {
        let mut input = Vec::new();
        message(&mut input, b'2', |_| {});
        message(&mut input, b'D', |out| {
            out.extend_from_slice(&[0, 2]);
            for number in [12u64, 1] {
                out.extend_from_slice(&8u32.to_be_bytes());
                out.extend_from_slice(&number.to_be_bytes());
            }
        });
        message(&mut input, b'C', |out| out.extend_from_slice(b"UPDATE 1\0"));
        message(&mut input, b'Z', |out| out.push(b'I'));
        for length in 0..input.len() {
            assert_eq!(answer(&input[..length]), Ok(None), "{length} bytes");
        }
        assert_eq!(answer(&input), Ok(Some((input.len(), Some([12, 1])))));
    }

    #[test]
    fn an_error_is_told_in_its_own_words() {
        let mut input = Vec::new();
        message(&mut input, b'E', |out| out.extend_from_slice(b"SERROR\0C42P01\0Mno such table\0\0"));
        message(&mut input, b'Z', |out| out.push(b'I'));
        assert_eq!(answer(&input), Err("no such table".into()));
    }
}
