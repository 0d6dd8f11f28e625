# The integration guide's eleven examples with real processes; the host prints the same (crates/process/tests/guide.rs).
/bin/pm guide
