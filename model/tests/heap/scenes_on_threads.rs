//! Every scene on real threads, a few hundred times: what stress can show, and the proof that a scene is playable anywhere.

use pso_model::heap::Heap;
use pso_model::scenario::{Setting, scenes, small_geometry};

/// Plays of each scene: some milliseconds each where somebody sleeps.
const PLAYS: u32 = 200;

#[test]
fn every_scene_ends_well_on_threads() {
    for scene in scenes::<Heap>() {
        for _ in 0..PLAYS {
            let (heap, layout) = Heap::space(small_geometry());
            let play = Setting::new(heap, layout).play(scene);
            std::thread::scope(|scope| {
                play.actors.into_iter().for_each(|actor| {
                    scope.spawn(actor);
                });
            });
            (play.epilogue)();
        }
        println!("{}: {PLAYS} plays", scene.name);
    }
}
