//! What it costs to read a cell: in a transaction, where the value is of the same moment as all others and what it names stays
//! until the end, beside two plain loads of the same words.
//!
//! A transaction reads all cells and adds their values up; its beginning and its commit are divided among the reads. Handles are
//! protected by a fence each before the second look at the cell, which ints do without.

use std::hint::black_box;
use std::sync::atomic::Ordering::Relaxed;

use pso_engine::error::Stop;
use pso_engine::platform::Memory;
use pso_engine::platform::native::Native;
use pso_engine::transaction::Participant;
use pso_engine::word::CellAddress;
use pso_harness::failure::Failure;

use crate::Bench;
use crate::moving::Scene;
use crate::work::{Draw, timed};

/// 16 KiB of cells: in the nearest cache.
const NEAR: usize = 1000;
/// 4 MiB.
const FAR: usize = 262_144;

/// Plain loads, near.
///
/// # Errors
/// Here and below: the system gives no space.
pub fn near_plain(bench: &Bench) -> Result<Option<f64>, Failure> {
    plain(bench, Scene::new(NEAR)?)
}

/// Ints, near.
///
/// # Errors
/// Here and below: a transaction that fails.
pub fn near_ints(bench: &Bench) -> Result<Option<f64>, Failure> {
    protected(bench, Scene::new(NEAR)?)
}

/// Names of lists, near.
pub fn near_handles(bench: &Bench) -> Result<Option<f64>, Failure> {
    let mut scene = Scene::new(NEAR)?;
    scene.fill_with_lists()?;
    protected(bench, scene)
}

/// Plain loads, far.
pub fn far_plain(bench: &Bench) -> Result<Option<f64>, Failure> {
    plain(bench, far(bench)?)
}

/// Ints, far.
pub fn far_ints(bench: &Bench) -> Result<Option<f64>, Failure> {
    protected(bench, far(bench)?)
}

/// Names of lists, far.
pub fn far_handles(bench: &Bench) -> Result<Option<f64>, Failure> {
    let mut scene = far(bench)?;
    scene.fill_with_lists()?;
    protected(bench, scene)
}

/// Many cells in random order (Fisher and Yates).
fn far(bench: &Bench) -> Result<Scene, Failure> {
    let mut scene = Scene::new(FAR)?;
    let mut draw = Draw::new(bench.seed);
    for place in (1..FAR).rev() {
        scene.cells.swap(place, draw.below(place as u64 + 1) as usize);
    }
    Ok(scene)
}

fn plain(bench: &Bench, scene: Scene) -> Result<Option<f64>, Failure> {
    let turns = turns(&scene);
    let (batches, ns) = timed(bench.seconds, || {
        for _ in 0..turns {
            black_box(load_all(&scene.tx, &scene.cells));
        }
        Ok(())
    })?;
    let reads = batches * turns * scene.cells.len() as u64;
    scene.tx.leave();
    Ok(Some(ns / reads as f64))
}

fn protected(bench: &Bench, mut scene: Scene) -> Result<Option<f64>, Failure> {
    let wanted = values_of(&scene);
    let turns = turns(&scene);
    let (batches, ns) = timed(bench.seconds, || {
        for _ in 0..turns {
            let sum = scene.tx.run(|tx| read_all(tx, &scene.cells)).map_err(Failure::space("a transaction"))?;
            if sum != wanted {
                return Err(Failure::Wrong("a transaction has read something else".into()));
            }
        }
        Ok(())
    })?;
    let reads = batches * turns * scene.cells.len() as u64;
    scene.tx.leave();
    Ok(Some(ns / reads as f64))
}

/// So many between two looks at the clock: some tens of microseconds.
fn turns(scene: &Scene) -> u64 {
    (16_000 / scene.cells.len() as u64).max(1)
}

#[inline(never)]
fn read_all(tx: &mut Participant<Native>, cells: &[CellAddress]) -> Result<u64, Stop> {
    let mut sum = 0u64;
    for cell in cells {
        sum = sum.wrapping_add(tx.read(*cell)?.raw());
    }
    Ok(sum)
}

/// Both words of each cell: the one that is read besides the value is what a transaction cannot do without.
#[inline(never)]
fn load_all(tx: &Participant<Native>, cells: &[CellAddress]) -> (u64, u64) {
    let (mut versions, mut sum) = (0u64, 0u64);
    for cell in cells {
        // Relaxed: nobody writes them meanwhile.
        versions = versions.wrapping_add(tx.arena().platform().load(cell.lock_word(), Relaxed));
        sum = sum.wrapping_add(tx.arena().platform().load(cell.value_word(), Relaxed));
    }
    (versions, sum)
}

fn values_of(scene: &Scene) -> u64 {
    load_all(&scene.tx, &scene.cells).1
}
