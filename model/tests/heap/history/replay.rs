//! Objects are judged by replay: what committed transactions did to a dict, a list and a queue on threads is done again to the
//! builtins, in the serialization order that the history gives. Results, order, length and iteration must agree.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use pso_engine::arena::Geometry;
use pso_engine::error::Stop;
use pso_engine::object::key::{Key, KeyView};
use pso_engine::object::{dict, list, queue};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{Handle, Value};
use pso_model::heap::Heap;
use pso_model::history::Recorder;

const THREADS: i64 = 4;
const ROUNDS: i64 = 500;
const KEYS: i64 = 12;
const CAPACITY: u64 = 8;

#[derive(Clone, Copy, Debug)]
enum Op {
    Set(i64, i64),
    Remove(i64),
    Get(i64),
    Push(i64),
    Replace(u64, i64),
    Pop(u64),
    Put(i64),
    Take,
    /// Lengths, and all items in their order.
    Everything,
}

/// What an operation gave, as numbers: -1 is "nothing".
type Answer = Vec<i64>;

/// What a transaction did and was told.
type Told = Vec<(Op, Answer)>;

#[derive(Clone, Copy)]
struct Objects {
    dict: Handle,
    list: Handle,
    queue: Handle,
}

fn integer(value: i64) -> Value {
    Value::int(value).unwrap()
}
fn number(value: Option<Value>) -> i64 {
    value.map_or(-1, |value| value.as_int().unwrap())
}

impl Objects {
    fn create(tx: &mut Participant<Heap>) -> Result<Self, Stop> {
        Ok(Self { dict: dict::create(tx)?, list: list::create(tx)?, queue: queue::create(tx, CAPACITY)? })
    }

    fn act(&self, tx: &mut Participant<Heap>, op: Op) -> Result<Answer, Stop> {
        let hash_key = tx.arena().hash_key();
        let key = |key| Key::new(hash_key, KeyView::Int(key));
        Ok(match op {
            Op::Set(at, value) => {
                dict::set(tx, self.dict, &key(at), integer(value))?;
                vec![]
            }
            Op::Remove(at) => vec![number(dict::remove(tx, self.dict, &key(at))?.map(|(_, value)| value))],
            Op::Get(at) => vec![number(dict::get(tx, self.dict, &key(at))?)],
            Op::Push(value) => {
                list::push(tx, self.list, integer(value))?;
                vec![]
            }
            Op::Replace(index, value) => vec![i64::from(list::set(tx, self.list, index, integer(value))?)],
            Op::Pop(index) => vec![number(list::remove(tx, self.list, index)?)],
            Op::Put(value) => vec![i64::from(queue::try_put(tx, self.queue, integer(value))?)],
            Op::Take => vec![number(queue::try_get(tx, self.queue)?)],
            Op::Everything => {
                let lengths = [dict::len(tx, self.dict)?, list::len(tx, self.list)?, queue::len(tx, self.queue)?];
                let mut answer: Answer = lengths.map(|length| length as i64).to_vec();
                let mut place = 0;
                while let Some((next, at, value)) = dict::next(tx, self.dict, place)? {
                    answer.extend([number(Some(at)), number(Some(value))]);
                    place = next;
                }
                for index in 0..list::len(tx, self.list)? {
                    answer.push(number(list::get(tx, self.list, index)?));
                }
                answer
            }
        })
    }
}

/// The builtins. The dict keeps the order of insertion, as Python's does.
#[derive(Default)]
struct Builtins {
    order: Vec<i64>,
    dict: HashMap<i64, i64>,
    list: Vec<i64>,
    queue: VecDeque<i64>,
}

impl Builtins {
    fn act(&mut self, op: Op) -> Answer {
        match op {
            Op::Set(at, value) => {
                if self.dict.insert(at, value).is_none() {
                    self.order.push(at);
                }
                vec![]
            }
            Op::Remove(at) => {
                self.order.retain(|key| *key != at);
                vec![self.dict.remove(&at).unwrap_or(-1)]
            }
            Op::Get(at) => vec![self.dict.get(&at).copied().unwrap_or(-1)],
            Op::Push(value) => {
                self.list.push(value);
                vec![]
            }
            Op::Replace(index, value) => {
                let place = self.list.get_mut(index as usize);
                let there = place.is_some();
                place.into_iter().for_each(|place| *place = value);
                vec![i64::from(there)]
            }
            Op::Pop(index) if index < self.list.len() as u64 => vec![self.list.remove(index as usize)],
            Op::Pop(_) => vec![-1],
            Op::Put(value) => {
                let room = (self.queue.len() as u64) < CAPACITY;
                if room {
                    self.queue.push_back(value);
                }
                vec![i64::from(room)]
            }
            Op::Take => vec![self.queue.pop_front().unwrap_or(-1)],
            Op::Everything => {
                let lengths = [self.dict.len(), self.list.len(), self.queue.len()];
                let mut answer: Answer = lengths.map(|length| length as i64).to_vec();
                answer.extend(self.order.iter().flat_map(|at| [*at, self.dict[at]]));
                answer.extend(&self.list);
                answer
            }
        }
    }
}

