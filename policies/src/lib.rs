//! What each process may ask of the kernel: one rule set for each role, as data, and the small code that
//! puts them in force.
