//! Lines of bounded length.

use std::io::{self, BufRead};

pub(crate) enum Line {
    Whole,
    /// Longer than the limit; only its beginning was kept.
    TooLong,
    End,
}

/// Reads to the next newline into `line`, without it; of a longer line than `limit` bytes the rest is skipped.
pub(crate) fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, limit: usize) -> io::Result<Line> {
    line.clear();
    let mut too_long = false;
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            return Ok(if line.is_empty() { Line::End } else { Line::Whole });
        }
        let newline = chunk.iter().position(|&byte| byte == b'\n');
        let taken = newline.unwrap_or(chunk.len());
        if !too_long {
            line.extend_from_slice(&chunk[..taken]);
            // A carriage return before the newline does not count.
            if line.len() > limit + 1 || (line.len() > limit && newline.is_some() && line.last() != Some(&b'\r')) {
                too_long = true;
                line.truncate(256);
            }
        }
        input.consume(taken + usize::from(newline.is_some()));
        if newline.is_some() {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}
