//! Moving the cursors of a deployment by hand.

use logmill_model::internal::{SegmentsRecord, StartRecord};
use logmill_model::{
    CommitClass, DeploymentName, LaneId, MovedLane, Offset, PartitionId, Position, Precondition,
    ResetRequest,
};

use super::to_its_end;
use crate::cursors::LaneCursor;
use crate::limits::{HOLES_MAX, LETTERS_TRIES_MAX};
use crate::parts::CatalogChange;
use crate::{Engine, Error};

/// A lane, and where it is to stand.
struct Move {
    lane: LaneId,
    cursor: LaneCursor,
    to: Offset,
    moved: MovedLane,
}

impl Engine {
    /// Moves the cursors of a deployment, all of them or those of a topic or partition. What waits for
    /// another attempt is forgotten: it is handled anew where the cursor comes to it again. What was
    /// redriven and not handled yet is an open dead letter again. Counts stay.
    ///
    /// # Errors
    /// [`Error::UnknownDeployment`]; [`Error::ResetRefused`] with what does not fit;
    /// [`Error::OffsetOutOfRange`]. Then nothing has changed. After another error some lanes may have
    /// moved; doing it again does the rest.
    pub async fn reset(&self, request: ResetRequest) -> Result<Vec<MovedLane>, Error> {
        let engine = self.clone();
        to_its_end(async move { engine.reset_in_turn(&request).await }).await
    }

    async fn reset_in_turn(&self, request: &ResetRequest) -> Result<Vec<MovedLane>, Error> {
        let _control = self.deployments().control.lock().await;
        let name = &request.name;
        if let Some(running) = self.deployments().get(name) {
            running.stop_lanes().await;
        }
        let moved = self.move_lanes(request).await;
        // Also when it was refused: the lanes that were stopped go on.
        if self.parts().views.catalog().deployment(name).is_some() {
            self.deployments().activate(name).await;
        }
        moved
    }

    async fn move_lanes(&self, request: &ResetRequest) -> Result<Vec<MovedLane>, Error> {
        let moves = self.plan_moves(request).await?;
        let (mut moved, mut together) = (Vec::new(), Vec::<Move>::new());
        let lanes: Vec<LaneId> = moves.iter().map(|it| it.lane).collect();
        if request.forget_state {
            self.forget_state(&request.name, &lanes).await?;
        }
        // With the first that are moved: without it, a lane would find its records claimed.
        let first = lanes.first().filter(|_| request.forget_claims);
        let mut claims = first.and_then(|lane| self.past_claims(*lane));
        let mut records = 0;
        for it in moves {
            records += 1 + it.cursor.holes.len();
            if records > HOLES_MAX && !together.is_empty() {
                self.commit_moves(&together, claims.take()).await?;
                records = 1 + it.cursor.holes.len();
                together.clear();
            }
            moved.push(it.moved.clone());
            together.push(it);
        }
        self.commit_moves(&together, claims).await?;
        if request.forget_claims
            && let Some(deployment) = self.deployments().get(&request.name)
        {
            deployment.forget_claims();
        }
        Ok(moved)
    }

    /// What has the claims of a lane's deployment begin behind all that there are. No lane is at work.
    fn past_claims(&self, lane: LaneId) -> Option<SegmentsRecord> {
        let partition = PartitionId::claims_of(lane.deployment)?;
        let offset = self.parts().log.end_offset(partition);
        Some(SegmentsRecord::Start(partition, Some(StartRecord { offset })))
    }

    /// Moves lanes in one commit, and what their deployment has claimed where that is to be forgotten. What was
    /// redriven and is forgotten is an open dead letter again.
    async fn commit_moves(
        &self,
        moves: &[Move],
        claims: Option<SegmentsRecord>,
    ) -> Result<(), Error> {
        let plan = || -> Result<_, Error> {
            let letters = moves.iter().flat_map(|it| it.cursor.letters());
            let letters = self.parts().views.letters().reopen(letters)?;
            let cursors = moves.iter().flat_map(|it| it.cursor.moved(it.lane, it.to)).collect();
            let preconditions = moves.iter().map(Move::precondition).collect();
            let class = CommitClass::Progress;
            let change = CatalogChange {
                cursors,
                preconditions,
                letters,
                segments: claims.iter().cloned().collect(),
                class,
                ..CatalogChange::default()
            };
            Ok((change, ()))
        };
        for _ in 1..LETTERS_TRIES_MAX {
            match self.parts().change_catalog(|_| plan()).await {
                Err(error) if error.is_overtaken() => {}
                done => return done,
            }
        }
        self.parts().change_catalog(|_| plan()).await
    }

    async fn plan_moves(&self, request: &ResetRequest) -> Result<Vec<Move>, Error> {
        let ResetRequest { name, to, topic, partition, forget_claims, .. } = request;
        if *forget_claims && (topic.is_some() || partition.is_some()) {
            return Err(refused(
                name,
                "its claims are of all its lanes; say no topic and no partition",
            ));
        }
        let catalog = self.parts().views.catalog();
        let unknown = || self.parts().suspects.no_deployment(name);
        let record = catalog.deployment(name).ok_or_else(unknown)?;
        let mut moves = Vec::new();
        for (lane, cursor) in self.parts().views.lanes_of(record.id) {
            let Some(source) = catalog.topic_name(lane.source.topic) else { continue };
            let index = lane.source.index;
            if topic.as_ref().is_some_and(|it| it != source)
                || partition.is_some_and(|it| it != index)
            {
                continue;
            }
            if let Some(why) = self.parts().suspects.lane(lane) {
                return Err(Error::StandsStill(why.to_owned()));
            }
            let to = self.parts().position(lane.source, *to).await?;
            let (topic, from) = (source.clone(), cursor.floor());
            let moved = MovedLane { topic, partition: index, from, to };
            moves.push(Move { lane, cursor, to, moved });
        }
        match (moves.len(), to) {
            (0, _) => {
                Err(refused(name, "it has no such lane; `logmill module describe` shows them"))
            }
            (2.., Position::Offset(_)) => {
                Err(refused(name, "an offset is of one partition; say which topic and partition"))
            }
            _ => Ok(moves),
        }
    }
}

fn refused(deployment: &DeploymentName, what: &str) -> Error {
    Error::ResetRefused { deployment: deployment.clone(), what: what.to_owned() }
}

impl Move {
    fn precondition(&self) -> Precondition {
        let (generation, revision) = (self.cursor.record.generation, self.cursor.record.revision);
        Precondition::Cursor { lane: self.lane, generation, revision }
    }
}
