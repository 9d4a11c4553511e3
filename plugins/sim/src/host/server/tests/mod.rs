//! Machines over SSH and over the shell, from their boot on.

mod boot;
mod connections;
mod packet_filter;
mod programs;
mod rig;
