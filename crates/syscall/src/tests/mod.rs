//! Calls as programs make them, family by family.

mod entries;
mod events;
mod fd;
mod files;
mod futex;
mod hostile;
mod io;
mod poll;
mod proc;
mod sizes;
mod sockets;
mod terminal;
mod time;
