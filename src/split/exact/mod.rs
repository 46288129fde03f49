//! Chunks that are slices of the source, cut at seams.
#![allow(dead_code, reason = "the engine that asks for seams joins them here")]

pub(in crate::split) mod code;
pub(in crate::split) mod markdown;
pub(in crate::split) mod ranked;
pub(in crate::split) mod seams;
pub(in crate::split) mod sentences;
