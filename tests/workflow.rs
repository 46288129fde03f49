//! The engine of workflows from outside: order, routing, failure, cancellation, checkpoints.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use graphbit::llm::{BoxFuture, ChatModel};
use graphbit::providers::LlmConfig;
use graphbit::types::{ChatRequest, ChatResponse, ToolCall, ToolSpec};
use graphbit::workflow::{
    Agent, Ambient, Event, EventKind, Executor, Limits, Node, NodeState, Route, RunOptions,
    Situation, StreamMode, Tool, ToolReply, Workflow, WorkflowResult,
};
use graphbit::{Error, Kind, Result, runtime};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Answers `<last line>` of the message. A message that ends in `fail` is refused, one that ends in
/// `slow` takes 200 ms. Each agent with tools calls all of them once.
#[derive(Default)]
struct Echo {
    asked: Mutex<Vec<String>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl ChatModel for Echo {
    fn provider(&self) -> &str {
        "echo"
    }

    fn model(&self) -> &str {
        "echo-1"
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        Box::pin(async move {
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            let message = request.messages.last().unwrap();
            let line = message.content.lines().last().unwrap_or_default().to_owned();
            self.asked.lock().unwrap().push(line.clone());
            if line.ends_with("slow") {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            tokio::task::yield_now().await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            if line.ends_with("fail") {
                return Err(Error::new(Kind::BadRequest, "the model refused"));
            }
            let first = request.messages.iter().all(|message| message.tool_call_id.is_none());
            let tools = request.tools.iter().filter(|_| first);
            let call = |tool: &ToolSpec| ToolCall::new(&tool.name, &tool.name, json!({}));
            let tool_calls = tools.map(call).collect();
            Ok(ChatResponse { content: format!("<{line}>"), tool_calls, ..ChatResponse::default() })
        })
    }
}

fn executor(limits: Limits) -> (Arc<Echo>, Executor) {
    let model = Arc::new(Echo::default());
    let executor = Executor::new(LlmConfig::from_model(model.clone()), limits).unwrap();
    (model, executor)
}

fn run(executor: &Executor, workflow: &Workflow) -> Arc<WorkflowResult> {
    let prepared = executor.prepare(workflow, RunOptions::default()).unwrap();
    runtime::block_on(prepared.finish()).unwrap()
}

fn agent(name: &str, prompt: &str) -> Node {
    Node::agent(name, Agent::new(prompt)).unwrap()
}

/// A handler that always answers the same.
struct Always(String);

impl Route for Always {
    fn choose(
        &self,
        _: Situation,
        _: &Ambient,
    ) -> BoxFuture<'static, Result<std::result::Result<String, String>>> {
        let name = self.0.clone();
        Box::pin(async move { Ok(Ok(name)) })
    }
}

/// A tool that sleeps, on a callback thread as tools of other languages do.
struct Sleeper {
    spec: ToolSpec,
    pause: Duration,
    reply: Option<ToolReply>,
}

impl Sleeper {
    fn tool(name: &str, milliseconds: u64, reply: Option<ToolReply>) -> Arc<dyn Tool> {
        let (name, description) = (name.to_owned(), "Sleeps.".to_owned());
        let spec = ToolSpec { name, description, parameters: json!({"type": "object"}) };
        Arc::new(Self { spec, pause: Duration::from_millis(milliseconds), reply })
    }
}

impl Tool for Sleeper {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, _: Value, _: &Ambient) -> BoxFuture<'static, Result<ToolReply>> {
        let (pause, reply) = (self.pause, self.reply.clone());
        Box::pin(runtime::callback(move || {
            std::thread::sleep(pause);
            reply.ok_or_else(|| Error::new(Kind::Callback, "KeyboardInterrupt"))
        }))
    }
}

/// A graph of up to twelve nodes: who follows whom, who fails, who is a condition.
#[derive(Clone, Debug)]
struct Drawing {
    edges: Vec<(usize, usize)>,
    failing: BTreeSet<usize>,
    count: usize,
}

fn drawings() -> impl Strategy<Value = Drawing> {
    (2_usize..12).prop_flat_map(|count| {
        let pairs = prop::collection::vec((0..count, 0..count), 0..count * 2);
        let failing = prop::collection::btree_set(0..count, 0..2);
        (pairs, failing).prop_map(move |(pairs, failing)| {
            let ordered = pairs.into_iter().filter(|(from, to)| from != to);
            let edges = ordered.map(|(from, to)| (from.min(to), from.max(to))).collect();
            Drawing { edges, failing, count }
        })
    })
}

fn draw(drawing: &Drawing) -> Workflow {
    let mut workflow = Workflow::new("drawn");
    for index in 0..drawing.count {
        let ending = if drawing.failing.contains(&index) { " fail" } else { "" };
        workflow.add_node(agent(&format!("n{index}"), &format!("n{index}{ending}"))).unwrap();
    }
    for (from, to) in &drawing.edges {
        workflow.connect(&format!("n{from}"), &format!("n{to}")).unwrap();
    }
    workflow
}

