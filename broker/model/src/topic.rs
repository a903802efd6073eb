//! How long a topic's records stay, and what happens when it is full.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A topic's policy. The default keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicPolicy {
    /// Records that were appended longer ago than this, in ms, are removed. None: at no age.
    pub retention_time_ms: Option<u64>,
    /// What each partition keeps at least, in bytes of its batches. None: all of it.
    pub retention_bytes: Option<u64>,
    /// Whether older records of a key are removed once there is a newer one.
    pub compact: bool,
    /// What happens when a partition has `retention_bytes`.
    pub on_full: OnFull,
    /// A record whose idempotency key the topic has from less than this long ago, in ms, is not
    /// stored. None: keys say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedupe_window_ms: Option<u64>,
}

/// What happens when a partition is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFull {
    /// Its oldest records are removed.
    #[default]
    DropOldest,
    /// It takes no more until it has room: age, or a larger limit, gives it some.
    Reject,
}

impl OnFull {
    /// The choice as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DropOldest => "drop-oldest",
            Self::Reject => "reject",
        }
    }
}

impl std::str::FromStr for OnFull {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "drop-oldest" => Ok(Self::DropOldest),
            "reject" => Ok(Self::Reject),
            _ => Err(policy(format!("on-full is drop-oldest or reject, not {text:?}"))),
        }
    }
}

impl TopicPolicy {
    /// Whether it keeps everything, as a topic does about which nothing was said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The bytes at which a partition takes no more; None when it never refuses.
    #[must_use]
    pub fn full_at_bytes(&self) -> Option<u64> {
        self.retention_bytes.filter(|_| self.on_full == OnFull::Reject)
    }

    /// This policy, when its parts go together.
    ///
    /// # Errors
    /// [`Error::TopicPolicy`] says which do not.
    pub fn check(self) -> Result<Self, Error> {
        if self.retention_time_ms == Some(0) || self.retention_bytes == Some(0) {
            let what = "a limit of 0 would keep nothing; give more, or `unlimited`";
            return Err(policy(what));
        }
        if self.on_full == OnFull::Reject && self.retention_bytes.is_none() {
            let what = "on-full reject needs retention-bytes: without a limit nothing is full";
            return Err(policy(what));
        }
        if self.on_full == OnFull::Reject && self.compact {
            let what = "compact does not go with on-full reject: a full topic would also refuse \
                        the tombstones that make room";
            return Err(policy(what));
        }
        if self.dedupe_window_ms == Some(0) {
            return Err(policy(
                "a dedupe-window of 0 would find no duplicate; give more, or `off`",
            ));
        }
        if self.dedupe_window_ms.is_some() && self.compact {
            let what = "dedupe-window does not go with compact: what compaction removes would be \
                        forgotten within the window";
            return Err(policy(what));
        }
        if let (Some(window), Some(kept)) = (self.dedupe_window_ms, self.retention_time_ms)
            && window > kept
        {
            let what = "dedupe-window is longer than retention-time: what is removed would be \
                        forgotten within the window";
            return Err(policy(what));
        }
        Ok(self)
    }

    /// This policy with a change, when the result goes together.
    ///
    /// # Errors
    /// [`Error::TopicPolicy`].
    pub fn changed(self, change: &PolicyChange) -> Result<Self, Error> {
        let limit = |change: Option<Limit>, before| change.map_or(before, Limit::value);
        let changed = Self {
            retention_time_ms: limit(change.retention_time_ms, self.retention_time_ms),
            retention_bytes: limit(change.retention_bytes, self.retention_bytes),
            compact: change.compact.unwrap_or(self.compact),
            on_full: change.on_full.unwrap_or(self.on_full),
            dedupe_window_ms: change.dedupe_window_ms.map_or(self.dedupe_window_ms, Window::value),
        };
        changed.check()
    }
}

fn policy(what: impl Into<String>) -> Error {
    Error::TopicPolicy(what.into())
}

/// What to change of a policy; what is None stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyChange {
    /// See [`TopicPolicy::retention_time_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_time_ms: Option<Limit>,
    /// See [`TopicPolicy::retention_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_bytes: Option<Limit>,
    /// See [`TopicPolicy::compact`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compact: Option<bool>,
    /// See [`TopicPolicy::on_full`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_full: Option<OnFull>,
    /// See [`TopicPolicy::dedupe_window_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedupe_window_ms: Option<Window>,
}

