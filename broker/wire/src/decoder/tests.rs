//! Tests of the decoder and of frames.

use logmill_model::{
    Compression, Csn, DuplicateRecord, Envelope, Epoch, Offset, ProducerStamp, RecordBatch,
    ShardId, Timestamp, limits::BATCH_BYTES_MAX,
};
use proptest::prelude::*;

use super::*;
use crate::{Ack, Append, AppendBatch, Data, ErrorCode, Fault, Produce, Progress, StreamKind};

const ALL: Accepts = Accepts::of(FrameType::ALL);

fn bytes_up_to(max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

fn fault() -> impl Strategy<Value = Fault> {
    (any::<(u64, u16, bool, bool)>(), prop::option::of(0..u32::MAX), ".{0,40}").prop_map(
        |((request, code, retryable, no_side_effects), index, text)| {
            let code = ErrorCode::from_number(code);
            Fault { request, code, retryable, no_side_effects, index, text }
        },
    )
}

fn ack() -> impl Strategy<Value = Ack> {
    let duplicates = prop::collection::btree_map(any::<u32>(), any::<(u32, u64)>(), 0..4);
    (any::<(u64, u64, u64, u64, u64, u32, u16, bool)>(), duplicates).prop_map(
        |((request, base, time, csn, epoch, partition, shard, was_there), duplicates)| Ack {
            request,
            base_offset: Offset(base),
            append_ts: Timestamp(time),
            csn: Csn(csn),
            epoch: Epoch(epoch),
            partition,
            shard: ShardId(shard),
            was_there,
            duplicates: duplicates
                .into_iter()
                .map(|(index, (partition, offset))| DuplicateRecord {
                    index,
                    partition,
                    offset: Offset(offset),
                })
                .collect(),
        },
    )
}

fn append() -> impl Strategy<Value = Append> {
    let optional = || prop::option::of(any::<u64>());
    let batch = (any::<(u32, u32)>(), optional(), optional(), bytes_up_to(80)).prop_map(
        |((partition, crc), first_sequence, expected_end, batch)| AppendBatch {
            partition,
            crc,
            first_sequence,
            expected_end: expected_end.map(Offset),
            batch,
        },
    );
    (any::<u64>(), prop::collection::vec(batch, 1..4))
        .prop_map(|(request, batches)| Append { request, batches })
}

fn data() -> impl Strategy<Value = Data> {
    let producer = (1..u64::MAX, any::<u32>(), any::<u64>())
        .prop_map(|(id, epoch, first_sequence)| ProducerStamp { id, epoch, first_sequence });
    (any::<(u64, u64, u64, u32, u32, u32, bool, u8)>(), prop::option::of(producer), bytes_up_to(80))
        .prop_map(
            |((base, time, csn, last_delta, records, crc, rewritten, hops), producer, batch)| {
                let envelope = Envelope {
                    base_offset: Offset(base),
                    append_ts: Timestamp(time),
                    csn: Csn(csn),
                    producer,
                    last_delta,
                    records,
                    bytes: u32::try_from(batch.len()).unwrap(),
                    crc,
                    rewritten,
                    compression: Compression::None,
                    hops,
                };
                Data { envelope, batch }
            },
        )
}

fn frame() -> impl Strategy<Value = Frame> {
    let kind = prop::sample::select(vec![
        StreamKind::Hello,
        StreamKind::Control,
        StreamKind::Produce,
        StreamKind::Subscribe,
        StreamKind::Upload,
    ]);
    prop_oneof![
        (kind, bytes_up_to(60)).prop_map(|(kind, bytes)| Frame::Open(kind, bytes)),
        bytes_up_to(60).prop_map(Frame::Reply),
        fault().prop_map(Frame::Fault),
        (any::<(u64, u32, u32)>(), bytes_up_to(80)).prop_map(
            |((request, partition, crc), batch)| {
                Frame::Produce(Produce { request, partition, crc, batch })
            }
        ),
        ack().prop_map(Frame::Ack),
        append().prop_map(Frame::Append),
        any::<u64>().prop_map(Frame::Credit),
        data().prop_map(Frame::Data),
        any::<(u64, u64)>().prop_map(|(next, end)| {
            Frame::Progress(Progress { next: Offset(next), end: Offset(end) })
        }),
    ]
}

fn encoded(frames: &[Frame]) -> Bytes {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes).unwrap();
    }
    bytes.into()
}

