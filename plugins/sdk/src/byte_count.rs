use std::io;

/// Writer that counts what is written, and keeps none of it.
#[derive(Debug, Default)]
pub struct ByteCount(usize);

impl ByteCount {
    /// Number of bytes so far.
    pub fn bytes(&self) -> usize {
        self.0
    }
}

impl io::Write for ByteCount {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
