//! Moving cursors by hand, as it is asked for and answered. The field names are those of the command
//! line's JSON.

use serde::{Deserialize, Serialize};

use crate::{DeploymentName, Offset, Position, TopicName};

/// Moves cursors of a deployment by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetRequest {
    /// The deployment.
    pub name: DeploymentName,
    /// Where its lanes are to go on.
    pub to: Position,
    /// Only lanes of this topic; None for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<TopicName>,
    /// Only lanes of this partition; None for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Whether the deployment forgets the keys that it has claimed, so that it handles their records again.
    /// These are of all its lanes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forget_claims: bool,
    /// Whether the lanes forget what their module remembers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forget_state: bool,
}

/// A lane whose cursor was moved by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedLane {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: u32,
    /// The first offset that had no outcome before.
    pub from: Offset,
    /// Where it goes on.
    pub to: Offset,
}
