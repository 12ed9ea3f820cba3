//! What the door promises, shown on sockets.
