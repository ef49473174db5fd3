//! One object per key while it lives: a table that holds its objects without counting them.
//!
//! An object is put into the table when it is made and carries an [`Identity`] that takes it out when its value is
//! dropped. Between the fall of its count to 0 and that moment a look-up may still meet it (callbacks of weak references
//! run Python code), so a look-up passes over objects without a count.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

use pyo3_ffi as c;

use super::{Class, Instance, Kind, Own, Python, Result, Type};

/// The table.
pub struct WeakTable<K: Hash + Eq + Clone, T: Class> {
    objects: RefCell<HashMap<K, *mut c::PyObject, BuildHasherDefault<Mixer>>>,
    _class: std::marker::PhantomData<fn(T)>,
}

/// An object's place in the table. The object's value holds it for as long as the object lives.
pub struct Identity<K: Hash + Eq + Clone, T: Class> {
    table: Rc<WeakTable<K, T>>,
    key: K,
    object: Cell<*mut c::PyObject>,
}

impl<K: Hash + Eq + Clone, T: Class> Identity<K, T> {
    /// The key.
    #[inline]
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Hash + Eq + Clone, T: Class> Drop for Identity<K, T> {
    fn drop(&mut self) {
        let mut objects = self.table.objects.borrow_mut();
        // Somebody may have made the key's next object already: that one stays.
        if objects.get(&self.key) == Some(&self.object.get()) {
            objects.remove(&self.key);
        }
    }
}

impl<K: Hash + Eq + Clone, T: Class> Default for WeakTable<K, T> {
    fn default() -> Self {
        Self { objects: RefCell::default(), _class: std::marker::PhantomData }
    }
}

impl<K: Hash + Eq + Clone, T: Class> WeakTable<K, T> {
    /// The key's object, if one lives.
    pub fn get(&self, _py: Python<'_>, key: &K) -> Option<Own<T>> {
        let object = *self.objects.borrow().get(key)?;
        // SAFETY: its `Identity` takes an object out of the table before its memory goes, and only `create` puts one in.
        unsafe { (c::Py_REFCNT(object) > 0).then(|| Instance::<T>::from_ptr(object).own()) }
    }
    /// Makes the key's object. `make` puts the identity into the value that it gives.
    pub fn create(
        self: &Rc<Self>,
        py: Python<'_>,
        class: &Type<T>,
        key: K,
        make: impl FnOnce(Identity<K, T>) -> T,
        identity: impl FnOnce(&T) -> &Identity<K, T>,
    ) -> Result<Own<T>> {
        if self.objects.borrow_mut().try_reserve(1).is_err() {
            return Err(Kind::Memory.raise(py, "no memory in this process"));
        }
        let place = Identity { table: Rc::clone(self), key: key.clone(), object: Cell::new(std::ptr::null_mut()) };
        let made = class.create(py, make(place))?;
        let object = made.as_any().as_ptr();
        let place = identity(&made);
        assert!(Rc::ptr_eq(&place.table, self) && place.key == key, "an identity stays with its object");
        place.object.set(object);
        self.objects.borrow_mut().insert(key, object);
        Ok(made)
    }
    /// All objects that live.
    pub fn all(&self, _py: Python<'_>) -> Vec<Own<T>> {
        let objects = self.objects.borrow();
        // SAFETY: as in `get`.
        let live = objects.values().filter(|object| unsafe { c::Py_REFCNT(**object) > 0 });
        // SAFETY: as in `get`.
        live.map(|object| unsafe { Instance::<T>::from_ptr(*object).own() }).collect()
    }
}

/// Handles and uuids are well spread already but for their low bits: one multiplication mixes them.
#[derive(Default)]
pub struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}
