//! Finished nodes on disk: a run that is repeated after a kill pays only for what is missing.
//!
//! One text file. Each line is a JSON object with a checksum in front, `crc32 {"key": ...}`, synchronised
//! to disk before the node counts as finished; a line that was being written when the power went is
//! passed over and cut off. A node is known by a key made of everything that shapes its answer, its
//! parents' keys included: after a change to a prompt, that node and all below it run again. One run at a
//! time may hold the file.
//!
//! Under a policy of guard rails metadata come here masked, as they are shown everywhere. An output comes as
//! the run goes on with it: with the real values where the policy maps. The mapping itself never does; and
//! what the policy does is part of the key, so that no other policy's output is taken for this one's.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::node::{Agent, Node, NodeKind};
use super::plan::Plan;
use crate::error::{Error, Kind, Result};
use crate::guard::Policy;

/// Changes when the lines or the keys do; older files are then set aside unread.
const FORMAT: &str = "graphbit-checkpoint-1";

/// How long to wait for a run that is just ending.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// A file of finished nodes, held by one run.
#[derive(Debug)]
pub(super) struct Checkpoint {
    path: PathBuf,
    file: Mutex<File>,
    saved: HashMap<String, Saved>,
}

/// What is kept of a node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Saved {
    pub(super) output: Value,
    pub(super) metadata: Option<Value>,
}

impl Checkpoint {
    /// Opens or begins the file. Blocks on the disk.
    ///
    /// # Errors
    /// [`Kind::Workflow`] when the file cannot be used, is no checkpoint, or is held by another run.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |what: &str, cause: std::io::Error| {
            let text = format!("cannot {what} the checkpoint '{}': {cause}", path.display());
            Error::new(Kind::Workflow, text).with_source(cause)
        };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|cause| failed("open", cause))?;
        lock(&file).map_err(|_| {
            let text = format!(
                "the checkpoint '{}' is held by another run; wait for it, or give this run a file of \
                 its own",
                path.display()
            );
            Error::new(Kind::Workflow, text)
        })?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|cause| failed("read", cause))?;
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let (saved, good) = match first {
            b"" => (HashMap::new(), 0),
            first if first == FORMAT.as_bytes() => read_lines(&text),
            // The header itself was cut short: nothing can have been saved.
            first if first.len() == text.len() && FORMAT.as_bytes().starts_with(first) => {
                (HashMap::new(), 0)
            }
            _ => {
                let text = format!(
                    "'{}' is not a checkpoint of this version of graphbit; it was left as it is",
                    path.display()
                );
                return Err(Error::new(Kind::Workflow, text));
            }
        };
        file.set_len(good).map_err(|cause| failed("cut", cause))?;
        file.seek(SeekFrom::Start(good)).map_err(|cause| failed("read", cause))?;
        if good == 0 {
            writeln!(file, "{FORMAT}").map_err(|cause| failed("write", cause))?;
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), saved })
    }

    /// What was saved under `key` by an earlier run.
    pub(super) fn saved(&self, key: &str) -> Option<&Saved> {
        self.saved.get(key)
    }

    /// Saves a finished node. Blocks until it is on the disk.
    ///
    /// # Errors
    /// [`Kind::Workflow`] when it is not; what was saved before is whole.
    pub(super) fn save(&self, key: &str, saved: &Saved) -> Result<()> {
        let line =
            json!({ "key": key, "output": saved.output, "metadata": saved.metadata }).to_string();
        let line = format!("{:08x} {line}\n", crc32fast::hash(line.as_bytes()));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        append(&mut file, line.as_bytes()).map_err(|cause| {
            let text = format!("cannot write the checkpoint '{}': {cause}", self.path.display());
            Error::new(Kind::Workflow, text).with_source(cause)
        })
    }
}

/// Appends a line, or leaves the file as it was: behind half a line nothing could be read.
fn append(file: &mut File, line: &[u8]) -> std::io::Result<()> {
    let before = file.stream_position()?;
    file.write_all(line).and_then(|()| file.sync_data()).inspect_err(|_| {
        // The disk may be full; cutting needs no room. If even that fails, a later run asks again.
        if file.set_len(before).is_ok() {
            file.seek(SeekFrom::Start(before)).ok();
        }
    })
}

