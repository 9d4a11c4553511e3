use std::{process::ExitCode, time::Duration};

use clap::{CommandFactory, FromArgMatches};

use super::{
    Failure, Settings,
    args::{Command, CommandLine, Output, RunCommand},
    command,
    exit::Exit,
    hint, log, ui,
};

/// How long background work may go on once the answer is known: long enough to close files.
const LEAVE: Duration = Duration::from_millis(100);

/// The program: reads the command line, does what it says, and answers with one of [`Exit`]'s codes.
pub(crate) fn main() -> ExitCode {
    let exit = match parse() {
        Ok(line) => {
            let output = line.global.output;
            start(line).unwrap_or_else(|failure| show(output, &failure))
        }
        Err(exit) => exit,
    };
    unless_lost(exit).into()
}

fn show(output: Output, failure: &Failure) -> Exit {
    if output == Output::Json {
        ui::out_json(&failure.to_json());
    }
    failure.show();
    failure.exit()
}

/// What was asked for is not done when it was not seen. A failure stays what it is.
fn unless_lost(exit: Exit) -> Exit {
    let Some(reason) = ui::lost() else { return exit };
    let failure = Failure::new(
        Exit::Internal,
        format!("write to standard output: {reason}"),
        "make room where the output goes, then run the same command again",
    );
    failure.show();
    if matches!(exit, Exit::Done | Exit::Changes) { failure.exit() } else { exit }
}

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
            Exit::Done
        }
    })
}

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
    let result = runtime.block_on(dispatch(&settings, line.command));
    runtime.shutdown_timeout(LEAVE);
    result
}

async fn dispatch(settings: &Settings, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Run { what: RunCommand::Workflow(args) } => command::run::workflow(settings, &args).await,
        Command::Resume(args) => command::resume::resume(settings, &args).await,
        Command::Why(args) => command::why::why(settings, &args).await,
        Command::Cancel(args) => command::cancel::cancel(settings, &args).await,
        Command::Approve(args) => command::approve::approve(settings, &args).await,
        Command::Resolve(args) => command::resolve::resolve(settings, &args).await,
        Command::History(args) => command::history::history(settings, &args).await,
        Command::Logs(args) => command::logs::logs(settings, &args).await,
        Command::Prune(args) => command::prune::prune(settings, &args).await,
        Command::Plan(args) => command::plan::plan(settings, &args).await,
        Command::Schedule(args) => command::schedule::schedule(settings, &args).await,
        Command::Doctor(args) => command::doctor::doctor(settings, &args).await,
        Command::Validate(args) => command::validate::validate(settings, &args),
        Command::Graph(args) => command::graph::graph(settings, &args),
        Command::Actions(args) => command::actions::actions(settings, &args),
        Command::Schema => command::schema::schema(settings),
        #[cfg(feature = "sim")]
        Command::Sim(args) => command::sim::sim(settings, &args).await,
        #[cfg(feature = "sim")]
        Command::Demo(args) => command::demo::demo(settings, &args).await,
        Command::Completions { shell } => command::completions::completions(shell),
    }
}
