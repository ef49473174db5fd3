//! `pso bench native`: the bank without Python, by processes of this executable.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use pso_engine::error::Stop;
use pso_engine::object::list;
use pso_engine::platform::System;
use pso_engine::platform::native::{Choice, Native, Place};
use pso_engine::transaction::Participant;
use pso_engine::word::{Handle, Value};
use pso_sim::stage::Stage;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::cli::{BankWorker, BenchNative};
use crate::crew::{self, Crew, space_in};
use crate::failure::Failure;
use crate::machine::{self, median, ratio};
use crate::output;
use crate::place;
use crate::table::{Table, thousands};

type Tx = Participant<Native>;

const SPACE_BYTES: u64 = 64 << 20;
const BALANCE: i64 = 1000;
/// Beyond the time of a run, the processes have so long to start and to end.
const PATIENCE_S: u64 = 60;
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
    /// The median of the ratios to the first contestant within a round.
    over_the_first: f64,
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
    let measured = measure_all(options, &mut runs);
    let contestants: Vec<Contestant> =
        options.processes.iter().zip(&runs).map(|(processes, of)| contestant(*processes, of, &runs[0])).collect();
    let table = table(&contestants);
    let numbers = Numbers {
        seed: options.seed,
        accounts: options.accounts,
        rounds: options.rounds,
        seconds: options.seconds,
        contestants,
    };
    measured.map_err(|failure| machine::rescue(options.out.as_deref(), &numbers, failure))?;
    options.out.as_ref().map_or(Ok(()), |file| machine::write_results(file, &numbers))?;
    output::line(format_args!("\n{table}  every transfer found in the accounts, in every run"))
}

/// The rates of all runs, those before a failure, too.
fn measure_all(options: &BenchNative, runs: &mut [Vec<Vec<f64>>]) -> Result<(), Failure> {
    for round in 0..options.rounds {
        let seed = options.seed.wrapping_mul(1000).wrapping_add(round.into());
        for (processes, runs) in options.processes.iter().zip(runs.iter_mut()) {
            runs.push(measure(options, *processes, seed)?);
        }
    }
    Ok(())
}

fn table(contestants: &[Contestant]) -> Table {
    let mut table = Table::new(["processes", "transfers/s", "over the first", "slowest/fastest"]);
    for each in contestants {
        table.row([
            each.processes.to_string(),
            thousands(each.transfers_per_second.round() as u64),
            format!("{:.2}x", each.over_the_first),
            format!("{:.2}", each.slowest_over_fastest),
        ]);
    }
    table
}

/// What its runs came to, beside the first one's: both are by round.
fn contestant(processes: u32, runs: &[Vec<f64>], first: &[Vec<f64>]) -> Contestant {
    let sums = |runs: &[Vec<f64>]| -> Vec<f64> { runs.iter().map(|rates| rates.iter().sum()).collect() };
    let evenness = |rates: &Vec<f64>| {
        rates.iter().copied().fold(f64::INFINITY, f64::min) / rates.iter().copied().fold(0.0, f64::max)
    };
    let slowest_over_fastest = median(&runs.iter().map(evenness).collect::<Vec<_>>());
    let (runs, first) = (sums(runs), sums(first));
    let over_the_first = ratio(&runs, &first);
    Contestant { processes, transfers_per_second: median(&runs), runs, over_the_first, slowest_over_fastest }
}

/// One run: the rate of each process.
fn measure(options: &BenchNative, processes: u32, seed: u64) -> Result<Vec<f64>, Failure> {
    let folder = place::folder_in_memory("pso-bank-")?;
    let choice = Choice { bytes: SPACE_BYTES, policy: options.policy };
    let joined = place::create(&Place::Directory(space_in(folder.path())), choice)?;
    let mut tx = joined.space.participant().map_err(Failure::space("joining"))?;
    let stage = Stage::build(&mut tx, 1).map_err(Failure::space("building the stage"))?;
    let bank = build(&mut tx, &stage, options.accounts).map_err(Failure::space("making the bank"))?;
    let patience_s = PATIENCE_S + options.seconds.ceil() as u64;
    let seed_of = |number| seed.wrapping_mul(64).wrapping_add(u64::from(number));
    let arguments = |number| arguments(folder.path(), options.seconds, number, seed_of(number));
    let mut crew = Crew::start(folder.path(), "process of the bank", processes, patience_s, arguments)?;
    crew.open(&mut tx, &stage)?;
    let reports: Vec<Report> = crew.finish()?;
    let balances = tx.run(|tx| balances(tx, bank)).map_err(Failure::space("reading the accounts"))?;
    tx.leave();
    let done = reports.iter().enumerate().map(|(number, report)| (seed_of(number as u32), report.transfers));
    check(&balances, &expected(options.accounts, done))?;
    Ok(reports.iter().map(|report| report.transfers as f64 / report.seconds).collect())
}

fn arguments(folder: &Path, seconds: f64, number: u32, seed: u64) -> Vec<OsString> {
    let options = [("--worker", number.to_string()), ("--seconds", seconds.to_string()), ("--seed", seed.to_string())];
    let mut arguments: Vec<OsString> = vec!["bank-worker".into(), "--dir".into(), folder.into()];
    arguments.extend(options.into_iter().flat_map(|(name, value)| [name.into(), value.into()]));
    arguments
}

