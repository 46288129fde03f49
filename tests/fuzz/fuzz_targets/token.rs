//! `cargo fuzz run token`; what is checked stands in `tests/splitting`.
#![no_main]

#[path = "../../splitting/mod.rs"]
mod splitting;

libfuzzer_sys::fuzz_target!(|data: &[u8]| splitting::token(data));
