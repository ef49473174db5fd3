//! Which space: from the command line to a joined space.

use std::path::Path;
use std::sync::Arc;

use pso_engine::arena::Layout;
use pso_engine::platform::native::{self, Choice, Native, Place};
use pso_engine::space::Space;

use tempfile::TempDir;

use crate::cli::SpaceChoice;
use crate::failure::Failure;

/// Memory that a folder is put into if the machine has it: a disk would be measured with it.
const SHARED_MEMORY: &str = "/dev/shm";

/// A space that this process has joined, and how people call it.
pub struct Joined {
    /// The space.
    pub space: Arc<Space<Native>>,
    /// Its name or directory.
    pub title: String,
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.space.leave();
    }
}

/// The place that the user means.
pub fn chosen(choice: &SpaceChoice) -> Place {
    match (&choice.name, &choice.dir) {
        (_, Some(directory)) => Place::Directory(directory.clone()),
        (Some(name), None) => Place::Name(name.clone()),
        // clap lets nothing else through.
        (None, None) => Place::Name(String::new()),
    }
}

/// How people call a place.
pub fn title(place: &Place) -> String {
    match place {
        Place::Name(name) => name.clone(),
        Place::Directory(path) => path.display().to_string(),
    }
}

/// Makes a space and joins it.
pub fn create(place: &Place, choice: impl Into<Choice>) -> Result<Joined, Failure> {
    join(place, native::create(place, choice).map_err(Failure::space(title(place)))?)
}

/// Attaches to a space and joins it.
pub fn attach(place: &Place) -> Result<Joined, Failure> {
    join(place, native::attach(place).map_err(Failure::space(title(place)))?)
}

fn join(place: &Place, (platform, layout): (Native, Layout)) -> Result<Joined, Failure> {
    let space = Space::join(platform, layout).map_err(Failure::space(title(place)))?;
    Ok(Joined { space, title: title(place) })
}

/// A folder of its own for a space that goes with it.
pub fn folder_in_memory(prefix: &str) -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    let folder = if Path::new(SHARED_MEMORY).is_dir() { builder.tempdir_in(SHARED_MEMORY) } else { builder.tempdir() };
    folder.map_err(Failure::system("a folder for the space"))
}

/// Removes its space when it goes, unless it is told to keep it.
pub struct RemoveAtEnd {
    place: Option<Place>,
}

impl RemoveAtEnd {
    /// Will remove `place`.
    pub fn new(place: Place) -> Self {
        Self { place: Some(place) }
    }
    /// Will not.
    pub fn keep(mut self) {
        self.place = None;
    }
}

impl Drop for RemoveAtEnd {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            // It may never have come into being.
            let _ = native::unlink(&place);
        }
    }
}