/// What a transaction of a round does: one to three operations, of all kinds over the rounds.
fn operations(round: i64, me: i64) -> Vec<Op> {
    let dice = (round * 7919 + me * 104_729).rem_euclid(10_007);
    let value = 1_000 + round * THREADS + me;
    let all = [
        Op::Set(dice % KEYS, value),
        Op::Push(value),
        Op::Put(value),
        Op::Take,
        Op::Get(dice % KEYS),
        Op::Replace((dice % 9) as u64, value),
        Op::Remove((dice / 3) % KEYS),
        Op::Pop((dice % 6) as u64),
        Op::Everything,
    ];
    (0..1 + dice % 3).map(|turn| all[((dice + turn * 4) % all.len() as i64) as usize]).collect()
}

/// What each committed transaction did and was told, in the serialization order.
fn recorded() -> Vec<Told> {
    let (heap, layout) = Heap::space(Geometry::for_bytes(16 << 20).unwrap());
    let space = Space::join(heap, layout).unwrap();
    let mut first = space.participant().unwrap();
    let objects = first.run(Objects::create).unwrap();
    let recorder = Recorder::default();
    let told: Arc<Mutex<BTreeMap<usize, Told>>> = Arc::default();
    let threads: Vec<_> = (0..THREADS)
        .map(|me| {
            let (space, recorder, told) = (Arc::clone(&space), recorder.clone(), Arc::clone(&told));
            std::thread::spawn(move || {
                let mut participant = space.participant().unwrap();
                recorder.watch(&mut participant);
                for round in 0..ROUNDS {
                    let last = (round == ROUNDS - 1).then_some(Op::Everything);
                    let ops: Vec<Op> = operations(round, me).into_iter().chain(last).collect();
                    let done = participant.run(|tx| {
                        let answers = ops.iter().map(|op| Ok((*op, objects.act(tx, *op)?)));
                        let answers = answers.collect::<Result<Vec<_>, Stop>>()?;
                        Ok((recorder.attempt_of(tx.id()), answers))
                    });
                    let (attempt, answers) = done.unwrap();
                    told.lock().unwrap().insert(attempt.expect("the attempt was heard of"), answers);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let order = recorder.history().strictly_serializable().unwrap_or_else(|anomaly| panic!("{anomaly}"));
    let mut told = told.lock().unwrap();
    let inorder: Vec<_> = order.iter().filter_map(|attempt| told.remove(attempt)).collect();
    assert_eq!(inorder.len() as i64, THREADS * ROUNDS, "each committed transaction has its place in the order");
    inorder
}

fn replay(transactions: &[Told]) -> Result<(), String> {
    let mut builtins = Builtins::default();
    for (place, (op, answer)) in transactions.iter().flatten().enumerate() {
        let expected = builtins.act(*op);
        if expected != *answer {
            return Err(format!("operation {place}, {op:?}: {answer:?}, and the builtin says {expected:?}"));
        }
    }
    Ok(())
}

#[test]
fn objects_on_threads_do_what_the_builtins_do_in_the_order_of_the_history() {
    replay(&recorded()).unwrap();
}

#[test]
fn a_wrong_result_of_an_operation_is_found_wherever_it_is() {
    let right = recorded();
    replay(&right).unwrap();
    let answers = right.iter().flatten().filter(|(_, answer)| !answer.is_empty()).count();
    for wrong in (0..answers).step_by(97) {
        let mut transactions = right.clone();
        let mut given = transactions.iter_mut().flatten().filter(|(_, answer)| !answer.is_empty());
        let (_, answer) = given.nth(wrong).unwrap();
        *answer.last_mut().unwrap() += 1;
        assert!(replay(&transactions).is_err(), "answer {wrong} is wrong and nobody noticed");
    }
}

#[test]
fn two_transactions_in_the_wrong_order_are_found() {
    // Two that both change the list, exchanged.
    let mut transactions = recorded();
    let pushes: Vec<usize> = (0..transactions.len())
        .filter(|index| transactions[*index].iter().any(|(op, _)| matches!(op, Op::Push(_))))
        .collect();
    transactions.swap(pushes[0], pushes[1]);
    assert!(replay(&transactions).is_err());
}
