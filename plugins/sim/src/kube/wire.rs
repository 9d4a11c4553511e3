/// Field of a protobuf message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    /// Number of the field in its message type.
    pub(crate) number: u64,
    /// Value as it was encoded.
    pub(crate) wire: Wire<'a>,
}

/// Value of a field before its type is known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wire<'a> {
    /// Number of up to 64 bits: varint, `fixed64` or `fixed32`.
    Number(u64),
    /// Bytes of a text, a message or a packed list.
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    /// Returns the bytes, or an error for a number.
    pub(crate) fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err("a field is a number where bytes must be".to_owned()),
        }
    }

    /// Returns the number, or an error for bytes.
    pub(crate) fn number(self) -> Result<u64, String> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => Err("a field is bytes where a number must be".to_owned()),
        }
    }
}

/// Returns the fields of a message in the order of their encoding.
///
/// # Errors
///
/// A description of the truncated field or of the unknown wire type.
pub(crate) fn fields(mut rest: &[u8]) -> Result<Vec<Field<'_>>, String> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let wire = match tag & 7 {
            0 => Wire::Number(varint(&mut rest)?),
            1 => Wire::Number(fixed(take(&mut rest, 8)?)),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).map_err(|_| cut())?;
                Wire::Bytes(take(&mut rest, length)?)
            }
            5 => Wire::Number(fixed(take(&mut rest, 4)?)),
            other => return Err(format!("wire type {other} is not of protobuf")),
        };
        found.push(Field { number: tag >> 3, wire });
    }
    Ok(found)
}

/// Returns the error for a truncated field.
fn cut() -> String {
    "it ends in the middle of a field".to_owned()
}

/// Removes and returns the first `length` bytes of `rest`.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (taken, after) = rest.split_at_checked(length).ok_or_else(cut)?;
    *rest = after;
    Ok(taken)
}

/// Returns a number of fixed size, least significant byte first.
fn fixed(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Reads a number with seven bits a byte, lowest first. The high bit marks that another byte
/// follows.
fn varint(rest: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first().expect("one byte was taken");
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number has more than ten bytes".to_owned())
}
