//! How an array that grows without moving is divided: each piece is as large as all before it, up to a size that every large space has side by side; from
//! there on all are of that size.

/// Elements of the largest pieces: 32 MiB of a record.
const LARGEST: u64 = 1 << 20;

/// The first of the pieces that are of the largest size.
#[inline]
fn first_largest(base: u64) -> u64 {
    // A power of two: a shift instead of a division.
    (LARGEST >> base.trailing_zeros()).ilog2() as u64 + 1
}

/// In which piece element `k` lies, and where in it. Piece 0 has `base` elements, piece j has `base << (j - 1)`, or 2^20.
#[inline]
pub(crate) fn locate(base: u64, element: u64) -> (u64, u64) {
    if element < base {
        return (0, element);
    }
    if element >= LARGEST {
        return (first_largest(base) + element / LARGEST - 1, element % LARGEST);
    }
    let piece = (element >> base.trailing_zeros()).ilog2() as u64 + 1;
    (piece, element - (base << (piece - 1)))
}

/// Elements of one piece.
#[inline]
pub(crate) fn piece_elements(base: u64, piece: u64) -> u64 {
    if piece == 0 { base } else { base << (piece.min(first_largest(base)) - 1) }
}

/// Elements of the first `pieces` pieces together.
#[inline]
pub(crate) fn capacity(base: u64, pieces: u64) -> u64 {
    match pieces.checked_sub(first_largest(base)) {
        _ if pieces == 0 => 0,
        None | Some(0) => base << (pieces - 1),
        Some(largest) => (largest + 1) * LARGEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn elements_follow_each_other(base_bits in 0u32..9, element in prop_oneof![0u64..1 << 12, 0u64..1 << 22, (1u64..4).prop_map(|k| k * LARGEST)]) {
            let base = 1 << base_bits;
            let (piece, within) = locate(base, element);
            prop_assert!(within < piece_elements(base, piece));
            prop_assert_eq!(capacity(base, piece) + within, element);
            prop_assert_eq!(capacity(base, piece) + piece_elements(base, piece), capacity(base, piece + 1));
            if let Some(before) = element.checked_sub(1) {
                let (piece_before, within_before) = locate(base, before);
                let follows = piece == piece_before && within == within_before + 1;
                prop_assert!(follows || within == 0 && piece == piece_before + 1);
            }
            prop_assert!(piece_elements(base, piece) <= LARGEST);
        }
    }
}
