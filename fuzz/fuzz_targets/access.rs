#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| jotgate_fuzz::access(data));