/// A span in ms, or that there is none: a number, or the text `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// There is none.
    Off,
    /// So many ms.
    #[serde(untagged)]
    Of(u64),
}

impl Window {
    /// The span, if there is one.
    #[must_use]
    pub fn value(self) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::Of(span) => Some(span),
        }
    }
}

/// A limit, or that there is none: a number, or the text `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// There is none.
    Unlimited,
    /// This many.
    #[serde(untagged)]
    Of(u64),
}

impl Limit {
    /// The limit, if there is one.
    #[must_use]
    pub fn value(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Of(limit) => Some(limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITED: TopicPolicy = TopicPolicy {
        retention_time_ms: Some(1000),
        retention_bytes: Some(1 << 20),
        compact: false,
        on_full: OnFull::DropOldest,
        dedupe_window_ms: None,
    };

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let bytes = PolicyChange { retention_bytes: Some(Limit::Of(5)), ..Default::default() };
        let changed = TopicPolicy { retention_bytes: Some(5), ..LIMITED };
        assert_eq!(LIMITED.changed(&bytes), Ok(changed));
        let off = PolicyChange { retention_time_ms: Some(Limit::Unlimited), ..Default::default() };
        let changed = TopicPolicy { retention_time_ms: None, ..LIMITED };
        assert_eq!(LIMITED.changed(&off), Ok(changed));
        assert_eq!(LIMITED.changed(&PolicyChange::default()), Ok(LIMITED));
    }

    #[test]
    fn parts_that_do_not_go_together_are_refused() {
        let reject = TopicPolicy { on_full: OnFull::Reject, ..LIMITED };
        assert_eq!(reject.check(), Ok(reject));
        for bad in [
            TopicPolicy { retention_time_ms: Some(0), ..LIMITED },
            TopicPolicy { retention_bytes: Some(0), ..LIMITED },
            TopicPolicy { retention_bytes: None, ..reject },
            TopicPolicy { compact: true, ..reject },
            TopicPolicy { dedupe_window_ms: Some(0), ..LIMITED },
            TopicPolicy { dedupe_window_ms: Some(1001), ..LIMITED },
            TopicPolicy { dedupe_window_ms: Some(5), compact: true, ..LIMITED },
        ] {
            assert!(matches!(bad.check(), Err(Error::TopicPolicy(_))), "{bad:?}");
        }
        let unlimited =
            PolicyChange { retention_bytes: Some(Limit::Unlimited), ..Default::default() };
        assert!(reject.changed(&unlimited).is_err());
    }

    #[test]
    fn a_window_is_a_number_or_off() {
        for (window, value) in [(Window::Of(5), Some(5)), (Window::Off, None)] {
            let bytes = minicbor_serde::to_vec(window).unwrap();
            assert_eq!(minicbor_serde::from_slice::<Window>(&bytes).unwrap(), window);
            let change = PolicyChange { dedupe_window_ms: Some(window), ..Default::default() };
            let before = TopicPolicy { dedupe_window_ms: Some(7), ..LIMITED };
            assert_eq!(before.changed(&change).unwrap().dedupe_window_ms, value);
        }
    }

    #[test]
    fn only_a_topic_that_rejects_is_ever_full() {
        let reject = TopicPolicy { on_full: OnFull::Reject, ..LIMITED };
        assert_eq!((LIMITED.full_at_bytes(), reject.full_at_bytes()), (None, Some(1 << 20)));
    }

    #[test]
    fn a_limit_is_a_number_or_a_word() {
        for (limit, bytes) in
            [(Limit::Of(5), &b"\x05"[..]), (Limit::Unlimited, &b"\x69unlimited"[..])]
        {
            assert_eq!(minicbor_serde::to_vec(limit).unwrap(), bytes);
            assert_eq!(minicbor_serde::from_slice::<Limit>(bytes).unwrap(), limit);
        }
        for bad in [&b"\x20"[..], b"\x64none", b"\xf6"] {
            assert!(minicbor_serde::from_slice::<Limit>(bad).is_err());
        }
    }
}
