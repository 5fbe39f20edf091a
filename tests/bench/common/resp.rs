//! RESP2, as much as a load generator needs: commands out, and the lengths and types of replies in.

/// One argument of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Word<'a> {
    /// As it stands.
    Text(&'a str),
    /// In decimal.
    Number(u64),
    /// A text and a number behind it: a key, a name.
    Joined(&'a str, u64),
}

/// Appends a command.
pub(crate) fn command(out: &mut Vec<u8>, words: &[Word<'_>]) {
    header(out, b'*', words.len() as u64);
    for word in words {
        match word {
            Word::Text(text) => {
                header(out, b'$', text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            Word::Number(number) => {
                header(out, b'$', u64::from(digits(*number)));
                decimal(out, *number);
            }
            Word::Joined(text, number) => {
                header(out, b'$', text.len() as u64 + u64::from(digits(*number)));
                out.extend_from_slice(text.as_bytes());
                decimal(out, *number);
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn header(out: &mut Vec<u8>, kind: u8, length: u64) {
    out.push(kind);
    decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

fn digits(number: u64) -> u32 {
    number.checked_ilog10().unwrap_or(0) + 1
}

fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    out.resize(start + digits(number) as usize, b'0');
    for place in out[start..].iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The length and the type (its first byte, `_` for null) of the reply at the front; none where it is not whole yet.
/// An error reply, also inside an array, is an error here.
pub(crate) fn reply(bytes: &[u8]) -> Result<Option<(usize, u8)>, String> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let (kind, line) = (bytes[0], &bytes[1..end]);
    let head = end + 2;
    match kind {
        b'-' => Err(String::from_utf8_lossy(line).into_owned()),
        b'+' | b':' => Ok(Some((head, kind))),
        b'$' => Ok(match number(line)? {
            None => Some((head, b'_')),
            Some(length) => Some((head + length + 2, kind)).filter(|(whole, _)| *whole <= bytes.len()),
        }),
        b'*' => {
            let Some(count) = number(line)? else { return Ok(Some((head, b'_'))) };
            let mut at = head;
            for _ in 0..count {
                match reply(&bytes[at..])? {
                    Some((length, _)) => at += length,
                    None => return Ok(None),
                }
            }
            Ok(Some((at, kind)))
        }
        other => Err(format!("a reply that starts with byte {other}")),
    }
}

/// What a reply is made of, without the arrays around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaf<'a> {
    Text(&'a [u8]),
    Number(u64),
    Null,
}

/// Shows every leaf of the reply at the front, in order, and answers the reply's length; none where it is not whole yet.
pub(crate) fn leaves<'a>(bytes: &'a [u8], see: &mut dyn FnMut(Leaf<'a>)) -> Result<Option<usize>, String> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let (kind, line) = (bytes[0], &bytes[1..end]);
    let mut at = end + 2;
    match kind {
        b'-' => return Err(String::from_utf8_lossy(line).into_owned()),
        b'+' => see(Leaf::Text(line)),
        b':' => see(Leaf::Number(whole(line)?)),
        b'$' => match number(line)? {
            None => see(Leaf::Null),
            Some(length) => {
                let Some(text) = bytes.get(at..at + length) else { return Ok(None) };
                at += length + 2;
                if at > bytes.len() {
                    return Ok(None);
                }
                see(Leaf::Text(text));
            }
        },
        b'*' => match number(line)? {
            None => see(Leaf::Null),
            Some(count) => {
                for _ in 0..count {
                    let Some(length) = leaves(&bytes[at..], see)? else { return Ok(None) };
                    at += length;
                }
            }
        },
        other => return Err(format!("a reply that starts with byte {other}")),
    }
    Ok(Some(at))
}

/// A number that is not negative.
pub(crate) fn whole(digits: &[u8]) -> Result<u64, String> {
    let text = str::from_utf8(digits).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| format!("no number: '{}'", String::from_utf8_lossy(digits)))
}

/// A length; none is -1, null.
fn number(line: &[u8]) -> Result<Option<usize>, String> {
    let text = String::from_utf8_lossy(line);
    if text == "-1" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("a length of '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_written_as_the_server_reads_it() {
        let mut out = Vec::new();
        command(&mut out, &[Word::Text("SET"), Word::Joined("k", 105), Word::Number(0)]);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$4\r\nk105\r\n$1\r\n0\r\n");
    }

    #[test]
    fn replies_have_a_length_and_a_type() {
        assert_eq!(reply(b"+OK\r\n:1"), Ok(Some((5, b'+'))));
        assert_eq!(reply(b":17\r\n"), Ok(Some((5, b':'))));
        assert_eq!(reply(b"$2\r\nab\r\n"), Ok(Some((8, b'$'))));
        assert_eq!(reply(b"$-1\r\n"), Ok(Some((5, b'_'))));
        assert_eq!(reply(b"*2\r\n:1\r\n*1\r\n$1\r\nx\r\n"), Ok(Some((19, b'*'))));
    }

    #[test]
    fn half_a_reply_is_none() {
        let whole = b"*2\r\n$3\r\nabc\r\n:12\r\n";
        for length in 0..whole.len() {
            assert_eq!(reply(&whole[..length]), Ok(None), "{length} bytes");
        }
    }

    #[test]
    fn the_leaves_of_a_reply_come_in_order() {
        let bytes = b"*3\r\n+OK\r\n*2\r\n$5\r\nissue\r\n:17\r\n$-1\r\n";
        let mut seen = Vec::new();
        assert_eq!(leaves(bytes, &mut |leaf| seen.push(leaf)), Ok(Some(bytes.len())));
        assert_eq!(seen, [Leaf::Text(b"OK"), Leaf::Text(b"issue"), Leaf::Number(17), Leaf::Null]);
        for length in 0..bytes.len() {
            assert_eq!(leaves(&bytes[..length], &mut |_| ()), Ok(None), "{length} bytes");
        }
        assert_eq!(leaves(b"*2\r\n:1\r\n-STALE x\r\n", &mut |_| ()), Err("STALE x".into()));
    }

    #[test]
    fn an_error_is_found_also_inside_an_array() {
        assert_eq!(reply(b"-HELD by x\r\n"), Err("HELD by x".into()));
        assert_eq!(reply(b"*2\r\n:1\r\n-ERR no\r\n"), Err("ERR no".into()));
    }
}