fn below(drawing: &Drawing, start: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut below = BTreeSet::new();
    for index in 0..drawing.count {
        let hit = |(from, to): &(usize, usize)| {
            *to == index && (start.contains(from) || below.contains(from))
        };
        if drawing.edges.iter().any(hit) {
            below.insert(index);
        }
    }
    below
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn each_node_runs_once_after_its_parents_unless_one_of_them_failed(drawing in drawings()) {
        let (model, executor) = executor(Limits::default());
        let result = run(&executor, &draw(&drawing));
        let skipped = below(&drawing, &drawing.failing);
        for (index, node) in result.nodes.iter().enumerate() {
            let state = if skipped.contains(&index) {
                NodeState::Skipped
            } else if drawing.failing.contains(&index) {
                NodeState::Failed
            } else {
                NodeState::Completed
            };
            prop_assert_eq!(node.state, state, "{}", node.name);
        }
        prop_assert_eq!(result.is_failed(), !drawing.failing.is_empty());
        let asked = model.asked.lock().unwrap().clone();
        prop_assert_eq!(asked.len(), drawing.count - skipped.len());
        for (from, to) in drawing.edges.iter().filter(|(_, to)| !skipped.contains(to)) {
            let finished = |index: usize| result.nodes[index].finished;
            prop_assert!(finished(*from) < finished(*to));
        }
    }
}

#[test]
fn a_fast_child_does_not_wait_for_a_slow_sibling() {
    let (model, executor) = executor(Limits::default());
    let mut workflow = Workflow::new("two branches");
    for (name, prompt) in [("slow", "slow"), ("fast", "fast"), ("child", "child")] {
        workflow.add_node(agent(name, prompt)).unwrap();
    }
    workflow.connect("fast", "child").unwrap();
    let result = run(&executor, &workflow);
    let order: Vec<_> = result.output_texts().into_iter().map(|(_, text)| text).collect();
    assert_eq!(order.last().unwrap(), "<slow>", "{order:?}");
    assert_eq!(model.most.load(Ordering::SeqCst), 2);
}

#[test]
fn at_most_the_allowed_requests_are_under_way() {
    let (model, executor) = executor(Limits { max_concurrency: 3, ..Limits::default() });
    let mut workflow = Workflow::new("wide");
    for index in 0..20 {
        workflow.add_node(agent(&format!("n{index}"), "x")).unwrap();
    }
    assert!(run(&executor, &workflow).is_success());
    assert!(model.most.load(Ordering::SeqCst) <= 3);
}

#[test]
fn a_condition_skips_what_only_the_other_branches_reach() {
    let (model, executor) = executor(Limits::default());
    let mut workflow = Workflow::new("diamond");
    workflow.add_node(agent("start", "start")).unwrap();
    workflow
        .add_node(Node::condition("choice", Arc::new(Always(" left\n".into()))).unwrap())
        .unwrap();
    for name in ["left", "right", "beyond", "join", "other"] {
        workflow.add_node(agent(name, name)).unwrap();
    }
    for (from, to) in [
        ("start", "choice"),
        ("choice", "left"),
        ("choice", "right"),
        ("right", "beyond"),
        ("other", "beyond"),
        ("left", "join"),
        ("right", "join"),
    ] {
        workflow.connect(from, to).unwrap();
    }
    let result = run(&executor, &workflow);
    assert!(result.is_success(), "{}", result.state_text());
    let state = |name: &str| result.nodes.iter().find(|node| node.name == name).unwrap().state;
    for (name, expected) in [
        ("left", NodeState::Completed),
        ("right", NodeState::Skipped),
        ("beyond", NodeState::Skipped),
        ("join", NodeState::Completed),
        ("other", NodeState::Completed),
    ] {
        assert_eq!(state(name), expected, "{name}");
    }
    assert_eq!(result.node_output("choice").unwrap(), "left");
    assert_eq!(model.asked.lock().unwrap().len(), 4);
}

#[test]
fn tools_of_one_answer_run_together_and_are_answered_in_order() {
    let (_, executor) = executor(Limits::default());
    let reply = |text: &str| Some(ToolReply::Output(text.to_owned()));
    let tools = vec![
        Sleeper::tool("a", 300, reply("A")),
        Sleeper::tool("b", 100, reply("B")),
        Sleeper::tool("c", 200, Some(ToolReply::Failure("no C".to_owned()))),
    ];
    let mut workflow = Workflow::new("tools");
    let agent = Agent { tools: Some(tools), ..Agent::new("go") };
    workflow.add_node(Node::agent("n", agent).unwrap()).unwrap();
    let started = Instant::now();
    let result = run(&executor, &workflow);
    assert!(started.elapsed() < Duration::from_millis(580), "one after another takes 600 ms");
    assert_eq!(result.node_output("n").unwrap(), "<no C>", "the last message is the last call's");
    let metadata = result.node_metadata("n").unwrap();
    let executions = metadata["executions"].as_array().unwrap();
    let told: Vec<_> = executions.iter().map(|entry| entry["output"].as_str().unwrap()).collect();
    assert_eq!(told, ["<go>", "A", "B", "", "<no C>"]);
}

