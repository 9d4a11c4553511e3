/// Line discipline of a terminal: echoes characters and delivers complete lines.
#[derive(Debug, Default)]
pub(in crate::host) struct Terminal {
    line: Vec<u8>,
}

/// Result of typed characters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::host) struct Typed {
    /// Characters that the terminal displays.
    pub(in crate::host) echo: Vec<u8>,
    /// Lines that are complete, each with its line end.
    pub(in crate::host) lines: Vec<Vec<u8>>,
    /// True if the end of the input was typed.
    pub(in crate::host) ended: bool,
}

/// Character of Ctrl-C, which discards the typed line and delivers an empty one.
const INTERRUPT: u8 = 3;
/// Character of Ctrl-D, which ends the input at the start of a line.
const END: u8 = 4;
/// Character of Ctrl-H, which deletes one character.
const BACKSPACE: u8 = 8;
/// Character of the backspace key on most terminals.
const DELETE: u8 = 127;

impl Terminal {
    /// Processes typed bytes and returns their effect.
    pub(in crate::host) fn type_in(&mut self, data: &[u8]) -> Typed {
        let mut typed = Typed::default();
        for byte in data {
            match *byte {
                b'\r' | b'\n' => {
                    typed.echo.extend_from_slice(b"\r\n");
                    self.line.push(b'\n');
                    typed.lines.push(std::mem::take(&mut self.line));
                }
                BACKSPACE | DELETE if self.line.pop().is_some() => typed.echo.extend_from_slice(b"\x08 \x08"),
                BACKSPACE | DELETE => {}
                INTERRUPT => {
                    self.line.clear();
                    typed.echo.extend_from_slice(b"^C\r\n");
                    typed.lines.push(b"\n".to_vec());
                }
                END if self.line.is_empty() => typed.ended = true,
                byte => {
                    self.line.push(byte);
                    typed.echo.push(byte);
                }
            }
        }
        typed
    }

    /// Converts each line end of an output to CR LF, as a terminal needs it.
    pub(in crate::host) fn shown(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] }).collect()
    }
}
