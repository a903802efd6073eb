//! Telling what modules remember.

use std::sync::Arc;

use bytes::Bytes;
use logmill_model::{
    DeploymentId, LaneId, PartitionId, StateEntry, StatePlace, StateQuery, TopicId, TopicName,
};

use crate::limits::{STATE_PAGE_BYTES_MAX, STATE_PAGE_MAX};
use crate::remembered::Remembered;
use crate::state::{LaneState, cost};
use crate::{Engine, Error};

impl Engine {
    /// A page of what a deployment's lanes remember, by lane and key, as it is durable; an empty one at
    /// its end.
    ///
    /// # Errors
    /// [`Error::UnknownDeployment`], [`Error::UnknownTopic`]; [`Error::StandsStill`] while some of it
    /// may be lost.
    pub async fn module_state(&self, query: &StateQuery) -> Result<Vec<StateEntry>, Error> {
        let id = self.deployment_id(&query.name)?;
        let remembered = self.remembered(&query.name, id).await?;
        let mut page = Page::of(query);
        for lane in self.asked(query, id, &remembered)? {
            lane.state.taken_in(lane.revision).await;
            if page.add(&lane, query) == Room::None {
                break;
            }
        }
        Ok(page.entries)
    }

    /// The lanes that are asked for, from that of `after` on.
    fn asked(
        &self,
        query: &StateQuery,
        deployment: DeploymentId,
        remembered: &Remembered,
    ) -> Result<Vec<Asked>, Error> {
        let id_of = |topic: &TopicName| self.parts().topic(topic).map(|topic| topic.id);
        let only = query.topic.as_ref().map(id_of).transpose()?;
        let begin = match &query.after {
            Some(place) => PartitionId::new(id_of(&place.topic)?, place.partition),
            None => PartitionId::new(TopicId(0), 0),
        };
        let catalog = self.parts().views.catalog();
        let lane = |(source, state): (PartitionId, Arc<LaneState>)| {
            let is_asked = only.is_none_or(|topic| topic == source.topic)
                && query.partition.is_none_or(|index| index == source.index)
                && begin <= source;
            let topic = catalog.topic_name(source.topic).filter(|_| is_asked)?.clone();
            // One that has ended has no state, though it may not be deleted yet.
            let cursor = self.parts().views.cursor(LaneId { deployment, source })?;
            let is_begin = query.after.is_some() && begin == source;
            Some(Asked {
                topic,
                partition: source.index,
                state,
                revision: cursor.record.revision,
                is_begin,
            })
        };
        Ok(remembered.all().into_iter().filter_map(lane).collect())
    }
}

/// A lane that is asked what it remembers.
struct Asked {
    topic: TopicName,
    partition: u32,
    state: Arc<LaneState>,
    /// The revision of its cursor that is durable.
    revision: u64,
    /// Whether the page begins in it.
    is_begin: bool,
}

/// Whether a page takes more.
#[derive(PartialEq, Eq)]
enum Room {
    Some,
    None,
}

/// A page in the making.
struct Page {
    entries: Vec<StateEntry>,
    bytes: usize,
    max: usize,
}

impl Page {
    fn of(query: &StateQuery) -> Self {
        Self { entries: Vec::new(), bytes: 0, max: query.max.min(STATE_PAGE_MAX) as usize }
    }

    /// Adds what a lane has of what is asked for, as far as there is room.
    fn add(&mut self, lane: &Asked, query: &StateQuery) -> Room {
        let after = query.after.as_ref().filter(|_| lane.is_begin).map(|place| place.key.as_str());
        let state = lane.state.read();
        match &query.key {
            Some(key) if after.is_none_or(|after| after < key.as_str()) => match state.get(key) {
                Some(value) => self.push(lane, key, value),
                None => Room::Some,
            },
            Some(_) => Room::Some,
            None => {
                for (key, value) in state.after(after) {
                    if self.push(lane, key, value) == Room::None {
                        return Room::None;
                    }
                }
                Room::Some
            }
        }
    }

    fn push(&mut self, lane: &Asked, key: &str, value: &Bytes) -> Room {
        if self.entries.len() >= self.max || self.bytes >= STATE_PAGE_BYTES_MAX {
            return Room::None;
        }
        self.bytes += cost(key, value);
        let (topic, partition) = (lane.topic.clone(), lane.partition);
        let place = StatePlace { topic, partition, key: key.to_owned() };
        self.entries.push(StateEntry { place, value: value.clone() });
        Room::Some
    }
}
