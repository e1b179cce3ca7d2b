//! Who is online, and how many members of each room are.
