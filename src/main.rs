//! The `turnpike` command.

use std::process::ExitCode;

/// Many threads that allocate little and alike: measured against the system's allocator in `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    turnpike::command::main()
}
