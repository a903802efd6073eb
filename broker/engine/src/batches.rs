//! Records of the broker's own, as the batches that they fit into.

use std::borrow::Borrow;

use logmill_model::{BatchBuilder, Error, Record, RecordBatch};

/// These records in as few batches as take them, in order.
///
/// # Errors
/// When one does not fit a batch of its own.
pub(crate) fn batches(
    records: impl IntoIterator<Item = impl Borrow<Record>>,
) -> Result<Vec<RecordBatch>, Error> {
    let mut batches = Vec::new();
    let mut builder = BatchBuilder::default();
    for record in records {
        let record = record.borrow();
        if builder.push(record).is_err() {
            batches.push(std::mem::take(&mut builder).seal());
            builder.push(record)?;
        }
    }
    if !builder.is_empty() {
        batches.push(builder.seal());
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_are_too_much_for_a_batch_are_in_several_in_order() {
        let record = |byte| Record { value: Some(vec![byte; 900_000].into()), ..Record::default() };
        let batches = batches((0..5).map(record)).unwrap();
        let counts: Vec<u32> = batches.iter().map(RecordBatch::record_count).collect();
        assert_eq!(counts, [2, 2, 1]);
        let mut first = Vec::new();
        for batch in &batches {
            let records = batch.plain().unwrap();
            first.extend(records.iter().map(|record| record.value.unwrap()[0]));
        }
        assert_eq!(first, [0, 1, 2, 3, 4]);
    }
}
