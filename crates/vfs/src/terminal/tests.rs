//! Terminals as programs and people see them.

use super::*;
