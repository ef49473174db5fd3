//! A lens that lets others act in the middle of somebody's operation.

use std::collections::VecDeque;
use std::sync::Mutex;

use pso_model::heap::Heap;
use pso_model::lens::{Access, Lens, Operation};

type When = Box<dyn FnMut(&Access) -> bool + Send>;
type Step = Box<dyn FnOnce() + Send>;

/// Runs steps, one after the other and each once, before the access that each waits for.
#[derive(Default)]
pub struct Before(Mutex<VecDeque<(When, Step)>>);

impl Before {
    /// Behind those that there are already: `step`, before the first access that `when` is true of.
    pub fn runs(&self, when: impl FnMut(&Access) -> bool + Send + 'static, step: impl FnOnce() + Send + 'static) {
        self.0.lock().unwrap().push_back((Box::new(when), Box::new(step)));
    }

    /// Nothing is left to run.
    pub fn is_through(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

impl Lens<Heap> for Before {
    fn access(&self, inner: &Heap, access: Access) -> Result<u64, u64> {
        let mut steps = self.0.lock().unwrap();
        let is_next = !matches!(access.operation, Operation::Payload(_))
            && steps.front_mut().is_some_and(|(when, _)| when(&access));
        let step = if is_next { steps.pop_front() } else { None };
        drop(steps);
        if let Some((_, step)) = step {
            step();
        }
        access.on(inner)
    }
}
