//! One request of HTTP, on the connection that is standard input, as systemd hands it over (Accept=yes).

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::exposition::Format;
use super::peer;

/// How long the whole exchange may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// No request is longer: Prometheus's has a few hundred bytes.
const LONGEST: usize = 8 << 10;

/// Reads a request and answers it. `render` is called for the one that is to be had: GET of /metrics.
pub fn answer(allowed: &[String], render: impl FnOnce(Format) -> String) -> Result<(), String> {
    let no_connection = |error: io::Error| {
        format!("standard input is no TCP connection ({error}); --http is for berth-metrics.socket")
    };
    let stdin = io::stdin();
    let fd = stdin.as_fd().try_clone_to_owned().map_err(no_connection)?;
    let stream = TcpStream::from(fd);
    let (here, there) = stream
        .local_addr()
        .and_then(|here| Ok((here, stream.peer_addr()?)))
        .map_err(no_connection)?;
    let until = Instant::now() + DEADLINE;
    // Read first, whoever asks: an answer to what was not read may be lost with the connection.
    let answer = match request(&stream, until) {
        Ok(None) => return Ok(()), // It has gone away, or takes too long.
        Ok(Some(head)) => match peer::may_ask(here, there, allowed) {
            true => respond(&head, render),
            false => status("403 Forbidden", "only for root and whom --allow names"),
        },
        Err(TooLong) => status("431 Request Header Fields Too Large", "too long"),
    };
    let _ = send(&stream, answer.as_bytes(), until); // whoever has asked may be gone
    Ok(())
}

/// A request with more than [`LONGEST`] bytes.
struct TooLong;

/// The request up to its empty line, if it comes in time.
fn request(mut stream: &TcpStream, until: Instant) -> Result<Option<String>, TooLong> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return Ok(None);
        }
        match stream.read(&mut part) {
            Ok(0) => return Ok(None),
            Ok(count) => head.extend_from_slice(part.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Ok(None),
        }
        if head.len() > LONGEST {
            return Err(TooLong);
        }
        let text = String::from_utf8_lossy(&head);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            return Ok(Some(head.to_owned()));
        }
    }
}

/// What is said to a request.
fn respond(head: &str, render: impl FnOnce(Format) -> String) -> String {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    if !version.is_some_and(|version| version.starts_with("HTTP/1.")) || words.next().is_some() {
        return status("400 Bad Request", "no request of HTTP/1.1");
    }
    let path = target.and_then(|target| target.split('?').next());
    match (method, path) {
        (Some("GET"), Some("/metrics")) => {
            let accepts = lines.any(|line| {
                line.split_once(':').is_some_and(|(name, value)| {
                    name.eq_ignore_ascii_case("accept")
                        && value.contains("application/openmetrics-text")
                })
            });
            let format = if accepts {
                Format::Openmetrics
            } else {
                Format::Prometheus
            };
            response("200 OK", format.content_type(), "", &render(format))
        }
        (Some("GET"), _) => status("404 Not Found", "there is /metrics only"),
        _ => response(
            "405 Method Not Allowed",
            "text/plain",
            "Allow: GET\r\n",
            "GET only\n",
        ),
    }
}

fn status(status: &str, text: &str) -> String {
    response(status, "text/plain", "", &format!("{text}\n"))
}

fn response(status: &str, content_type: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n{body}"
    )
}

fn send(mut stream: &TcpStream, mut bytes: &[u8], until: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(left))?;
        match stream.write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // The rest of what was sent to us would otherwise make the kernel cut off our answer.
    stream.shutdown(std::net::Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(head: &str) -> String {
        respond(head, |format| format!("{format:?}"))
    }

    #[test]
    fn only_get_of_metrics_has_an_answer() {
        for (head, status) in [
            ("GET /metrics HTTP/1.1\r\nHost: x", "200 OK"),
            ("GET /metrics?x=1 HTTP/1.0", "200 OK"),
            ("GET / HTTP/1.1", "404 Not Found"),
            ("GET /metrics/../x HTTP/1.1", "404 Not Found"),
            ("POST /metrics HTTP/1.1", "405 Method Not Allowed"),
            ("GET /metrics", "400 Bad Request"),
            ("GET /metrics HTTP/1.1 x", "400 Bad Request"),
            ("", "400 Bad Request"),
        ] {
            let said = said(head);
            assert!(
                said.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{head:?}: {said}"
            );
        }
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let openmetrics =
            said("GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text;version=1.0.0,*/*");
        assert!(openmetrics.contains("Content-Type: application/openmetrics-text; version=1.0.0"));
        assert!(openmetrics.ends_with("Connection: close\r\n\r\nOpenmetrics"));
        let older = said("GET /metrics HTTP/1.1\r\nAccept: */*");
        assert!(
            older.contains("Content-Type: text/plain; version=0.0.4")
                && older.ends_with("Prometheus")
        );
    }
}
