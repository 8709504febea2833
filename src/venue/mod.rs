//! Venues: where orders go. The simulated exchange lives in [`paper`].

pub mod paper;
pub mod random;
