//! What `stargate demo` plays with: a world in a process of its own, and the program that acts in it.

pub(super) mod inputs;
mod line;
mod stage;
mod world;

pub(super) use stage::Stage;
