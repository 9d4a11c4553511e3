//! Reading of files and streams that can be larger than expected, or have no end.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Reads `source` to its end, or returns `None` if it has more than `limit` bytes.
///
/// # Errors
/// The source cannot be read.
pub async fn read_up_to_limit(source: impl AsyncRead + Unpin, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let length = source.take(limit as u64 + 1).read_to_end(&mut bytes).await?;
    Ok((length <= limit).then_some(bytes))
}

/// Reads `source` to its end, like [`read_up_to_limit`], and blocks meanwhile.
///
/// # Errors
/// The source cannot be read.
pub fn read_up_to_limit_blocking(source: impl Read, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let length = source.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok((length <= limit).then_some(bytes))
}

/// Reads a regular file, or returns `None` if it has more than `limit` bytes.
///
/// Anything else is not opened: a FIFO can block forever, and a device can have no end.
///
/// # Errors
/// The file cannot be read, or is not a regular file.
pub fn read_file_up_to_limit(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    read_up_to_limit_blocking(File::open(path)?, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_source_is_read_up_to_its_limit() {
        for (source, expected) in [(b"123".as_slice(), Some(b"123".to_vec())), (b"1234", None), (b"", Some(vec![]))] {
            assert_eq!(read_up_to_limit_blocking(source, 3).expect("read"), expected);
            assert_eq!(read_up_to_limit(source, 3).await.expect("read"), expected);
        }
        assert_eq!(read_up_to_limit_blocking(io::repeat(0), 1 << 20).expect("read"), None);
    }

    #[test]
    fn only_regular_files_are_opened() {
        let error = read_file_up_to_limit(Path::new("/dev/zero"), 3).expect_err("a device");
        assert_eq!(error.to_string(), "it is not a regular file");
        assert!(read_file_up_to_limit(Path::new("/nothing"), 3).is_err());
    }
}
