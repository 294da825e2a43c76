//! The first process of a guest in which a day passes; see [`rig::days::guest`].

fn main() {
    rig::days::guest::run();
}
