//! aqueduct.
fn main() {}
