//! A record that ends the broker's process: no module can do that by what it may do, so that the tests'
//! broker does it for one, just before the call.

use std::sync::OnceLock;

use logmill_model::Message;
use rustix::process::{Signal, getpid, kill_process};

/// The environment variable that names a text; records whose value has it are lethal. It is read by
/// the tests' own program alone.
pub const VARIABLE: &str = "HARNESS_LETHAL";

/// Ends the process, if the record is lethal.
///
/// # Panics
/// When it can't.
pub fn strike(message: &Message) {
    static TEXT: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let text = TEXT.get_or_init(|| std::env::var(VARIABLE).ok().map(String::into_bytes));
    let (Some(text), Some(value)) = (text, &message.record.value) else { return };
    if value.windows(text.len()).any(|it| it == text.as_slice()) {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
}
