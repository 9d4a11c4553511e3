/// A terminal's line discipline: it shows what is typed, and gives it on line by line.
#[derive(Debug, Default)]
pub(in crate::host) struct Terminal {
    line: Vec<u8>,
}

/// What became of something typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::host) struct Typed {
    /// What the terminal shows.
    pub(in crate::host) echo: Vec<u8>,
    /// Lines that are complete.
    pub(in crate::host) lines: Vec<Vec<u8>>,
    /// Whether the end was typed.
    pub(in crate::host) ended: bool,
}

const INTERRUPT: u8 = 3;
const END: u8 = 4;
const BACKSPACE: u8 = 8;
const DELETE: u8 = 127;

impl Terminal {
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

    /// Output with the line ends that a terminal needs.
    pub(in crate::host) fn shown(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] }).collect()
    }
}