/// All frames of some bytes, fed in pieces of these sizes (repeated), and what it ended with.
fn decode_in_pieces(mut bytes: Bytes, sizes: &[usize]) -> (Vec<Frame>, Decoded) {
    let (mut decoder, mut frames, mut last) = (Decoder::new(ALL), Vec::new(), Decoded::Incomplete);
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let mut piece = bytes.split_to((*size).clamp(1, bytes.len()));
        loop {
            last = decoder.feed(&mut piece);
            match &last {
                Decoded::Frame(frame) => frames.push(frame.clone()),
                Decoded::Incomplete => break,
                Decoded::Malformed(_) => return (frames, last),
            }
        }
    }
    (frames, last)
}

proptest! {
    #[test]
    fn frames_come_back_however_their_bytes_are_cut(
        frames in prop::collection::vec(frame(), 0..6),
        sizes in prop::collection::vec(1_usize..50, 1..8),
    ) {
        let (decoded, end) = decode_in_pieces(encoded(&frames), &sizes);
        prop_assert_eq!(decoded, frames);
        prop_assert_eq!(end, Decoded::Incomplete);
    }

    #[test]
    fn no_bytes_panic(
        bytes in bytes_up_to(300),
        sizes in prop::collection::vec(1_usize..50, 1..8),
    ) {
        decode_in_pieces(bytes, &sizes);
    }

    /// Bytes that get past the header: a true frame with some bytes changed.
    #[test]
    fn no_damage_panics(
        frames in prop::collection::vec(frame(), 1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = encoded(&frames).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        decode_in_pieces(bytes.into(), &[7, 64]);
    }

    #[test]
    fn a_frame_is_its_head_and_its_payload(frame in frame()) {
        let mut bytes = Vec::new();
        frame.encode_head(&mut bytes).unwrap();
        bytes.extend_from_slice(&frame.payload());
        prop_assert_eq!(bytes, encoded(&[frame]));
    }
}

#[test]
fn a_length_above_its_limit_is_refused_by_the_header_alone() {
    for frame in FrameType::ALL {
        let max = frame.body_bytes_max();
        for (length, refused) in [(max, false), (max + 1, true), (u32::MAX as usize, true)] {
            let length = u32::try_from(length).unwrap();
            let mut header = vec![0x4c, frame.number(), 0, 0];
            header.extend_from_slice(&length.to_le_bytes());
            let decoded = Decoder::new(ALL).feed(&mut Bytes::from(header));
            if refused {
                let error = Error::TooLong { frame: *frame, bytes: length, max };
                assert_eq!(decoded, Decoded::Malformed(error));
            } else {
                assert_eq!(decoded, Decoded::Incomplete);
            }
        }
    }
}

#[test]
fn a_frame_that_has_no_business_on_a_stream_is_refused_by_its_header() {
    let roles = [
        (Accepts::HELLO, vec![FrameType::Hello]),
        (Accepts::PRODUCER, vec![FrameType::Produce, FrameType::Append]),
        (Accepts::SUBSCRIBER, vec![FrameType::Credit]),
        (Accepts::REPLY, vec![FrameType::Reply, FrameType::Fault]),
        (Accepts::ACKS, vec![FrameType::Ack, FrameType::Fault]),
        (Accepts::DATA, vec![FrameType::Data, FrameType::Progress, FrameType::Fault]),
    ];
    for (accepts, welcome) in roles {
        for frame in FrameType::ALL {
            let mut header = Bytes::from(vec![0x4c, frame.number(), 0, 0, 1, 0, 0, 0]);
            let decoded = Decoder::new(accepts).feed(&mut header);
            if welcome.contains(frame) {
                assert_eq!(decoded, Decoded::Incomplete, "{frame}");
            } else {
                assert_eq!(decoded, Decoded::Malformed(Error::Unexpected(*frame)));
            }
        }
    }
}

#[test]
fn a_claimed_length_reserves_little_until_its_bytes_arrive() {
    let mut decoder = Decoder::new(Accepts::PRODUCER);
    let length = u32::try_from(BATCH_BYTES_MAX).unwrap();
    let mut sent = vec![0x4c, FrameType::Produce.number(), 0, 0];
    sent.extend_from_slice(&length.to_le_bytes());
    sent.push(0);
    assert_eq!(decoder.feed(&mut Bytes::from(sent)), Decoded::Incomplete);
    assert!(decoder.body.capacity() <= STEP_BYTES);
}

/// A large frame before it must not make a small one keep a large buffer.
#[test]
fn a_frame_has_an_allocation_of_its_own_size() {
    let large = Frame::Reply(vec![7; 1_000_000].into());
    let small = Frame::Reply(vec![8; 100].into());
    let mut bytes = encoded(&[large, small]);
    let mut decoder = Decoder::new(ALL);
    for expected in [1_000_000, 100] {
        let Decoded::Frame(Frame::Reply(body)) = decoder.feed(&mut bytes) else {
            panic!("a reply was sent")
        };
        let owned: Vec<u8> = body.into();
        assert_eq!((owned.len(), owned.capacity()), (expected, expected));
    }
    assert!(decoder.is_between_frames());
}

#[test]
fn headers_of_other_protocols_are_refused() {
    for bytes in [&b"GET / HT"[..], &[0x4c, 0, 0, 0, 0, 0, 0, 0], &[0x4c, 16, 1, 0, 0, 0, 0, 0]] {
        let decoded = Decoder::new(ALL).feed(&mut Bytes::from_static(bytes));
        let start = bytes[..4].try_into().unwrap();
        assert_eq!(decoded, Decoded::Malformed(Error::Header(start)));
    }
}

#[test]
fn a_data_frame_whose_envelope_lies_about_its_length_is_refused() {
    let batch = RecordBatch::of([&Default::default()]).unwrap();
    let mut envelope = Envelope {
        base_offset: Offset(1),
        append_ts: Timestamp(2),
        csn: Csn(3),
        producer: None,
        last_delta: 0,
        records: 1,
        bytes: u32::try_from(batch.bytes().len()).unwrap(),
        crc: batch.crc(),
        rewritten: false,
        compression: Compression::None,
        hops: 0,
    };
    let frame = |envelope| encoded(&[Frame::Data(Data { envelope, batch: batch.bytes().clone() })]);
    assert!(matches!(Decoder::new(ALL).feed(&mut frame(envelope)), Decoded::Frame(_)));
    envelope.bytes += 1;
    let decoded = Decoder::new(ALL).feed(&mut frame(envelope));
    assert!(matches!(decoded, Decoded::Malformed(Error::Layout { frame: FrameType::Data, .. })));
}

#[test]
fn a_batch_above_the_limit_is_not_encoded() {
    let frame = Frame::Produce(Produce {
        request: 1,
        partition: 0,
        crc: 0,
        batch: vec![0; BATCH_BYTES_MAX + 1].into(),
    });
    let mut out = Vec::new();
    assert!(matches!(frame.encode(&mut out), Err(Error::TooLong { .. })));
    assert!(out.is_empty());
}

#[test]
fn a_fault_carries_the_bits_of_its_code_and_cuts_its_text_between_characters() {
    let fault = Fault::new(ErrorCode::DiskFull, "é".repeat(4000)).of_request(9).at_record(Some(3));
    assert_eq!(fault.text.len(), crate::limits::FAULT_TEXT_BYTES_MAX);
    assert!(fault.retryable && fault.no_side_effects);
    let frame = Frame::Fault(fault);
    let mut bytes = encoded(std::slice::from_ref(&frame));
    assert_eq!(Decoder::new(ALL).feed(&mut bytes), Decoded::Frame(frame));
    let odd = Fault::new(ErrorCode::Internal, format!("x{}", "é".repeat(4000)));
    assert_eq!(odd.text.len(), crate::limits::FAULT_TEXT_BYTES_MAX - 1);
}
