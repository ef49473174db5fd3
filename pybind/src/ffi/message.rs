//! Objects in messages: as people read them.

use super::{Any, Python, Raised};

impl Any {
    /// `repr(self)`, for messages: never fails, and is not longer than people read. A Ctrl-C in it comes once more, to the main thread.
    pub fn repr_text(&self, py: Python<'_>) -> String {
        let repr = match self.repr(py) {
            Ok(repr) => repr,
            Err(raised) => return self.without_repr(py, raised),
        };
        match repr.utf8(py) {
            Ok(text) => clipped(text),
            Err(raised) => self.without_repr(py, raised),
        }
    }
    #[cold]
    fn without_repr(&self, py: Python<'_>, raised: Raised) -> String {
        raised.put_off(py);
        format!("<{}>", self.class_name())
    }
}

/// What a message says of a text.
fn clipped(text: &str) -> String {
    const MOST: usize = 1000;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}
