//! Writes the inputs that a search begins with into the folder that is named: they are made by code and kept nowhere.

#[path = "../entry.rs"]
mod entry;

fn main() {
    let folder = std::path::PathBuf::from(std::env::args().nth(1).expect("usage: seeds FOLDER"));
    std::fs::create_dir_all(&folder).expect("a folder for the inputs");
    for (number, seed) in entry::seeds().into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).expect("an input is written");
    }
}
