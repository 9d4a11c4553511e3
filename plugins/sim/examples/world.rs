//! Opens a simulated world and prints how to use it: `cargo run -p stargate-sim --example world --
//! DIRECTORY [SPEED]`.

use std::io::Write as _;
use std::net::SocketAddr;

use stargate_sim::{SimOptions, instructions, start};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("name a directory")?;
    let speed = arguments.next().map_or(Ok(1.0), |speed| speed.parse())?;
    let options = SimOptions {
        state_file: Some(format!("{dir}/world.json").into()),
        http: SocketAddr::from(([127, 0, 0, 1], 8700)),
        https: SocketAddr::from(([127, 0, 0, 1], 8743)),
        speed,
        ..SimOptions::new(&dir)
    };
    let sim = start(options).await?;
    std::io::stdout().write_all(instructions(&sim).as_bytes())?;
    tokio::select! {
        () = sim.stopped() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(sim.shutdown().await?)
}