/// Waits a little for the file: a run that was ended by a timeout lets go of it when its tasks are gone.
fn lock(file: &File) -> Result<(), std::fs::TryLockError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}

/// The lines that are whole, and the length up to the first that is not.
fn read_lines(text: &[u8]) -> (HashMap<String, Saved>, u64) {
    let mut saved = HashMap::new();
    let mut good = 0_usize;
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if number > 0 {
            let Some((key, node)) = read_line(line) else { break };
            saved.insert(key, node);
        } else if !line.ends_with(b"\n") {
            break;
        }
        good = good.saturating_add(line.len());
    }
    (saved, u64::try_from(good).unwrap_or_default())
}

fn read_line(line: &[u8]) -> Option<(String, Saved)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (crc, body) = line.split_once(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    let mut body: Value = serde_json::from_str(body).ok()?;
    let key = body.get("key")?.as_str()?.to_owned();
    let output = body.get_mut("output").map(Value::take)?;
    let metadata = body.get_mut("metadata").map(Value::take).filter(|value| !value.is_null());
    Some((key, Saved { output, metadata }))
}

/// The key of each node: equal exactly when everything that shapes the answer is. `model` names the
/// model of a node that has none of its own. `plan` is free of cycles.
pub(super) fn keys(plan: &Plan, model: &str, policy: Option<&Policy>) -> Vec<String> {
    let effect = policy.and_then(Policy::effect);
    let mut keys: Vec<Option<String>> = vec![None; plan.nodes.len()];
    let mut twins: HashMap<Uuid, usize> = HashMap::new();
    let mut pending: Vec<usize> = (0..plan.nodes.len()).rev().collect();
    while let Some(index) = pending.pop() {
        let Some(planned) = plan.nodes.get(index) else { continue };
        if keys.get(index).is_none_or(Option::is_some) {
            continue;
        }
        let above: Vec<usize> = planned.parents.iter().chain(&planned.mentions).copied().collect();
        let missing: Vec<usize> = above
            .iter()
            .copied()
            .filter(|other| keys.get(*other).is_some_and(Option::is_none))
            .collect();
        if !missing.is_empty() {
            pending.push(index);
            pending.extend(missing);
            continue;
        }
        let above: Vec<_> = above.iter().filter_map(|other| keys.get(*other).cloned()).collect();
        let shape = json!([shape(&planned.node, model, effect.as_ref()), above]).to_string();
        let shape = Uuid::new_v5(&Uuid::NAMESPACE_OID, shape.as_bytes());
        // Nodes that are alike in everything are told apart by their order.
        let twin =
            twins.entry(shape).and_modify(|count| *count = count.saturating_add(1)).or_default();
        let key = format!("{shape}-{twin}");
        if let Some(place) = keys.get_mut(index) {
            *place = Some(key);
        }
    }
    keys.into_iter().map(Option::unwrap_or_default).collect()
}

fn shape(node: &Node, model: &str, effect: Option<&Value>) -> Value {
    match node.kind() {
        NodeKind::Agent(agent) => {
            let shape = json!(["agent", node.name(), agent_shape(agent, model)]);
            // Without a policy the key is what it was before there were any.
            effect.map_or(shape.clone(), |effect| json!([shape, effect]))
        }
        NodeKind::Condition(_) => json!(["condition", node.name()]),
        NodeKind::Transform(transform) => json!(["transform", node.name(), transform.text()]),
    }
}

fn agent_shape(agent: &Agent, model: &str) -> Value {
    let own = agent.llm_config.as_ref().map(model_name);
    let tools: Vec<Value> = agent
        .offered()
        .iter()
        .map(|tool| {
            let spec = tool.spec();
            json!([spec.name, spec.description, spec.parameters])
        })
        .collect();
    json!([
        agent.prompt,
        agent.context,
        agent.system_prompt,
        own.as_deref().unwrap_or(model),
        agent.temperature,
        agent.max_tokens,
        agent.max_iterations,
        tools,
    ])
}

/// Who answers, as a key knows it.
pub(super) fn model_name(config: &crate::providers::LlmConfig) -> String {
    format!("{}/{}", config.provider(), config.model_name())
}
