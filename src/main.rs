//! Arguments in, exit code out; decides nothing.

/// Hands everything to [`nuthatch::face::act`].
fn main() -> std::process::ExitCode {
    nuthatch_heap::configure();
    nuthatch::face::act::main(std::env::args_os())
}
