//! Numbers of the command line that clap has no range for.

/// How long something is measured: a number of seconds that passes, and that ends.
///
/// # Errors
/// A sentence, for anything else.
pub fn seconds(text: &str) -> Result<f64, String> {
    const MOST: f64 = 86_400.0;
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0 && *seconds <= MOST);
    seconds.ok_or_else(|| "a number of seconds is wanted, above 0 and at most a day".into())
}
