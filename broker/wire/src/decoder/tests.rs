//! Tests of the decoder and of frames.
