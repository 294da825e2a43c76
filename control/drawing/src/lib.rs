//! What pictures of the clock are drawn with. Pure: text in, text out.
//!
//! ```text
//!   axis    where the marks of an axis are, and what stands there
//!   panel   a panel's scale, the lines across it, the samples of its legend
//!   shape   numbers, escaped text and outlines of an SVG
//! ```
#![forbid(unsafe_code)]

pub mod axis;
pub mod panel;
pub mod shape;
