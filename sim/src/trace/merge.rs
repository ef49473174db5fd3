//! Several recordings of one space into one trace.
//!
//! Each process of a space records into a file of its own, by the clock that they share. Put together, transactions stand
//! in the order of their arrival, participants of different files are different ones (a slot that was given back and taken
//! again is another participant), and cells, until here named by their place in the space, are numbered as met.

use super::{PARTICIPANTS_MAX, Trace, Unplayable, check};

/// Why traces cannot be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// Nothing to merge.
    #[error("there is nothing to merge")]
    Nothing,
    /// Its cells are numbers of its own.
    #[error("`{name}` is not a recording: what its cells are called says nothing about cells of others")]
    NotRecorded {
        /// Of the trace.
        name: String,
    },
    /// Two spaces.
    #[error("`{one}` and `{other}` come from different spaces ({one_from}; {other_from})")]
    OtherSpace {
        /// Name of the first.
        one: String,
        /// Name of another.
        other: String,
        /// Where the first comes from.
        one_from: String,
        /// Where the other comes from.
        other_from: String,
    },
    /// Too many.
    #[error("they have {participants} participants together, and a trace has room for {PARTICIPANTS_MAX}")]
    Participants {
        /// How many.
        participants: u64,
    },
    /// Each can be played, and all together cannot.
    #[error("together they cannot be played: {0}")]
    Unplayable(#[from] Unplayable),
}

/// Puts recordings together, as a dense trace called `name`.
pub fn merge(name: &str, parts: Vec<Trace>) -> Result<Trace, MergeError> {
    let first = parts.first().ok_or(MergeError::Nothing)?.header.clone();
    let start_ns = parts.iter().map(|part| part.header.start_ns).min().unwrap_or(0);
    let cut = parts.iter().filter(|part| !part.whole).count();
    let count = parts.len();
    let mut participants = 0;
    let mut transactions = Vec::new();
    for part in parts {
        if part.header.cells.is_some() {
            return Err(MergeError::NotRecorded { name: part.header.name });
        }
        if part.header.from != first.from {
            let (other, other_from) = (part.header.name, part.header.from);
            return Err(MergeError::OtherSpace { one: first.name, other, one_from: first.from, other_from });
        }
        let own = u64::from(part.participants());
        if participants + own > u64::from(PARTICIPANTS_MAX) {
            return Err(MergeError::Participants { participants: participants + own });
        }
        let late_ns = part.header.start_ns - start_ns;
        transactions.extend(part.transactions.into_iter().map(|mut line| {
            line.participant += participants as u32;
            line.arrival_ns = line.arrival_ns.saturating_add(late_ns);
            line
        }));
        participants += own;
    }
    // Stable: lines of one participant with one arrival keep their order.
    transactions.sort_by_key(|line| line.arrival_ns);
    check::playable(&transactions)?;
    let mut header = first;
    header.name = name.to_owned();
    header.participants = Some(participants as u32);
    header.start_ns = 0;
    header.from = match cut {
        0 => format!("{}, {count} parts", header.from),
        cut => format!("{}, {count} parts, {cut} of them cut", header.from),
    };
    Ok(Trace { header, transactions, whole: true }.dense())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(space: &str, start: u64, lines: &str) -> Trace {
        let header =
            format!("pso-trace 1\nname {start}\nfrom {space}\nparticipants ?\ncells ?\nseed 0\nstart {start}\n--\n");
        Trace::read(format!("{header}{lines}").as_bytes()).unwrap()
    }

    #[test]
    fn recordings_of_one_space_are_put_in_the_order_of_arrival() {
        let one = recording("space 1", 1000, "0 10 0 r800 w900\n1 40 0 w800\nend 2\n");
        let other = recording("space 1", 1020, "0 5 1 w900\n");
        let merged = merge("both", vec![one, other]).unwrap();
        let lines: Vec<String> = merged.transactions.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["0 10 0 r0 w1", "2 25 1 w1", "1 40 0 w0"]);
        assert_eq!((merged.participants(), merged.cells(), merged.whole), (3, 2, true));
        assert_eq!(merged.header.from, "space 1, 2 parts, 1 of them cut");
        assert_eq!(Trace::read(merged.text().as_bytes()).unwrap(), merged);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let one = recording("space 1", 0, "0 0 0 r1\n");
        let other = recording("space 2", 0, "0 0 0 r1\n");
        assert!(matches!(merge("n", vec![one.clone(), other]), Err(MergeError::OtherSpace { .. })));
        assert!(matches!(merge("n", vec![one.dense()]), Err(MergeError::NotRecorded { .. })));
        assert_eq!(merge("n", Vec::new()), Err(MergeError::Nothing));
        let half = format!("0 0 0{}\n", " w7+4503599627370496".repeat(64));
        let halves = vec![recording("space 1", 0, &half), recording("space 1", 0, &half)];
        assert!(matches!(merge("n", halves), Err(MergeError::Unplayable(_))));
    }
}
