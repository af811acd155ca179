// SPDX-License-Identifier: Apache-2.0
//! Configurations: any text is read to its end, and its reports can be rendered. Seeds are in `seeds/config`; the unit
//! test `config::tests` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(reports) = turnpike::fuzz::check_text(&String::from_utf8_lossy(bytes)) {
        assert!(!reports.plain().is_empty());
    }
});
