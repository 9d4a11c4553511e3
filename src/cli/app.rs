//! Entry point of the program: parses the command line, prepares the process and calls the command.
//!
//! The steps have an order that matters: settings first, because they decide about colours and
//! logging; then the TLS provider, of which a process can install only one; then the async runtime.

use std::{process::ExitCode, time::Duration};

use clap::{CommandFactory, FromArgMatches};

use super::{
    Failure, Settings,
    args::{CliCommand, CommandLine, RunCommand},
    command,
    exit::Exit,
    hint, journals, log, ui,
};

/// Maximum time that background work has after the command has its result: enough to close files.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(100);

/// Runs the command that the command line names and returns one of the codes of [`Exit`].
pub(crate) fn main() -> ExitCode {
    let exit = match parse() {
        Ok(line) => {
            let output = line.global.output;
            start(line).unwrap_or_else(|failure| failure.report(output))
        }
        Err(exit) => exit,
    };
    check_output_written(exit).into()
}

/// Turns success into a failure if output could not be written: a result that cannot be read does
/// not count. A failure keeps its own code.
fn check_output_written(exit: Exit) -> Exit {
    let Some(reason) = ui::write_error() else { return exit };
    let failure = Failure::new(
        Exit::Internal,
        format!("write to standard output: {reason}"),
        "free space where the output is written, then run the same command again",
    );
    failure.show();
    if matches!(exit, Exit::Success | Exit::Changes) { failure.exit() } else { exit }
}

/// Parses the command line. Prints help, version or the usage error itself, and returns the exit
/// code for them as the error.
fn parse() -> Result<CommandLine, Exit> {
    let command = CommandLine::command().after_long_help(Exit::table());
    let matches = command.try_get_matches().and_then(|matches| CommandLine::from_arg_matches(&matches));
    matches.map_err(|error| {
        let text = error.render().to_string();
        if error.use_stderr() {
            ui::err(text.trim_end());
            ui::hint(&hint::help());
            Exit::Usage
        } else {
            ui::out(text.trim_end());
            Exit::Success
        }
    })
}

/// Starts logging, TLS and the async runtime, and runs the command.
fn start(line: CommandLine) -> Result<Exit, Failure> {
    let settings = Settings::load(line.global)?;
    ui::allow_colour(settings.colour);
    log::start(&settings.log)?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| Failure::internal("another TLS provider is installed"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("start the runtime: {error}")))?;
    let result = runtime.block_on(async {
        let result = dispatch(&settings, line.command).await;
        journals::close_all().await;
        result
    });
    runtime.shutdown_timeout(SHUTDOWN_GRACE);
    result
}

/// Calls the function of the command.
async fn dispatch(settings: &Settings, command: CliCommand) -> Result<Exit, Failure> {
    match command {
        CliCommand::Run { what: RunCommand::Workflow(args) } => command::run::workflow(settings, &args).await,
        CliCommand::Resume(args) => command::resume::resume(settings, &args).await,
        CliCommand::Retry(args) => command::retry::retry(settings, &args).await,
        CliCommand::Attach(args) => command::attach::attach(settings, &args).await,
        CliCommand::Why(args) => command::why::why(settings, &args).await,
        CliCommand::Cancel(args) => command::cancel::cancel(settings, &args).await,
        CliCommand::Approve(args) => command::approve::approve(settings, &args).await,
        CliCommand::Resolve(args) => command::resolve::resolve(settings, &args).await,
        CliCommand::History(args) => command::history::history(settings, &args).await,
        CliCommand::Logs(args) => command::logs::logs(settings, &args).await,
        CliCommand::Prune(args) => command::prune::prune(settings, &args).await,
        CliCommand::Up(args) => command::up::up(settings, args).await,
        CliCommand::Down(args) => command::up::down(settings, args).await,
        CliCommand::Plan(args) => command::plan::plan(settings, &args).await,
        CliCommand::Verify(args) => command::verify::verify(settings, &args).await,
        CliCommand::Ssh(args) => command::ssh::ssh(settings, &args).await,
        CliCommand::Status(args) => command::status::status(settings, &args).await,
        CliCommand::Trace(args) => command::trace::trace(settings, &args).await,
        CliCommand::Schedule(args) => command::schedule::schedule(settings, &args).await,
        CliCommand::Doctor(args) => command::doctor::doctor(settings, &args).await,
        CliCommand::Validate(args) => command::validate::validate(settings, &args),
        CliCommand::Graph(args) => command::graph::graph(settings, &args),
        CliCommand::Workflows(args) => command::workflows::workflows(settings, &args),
        CliCommand::Actions(args) => command::actions::actions(settings, &args),
        CliCommand::Schema => command::schema::schema(settings),
        #[cfg(feature = "sim")]
        CliCommand::Sim(args) => command::sim::sim(settings, &args).await,
        #[cfg(feature = "sim")]
        CliCommand::Demo(args) => command::demo::demo(settings, &args).await,
        CliCommand::Completions { shell } => command::completions::completions(shell),
    }
}
