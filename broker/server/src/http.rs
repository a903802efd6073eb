//! The side door for people and monitors: whether the process lives, whether the broker is ready,
//! and its metrics. **No record and no secret passes here.**

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::Listener;
use logmill_model::SpaceLevel;
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Sleep, sleep};

use crate::{limits, metrics};

/// What the side door is asked for.
pub(crate) trait Monitored: Send + Sync + 'static {
    /// Whether the broker can be used, with how much room on its disk; else why not.
    fn ready(&self) -> Result<SpaceLevel, String>;
    /// Brings metrics up to date that are not recorded where they happen.
    fn refresh_metrics(&self);
}

type Shared = Arc<dyn Monitored>;

/// Serves until `stopped` says true.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Shared,
    mut stopped: watch::Receiver<bool>,
) {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(shared);
    let bounded = Bounded {
        listener,
        places: Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS_MAX)),
        lifetime: limits::HTTP_LIFETIME,
    };
    let served = axum::serve(bounded, routes).with_graceful_shutdown(async move {
        // An error says that the server is gone, which stops this too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    });
    if let Err(error) = served.await {
        tracing::warn!(%error, "the HTTP side door has closed");
    }
}

async fn readyz(State(shared): State<Shared>) -> (StatusCode, String) {
    match shared.ready() {
        Ok(SpaceLevel::Normal) => (StatusCode::OK, "ready\n".to_owned()),
        // Consumers read on, so it is in service.
        Ok(level) => (StatusCode::OK, format!("ready; the disk is {}\n", level.as_str())),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
    }
}

async fn render(State(shared): State<Shared>) -> String {
    // It may read from the disk. An error is a server that stops.
    let _ = tokio::task::spawn_blocking(move || shared.refresh_metrics()).await;
    metrics::registry().render()
}

/// A listener that has so many connections open at most.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    lifetime: Duration,
}

impl Listener for Bounded {
    type Io = Mortal;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Mortal, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("this semaphore is never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let end = Box::pin(sleep(self.lifetime));
        (Mortal { stream, end, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends after a while whatever its client does, so that the few places there
/// are can't be held by those who say nothing.
struct Mortal {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Mortal {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Mortal {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Mortal {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    struct Recovering(AtomicBool);

    impl Monitored for Recovering {
        fn ready(&self) -> Result<SpaceLevel, String> {
            if self.0.load(Ordering::SeqCst) {
                Err("recovering".to_owned())
            } else {
                Ok(SpaceLevel::Normal)
            }
        }

        fn refresh_metrics(&self) {
            metrics::request("topic.ls");
        }
    }

    #[tokio::test]
    async fn the_side_door_tells_health_readiness_and_metrics_and_nothing_else() {
        metrics::registry();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let broker = Arc::new(Recovering(AtomicBool::new(true)));
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(serve(listener, Arc::clone(&broker) as Shared, stopped));

        assert!(ask(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let unready = ask(address, "/readyz").await;
        assert!(unready.starts_with("HTTP/1.1 503"), "{unready}");
        assert!(unready.ends_with("not ready: recovering\n"), "{unready}");
        broker.0.store(false, Ordering::SeqCst);
        assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        let metrics = ask(address, "/metrics").await;
        assert!(metrics.contains("logmill_requests_total{op=\"topic.ls\"}"), "{metrics}");
        assert!(ask(address, "/topics").await.starts_with("HTTP/1.1 404"));

        stop.send(true).unwrap();
        served.await.unwrap();
    }

    #[tokio::test]
    async fn a_silent_client_does_not_hold_its_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let places = Arc::new(Semaphore::new(1));
        let mut bounded =
            Bounded { listener, places: Arc::clone(&places), lifetime: Duration::from_millis(20) };
        let silent = TcpStream::connect(address).await.unwrap();
        let (mut accepted, _) = bounded.accept().await;
        assert_eq!(places.available_permits(), 0);
        let error = accepted.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop((accepted, silent));
        assert_eq!(places.available_permits(), 1);
    }
}
