use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io,
    pin::Pin,
    process::{Output, Stdio},
};

use azure_identity::Executor;
use stargate_sdk::{LocalCommandError, run_local_command};
use tokio::process::Command;

/// Maximum length of az's output, in bytes: a token and its description.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;
/// Maximum length of az's messages that are kept, in bytes.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// Runs az without the secrets of other programs in its environment. It is killed with its children
/// when the call is dropped.
#[derive(Debug)]
pub(super) struct AzExecutor {
    /// Variables that az does not get.
    pub(super) hidden: BTreeSet<String>,
}

impl AzExecutor {
    async fn output(&self, program: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        for variable in &self.hidden {
            command.env_remove(variable);
        }
        let mut messages = String::new();
        let add = |line: &str| {
            if messages.len() + line.len() < MAX_MESSAGE_BYTES {
                messages.push_str(line);
                messages.push('\n');
            }
        };
        match run_local_command(command, MAX_OUTPUT_BYTES, add).await {
            Ok(output) => Ok(Output { status: output.status, stdout: output.stdout, stderr: messages.into_bytes() }),
            Err(LocalCommandError::Start(error) | LocalCommandError::Read(error)) => Err(error),
            Err(error @ LocalCommandError::OutputTooLarge(_)) => Err(io::Error::other(error)),
        }
    }
}

// The trait is written with `async_trait`, whose signature this is.
impl Executor for AzExecutor {
    fn run<'run, 'program, 'args, 'arg, 'call>(
        &'run self,
        program: &'program OsStr,
        args: &'args [&'arg OsStr],
    ) -> Pin<Box<dyn Future<Output = io::Result<Output>> + Send + 'call>>
    where
        'run: 'call,
        'program: 'call,
        'args: 'call,
        'arg: 'call,
        Self: 'call,
    {
        Box::pin(self.output(program, args))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_program_gets_no_hidden_variable() {
        let script = "echo ${CARGO_MANIFEST_DIR-hidden}; echo message >&2; exit 3";
        let run = async |hidden| {
            let args = [OsStr::new("-c"), OsStr::new(script)];
            AzExecutor { hidden }.run(OsStr::new("/bin/sh"), &args).await.expect("started")
        };
        let output = run(BTreeSet::from(["CARGO_MANIFEST_DIR".to_owned()])).await;
        assert_eq!(output.stdout, b"hidden\n");
        assert_eq!((output.stderr.as_slice(), output.status.code()), (b"message\n".as_slice(), Some(3)));
        assert_ne!(run(BTreeSet::new()).await.stdout, b"hidden\n");
    }
}
