//! `pso bench native`: the bank without Python, by processes of this executable.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pso_engine::error::Stop;
use pso_engine::object::list;
use pso_engine::platform::native::{Choice, Native, Place};
use pso_engine::transaction::Participant;
use pso_engine::word::{Handle, Value};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::cli::{BankWorker, BenchNative};
use crate::failure::Failure;
use crate::machine::{self, median};
use crate::output;
use crate::place;
use crate::table::{Table, thousands};

type Tx = Participant<Native>;

const SPACE_BYTES: u64 = 64 << 20;
const BALANCE: i64 = 1000;
/// So many transfers between two looks at the clock.
const TRANSFERS_AT_ONCE: u64 = 256;

#[derive(Serialize)]
struct Numbers {
    seed: u64,
    accounts: u64,
    rounds: u32,
    seconds: f64,
    contestants: Vec<Contestant>,
}

#[derive(Serialize)]
struct Contestant {
    processes: u32,
    transfers_per_second: f64,
    runs: Vec<f64>,
    /// The median of the slowest process's rate over the fastest's.
    slowest_over_fastest: f64,
}

/// What a process of the bank did.
#[derive(Serialize, Deserialize)]
struct Report {
    transfers: u64,
    seconds: f64,
}

/// The subcommand.
pub fn run(options: &BenchNative) -> Result<(), Failure> {
    output::line(format_args!(
        "bench native: {} accounts, {} rounds of {} s, seed {}",
        options.accounts, options.rounds, options.seconds, options.seed
    ))?;
    let mut runs: Vec<Vec<Vec<f64>>> = vec![Vec::new(); options.processes.len()];
    for round in 0..options.rounds {
        for (number, processes) in options.processes.iter().enumerate() {
            runs[number].push(measure(options, *processes, options.seed * 1000 + u64::from(round))?);
        }
    }
    let contestants: Vec<Contestant> =
        options.processes.iter().zip(&runs).map(|(processes, runs)| contestant(*processes, runs)).collect();
    let mut table = Table::new(["processes", "transfers/s", "over the first", "slowest/fastest"]);
    for each in &contestants {
        table.row([
            each.processes.to_string(),
            thousands(each.transfers_per_second.round() as u64),
            format!("{:.2}x", each.transfers_per_second / contestants[0].transfers_per_second),
            format!("{:.2}", each.slowest_over_fastest),
        ]);
    }
    let numbers = Numbers {
        seed: options.seed,
        accounts: options.accounts,
        rounds: options.rounds,
        seconds: options.seconds,
        contestants,
    };
    options.out.as_ref().map_or(Ok(()), |file| machine::write_results(file, &numbers))?;
    output::line(format_args!("\n{table}  sums kept in every run"))
}

fn contestant(processes: u32, runs: &[Vec<f64>]) -> Contestant {
    let sums: Vec<f64> = runs.iter().map(|rates| rates.iter().sum()).collect();
    let evenness = |rates: &Vec<f64>| {
        rates.iter().copied().fold(f64::INFINITY, f64::min) / rates.iter().copied().fold(0.0, f64::max)
    };
    let slowest_over_fastest = median(&runs.iter().map(evenness).collect::<Vec<_>>());
    Contestant { processes, transfers_per_second: median(&sums), runs: sums, slowest_over_fastest }
}

/// One run: the rate of each process.
fn measure(options: &BenchNative, processes: u32, seed: u64) -> Result<Vec<f64>, Failure> {
    let folder = place::folder_in_memory("pso-bank-")?;
    let directory = folder.path().join("space");
    let joined =
        place::create(&Place::Directory(directory.clone()), Choice { bytes: SPACE_BYTES, policy: options.policy })?;
    let mut tx = joined.space.participant().map_err(Failure::space("joining"))?;
    let bank = build(&mut tx, options.accounts).map_err(Failure::space("making the bank"))?;
    let workers: Vec<Child> = (0..processes)
        .map(|number| spawn(&directory, options.seconds, seed * 64 + u64::from(number)))
        .collect::<Result<_, _>>()?;
    let rates = workers.into_iter().map(rate_of).collect::<Result<_, _>>()?;
    let sum = tx.run(|tx| sum(tx, bank)).map_err(Failure::space("adding up"))?;
    tx.leave();
    if sum == BALANCE * options.accounts as i64 {
        return Ok(rates);
    }
    Err(Failure::Wrong(format!("bench: the sum of all balances is {sum}")))
}

