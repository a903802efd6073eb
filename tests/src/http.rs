//! The smallest HTTP client that asks the side door something.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Broker, within};

/// The status and body of the answer to `GET path`.
///
/// # Panics
/// When there is no answer.
pub async fn get(broker: &Broker, path: &str) -> (u16, String) {
    let address = broker.connection().http.clone().expect("the broker speaks HTTP");
    let exchange = async {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = within("an answer over HTTP", exchange).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}
