//! Machine profiles by name or by file.

use std::path::Path;

use pso_sim::machine::Profile;

use crate::failure::Failure;

/// The built-in profile of this name, else the profile in the file of this name.
pub fn load(name: &str) -> Result<Profile, Failure> {
    if let Some(profile) = Profile::built_in(name) {
        return Ok(profile);
    }
    let text = std::fs::read_to_string(Path::new(name)).map_err(Failure::system(format!("the profile {name}")))?;
    Profile::parse(&text).map_err(|error| Failure::Wrong(format!("the profile {name}: {error}")))
}
