//! Rules of client trust.
