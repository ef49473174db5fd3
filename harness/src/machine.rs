//! What stands beside each number: command, commit, machine class, time. No names of machines.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use pso_model::report::{replace, workspace};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::output;

/// Where numbers come from.
#[derive(Clone, Serialize, Deserialize)]
pub struct Provenance {
    /// What was typed.
    pub command: String,
    /// Of the repository that the command was built from, when it began, and whether it had changes.
    pub commit: String,
    /// The class of machine.
    pub machine: Machine,
    /// Year, month and day, UTC.
    pub date: String,
}

/// A class of machines: what matters for timings, and nothing that names one of them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Machine {
    processor: String,
    processors: usize,
    memory_gib: u64,
    kernel: String,
}

impl Machine {
    /// As one sentence without its full stop.
    pub fn describe(&self) -> String {
        format!("{}, {} processors, {} GiB, Linux {}", self.processor, self.processors, self.memory_gib, self.kernel)
    }
}

impl Provenance {
    /// That of this process, a command `pso`.
    pub fn here() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self::of(format!("pso {}", arguments.join(" ")))
    }

    /// That of this process, which `command` has started.
    pub fn of(command: String) -> Self {
        Self {
            command,
            commit: commit().into(),
            machine: Machine {
                processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
                processors: processors() as usize,
                memory_gib: field("/proc/meminfo", "MemTotal").and_then(|text| gibibytes(&text)).unwrap_or(0),
                kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().into(),
            },
            date: today(),
        }
    }
}

/// Writes `numbers` of this process, a command `pso`, with their provenance to `file`.
pub fn write_results(file: &Path, numbers: &impl Serialize) -> Result<(), Failure> {
    write_results_of(Provenance::here(), file, numbers)
}

/// Writes `numbers` with their provenance to `file`.
pub fn write_results_of(provenance: Provenance, file: &Path, numbers: &impl Serialize) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Results<'a, T> {
        provenance: Provenance,
        numbers: &'a T,
    }
    let mut text = serde_json::to_string_pretty(&Results { provenance, numbers })
        .map_err(|error| Failure::Wrong(format!("writing {}: {error}", file.display())))?;
    text.push('\n');
    write_whole(file, &text)
}

/// Asks whether `file` can be written, before what takes long is measured for it. Its folder is made.
///
/// # Errors
/// It cannot.
pub fn can_write(file: &Path) -> Result<(), Failure> {
    let what = || format!("writing {}, before anything is measured", file.display());
    let folder = folder_of(file)?;
    let is_possible = match std::fs::symlink_metadata(file) {
        Ok(there) if !there.is_file() => OpenOptions::new().append(true).open(file).map(drop),
        _ => tempfile::tempfile_in(folder).map(drop),
    };
    is_possible.map_err(Failure::system(what()))
}

/// What `failure` has ended: `numbers` of what was measured before go beside `file`, and the failure comes back.
pub fn rescue(file: Option<&Path>, numbers: &impl Serialize, failure: Failure) -> Failure {
    rescue_of(Provenance::here(), file, numbers, failure)
}

/// The same, with a provenance of its own.
pub fn rescue_of(provenance: Provenance, file: Option<&Path>, numbers: &impl Serialize, failure: Failure) -> Failure {
    let Some(file) = file else { return failure };
    let mut beside = file.as_os_str().to_owned();
    beside.push(".unfinished");
    let beside = Path::new(&beside);
    match write_results_of(provenance, beside, numbers) {
        Ok(()) => output::aside(format_args!("pso: what was measured before is in {}", beside.display())),
        Err(lost) => output::aside(format_args!("pso: what was measured before is lost: {lost}")),
    }
    failure
}

/// That of `file`, which is made if it does not exist.
fn folder_of(file: &Path) -> Result<&Path, Failure> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(Failure::system(format!("making {}", folder.display())))?;
    Ok(folder)
}

/// Writes `text` to `file`, whose folder is made. Whoever is killed meanwhile, or finds no room, leaves what was there before: results of hours.
pub fn write_whole(file: &Path, text: &str) -> Result<(), Failure> {
    let what = || format!("writing {}", file.display());
    folder_of(file)?;
    // Another file in its place is none for a device, a link or a folder: that stays what it is.
    if std::fs::symlink_metadata(file).is_ok_and(|there| !there.is_file()) {
        return std::fs::write(file, text).map_err(Failure::system(what()));
    }
    replace(file, text).map_err(Failure::system(what()))
}

