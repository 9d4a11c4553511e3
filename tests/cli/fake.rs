use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
};

/// Serves HTTP on the loopback for as long as the test lives; gives its URL. `answer` is told the path, and gives the body
/// and the date of the answer.
pub(crate) fn serve(answer: impl Fn(&str) -> (String, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            // What comes behind the head is of no interest: the forms that are posted are short.
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let (body, date) = answer(first.split(' ').nth(1).unwrap_or_default());
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json";
            // Whoever asked may have gone.
            drop(write!(connection, "{head}\r\nDate: {date}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
    });
    url
}
