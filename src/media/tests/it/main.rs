//! Media on an engine in memory and a disk that can lose power.

mod crash;
mod disk;
mod hostile;
mod house;
mod life;
mod model;
mod objects;
mod previews;
mod remote;
mod scan;
mod thumbnails;
mod upload;
