//! A key against a stored key, where comparing words did not settle it.

use super::KeyView;
use super::number::{FloatInteger, Number};
use crate::error::Stop;
use crate::object::block::corrupt;
use crate::object::{bytes, float, int, text, tuple};
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{BlockKind, Handle, Unpacked, Value, WordAddress};

/// Whether `view` and the stored key are equal. Recursion ends with the view: a damaged tuple that holds itself does not
/// trap it.
pub(super) fn equals<P: Platform>(tx: &Participant<P>, view: &KeyView, stored: Value) -> Result<bool, Stop> {
    match stored.unpack() {
        Some(Unpacked::None) => Ok(matches!(view, KeyView::None)),
        Some(Unpacked::Bool(value)) => Ok(equals_number(view, Number::Small(i64::from(value)))),
        Some(Unpacked::Int(value)) => Ok(equals_number(view, Number::Small(value))),
        Some(Unpacked::Float(value)) => Ok(equals_number(view, Number::float(value, &mut FloatInteger::new()))),
        Some(Unpacked::Text(stored)) => Ok(matches!(view, KeyView::Text(text) if text.as_bytes() == stored.as_slice())),
        Some(Unpacked::Bytes(stored)) => Ok(matches!(view, KeyView::Bytes(bytes) if *bytes == stored.as_slice())),
        Some(Unpacked::Handle(handle)) => equals_block(tx, view, handle),
        Some(Unpacked::Absent) | None => Err(corrupt("a key", WordAddress::new(0), stored.raw())),
    }
}

fn equals_block<P: Platform>(tx: &Participant<P>, view: &KeyView, stored: Handle) -> Result<bool, Stop> {
    match (view, tx.kind(stored)?) {
        (KeyView::Text(text), BlockKind::Text) => text::equals(tx, stored, text),
        (KeyView::Bytes(bytes), BlockKind::Bytes) => bytes::equals(tx, stored, bytes),
        (KeyView::Identity(handle), _) => Ok(*handle == stored),
        (KeyView::Tuple(items), BlockKind::Tuple) => equals_tuple(tx, items, stored),
        (KeyView::Bool(_) | KeyView::Int(_) | KeyView::LargeInt { .. } | KeyView::Float(_), BlockKind::Int) => {
            int::with(tx, stored, |negative, magnitude| equals_number(view, Number::integer(negative, magnitude)))
        }
        (KeyView::Bool(_) | KeyView::Int(_) | KeyView::LargeInt { .. } | KeyView::Float(_), BlockKind::Float) => {
            let value = float::decode(tx, stored)?;
            Ok(equals_number(view, Number::float(value, &mut FloatInteger::new())))
        }
        _ => Ok(false),
    }
}

fn equals_tuple<P: Platform>(tx: &Participant<P>, items: &[KeyView], stored: Handle) -> Result<bool, Stop> {
    if tuple::len(tx, stored)? != items.len() as u64 {
        return Ok(false);
    }
    for (index, item) in items.iter().enumerate() {
        match tuple::item(tx, stored, index as u64)? {
            Some(value) if equals(tx, item, value)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn equals_number(view: &KeyView, stored: Number) -> bool {
    match view {
        KeyView::Bool(value) => Number::Small(i64::from(*value)) == stored,
        KeyView::Int(value) => Number::Small(*value) == stored,
        KeyView::LargeInt { negative, magnitude } => Number::integer(*negative, magnitude) == stored,
        KeyView::Float(value) => Number::float(*value, &mut FloatInteger::new()) == stored,
        _ => false,
    }
}
