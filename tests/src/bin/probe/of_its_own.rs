//! What the standard library does by itself, under the filter: a panic with its hook, and the growth of buffers.

use keeper::notify::Notify;
use policies::Role;

/// The hook of the role's program; the engine has one of its own that does the same as that of the network's programs.
pub fn end_on_panic(role: Role) {
    match role {
        Role::Privileged | Role::PrivilegedVirtual => keeper::start::end_on_panic(Notify::to(None)),
        _ => network::start::end_on_panic("probe"),
    }
}

/// Octets to which a buffer grows: more than the largest record, file or list of any process (8 MiB of roots). The keeper has
/// none beyond a record of a link, and may take memory from the heap alone.
fn largest(role: Role) -> usize {
    match role {
        Role::Privileged | Role::PrivilegedVirtual => 64 << 10,
        _ => 16 << 20,
    }
}

/// A panic whose message takes memory that was not there before.
pub fn panic_at_length(role: Role) -> ! {
    panic!("{}", "of no use, ".repeat(largest(role) / 1_024))
}

/// Buffers that grow step by step beside others and with them, are cut, and are given back in either order.
pub fn grow(role: Role) {
    let largest = largest(role);
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for round in 0..3 {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        while one.len() < largest {
            one.resize((one.len() * 2).clamp(1_000, largest), 1u8);
            other.resize(one.len() / 2, 2u8);
            kept.push(vec![3; 500 + round]);
        }
        one.truncate(100);
        one.shrink_to_fit();
        other.extend_from_slice(&one);
        kept.push(one);
        drop(other);
        // Small ones up to the end of the heap, given back from that end.
        let small: Vec<Vec<u8>> = (0..largest.min(1 << 20) / 1_024).map(|length| vec![4; length]).collect();
        small.into_iter().rev().for_each(drop);
    }
    std::hint::black_box(&kept);
    drop(kept);
    // As the keeper ends, which the end of a main function does more than.
    if matches!(role, Role::Privileged | Role::PrivilegedVirtual) {
        keeper::kernel::exit(0);
    }
}
