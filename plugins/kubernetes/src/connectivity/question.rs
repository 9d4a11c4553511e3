use std::{collections::HashMap, net::IpAddr};

use super::objects::HTTP_PORT;

/// Port of a kubelet, which each node has.
const KUBELET_PORT: u16 = 10250;
/// Number of small requests for each pair: for the share that is lost, and the latency.
const SMALL_REQUESTS: usize = 5;
/// Name of the API server in the cluster's DNS. The search path of a pod completes it.
const API_SERVER: &str = "kubernetes.default.svc:443";

/// Asks each address that is an argument, all at the same time: small requests, then one with a
/// large body that is sent back. An address that does not answer two small requests gets no further
/// one. The first argument is the size of the large body in bytes.
///
/// A transfer ends if it stands still for 5 s: it may be slow, on a busy relay for instance.
const ASK_PODS: &str = r#"
size=$1; shift
ask() {
  n=0
  while [ $n -lt SMALL ]; do
    n=$((n + 1)); s=0
    r=$(curl -sS --noproxy '*' --connect-timeout 3 -m 6 -w ' %{time_total}' "http://$1:PORT/clientip" 2>&1) || s=$?
    echo "small $1 $s $r"
    if [ $s -ne 0 ] && [ $n -eq 2 ]; then return; fi
  done
  s=0
  r=$(printf "%0${size}d" 0 | curl -sS --noproxy '*' --connect-timeout 3 --speed-limit 1 --speed-time 5 -m 60 \
    -o /dev/null -w '%{size_download}' --data-urlencode msg@- "http://$1:PORT/echo" 2>&1) || s=$?
  echo "large $1 $s $r"
}
for to in "$@"; do ask "$to" & done
wait
"#;

/// Connects to the kubelet at each address that is an argument, all at the same time.
const ASK_NODES: &str = r#"
ask() { s=0; r=$(/agnhost connect "$1:KUBELET" --timeout=4s 2>&1) || s=$?; echo "node $1 $s $r"; }
for to in "$@"; do ask "$to" & done
wait
"#;

/// Asks the service at the address of the first argument, if it is not empty, and the API server by
/// its name, if the second one is `dns`.
const ASK_CLUSTER: &str = r#"
s=0
[ -z "$1" ] || r=$(curl -sS --noproxy '*' --connect-timeout 3 -m 6 "http://$1:PORT/hostname" 2>&1) || s=$?
[ -z "$1" ] || echo "service - $s $r"
s=0
[ "$2" != dns ] || r=$(/agnhost connect DNS --timeout=6s 2>&1) || s=$?
[ "$2" != dns ] || echo "dns - $s $r"
"#;

/// Command that asks pods by their addresses.
pub(super) fn ask_pods(size: u32, addresses: &[IpAddr]) -> Vec<String> {
    let script = ASK_PODS.replace("SMALL", &SMALL_REQUESTS.to_string());
    command(&script, std::iter::once(size.to_string()).chain(addresses.iter().map(ToString::to_string)))
}

/// Command that connects to the kubelets of nodes by their addresses.
pub(super) fn ask_nodes(addresses: &[&str]) -> Vec<String> {
    let script = ASK_NODES.replace("KUBELET", &KUBELET_PORT.to_string());
    command(&script, addresses.iter().map(ToString::to_string))
}

/// Command that asks the service at `service`, and the cluster's DNS.
pub(super) fn ask_cluster(service: Option<&str>, dns: bool) -> Vec<String> {
    let script = ASK_CLUSTER.replace("DNS", API_SERVER);
    command(&script, [service.unwrap_or_default().to_owned(), if dns { "dns" } else { "-" }.to_owned()])
}

fn command(script: &str, arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    let script = script.trim().replace("PORT", &HTTP_PORT.to_string());
    ["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()].into_iter().chain(arguments).collect()
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AnswerLine {
    exit_code: i32,
    text: String,
}

/// Output of one of the commands: lines of a question, an address, an exit code and a text.
#[derive(Debug, Default)]
pub(super) struct Answers(HashMap<(String, String), Vec<AnswerLine>>);

/// Reason for which a question has no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum QuestionError {
    /// It was asked, and this is what the program said.
    Failed(String),
    /// The command did not ask it.
    Unanswered,
}

/// Answers of one pod to another one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PairAnswer {
    /// Source addresses that the asked pod saw, one for each small request that was answered.
    pub(super) sources: Vec<String>,
    /// Durations of the answered small requests, in milliseconds.
    pub(super) durations_ms: Vec<f64>,
    /// Number of small requests without an answer.
    pub(super) lost: usize,
    /// Reason for the last small request without an answer.
    pub(super) loss_reason: Option<String>,
    /// Reason for which the large request failed; `None` if it was answered in full.
    pub(super) large_failure: Option<String>,
}

