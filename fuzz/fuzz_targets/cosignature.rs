//! Fuzzes one parser; see `crates/transparency/tests/parsers`.

#![no_main]

#[path = "../../crates/transparency/tests/parsers/mod.rs"]
mod parsers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    parsers::named("cosignature")(data);
});
