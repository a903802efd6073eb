//! Accepting what is lost. Nothing that is bad is changed: a record in `_segments` says which offsets
//! read as gaps from then on.

use std::collections::BTreeSet;
use std::sync::Arc;

use logmill_model::internal::SegmentsRecord;
use logmill_model::{BatchBuilder, Compression, Csn, Envelope, Offset, PartitionId, RecordBatch};

use super::dump::read_header;
use super::expect::expect_all;
use super::{own, verify};
use crate::file_name::index_path;
use crate::recovery::{Missing, open_as};
use crate::storage::Storage;
use crate::window::Window;
use crate::{Error, Hole, Known, NewEntry, Opened, Settings, StoredBatch, index_file};

/// Finds all that is lost in a directory and accepts it, durably; returns what it was. What was
/// accepted before is left out. `known` is what is known from elsewhere.
///
/// # Errors
/// [`Error::Locked`] while a broker has the directory; what [`open`](crate::open) refuses to start on, such as
/// a missing file; [`Error::Io`], [`Error::Sync`].
pub fn accept_losses(storage: &Arc<dyn Storage>, known: &Known) -> Result<Vec<Hole>, Error> {
    let mut damaged = BTreeSet::new();
    verify(storage, known, &mut |report| {
        let holes = report.findings.into_iter().filter_map(|finding| finding.hole);
        damaged.extend(holes.map(|hole| hole.path));
    })?;
    read_anew(&**storage, &damaged)?;
    let opened = open_as(Arc::clone(storage), Settings::default(), known, Missing::Accepted)?;
    expect_all(&opened.log, &known.catalog)?;
    let holes = opened.log.corrupt();
    record(opened, &holes)?;
    Ok(holes)
}

/// Lets the next opening read these files, which an index would spare it. That of a file which was cut spares
/// it nothing, and stays: it is what tells of the loss.
fn read_anew(storage: &dyn Storage, paths: &BTreeSet<String>) -> Result<(), Error> {
    let _lock = own(storage)?;
    for path in paths {
        let Ok(file) = storage.open(path) else { continue };
        let header = read_header(&mut Window::new(path, Arc::clone(&file)))?;
        let summary = header.and_then(|it| index_file::read_summary(storage, path, &it, &*file));
        if summary.is_none() {
            continue;
        }
        let path = index_path(path);
        match storage.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Appends what is accepted to `_segments`, and closes the log.
fn record(opened: Opened, holes: &[Hole]) -> Result<(), Error> {
    let Opened { log, mut journal, recovered, .. } = opened;
    let mut csn = recovered.last_csn;
    let mut end = log.end_offset(PartitionId::SEGMENTS);
    for batch in batches(holes.iter().map(|hole| log.accepted().record_of(hole))) {
        csn = csn.next();
        let stored = stored(batch, end, csn, &recovered);
        end = stored.envelope.end_offset();
        let entry = NewEntry { csn, time: recovered.last_time, appends: Vec::from([stored]) };
        // A journal that has stopped says why when it is closed, which makes all of it durable.
        let _ = journal.append(entry, Box::new(|_| {}));
    }
    journal.close()
}

/// The records, as many in a batch as fit.
fn batches(records: impl Iterator<Item = SegmentsRecord>) -> Vec<RecordBatch> {
    let (mut batches, mut builder) = (Vec::new(), BatchBuilder::default());
    for record in records.map(|record| record.encode()) {
        if builder.push(&record).is_err() {
            batches.push(std::mem::take(&mut builder).seal());
            builder.push(&record).expect("the ranges of one hole are bounded so that they fit");
        }
    }
    if !builder.is_empty() {
        batches.push(builder.seal());
    }
    batches
}

fn stored(batch: RecordBatch, base: Offset, csn: Csn, recovered: &crate::Recovered) -> StoredBatch {
    let envelope = Envelope {
        base_offset: base,
        append_ts: recovered.last_time,
        csn,
        producer: None,
        last_delta: batch.last_delta(),
        records: batch.record_count(),
        bytes: u32::try_from(batch.bytes().len()).expect("a batch is at most BATCH_BYTES_MAX"),
        crc: batch.crc(),
        rewritten: false,
        compression: Compression::None,
        hops: 0,
    };
    StoredBatch { partition: PartitionId::SEGMENTS, envelope, batch }
}