/// The balances that so many transfers of each seed leave. The sum alone would be kept by transfers that do nothing, or half of them.
fn expected(accounts: u64, done: impl Iterator<Item = (u64, u64)>) -> Vec<i64> {
    let mut balances = vec![BALANCE; accounts as usize];
    for (seed, transfers) in done {
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..transfers {
            let (from, to) = draw(&mut random, accounts);
            balances[from as usize] -= 1;
            balances[to as usize] += 1;
        }
    }
    balances
}

fn check(balances: &[i64], expected: &[i64]) -> Result<(), Failure> {
    if balances == expected {
        return Ok(());
    }
    let differ = balances.iter().zip(expected).position(|(balance, expected)| balance != expected);
    let what = match differ {
        Some(account) => format!("account {account} holds {}, not {}", balances[account], expected[account]),
        None => format!("there are {} accounts, not {}", balances.len(), expected.len()),
    };
    Err(Failure::Wrong(format!("bench: {what}: transfers are lost")))
}

/// The hidden subcommand `bank-worker`.
pub fn work(options: &BankWorker) -> Result<(), Failure> {
    options.parent.end_with()?;
    let joined = place::attach(&Place::Directory(space_in(&options.dir)))?;
    let mut tx = joined.space.participant().map_err(Failure::space("joining"))?;
    let stage = Stage::find(&mut tx).map_err(Failure::space("looking for the stage"))?;
    let stage = stage.ok_or_else(|| Failure::Wrong("there is no stage".into()))?;
    let (bank, accounts) = find(&mut tx, &stage).map_err(Failure::space("looking for the bank"))?;
    let mut random = StdRng::seed_from_u64(options.seed);
    let start_ns = stage.arrive(&mut tx, None).map_err(Failure::space("at the gate"))?;
    std::thread::sleep(Duration::from_nanos(start_ns.saturating_sub(tx.arena().platform().now_ns())));
    let report = transfers(&mut tx, (bank, accounts), options.seconds, &mut random);
    let report = report.map_err(Failure::space("transferring"))?;
    tx.leave();
    crew::leave_part(&options.dir, options.worker, &report)
}

fn transfers(tx: &mut Tx, bank: (Handle, u64), seconds: f64, random: &mut StdRng) -> Result<Report, Stop> {
    let (bank, accounts) = bank;
    let started = Instant::now();
    let time = Duration::from_secs_f64(seconds);
    let mut transfers = 0;
    while started.elapsed() < time {
        for _ in 0..TRANSFERS_AT_ONCE {
            let (from, to) = draw(random, accounts);
            tx.run(|tx| transfer(tx, bank, from, to))?;
        }
        transfers += TRANSFERS_AT_ONCE;
    }
    Ok(Report { transfers, seconds: started.elapsed().as_secs_f64() })
}

/// From one account to another one.
fn draw(random: &mut StdRng, accounts: u64) -> (u64, u64) {
    let from = random.random_range(0..accounts);
    (from, (from + random.random_range(1..accounts)) % accounts)
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

/// In the only cell of the stage.
fn build(tx: &mut Tx, stage: &Stage, accounts: u64) -> Result<Handle, Stop> {
    tx.run(|tx| {
        let bank = list::create(tx)?;
        for _ in 0..accounts {
            list::push(tx, bank, int(BALANCE))?;
        }
        tx.write(stage.cell(0).ok_or(Stop::Retry)?, Value::handle(bank))?;
        Ok(bank)
    })
}

/// The bank, and how many accounts it has.
fn find(tx: &mut Tx, stage: &Stage) -> Result<(Handle, u64), Stop> {
    tx.run(|tx| {
        let bank = tx.read(stage.cell(0).ok_or(Stop::Retry)?)?.as_handle().ok_or(Stop::Retry)?;
        Ok((bank, list::len(tx, bank)?))
    })
}

fn balances(tx: &mut Tx, bank: Handle) -> Result<Vec<i64>, Stop> {
    let accounts = list::len(tx, bank)?;
    let mut balances = Vec::new();
    for account in 0..accounts {
        balances.push(list::get(tx, bank, account)?.and_then(Value::as_int).unwrap_or(0));
    }
    Ok(balances)
}

/// Balances stay far below what fits in place.
fn int(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_from_one_account_to_another_one() {
        let mut random = StdRng::seed_from_u64(1);
        for accounts in [2, 3, 1000] {
            assert!((0..1000).map(|_| draw(&mut random, accounts)).all(|(from, to)| from != to && to < accounts));
        }
    }

    /// The danger: transfers that do nothing, or not all that is said, keep the sum.
    #[test]
    fn transfers_that_are_lost_are_seen() {
        let done = [(7, 1000), (8, 500)];
        let all = expected(10, done.into_iter());
        assert_eq!(all.iter().sum::<i64>(), 10 * BALANCE);
        assert!(check(&all, &all).is_ok());
        for lost in [vec![], vec![(7, 1000)], vec![(7, 999), (8, 500)]] {
            let failure = check(&expected(10, lost.into_iter()), &all).unwrap_err();
            assert!(failure.to_string().contains("transfers are lost"), "{failure}");
        }
    }

    #[test]
    fn the_ratio_is_of_what_was_measured_in_one_round() {
        let runs = [vec![vec![10.0], vec![40.0], vec![10.0]], vec![vec![8.0, 7.0], vec![24.0, 20.0], vec![6.0, 6.0]]];
        let two = contestant(2, &runs[1], &runs[0]);
        assert!((two.over_the_first - 1.2).abs() < 1e-9 && two.transfers_per_second == 15.0, "{}", two.over_the_first);
    }
}
