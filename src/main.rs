// SPDX-License-Identifier: Apache-2.0
//! The `turnpike` command.

use std::process::ExitCode;

/// Shards allocate and free on their own threads, which is what it is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    turnpike::main()
}
