//! Arguments in, exit code out; decides nothing.
fn main() {}
