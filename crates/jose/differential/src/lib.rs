//! Holds jotgate-jose against other libraries: whatever it accepts, each of them must accept. The work is in
//! `tests/differential`; what it found on purpose is in `DIFFERENCES.md` of jotgate-jose.
