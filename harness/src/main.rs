//! The command `pso`. All of it is in the library beside it.

fn main() -> std::process::ExitCode {
    pso_harness::main()
}
