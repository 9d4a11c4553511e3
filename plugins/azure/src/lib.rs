//! Azure actions: a thin ARM client and the resources a router needs.
