//! Claims in the order in which they were made: new ones come at the end, old ones go at the
//! beginning, and each keeps its number.

use std::collections::VecDeque;

/// Claims that lie together: a MiB of them.
const CHUNK: usize = 1 << 16;

/// The claims, from the oldest on. 0 is one that is not taken in yet.
#[derive(Debug, Default)]
pub(super) struct Ring {
    chunks: VecDeque<Box<[u128]>>,
    begin: u64,
    end: u64,
}

impl Ring {
    /// The number of the oldest claim.
    pub(super) fn begin(&self) -> u64 {
        self.begin
    }

    /// The number of the next claim.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn len(&self) -> usize {
        usize::try_from(self.end - self.begin).expect("it fits the memory")
    }

    /// A claim by its number.
    pub(super) fn at(&self, number: u64) -> u128 {
        let (chunk, at) = self.place(number);
        self.chunks[chunk][at]
    }

    /// A claim by the lower half of its number.
    pub(super) fn at_low(&self, low: u32) -> u128 {
        self.at(self.number(low))
    }

    /// The number of which this is the lower half.
    pub(super) fn number(&self, low: u32) -> u64 {
        self.begin + u64::from(low.wrapping_sub(lower_half(self.begin)))
    }

    /// The oldest claim, unless that is not taken in yet.
    pub(super) fn oldest(&self) -> Option<u128> {
        (self.begin < self.end).then(|| self.at(self.begin)).filter(|claim| *claim != 0)
    }

    /// Sets the claim of this number, which is not before the oldest.
    pub(super) fn set(&mut self, number: u64, claim: u128) {
        let (chunk, at) = self.place(number);
        while self.chunks.len() <= chunk {
            self.chunks.push_back(vec![0; CHUNK].into());
        }
        self.chunks[chunk][at] = claim;
        self.end = self.end.max(number + 1);
    }

    /// Drops the oldest claim; tells whether that has given memory back.
    pub(super) fn drop_oldest(&mut self) -> bool {
        self.begin += 1;
        let is_last = self.begin.is_multiple_of(CHUNK as u64);
        if is_last {
            self.chunks.pop_front();
        }
        is_last
    }

    /// What it takes, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<u128>()
    }

    fn place(&self, number: u64) -> (usize, usize) {
        let first = self.begin - self.begin % CHUNK as u64;
        let at = usize::try_from(number - first).expect("it fits the memory");
        (at / CHUNK, at % CHUNK)
    }
}

/// The lower half of a number: enough to know it among fewer than 2³² that follow one another.
pub(super) fn lower_half(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).expect("it is the lower half")
}
