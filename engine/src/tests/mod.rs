//! The whole engine in virtual time: a simulated oscillator, network, servers and governor.

mod accuracy;
mod attacks;
mod behaviour;
mod names;
mod never_panics;
mod processes;
mod selection;
mod world;
