/// A field of a protobuf message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) wire: Wire<'a>,
}

/// What a field holds, before it is known what it means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    /// The bytes; an error if it is a number.
    pub(crate) fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err("a field is a number where bytes must be".to_owned()),
        }
    }

    /// The number; an error if it is bytes.
    pub(crate) fn number(self) -> Result<u64, String> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => Err("a field is bytes where a number must be".to_owned()),
        }
    }
}

/// The fields of a message in the order in which they were written.
///
/// The error says that it ends too early or is no message.
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

fn cut() -> String {
    "it ends in the middle of a field".to_owned()
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (taken, after) = rest.split_at_checked(length).ok_or_else(cut)?;
    *rest = after;
    Ok(taken)
}

fn fixed(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Seven bits a byte, the lowest first.
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
