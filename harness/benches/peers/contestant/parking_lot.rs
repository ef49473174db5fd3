//! The locks of the crate `parking_lot`, one around all variables: a `Mutex`, and an `RwLock`, which lets readers in together.
//!
//! Fair use: as with the mutex of std. Operations that only read take the `RwLock` for reading. Both hand the lock over to who
//! has waited for half a millisecond, by themselves.

use pso_harness::failure::Failure;

use super::{Actor, World};

/// A mutex and what it protects.
pub struct ParkingLotMutex(parking_lot::Mutex<Vec<i64>>);

/// A lock for readers and writers and what it protects.
pub struct ParkingLotRwLock(parking_lot::RwLock<Vec<i64>>);

/// One thread.
pub struct Hand<'world, W> {
    world: &'world W,
    attempts: u64,
}

impl World for ParkingLotMutex {
    type Actor<'world> = Hand<'world, Self>;

    fn new(variables: usize) -> Result<Self, Failure> {
        Ok(Self(parking_lot::Mutex::new(vec![0; variables])))
    }
    fn actor(&self) -> Result<Hand<'_, Self>, Failure> {
        Ok(Hand { world: self, attempts: 0 })
    }
    fn values(&self) -> Result<Vec<i64>, Failure> {
        Ok(self.0.lock().clone())
    }
}

impl World for ParkingLotRwLock {
    type Actor<'world> = Hand<'world, Self>;

    fn new(variables: usize) -> Result<Self, Failure> {
        Ok(Self(parking_lot::RwLock::new(vec![0; variables])))
    }
    fn actor(&self) -> Result<Hand<'_, Self>, Failure> {
        Ok(Hand { world: self, attempts: 0 })
    }
    fn values(&self) -> Result<Vec<i64>, Failure> {
        Ok(self.0.read().clone())
    }
}

impl Actor for Hand<'_, ParkingLotMutex> {
    fn add(&mut self, variables: &[usize]) -> Result<(), Failure> {
        self.attempts += 1;
        let mut values = self.world.0.lock();
        variables.iter().for_each(|variable| values[*variable] += 1);
        Ok(())
    }
    fn transfer(&mut self, from: usize, to: usize) -> Result<(), Failure> {
        self.attempts += 1;
        let mut values = self.world.0.lock();
        values[from] -= 1;
        values[to] += 1;
        Ok(())
    }
    fn read(&mut self, variable: usize) -> Result<i64, Failure> {
        self.attempts += 1;
        Ok(self.world.0.lock()[variable])
    }
    fn sum(&mut self) -> Result<i64, Failure> {
        self.attempts += 1;
        Ok(self.world.0.lock().iter().sum())
    }
    fn attempts(&self) -> u64 {
        self.attempts
    }
}

impl Actor for Hand<'_, ParkingLotRwLock> {
    fn add(&mut self, variables: &[usize]) -> Result<(), Failure> {
        self.attempts += 1;
        let mut values = self.world.0.write();
        variables.iter().for_each(|variable| values[*variable] += 1);
        Ok(())
    }
    fn transfer(&mut self, from: usize, to: usize) -> Result<(), Failure> {
        self.attempts += 1;
        let mut values = self.world.0.write();
        values[from] -= 1;
        values[to] += 1;
        Ok(())
    }
    fn read(&mut self, variable: usize) -> Result<i64, Failure> {
        self.attempts += 1;
        Ok(self.world.0.read()[variable])
    }
    fn sum(&mut self) -> Result<i64, Failure> {
        self.attempts += 1;
        Ok(self.world.0.read().iter().sum())
    }
    fn attempts(&self) -> u64 {
        self.attempts
    }
}
