// SPDX-License-Identifier: Apache-2.0
//! The command line of the load tests; everything is in the library.

fn main() -> std::process::ExitCode {
    loadtest::command::main()
}
