//! The Python files that `demo` and `bench` run, carried in the executable so that it works from anywhere.

use std::path::Path;

use tempfile::TempDir;

use crate::failure::Failure;

macro_rules! scripts {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("../python/", $path)))),*] };
}

const FILES: &[(&str, &str)] = scripts![
    "pso_demo/__init__.py",
    "pso_demo/__main__.py",
    "pso_demo/coordinator.py",
    "pso_demo/corpus.py",
    "pso_demo/manager.py",
    "pso_demo/merge.py",
    "pso_demo/parse.py",
    "pso_demo/plain.py",
    "pso_demo/verify.py",
    "pso_demo/worker.py",
    "pso_bench/__init__.py",
    "pso_bench/__main__.py",
    "pso_bench/bank.py",
    "pso_bench/crew.py",
    "pso_bench/garbage.py",
    "pso_bench/manager.py",
    "pso_bench/micro.py",
    "pso_bench/wake.py",
];

/// A temporary folder with the scripts in it and room for what the processes write. Goes when this goes.
pub struct Scripts {
    folder: TempDir,
}

impl Scripts {
    /// Writes the files.
    pub fn unpack() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("pso-")
            .tempdir()
            .map_err(Failure::system("a temporary folder for the scripts"))?;
        for (path, text) in FILES {
            let file = folder.path().join(path);
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent).map_err(Failure::system(format!("making {}", parent.display())))?;
            }
            std::fs::write(&file, text).map_err(Failure::system(format!("writing {}", file.display())))?;
        }
        Ok(Self { folder })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_script_of_the_folder_is_carried() {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let mut found = BTreeSet::new();
        for package in std::fs::read_dir(&base).unwrap() {
            let package = package.unwrap().path();
            for file in std::fs::read_dir(&package).unwrap() {
                let file = file.unwrap().path();
                if file.extension().is_some_and(|extension| extension == "py") {
                    found.insert(file.strip_prefix(&base).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let carried: BTreeSet<_> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(found, carried);
    }
}
