//! The platform costs nothing: an access through the generic `Memory` trait is the instruction that one would write by hand.
//!
//! The test builds `native_codegen_probe/lib.rs`, a crate of its own so that no development dependency is built with it, in
//! the release profile, and compares the instructions of each `generic_*` function with those of its `hand_*` twin. Debug
//! builds check bounds, so what this test itself is built with would show nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ENGINE: &str = env!("CARGO_MANIFEST_DIR");

/// Builds the probe and gives its assembly.
fn assembly() -> String {
    let build = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("codegen");
    fs::create_dir_all(&build).unwrap();
    let source = Path::new(ENGINE).join("tests/native_codegen_probe/lib.rs");
    let manifest = format!(
        "[package]\nname = \"probe\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\npath = {source:?}\n\
         [dependencies]\npso-engine = {{ path = {ENGINE:?} }}\n[profile.release]\ncodegen-units = 1\n[workspace]\n"
    );
    fs::write(build.join("Cargo.toml"), manifest).unwrap();
    // The versions of the workspace, so that nothing has to be fetched.
    fs::copy(Path::new(ENGINE).join("../Cargo.lock"), build.join("Cargo.lock")).unwrap();
    let output = build.join("probe.s");
    // Not removed first: where nothing has changed since, the compiler does not run, and what stands there is right.
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .args(["rustc", "--quiet", "--release", "--lib", "--offline", "--manifest-path"])
        .arg(build.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(build.join("target"));
    cargo.args(["--", "--emit"]).arg(format!("asm={}", output.display()));
    // Flags of the run at hand (coverage, sanitizers) have no place in what ships.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTC_WRAPPER");
    let run = cargo.output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    fs::read_to_string(&output).expect("the compiler wrote no assembly")
}

/// The instructions of a function, without labels, directives and comments.
fn instructions(assembly: &str, function: &str) -> Vec<String> {
    // The compiler may have merged a function into its twin, which is all that one could ask for: follow the alias.
    let alias = format!(".set {function}, ");
    if let Some(line) = assembly.lines().find(|line| line.trim().starts_with(&alias)) {
        return instructions(assembly, line.trim()[alias.len()..].trim());
    }
    let label = format!("{function}:");
    let mut lines = assembly.lines().skip_while(|line| line.trim_end() != label);
    assert!(lines.next().is_some(), "{function} is not in the assembly");
    let body = lines.take_while(|line| !line.trim_start().starts_with(".cfi_endproc"));
    let code: Vec<String> = body
        .filter(|line| line.starts_with('\t') && !line.trim_start().starts_with(['.', '#']))
        .map(|line| line.split('#').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    // The other way of merging: a jump to the twin.
    match code.as_slice() {
        [only] if only.starts_with("jmp ") || only.starts_with("b ") => {
            instructions(assembly, only.split_whitespace().nth(1).unwrap())
        }
        _ => code,
    }
}

#[test]
fn an_access_through_the_trait_is_the_instruction_written_by_hand() {
    let assembly = assembly();
    let of = |function: &str| instructions(&assembly, function);
    for access in ["load", "store", "compare_exchange"] {
        let (generic, hand) = (of(&format!("generic_{access}")), of(&format!("hand_{access}")));
        eprintln!("{access}: {}", generic.join("; "));
        assert_eq!(generic, hand, "{access}");
        assert!(!generic.is_empty(), "nothing was compared");
    }
    assert_ne!(of("generic_load"), of("other_load"), "a check more must show");

    if cfg!(target_arch = "x86_64") {
        // Two loads (of the base, of the word) and the return; one locked instruction.
        let loads = of("generic_load");
        assert!(loads.len() == 3 && loads[..2].iter().all(|line| line.starts_with("mov")), "{loads:?}");
        let locked = of("generic_compare_exchange");
        assert_eq!(locked.iter().filter(|line| line.contains("cmpxchg")).count(), 1, "{locked:?}");
        assert!(!locked.iter().any(|line| line.starts_with("call")), "{locked:?}");
    }
}
