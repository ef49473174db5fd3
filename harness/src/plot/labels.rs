//! Labels beside the ends of curves: moved apart as little as needed, in the order of the curves.

/// Moves `places` (pixels, downwards) apart so that neighbours are at least `height` apart, inside `top..bottom` as far as there
/// is room. The order stays. Returns the new places in the order of the given ones.
pub fn spread(places: &[f64], height: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|one, other| places[*one].total_cmp(&places[*other]));
    let mut moved = vec![0.0; places.len()];
    let mut least = top;
    for index in &order {
        moved[*index] = places[*index].max(least);
        least = moved[*index] + height;
    }
    // Whoever was pushed out below pushes the others up again.
    let mut most = bottom;
    for index in order.iter().rev() {
        moved[*index] = moved[*index].min(most);
        most = moved[*index] - height;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_cover_each_other_and_keep_their_order() {
        let moved = spread(&[50.0, 51.0, 10.0, 99.0, 98.0], 10.0, 0.0, 100.0);
        let mut sorted = moved.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= 10.0 - 1e-9), "{moved:?}");
        assert!(moved[2] < moved[0] && moved[0] < moved[1] && moved[1] < moved[4] && moved[4] < moved[3]);
        assert!(sorted[0] >= 0.0 && sorted[4] <= 100.0);
    }

    #[test]
    fn a_label_with_room_stays_where_it_is() {
        assert_eq!(spread(&[30.0, 60.0], 10.0, 0.0, 100.0), [30.0, 60.0]);
        assert_eq!(spread(&[], 10.0, 0.0, 100.0), Vec::<f64>::new());
    }
}
