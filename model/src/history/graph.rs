//! The edges between attempts, an order that keeps them all, or the shortest cycle.
//!
//! Real time would need an edge from each attempt to all that began after its end. Instead every end is a node on a time
//! line: the attempt leads to it, it leads to the next end, and to all that begin before that. A step along the time line
//! costs nothing, so that a shortest cycle counts attempts only.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::anomaly::Edge;
use super::versions::Versions;
use super::{Anomaly, History, Why};

#[derive(Clone, Copy, Debug)]
struct Arrow {
    to: usize,
    /// `None`: from or along the time line.
    why: Option<(Why, u64)>,
}

/// From which attempt to which, and why; `None`: real time.
type Step = (usize, usize, Option<(Why, u64)>);

struct Graph {
    /// Attempts first, then the time line.
    arrows: Vec<Vec<Arrow>>,
    /// When each node is due, to break ties in the order.
    due: Vec<u64>,
    attempts: usize,
}

/// An order of the attempts that count, or the shortest cycle among them.
pub(super) fn order(history: &History, counts: &[bool], versions: &Versions) -> Result<Vec<usize>, Anomaly> {
    let mut graph = Graph {
        arrows: vec![Vec::new(); counts.len()],
        due: history.attempts.iter().map(|attempt| attempt.begin).collect(),
        attempts: counts.len(),
    };
    versions.neighbours(|before, after, cell| graph.add(before, after, Why::WriteWrite, cell));
    for (index, attempt) in history.attempts.iter().enumerate().filter(|(index, _)| counts[*index]) {
        for read in &attempt.reads {
            let Some(version) = versions.version_of(read.cell, read.version, read.value) else { continue };
            let (writer, next) = versions.around(read.cell, version);
            writer.into_iter().for_each(|writer| graph.add(writer, index, Why::WriteRead, read.cell));
            next.into_iter().for_each(|next| graph.add(index, next, Why::ReadWrite, read.cell));
        }
    }
    graph.add_time_line(history, counts);
    graph.sorted(counts).map_err(|rest| graph.shortest_cycle(history, &rest))
}

impl Graph {
    fn add(&mut self, before: usize, after: usize, why: Why, cell: u64) {
        if before != after {
            self.arrows[before].push(Arrow { to: after, why: Some((why, cell)) });
        }
    }

    fn add_time_line(&mut self, history: &History, counts: &[bool]) {
        let counted = || history.attempts.iter().enumerate().filter(|(index, _)| counts[*index]);
        let mut ends: Vec<(u64, usize)> = counted().filter_map(|(index, it)| Some((it.end?, index))).collect();
        ends.sort_unstable();
        for (place, &(end, index)) in ends.iter().enumerate() {
            let node = self.arrows.len();
            self.arrows.push(Vec::new());
            self.due.push(end);
            self.arrows[index].push(Arrow { to: node, why: None });
            if place > 0 {
                self.arrows[node - 1].push(Arrow { to: node, why: None });
            }
        }
        for (index, attempt) in counted() {
            let over = ends.partition_point(|&(end, _)| end < attempt.begin);
            if over > 0 {
                self.arrows[self.attempts + over - 1].push(Arrow { to: index, why: None });
            }
        }
    }

    /// Kahn's order, the earlier due first; else the nodes that stand in cycles or between them.
    fn sorted(&self, counts: &[bool]) -> Result<Vec<usize>, Vec<bool>> {
        let mut incoming = vec![0u32; self.arrows.len()];
        self.arrows.iter().flatten().for_each(|arrow| incoming[arrow.to] += 1);
        let ready = (0..self.arrows.len()).filter(|&node| incoming[node] == 0);
        let mut ready: BinaryHeap<_> = ready.map(|node| Reverse((self.due[node], node))).collect();
        let (mut order, mut done) = (Vec::new(), 0);
        while let Some(Reverse((_, node))) = ready.pop() {
            done += 1;
            if node < self.attempts && counts[node] {
                order.push(node);
            }
            for arrow in &self.arrows[node] {
                incoming[arrow.to] -= 1;
                if incoming[arrow.to] == 0 {
                    ready.push(Reverse((self.due[arrow.to], arrow.to)));
                }
            }
        }
        if done == self.arrows.len() { Ok(order) } else { Err(incoming.iter().map(|&left| left > 0).collect()) }
    }

    fn shortest_cycle(&self, history: &History, rest: &[bool]) -> Anomaly {
        let starts = (0..self.attempts).filter(|&node| rest[node]);
        let shortest = starts.filter_map(|start| self.shortest_back_to(start, rest)).min_by_key(Vec::len);
        let steps = shortest.unwrap_or_default();
        let edges = steps.into_iter().map(|(before, after, why)| {
            let (why, cell) = why.unwrap_or((Why::RealTime, 0));
            Edge { before, after, why, words: why.sentence(history, before, after, cell) }
        });
        Anomaly::Cycle(edges.collect())
    }

    /// The shortest way from an attempt back to itself: arrows cost 1, but those to and along the time line nothing.
    fn shortest_back_to(&self, start: usize, rest: &[bool]) -> Option<Vec<Step>> {
        let mut came: Vec<Option<(usize, Arrow)>> = vec![None; self.arrows.len()];
        let mut settled = vec![false; self.arrows.len()];
        let mut queue = VecDeque::from([(start, None)]);
        while let Some((node, by)) = queue.pop_front() {
            if std::mem::replace(&mut settled[node], true) {
                if node == start && by.is_some() {
                    came[start] = by;
                    return Some(self.steps(start, &came));
                }
                continue;
            }
            came[node] = by;
            for &arrow in self.arrows[node].iter().filter(|arrow| rest[arrow.to]) {
                if arrow.to >= self.attempts {
                    queue.push_front((arrow.to, Some((node, arrow))));
                } else {
                    queue.push_back((arrow.to, Some((node, arrow))));
                }
            }
        }
        None
    }

    /// The way found, without the time line: an attempt that led to it precedes whoever it leads to.
    fn steps(&self, start: usize, came: &[Option<(usize, Arrow)>]) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut after = start;
        // Bounded: `came` is a tree but for the last arrow, which leads back to its root.
        while let Some((mut before, arrow)) = came[after] {
            while before >= self.attempts {
                let Some((earlier, _)) = came[before] else { break };
                before = earlier;
            }
            steps.push((before, after, arrow.why));
            after = before;
            if after == start {
                break;
            }
        }
        steps.reverse();
        steps
    }
}
