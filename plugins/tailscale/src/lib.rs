//! Tailscale actions over its API.
