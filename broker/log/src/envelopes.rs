//! The envelopes of the newest entries: what a start rebuilds from that is not in internal topics.
//!
//! Only headers and tables are read. They lie between the batches, so a file of small batches is
//! read whole, and one of large ones hardly at all.

use std::sync::Arc;

use logmill_model::{Csn, Envelope, PartitionId};

use crate::Error;
use crate::file_header::FILE_HEADER_BYTES;
use crate::log_file::LogFile;
use crate::resync::next_entry;
use crate::visible::Visible;

/// What one read takes, in bytes: headers lie far apart where batches are large.
const READ_BYTES: usize = 64 * 1024;

/// Shows the envelopes of all entries after `after`, in the order of entries; tells whether all of
/// them were there to be shown.
pub(crate) fn after(
    visible: &Visible,
    after: Csn,
    visit: &mut dyn FnMut(PartitionId, &Envelope),
) -> Result<bool, Error> {
    let Some(files) = visible.sealed.snapshot() else { return Ok(true) };
    let mut newest = after;
    let mut is_whole = true;
    for file in files.sealed.iter().chain([&files.growing]) {
        if file.seal().is_none_or(|seal| seal.newest.csn > after) {
            is_whole &= of_file(visible, file, &mut newest, visit)?;
        }
    }
    Ok(is_whole)
}

fn of_file(
    visible: &Visible,
    file: &Arc<LogFile>,
    newest: &mut Csn,
    visit: &mut dyn FnMut(PartitionId, &Envelope),
) -> Result<bool, Error> {
    let salt = file.header.salt;
    let mut window = file.window(visible.files.open(file)?).in_reads_of(READ_BYTES);
    let (mut position, mut is_whole) = (FILE_HEADER_BYTES as u64, true);
    let (end, before) = (file.seal().map(|seal| seal.end), *newest);
    while end.is_none_or(|end| position < end) {
        let Ok(head) = window.head(position, salt)? else {
            // What is being written ends somewhere; what is sealed does not.
            let Some(end) = end else { break };
            is_whole = false;
            match next_entry(&mut window, salt, position, end)? {
                Some(next) => position = next,
                None => break,
            }
            continue;
        };
        for row in head.rows.iter().filter(|row| row.envelope.csn > before) {
            visit(row.partition, &row.envelope);
            *newest = row.envelope.csn.max(*newest);
        }
        position += u64::from(head.header.length);
    }
    Ok(is_whole)
}
