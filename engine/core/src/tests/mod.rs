//! The whole engine in virtual time: a simulated oscillator, network, servers and governor.

mod accuracy;
mod addresses;
mod agreement;
mod attacks;
mod behaviour;
mod distance;
mod entries;
mod journal;
mod kept_addresses;
mod kernel_status;
mod kisses;
mod late_network;
mod names;
mod never_panics;
mod nts;
mod nts_clock;
mod nts_hostile;
mod nts_kept;
mod nts_path;
mod operators;
mod own_addresses;
mod processes;
mod quorum;
mod refused;
mod selection;
mod wakes;
pub(crate) mod world;
