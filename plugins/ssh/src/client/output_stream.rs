use tokio::io::{AsyncRead, AsyncReadExt};

/// Largest output that is parsed, in bytes: `tailscale status` of a large tailnet has some MiB.
pub(super) const MAX_OUTPUT_BYTES: usize = 16 * 1024 * 1024;
/// Length of the head and of the tail that are kept of a longer output that is only shown, in
/// bytes.
const END_BYTES: usize = 64 * 1024;
/// Number of bytes that are read at a time.
const PART_BYTES: usize = 32 * 1024;

/// Reads a stream that is parsed. Returns `None` if it is longer than [`MAX_OUTPUT_BYTES`].
///
/// Output that arrived before the connection was lost is kept.
pub(super) async fn read_whole(stream: Option<impl AsyncRead + Unpin>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(MAX_OUTPUT_BYTES as u64 + 1).read_to_end(&mut bytes).await.ok();
    }
    (bytes.len() <= MAX_OUTPUT_BYTES).then_some(bytes)
}

/// Reads a stream that is only shown to its end, in bounded memory. Of a long one, the head and the
/// tail are kept, with a note between them.
pub(super) async fn read_ends(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut ends = Ends::default();
    if let Some(mut stream) = stream {
        let mut part = vec![0; PART_BYTES];
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            ends.add(&part[..count]);
        }
    }
    ends.into_bytes()
}

/// Head and tail of a stream.
#[derive(Default)]
struct Ends {
    head: Vec<u8>,
    /// Bytes after the head, of which the last [`END_BYTES`] count.
    tail: Vec<u8>,
    /// Number of bytes between head and tail that were dropped.
    dropped: usize,
}

impl Ends {
    fn add(&mut self, part: &[u8]) {
        let (head, tail) = part.split_at(part.len().min(END_BYTES - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend_from_slice(tail);
        if self.tail.len() > 2 * END_BYTES {
            self.shorten();
        }
    }

    /// Drops what lies before the last [`END_BYTES`] of the tail.
    fn shorten(&mut self) {
        let dropped = self.tail.len().saturating_sub(END_BYTES);
        self.tail.drain(..dropped);
        self.dropped += dropped;
    }

    fn into_bytes(mut self) -> Vec<u8> {
        self.shorten();
        if self.dropped > 0 {
            self.head.extend_from_slice(format!("\n… ({} bytes left out) …\n", self.dropped).as_bytes());
        }
        self.head.append(&mut self.tail);
        self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_that_is_parsed_is_read_up_to_its_limit() {
        let longest = vec![b'x'; MAX_OUTPUT_BYTES];
        assert_eq!(read_whole(Some(longest.as_slice())).await.map(|read| read.len()), Some(MAX_OUTPUT_BYTES));
        assert_eq!(read_whole(Some([longest.as_slice(), b"x"].concat().as_slice())).await, None);
        assert_eq!(read_whole(Some(tokio::io::repeat(b'x'))).await, None, "a stream without end");
    }

    #[tokio::test]
    async fn head_and_tail_of_a_long_stream_are_kept() {
        let read = async |length: usize| {
            let bytes: Vec<u8> = (0..length).map(|index| b'a' + u8::try_from(index % 26).unwrap_or(0)).collect();
            (read_ends(Some(bytes.as_slice())).await, bytes)
        };
        for length in [0, 1, END_BYTES, 2 * END_BYTES] {
            let (kept, bytes) = read(length).await;
            assert!(kept == bytes, "{length}");
        }
        for (length, dropped) in [(2 * END_BYTES + 1, 1), (10 * END_BYTES + 7, 8 * END_BYTES + 7)] {
            let (kept, bytes) = read(length).await;
            let note = format!("\n… ({dropped} bytes left out) …\n");
            let expected = [&bytes[..END_BYTES], note.as_bytes(), &bytes[length - END_BYTES..]].concat();
            assert!(kept == expected, "{length}");
        }
    }
}