/// The numbers in `file`; none if it holds something else.
pub fn read_results<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, Failure> {
    #[derive(Deserialize)]
    struct Results<T> {
        numbers: T,
    }
    let text = std::fs::read_to_string(file).map_err(Failure::system(format!("reading {}", file.display())))?;
    Ok(serde_json::from_str::<Results<T>>(&text).ok().map(|results| results.numbers))
}

/// Processors that this process may use.
pub fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u32)
}

/// The middle of some numbers; of an even count, the mean of the two in the middle. 0 of none.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

/// The median of the ratios of what was measured side by side, round for round: a machine may change its speed between two rounds.
pub fn ratio(numbers: &[f64], of: &[f64]) -> f64 {
    median(&numbers.iter().zip(of).map(|(number, of)| number / of).collect::<Vec<_>>())
}

/// The commit, as it was when this was first asked for. Whoever measures asks at the beginning: the working copy may be another one
/// before all is through.
pub fn commit() -> &'static str {
    static COMMIT: OnceLock<String> = OnceLock::new();
    COMMIT.get_or_init(|| commit_of(&workspace()).unwrap_or_else(|| "unknown".into()))
}

/// That of the repository in `folder`.
fn commit_of(folder: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("--no-optional-locks").arg("-C").arg(folder).args(arguments);
        let output = command.stderr(std::process::Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    Some(if changed { format!("{hash} with changes") } else { hash })
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn gibibytes(kibibytes: &str) -> Option<u64> {
    Some(kibibytes.split(' ').next()?.parse::<u64>().ok()?.div_ceil(1 << 20))
}

/// Year, month and day of now, in UTC.
fn today() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil((seconds / 86_400) as i64);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days since 1970-01-01 to a date (Hinnant, chrono-compatible low-level date algorithms: eras of 400 years from 1 March).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The danger: a full disk, or a kill in the middle, takes the results of hours.
    #[test]
    fn results_are_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let [file, before, link] = ["new/file.json", "new/before", "new/link"].map(|name| folder.path().join(name));
        write_whole(&file, "first").unwrap();
        std::fs::hard_link(&file, &before).unwrap();
        write_whole(&file, "second").unwrap();
        let read = |file: &Path| std::fs::read_to_string(file).unwrap();
        assert_eq!([read(&file), read(&before)], ["second", "first"], "what was there is not written over");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_whole(&link, "third").unwrap();
        assert_eq!((read(&file).as_str(), link.is_symlink()), ("third", true));
        assert!(write_whole(folder.path(), "fourth").is_err());
        write_whole(Path::new("/dev/null"), "fifth").unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 3, "nothing is left beside it");
    }

    /// The danger: minutes are measured for a file that cannot be written, or a test of that destroys what is there.
    #[test]
    fn whether_a_file_can_be_written_is_known_before_and_leaves_it_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/file.json");
        can_write(&file).unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 0);
        write_whole(&file, "first").unwrap();
        can_write(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "first");
        can_write(Path::new("/dev/null")).unwrap();
        for never in [folder.path(), &file.join("below"), Path::new("/proc/pso/file.json")] {
            assert!(can_write(never).is_err(), "{}", never.display());
        }
    }

    /// The danger: the last of many runs fails, and takes with it what the others measured, or what the file held.
    #[test]
    fn what_was_measured_before_a_failure_is_beside_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("numbers.json");
        write_whole(&file, "whole").unwrap();
        let failure = rescue(Some(&file), &[1.5, 2.5], Failure::Interrupted);
        assert!(matches!(failure, Failure::Interrupted));
        let beside = folder.path().join("numbers.json.unfinished");
        assert_eq!(read_results::<Vec<f64>>(&beside).unwrap(), Some(vec![1.5, 2.5]));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "whole");
        assert!(matches!(rescue(None, &0, Failure::Interrupted), Failure::Interrupted));
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_ratio_is_the_median_of_those_within_a_round() {
        assert_eq!(ratio(&[20.0, 150.0, 40.0], &[10.0, 50.0, 10.0]), 3.0);
        assert_eq!(ratio(&[], &[]), 0.0);
    }

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_454), (2026, 1, 1));
    }

    #[test]
    fn memory_is_read_in_gibibytes() {
        assert_eq!(gibibytes("25165824 kB"), Some(24));
    }
}
