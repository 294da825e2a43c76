//! How the parts of a guest are made, each once: the tools, the kernels, the root file systems, the images.

pub mod containerfile;
pub mod emulator;
pub mod image;
pub mod kernel;
pub mod root;
pub mod tools;
