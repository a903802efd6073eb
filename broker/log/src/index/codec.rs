//! The bytes of an index file. The decoders are total: any bytes in, `None` if they are no index.

use logmill_model::{Csn, Offset, PartitionId, Timestamp, TopicId};

use super::{IndexBuilder, PartitionIndex, PartitionSummary, Point, PointsPlace, Seal, Summary};
use crate::active_file::Newest;
use crate::entry::{Kind, SealReason};
use crate::file_header::Salt;
use crate::layout::{array_at, u32_at, u64_at};

const MAGIC: [u8; 8] = *b"LOGMILLI";
const VERSION: u8 = 1;
/// The size of the header, from which the summary's size can be told.
pub(crate) const SUMMARY_HEADER_BYTES: usize = 80;
const ROW_BYTES: usize = 80;
const POINT_BYTES: usize = 24;
const CRC_AT: usize = 12;

impl IndexBuilder {
    /// The index of the file, sealed so: its summary, and all its bytes.
    pub(crate) fn finish(self, salt: Salt, first: Csn, seal: Seal) -> (Summary, Vec<u8>) {
        let mut partitions: Vec<(PartitionId, PartitionIndex)> =
            self.partitions.into_iter().collect();
        partitions.sort_unstable_by_key(|(partition, _)| *partition);
        let mut points = Vec::new();
        let points_at = SUMMARY_HEADER_BYTES + partitions.len() * ROW_BYTES;
        let summarise = |(partition, index): (PartitionId, PartitionIndex)| {
            let begin = points.len();
            index.points.iter().for_each(|point| encode_point(*point, &mut points));
            PartitionSummary {
                partition,
                base: index.base,
                end: index.end,
                records: index.records,
                bytes: index.bytes,
                first_time: index.first_time,
                last_time: index.last_time,
                points: PointsPlace {
                    position: fits(points_at + begin),
                    count: fits(index.points.len()),
                    crc: crc32c::crc32c(&points[begin..]),
                },
            }
        };
        let partitions = partitions.into_iter().map(summarise).collect();
        let summary = Summary { salt, first, seal, partitions };
        let mut bytes = summary.encode();
        bytes.extend(points);
        (summary, bytes)
    }
}

fn fits(number: usize) -> u32 {
    u32::try_from(number).expect("an index is smaller than its file, which is 30 bits")
}

fn encode_point(point: Point, out: &mut Vec<u8>) {
    out.extend(point.base.0.to_le_bytes());
    out.extend(point.time.0.to_le_bytes());
    out.extend(point.position.to_le_bytes());
    out.extend(point.bytes.to_le_bytes());
}

/// Reads the points of one partition; `None` when these are not the bytes that were written, or not
/// in order.
pub(crate) fn decode_points(bytes: &[u8], place: PointsPlace) -> Option<Vec<Point>> {
    let (raw, rest) = bytes.as_chunks::<POINT_BYTES>();
    if raw.len() != place.count as usize || !rest.is_empty() || crc32c::crc32c(bytes) != place.crc {
        return None;
    }
    let decode = |raw: &[u8; POINT_BYTES]| Point {
        base: Offset(u64_at(raw, 0)),
        time: Timestamp(u64_at(raw, 8)),
        position: u32_at(raw, 16),
        bytes: u32_at(raw, 20),
    };
    let points: Vec<Point> = raw.iter().map(decode).collect();
    let rises = |[a, b]: &[Point; 2]| a.base < b.base && a.end() <= b.begin();
    points.array_windows().all(rises).then_some(points)
}

impl PointsPlace {
    /// How many bytes the points take.
    pub(crate) fn bytes(self) -> usize {
        self.count as usize * POINT_BYTES
    }
}