impl Answers {
    /// Parses the output. Lines of another form are ignored: what was not answered is missing.
    pub(super) fn parse(output: &str) -> Self {
        let mut answers: HashMap<_, Vec<AnswerLine>> = HashMap::new();
        for line in output.lines() {
            let mut words = line.splitn(4, ' ');
            let (Some(question), Some(address), Some(code)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let Ok(exit_code) = code.parse() else { continue };
            let text = words.next().unwrap_or_default().trim().to_owned();
            let key = (question.to_owned(), address.to_owned());
            answers.entry(key).or_default().push(AnswerLine { exit_code, text });
        }
        Self(answers)
    }

    /// Answers of the pod at an address; `None` if the command has not asked it to the end.
    pub(super) fn pair(&self, address: IpAddr, size: u32) -> Option<PairAnswer> {
        let lines = |question: &str| self.0.get(&(question.to_owned(), address.to_string()));
        let small = lines("small")?;
        let failed: Vec<&AnswerLine> = small.iter().filter(|line| line.exit_code != 0).collect();
        let (mut sources, mut durations_ms) = (Vec::new(), Vec::new());
        for line in small.iter().filter(|line| line.exit_code == 0) {
            let (source, seconds) = line.text.rsplit_once(' ').unwrap_or((&line.text, ""));
            sources.push(without_port(source).to_owned());
            durations_ms.extend(seconds.parse::<f64>().map(|seconds| seconds * 1000.0));
        }
        let large = lines("large").and_then(|lines| lines.last());
        let is_complete = large.is_some() || (sources.is_empty() && small.len() >= 2);
        is_complete.then(|| PairAnswer {
            lost: failed.len(),
            loss_reason: failed.last().copied().map(reason),
            large_failure: large.and_then(|line| large_failure(line, size)),
            sources,
            durations_ms,
        })
    }

    /// Checks the answer to a question about a node, the service or the DNS.
    ///
    /// # Errors
    /// The reason for which the question has failed, or that it has no answer.
    pub(super) fn check(&self, question: &str, address: &str) -> Result<(), QuestionError> {
        match self.0.get(&(question.to_owned(), address.to_owned())).and_then(|lines| lines.last()) {
            None => Err(QuestionError::Unanswered),
            Some(line) if line.exit_code != 0 => Err(QuestionError::Failed(reason(line))),
            Some(_) => Ok(()),
        }
    }
}

/// Address in `ADDRESS:PORT`, or in `[ADDRESS]:PORT` of IPv6.
fn without_port(source: &str) -> &str {
    let host = source.rsplit_once(':').map_or(source, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Message of the program, without the program's name.
fn reason(line: &AnswerLine) -> String {
    let text = line.text.split_once("curl: ").map_or(line.text.as_str(), |(_, message)| message);
    let text = text.rsplit_once(' ').filter(|(_, time)| time.parse::<f64>().is_ok()).map_or(text, |(text, _)| text);
    if text.trim().is_empty() { format!("exit code {}", line.exit_code) } else { text.trim().to_owned() }
}

fn large_failure(line: &AnswerLine, size: u32) -> Option<String> {
    if line.exit_code != 0 {
        return Some(reason(line));
    }
    (line.text != size.to_string()).then(|| format!("{} of {size} bytes came back", line.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 244, 1, 5));

    #[test]
    fn a_pair_that_answers_has_its_sources_and_durations() {
        let answers = Answers::parse(
            "small 10.244.1.5 0 10.244.0.7:41000 0.0012\nsmall 10.244.1.5 28 curl: (28) Connection timed out after 3001 milliseconds 3.001\n\
             small 10.244.1.5 0 10.244.0.7:41002 0.0020\nlarge 10.244.1.5 0 1048576\n",
        );
        let pair = answers.pair(A, 1_048_576).expect("it is complete");
        assert_eq!(pair.sources, ["10.244.0.7", "10.244.0.7"]);
        assert_eq!(pair.durations_ms, [1.2, 2.0]);
        assert_eq!(pair.lost, 1);
        assert_eq!(pair.loss_reason.as_deref(), Some("(28) Connection timed out after 3001 milliseconds"));
        assert_eq!(pair.large_failure, None);
    }

    #[test]
    fn a_large_body_that_is_lost_is_a_failure_with_a_reason() {
        let with =
            |large: &str| Answers::parse(&format!("small 10.244.1.5 0 10.244.0.7:4 0.1\nlarge 10.244.1.5 {large}"));
        let failure = |large: &str| with(large).pair(A, 1000).and_then(|pair| pair.large_failure);
        assert_eq!(failure("0 1000"), None);
        assert_eq!(failure("0 64").as_deref(), Some("64 of 1000 bytes came back"));
        let stalled = "28 curl: (28) Operation too slow. Less than 1 bytes/sec transferred the last 5 seconds";
        assert!(failure(stalled).is_some_and(|reason| reason.starts_with("(28) Operation too slow")));
    }

    #[test]
    fn an_answer_without_its_end_is_none() {
        assert_eq!(Answers::parse("small 10.244.1.5 0 10.244.0.7:4 0.1\n").pair(A, 1000), None);
        assert_eq!(Answers::parse("small 10.244.1.5 28 timeout\n").pair(A, 1000), None);
        assert_eq!(Answers::parse("").pair(A, 1000), None);
        let dead = Answers::parse("small 10.244.1.5 28 timeout\nsmall 10.244.1.5 28 timeout\n").pair(A, 1000);
        assert_eq!(dead.map(|pair| (pair.sources.len(), pair.lost)), Some((0, 2)));
    }

    #[test]
    fn a_question_about_a_node_succeeds_fails_or_is_not_answered() {
        let answers = Answers::parse("node 10.0.0.4 0 \nnode 10.0.0.5 1 TIMEOUT\n");
        assert_eq!(answers.check("node", "10.0.0.4"), Ok(()));
        assert_eq!(answers.check("node", "10.0.0.5"), Err(QuestionError::Failed("TIMEOUT".into())));
        assert_eq!(answers.check("node", "10.0.0.6"), Err(QuestionError::Unanswered));
    }

    #[test]
    fn the_address_of_a_source_has_no_port() {
        assert_eq!(without_port("10.244.0.7:41000"), "10.244.0.7");
        assert_eq!(without_port("[fd00::7]:41000"), "fd00::7");
    }
}