fn spawn(directory: &Path, seconds: f64, seed: u64) -> Result<Child, Failure> {
    let executable = std::env::current_exe().map_err(Failure::system("finding this executable"))?;
    Command::new(executable)
        .args(["bank-worker", "--seconds", &seconds.to_string(), "--seed", &seed.to_string(), "--dir"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Failure::system("starting a process of the bank"))
}

fn rate_of(worker: Child) -> Result<f64, Failure> {
    let who = "a process of the bank";
    let output = worker.wait_with_output().map_err(Failure::system(who))?;
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    match serde_json::from_str::<Report>(line.trim()) {
        Ok(report) => Ok(report.transfers as f64 / report.seconds),
        Err(_) => Err(Failure::Nonsense { who: who.into(), line }),
    }
}

/// The hidden subcommand `bank-worker`.
pub fn work(options: &BankWorker) -> Result<(), Failure> {
    let joined = place::attach(&Place::Directory(options.dir.clone()))?;
    let mut tx = joined.space.participant().map_err(Failure::space("joining"))?;
    let mut random = StdRng::seed_from_u64(options.seed);
    let report = transfers(&mut tx, options.seconds, &mut random).map_err(Failure::space("transferring"))?;
    tx.leave();
    let line = serde_json::to_string(&report).map_err(|error| Failure::Wrong(error.to_string()))?;
    output::line(&line)
}

fn transfers(tx: &mut Tx, seconds: f64, random: &mut StdRng) -> Result<Report, Stop> {
    let (bank, accounts) = tx.run(|tx| {
        let root = tx.arena().root();
        let bank = tx.read(root)?.as_handle().ok_or(Stop::Retry)?;
        Ok((bank, list::len(tx, bank)?))
    })?;
    let started = Instant::now();
    let time = Duration::from_secs_f64(seconds);
    let mut transfers = 0;
    while started.elapsed() < time {
        for _ in 0..TRANSFERS_AT_ONCE {
            let (from, to) = (random.random_range(0..accounts), random.random_range(0..accounts));
            tx.run(|tx| transfer(tx, bank, from, to))?;
        }
        transfers += TRANSFERS_AT_ONCE;
    }
    Ok(Report { transfers, seconds: started.elapsed().as_secs_f64() })
}

fn transfer(tx: &mut Tx, bank: Handle, from: u64, to: u64) -> Result<(), Stop> {
    add(tx, bank, from, -1)?;
    add(tx, bank, to, 1)
}

fn add(tx: &mut Tx, bank: Handle, account: u64, amount: i64) -> Result<(), Stop> {
    let balance = list::get(tx, bank, account)?.and_then(Value::as_int).unwrap_or(0);
    list::set(tx, bank, account, int(balance + amount))?;
    Ok(())
}

fn build(tx: &mut Tx, accounts: u64) -> Result<Handle, Stop> {
    tx.run(|tx| {
        let bank = list::create(tx)?;
        for _ in 0..accounts {
            list::push(tx, bank, int(BALANCE))?;
        }
        let root = tx.arena().root();
        tx.write(root, Value::handle(bank))?;
        Ok(bank)
    })
}

fn sum(tx: &mut Tx, bank: Handle) -> Result<i64, Stop> {
    let mut sum = 0;
    for account in 0..list::len(tx, bank)? {
        sum += list::get(tx, bank, account)?.and_then(Value::as_int).unwrap_or(0);
    }
    Ok(sum)
}

/// Balances stay far below what fits in place.
fn int(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}
