//! truechimer-keeper: disciplines the kernel's clock. truechimerd becomes it, by an exec, when everything runs.

use filters::Role;
use keeper::clock::kernel::KernelClock;
use keeper::ending::Ending;
use keeper::start::keep;

fn main() {
    keep(Role::Privileged, |_, _| {
        KernelClock::take()
            .map_err(|errno| Ending::NoClockControl(format!("the clock cannot be steered: {errno}")))
    })
}
