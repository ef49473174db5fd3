//! The players of a replay: started, watched, gone with whoever watches them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use pso_sim::player::Part;

use crate::cli::Replay;
use crate::failure::Failure;
use crate::interrupt;
use crate::python::last_lines;

/// Between two looks at the players.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The players, by number. Whoever is left when this goes is killed.
pub struct Crew {
    folder: PathBuf,
    players: Vec<(Child, Option<ExitStatus>)>,
    patience_s: u64,
}

impl Crew {
    /// Starts `players` players on the space in `folder`.
    pub fn start(folder: &Path, options: &Replay, players: u32) -> Result<Self, Failure> {
        let executable = std::env::current_exe().map_err(Failure::system("finding this executable"))?;
        let pace = options.pace.to_possible_value().map(|pace| pace.get_name().to_owned()).unwrap_or_default();
        let mut crew = Self { folder: folder.into(), players: Vec::new(), patience_s: options.patience_s };
        for number in 0..players {
            let errors = crew.errors(number);
            let errors =
                std::fs::File::create(&errors).map_err(Failure::system(format!("making {}", errors.display())))?;
            let player = Command::new(&executable)
                .args(["replay-worker", "--pace", &pace, "--participants", &players.to_string()])
                .args(["--participant", &number.to_string(), "--dir"])
                .arg(folder)
                .arg("--file")
                .arg(&options.file)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(errors)
                .spawn()
                .map_err(Failure::system("starting a player"))?;
            crew.players.push((player, None));
        }
        Ok(crew)
    }

    /// Looks after the players until `done` says so.
    ///
    /// # Errors
    /// A player that failed or was killed, Ctrl-C, `deadline`.
    pub fn watch(
        &mut self,
        deadline: Instant,
        what: &str,
        mut done: impl FnMut(&Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        // Bounded by the deadline.
        loop {
            interrupt::check()?;
            self.look()?;
            if done(self)? {
                return Ok(());
            }
            if Instant::now() > deadline {
                let what = format!("{what} of the players does not come");
                return Err(Failure::Stalled { what, seconds: self.patience_s });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Whether all have ended well.
    pub fn all_done(&self) -> bool {
        self.players.iter().all(|(_, status)| status.is_some())
    }

    /// What each did.
    pub fn parts(&self) -> Result<Vec<Part>, Failure> {
        let read = |number| {
            let file = part_file(&self.folder, number);
            let text = std::fs::read_to_string(&file).map_err(Failure::system("reading what a player did"))?;
            serde_json::from_str(&text)
                .map_err(|error| Failure::Nonsense { who: format!("player {number}"), line: error.to_string() })
        };
        (0..self.players.len() as u32).map(read).collect()
    }

    fn look(&mut self) -> Result<(), Failure> {
        for number in 0..self.players.len() {
            let (player, ended) = &mut self.players[number];
            if ended.is_some() {
                continue;
            }
            *ended = player.try_wait().map_err(Failure::system("waiting for a player"))?;
            if let Some(status) = *ended
                && !status.success()
            {
                let errors = std::fs::read(self.errors(number as u32)).unwrap_or_default();
                let last_words = last_lines(&errors, 25);
                return Err(Failure::Child { who: format!("player {number}"), status: status.to_string(), last_words });
            }
        }
        Ok(())
    }

    fn errors(&self, number: u32) -> PathBuf {
        self.folder.join(format!("player-{number}.err"))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for (player, status) in &mut self.players {
            if status.is_none() {
                // It may have ended already; there is nobody left to tell.
                let _ = player.kill();
                let _ = player.wait();
            }
        }
    }
}

/// Where player `number` writes what it did.
pub fn part_file(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("part-{number}.json"))
}

/// A player whose watcher is killed would wait at the gate for ever.
pub fn die_with_parent() -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| Failure::system("asking to end with the parent")(error.into()))
}
