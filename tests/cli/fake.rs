use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
};

/// Serves HTTP on the loopback until the test ends, and returns the URL. `answer` maps a path to
/// body and date of the response.
pub(crate) fn serve(answer: impl Fn(&str) -> (String, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            // The bodies are short and not needed.
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let (body, date) = answer(first.split(' ').nth(1).unwrap_or_default());
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json";
            // The client may have closed the connection.
            drop(write!(connection, "{head}\r\nDate: {date}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
    });
    url
}
