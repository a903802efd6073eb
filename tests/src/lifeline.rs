//! A broker that a test started must not outlive the test, however that ends: not in a panic, not
//! when it is killed, not when the broker runs under another program.
//!
//! So the test holds one end of a pipe, the broker's stdin, and the broker ends when the other one
//! is gone.

use std::io::Read as _;

/// The environment variable that tells the program to hold on to its stdin.
pub const VARIABLE: &str = "HARNESS_LIFELINE";

/// Ends a broker as soon as its stdin ends, where the variable asks for it. Not the processes that
/// the broker starts in turn: their stdin is something else.
pub fn hold() {
    let serves = std::env::args_os().nth(1).is_some_and(|verb| verb == "serve");
    if !serves || std::env::var_os(VARIABLE).is_none() {
        return;
    }
    std::thread::spawn(|| {
        let mut byte = [0];
        let mut stdin = std::io::stdin();
        while matches!(stdin.read(&mut byte), Ok(1)) {}
        std::process::exit(1);
    });
}