impl Summary {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; SUMMARY_HEADER_BYTES];
        let Seal { reason, prev_crc, newest, end } = self.seal;
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8] = VERSION;
        bytes[9] = Kind::Seal(reason).code();
        bytes[16..32].copy_from_slice(&self.salt.0);
        bytes[32..40].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&newest.csn.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&newest.time.0.to_le_bytes());
        bytes[56..60].copy_from_slice(&newest.entry_crc.to_le_bytes());
        bytes[60..64].copy_from_slice(&prev_crc.to_le_bytes());
        bytes[64..72].copy_from_slice(&end.to_le_bytes());
        bytes[72..76].copy_from_slice(&fits(self.partitions.len()).to_le_bytes());
        self.partitions.iter().for_each(|row| row.encode(&mut bytes));
        let crc = summary_crc(&bytes);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

impl Summary {
    /// How long the index is.
    pub(crate) fn index_bytes(&self) -> u64 {
        let summary = SUMMARY_HEADER_BYTES + self.partitions.len() * ROW_BYTES;
        let points = self.partitions.iter().map(|row| row.points.bytes());
        (summary + points.sum::<usize>()) as u64
    }
}

impl PartitionSummary {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.partition.topic.0.to_le_bytes());
        out.extend(self.partition.index.to_le_bytes());
        out.extend(self.points.crc.to_le_bytes());
        for field in [self.base.0, self.end.0, self.records, self.bytes] {
            out.extend(field.to_le_bytes());
        }
        out.extend(self.first_time.0.to_le_bytes());
        out.extend(self.last_time.0.to_le_bytes());
        out.extend(u64::from(self.points.position).to_le_bytes());
        out.extend(self.points.count.to_le_bytes());
        out.extend([0; 4]);
    }

    fn decode(row: &[u8; ROW_BYTES]) -> Option<Self> {
        Some(Self {
            partition: PartitionId::new(TopicId(u64_at(row, 0)), u32_at(row, 8)),
            base: Offset(u64_at(row, 16)),
            end: Offset(u64_at(row, 24)),
            records: u64_at(row, 32),
            bytes: u64_at(row, 40),
            first_time: Timestamp(u64_at(row, 48)),
            last_time: Timestamp(u64_at(row, 56)),
            points: PointsPlace {
                position: u32::try_from(u64_at(row, 64)).ok()?,
                count: u32_at(row, 72),
                crc: u32_at(row, 12),
            },
        })
    }
}

fn summary_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..CRC_AT]), &bytes[CRC_AT + 4..])
}

/// How long the summary is that begins with this header: what it says, unchecked. `None` when it is
/// no header of an index.
pub(crate) fn summary_bytes(header: &[u8; SUMMARY_HEADER_BYTES]) -> Option<u64> {
    let is_index = header[..8] == MAGIC && header[8] == VERSION;
    is_index.then(|| SUMMARY_HEADER_BYTES as u64 + u64::from(u32_at(header, 72)) * ROW_BYTES as u64)
}

/// Reads a summary, which is all of `bytes`.
pub(crate) fn decode_summary(bytes: &[u8]) -> Option<Summary> {
    let (header, rows) = bytes.split_first_chunk::<SUMMARY_HEADER_BYTES>()?;
    if summary_bytes(header)? != bytes.len() as u64 || summary_crc(bytes) != u32_at(header, CRC_AT)
    {
        return None;
    }
    let Some(Kind::Seal(reason)) = Kind::from_code(header[9]) else { return None };
    let (rows, _) = rows.as_chunks::<ROW_BYTES>();
    let partitions: Vec<_> = rows.iter().map(PartitionSummary::decode).collect::<Option<_>>()?;
    let rises = |[a, b]: &[PartitionSummary; 2]| a.partition < b.partition;
    partitions.array_windows().all(rises).then(|| Summary {
        salt: Salt(array_at(header, 16)),
        first: Csn(u64_at(header, 32)),
        seal: seal(reason, header),
        partitions,
    })
}

fn seal(reason: SealReason, header: &[u8; SUMMARY_HEADER_BYTES]) -> Seal {
    let newest = Newest {
        csn: Csn(u64_at(header, 40)),
        entry_crc: u32_at(header, 56),
        time: Timestamp(u64_at(header, 48)),
    };
    Seal { reason, prev_crc: u32_at(header, 60), newest, end: u64_at(header, 64) }
}
