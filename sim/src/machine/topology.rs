//! How far two cores are apart, and sets of cores.

use serde::{Deserialize, Serialize};

/// Cores at most: the width of a line's set of sharers.
pub const CORES_MAX: usize = 256;

/// How cores are grouped. Cores are numbered group by group, groups socket by socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Cores that share a last-level cache.
    pub cores_per_group: u32,
    /// Groups of a socket.
    pub groups_per_socket: u32,
}

/// How far a line travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distance {
    /// Within a group.
    Near = 0,
    /// Between groups of a socket.
    Across = 1,
    /// Between sockets.
    Far = 2,
}

impl Topology {
    /// The distance between two cores.
    #[inline]
    pub fn distance(&self, one: usize, other: usize) -> Distance {
        let group = |core: usize| core as u32 / self.cores_per_group;
        let (one, other) = (group(one), group(other));
        if one == other {
            Distance::Near
        } else if one / self.groups_per_socket == other / self.groups_per_socket {
            Distance::Across
        } else {
            Distance::Far
        }
    }
}

/// A set of cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cores([u64; CORES_MAX / 64]);

impl Cores {
    /// One core alone.
    #[inline]
    pub fn only(core: usize) -> Self {
        let mut cores = Self::default();
        cores.insert(core);
        cores
    }
    /// Adds one.
    #[inline]
    pub fn insert(&mut self, core: usize) {
        self.0[core / 64] |= 1 << (core % 64);
    }
    /// True if it is in.
    #[inline]
    pub fn contains(&self, core: usize) -> bool {
        self.0[core / 64] & 1 << (core % 64) != 0
    }
    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(index * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_grow_from_group_to_socket() {
        let topology = Topology { cores_per_group: 8, groups_per_socket: 2 };
        assert_eq!(topology.distance(0, 7), Distance::Near);
        assert_eq!(topology.distance(7, 8), Distance::Across);
        assert_eq!(topology.distance(15, 16), Distance::Far);
    }

    #[test]
    fn a_set_gives_back_what_was_put_in() {
        let mut cores = Cores::only(200);
        cores.insert(0);
        cores.insert(63);
        cores.insert(64);
        assert_eq!(cores.iter().collect::<Vec<_>>(), [0, 63, 64, 200]);
        assert!(cores.contains(200) && !cores.contains(199));
    }
}
