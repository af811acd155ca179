// SPDX-License-Identifier: Apache-2.0
//! A descriptor set for tests and fuzz targets, compiled from `.proto` text. No part of the gateway.

use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use crate::wire::grpc::json::load::Transcoder;
use crate::wire::grpc::json::options::Options;

/// The files by the names that they import each other by.
const FILES: [(&str, &str); 3] = [
    ("library.proto", include_str!("sample/library.proto")),
    ("google/api/annotations.proto", include_str!("sample/annotations.proto")),
    ("google/api/httpbody.proto", include_str!("sample/httpbody.proto")),
];

struct Texts<'a>(&'a [(&'a str, &'a str)]);

impl FileResolver for Texts<'_> {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        let (name, text) = found.ok_or_else(|| protox::Error::file_not_found(name))?;
        File::from_source(name, text)
    }
}

/// The serialised descriptor set of the sample, with all imports.
pub(crate) fn descriptor_set() -> Vec<u8> {
    compiled("library.proto", &[])
}

/// The serialised descriptor set of a file among `files` or the sample's.
pub(crate) fn compiled(name: &str, files: &'static [(&'static str, &'static str)]) -> Vec<u8> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Texts(files));
    resolver.add(Texts(&FILES));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file(name).expect("a sample that compiles");
    compiler.encode_file_descriptor_set()
}

/// The sample's transcoder.
pub(crate) fn transcoder(options: Options) -> Transcoder {
    Transcoder::from_descriptor_set(&descriptor_set(), options).expect("a sample that loads")
}