#[test]
fn what_a_callback_ends_the_run_with_comes_out() {
    let (_, executor) = executor(Limits::default());
    let mut workflow = Workflow::new("interrupted");
    let agent = Agent { tools: Some(vec![Sleeper::tool("a", 0, None)]), ..Agent::new("go") };
    workflow.add_node(Node::agent("n", agent).unwrap()).unwrap();
    let prepared = executor.prepare(&workflow, RunOptions::default()).unwrap();
    let error = runtime::block_on(prepared.finish()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Callback, "KeyboardInterrupt"));
    assert_eq!(executor.stats().failed, 1);
}

fn events(executor: &Executor, workflow: &Workflow, mode: StreamMode) -> Vec<Event> {
    let events = executor.prepare(workflow, RunOptions::default()).unwrap().stream(mode);
    runtime::block_on(async move {
        let mut seen = Vec::new();
        while let Some(event) = events.next().await? {
            seen.push(event);
        }
        Ok(seen)
    })
    .unwrap()
}

#[test]
fn the_terminal_event_is_the_last_in_every_mode() {
    let (_, executor) = executor(Limits::default());
    for prompt in ["fine", "fail"] {
        let mut workflow = Workflow::new("one");
        workflow.add_node(agent("n", prompt)).unwrap();
        for mode in [StreamMode::Updates, StreamMode::Messages, StreamMode::All] {
            let events = events(&executor, &workflow, mode);
            let terminal = |event: &Event| {
                matches!(
                    event.kind,
                    EventKind::WorkflowCompleted { .. } | EventKind::WorkflowFailed { .. }
                )
            };
            assert_eq!(events.iter().position(terminal), Some(events.len() - 1), "{events:?}");
            let failed = matches!(events.last().unwrap().kind, EventKind::WorkflowFailed { .. });
            assert_eq!(failed, prompt == "fail");
            assert_eq!(events.len() == 1, mode == StreamMode::Messages, "{events:?}");
        }
    }
}

#[test]
fn a_dropped_listener_ends_the_run() {
    let (model, executor) = executor(Limits::default());
    let mut workflow = Workflow::new("chain");
    for index in 0..4 {
        workflow.add_node(agent(&format!("n{index}"), "slow")).unwrap();
    }
    for index in 1..4 {
        workflow.connect(&format!("n{}", index - 1), &format!("n{index}")).unwrap();
    }
    let prepared = executor.prepare(&workflow, RunOptions::default()).unwrap();
    let events = prepared.stream(StreamMode::Updates);
    let first = events.clone();
    runtime::block_on(async move { first.next().await }).unwrap().unwrap();
    drop(events);
    let deadline = Instant::now() + Duration::from_secs(5);
    while executor.stats().total == 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let asked = model.asked.lock().unwrap().len();
    std::thread::sleep(Duration::from_millis(500));
    assert!(model.asked.lock().unwrap().len() == asked && asked <= 1, "{asked}");
    assert_eq!(executor.stats().failed, 1);
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("graphbit-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_checkpoint_cut_anywhere_repeats_only_what_it_lost() {
    let folder = Folder::new("checkpoint");
    let path = folder.0.join("run");
    let workflow = || {
        let mut workflow = Workflow::new("chain");
        for index in 0..5 {
            workflow.add_node(agent(&format!("n{index}"), &format!("p{index}"))).unwrap();
        }
        for index in 1..5 {
            workflow.connect(&format!("n{}", index - 1), &format!("n{index}")).unwrap();
        }
        workflow
    };
    let asked = |path: &PathBuf| {
        let (model, executor) = executor(Limits::default());
        let options = RunOptions { checkpoint: Some(path.clone()), ..RunOptions::default() };
        let prepared = executor.prepare(&workflow(), options).unwrap();
        let result = runtime::block_on(prepared.finish()).unwrap();
        assert_eq!(result.output().unwrap(), "<p4>");
        model.asked.lock().unwrap().len()
    };
    assert_eq!(asked(&path), 5);
    let whole = std::fs::read(&path).unwrap();
    let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    for cut in (0..=whole.len()).step_by(37).chain([whole.len() - 1, whole.len()]) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let kept = lines(&whole[..cut]).saturating_sub(1);
        assert_eq!(asked(&path), 5 - kept, "cut at {cut}");
        assert_eq!(lines(&std::fs::read(&path).unwrap()), 6);
    }
    // A byte that changed on the disk costs its line and those behind it, never a wrong answer.
    let mut damaged = whole.clone();
    let middle = whole.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    assert!((1..5).contains(&asked(&path)));
    std::fs::write(&path, "something else\n").unwrap();
    let (_, executor) = executor(Limits::default());
    let options = RunOptions { checkpoint: Some(path.clone()), ..RunOptions::default() };
    let prepared = executor.prepare(&workflow(), options).unwrap();
    assert_eq!(runtime::block_on(prepared.finish()).unwrap_err().kind(), Kind::Workflow);
    assert_eq!(std::fs::read(&path).unwrap(), b"something else\n");
}
