//! A ticket: the answer to a proposed commit, when there is one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use logmill_model::Outcome;
use tokio::sync::oneshot;

/// Resolves to what became of a commit. Dropping it changes nothing: the commit goes on.
#[derive(Debug)]
#[must_use = "a commit that nobody waits for may have been refused"]
pub(crate) struct Ticket(oneshot::Receiver<Outcome>);

/// The other end of a [`Ticket`].
pub(crate) type Answer = oneshot::Sender<Outcome>;

impl Ticket {
    pub(crate) fn new() -> (Answer, Self) {
        let (answer, ticket) = oneshot::channel();
        (answer, Self(ticket))
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        // A sender that is gone without an answer is a broker that stopped with it in flight.
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Outcome::Unknown))
    }
}
