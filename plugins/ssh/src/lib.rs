//! Host actions over the system ssh.
