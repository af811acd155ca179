// SPDX-License-Identifier: Apache-2.0
//! The kept inputs of the fuzz targets, through the properties that the targets check.

use std::path::PathBuf;

use crate::wire::check;
use crate::wire::grpc;
use crate::wire::jose;
use crate::wire::ws;

/// Every seed of a fuzz target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("no seeds in {}", folder.display()));
    entries.map(|entry| std::fs::read(entry.expect("a seed").path()).expect("a seed")).collect()
}

#[test]
fn fuzz_seeds_keep_the_properties() {
    type Check = fn(&[u8]);
    let targets: [(&str, Check); 16] = [
        ("head", check::head),
        ("response", check::response_head),
        ("chunk", check::chunked),
        ("target", check::target),
        ("proxy", check::proxy),
        ("resp", check::resp),
        ("forwarded", check::forwarded),
        ("blocks", check::blocks),
        ("coding", check::coding),
        ("frames", check::frames),
        ("inspect", check::inspect),
        ("grpc_body", grpc::check::body),
        ("grpc_json", grpc::check::transcoded),
        ("grpc_load", grpc::check::loaded),
        ("tokens", jose::check::tokens),
        ("websocket", ws::check::frames),
    ];
    for (target, check) in targets {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target} has no seeds");
        seeds.iter().for_each(|seed| check(seed));
    }
}
