//! The actions against a small server that implements the API's documented subset.

mod fake;
mod tailnet;

mod auth_key;
mod device;
mod devices;
mod routes;
mod token;
