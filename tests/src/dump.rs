//! Forging DUMP payloads: a changed body under a footer that is right again, so that the server's checksum lets it
//! through and the module's own decoding has to refuse it.

/// The footer: two bytes of RDB version, eight of checksum.
const FOOTER: usize = 10;

/// The reflected polynomial of CRC-64/Jones, which Redis uses.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

const TABLE: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// CRC-64 as Redis computes it.
pub fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

/// The part of a payload before its footer: the type and the value.
pub fn body(payload: &[u8]) -> &[u8] {
    &payload[..payload.len() - FOOTER]
}

/// A payload with this body, the RDB version of `original` and a checksum that is right.
pub fn seal(body: &[u8], original: &[u8]) -> Vec<u8> {
    let version = &original[original.len() - FOOTER..original.len() - FOOTER + 2];
    let mut payload = [body, version].concat();
    payload.extend(crc64(&payload).to_le_bytes());
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_redis() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }
}
