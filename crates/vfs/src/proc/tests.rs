//! /proc against a fake kernel and against the layout of the host's own.
