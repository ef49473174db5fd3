//! Traces into text and files.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use pso_engine::trace::ending;

use super::Trace;

impl Trace {
    /// The text of the file, before compression. The last line is written only of a whole trace.
    pub fn text(&self) -> String {
        let mut text = self.header.to_string();
        for line in &self.transactions {
            // A String takes everything.
            let _ = writeln!(text, "{line}");
        }
        if self.whole {
            text.push_str(&ending(self.transactions.len() as u64));
        }
        text
    }

    /// Writes the gzipped file. The same trace gives the same bytes: no time, no name is in the gzip header.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut encoder = GzEncoder::new(std::fs::File::create(path)?, Compression::best());
        encoder.write_all(self.text().as_bytes())?;
        encoder.finish()?.flush()
    }
}
