//! The lab as a program: to come.
fn main() {}
