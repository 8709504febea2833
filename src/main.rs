//! The `pawl` command.

fn main() {}
