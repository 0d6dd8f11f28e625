//! Rules of processes as scenarios, a naive model against random sequences, and races between real threads.

mod cells;
mod exec;
mod groups;
mod inheritance;
mod lifecycle;
mod manager;
mod model;
mod numbers;
mod race;
mod signals;
mod size;
mod threads;
mod waiting;
