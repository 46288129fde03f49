//! [`Executor`]: runs workflows under limits and counts them.
//!
//! A run is prepared first ([`Executor::prepare`]), which is where everything that is wrong comes to
//! light, and then finished ([`Prepared::finish`]) or listened to ([`Prepared::stream`]). Dropping either
//! future, or the [`Events`], ends the run and its requests at once.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::callback::Ambient;
use super::checkpoint::{self, Checkpoint};
use super::event::{Event, EventKind, Sink, StreamMode, error_type};
use super::graph::Workflow;
use super::plan::Plan;
use super::result::WorkflowResult;
use super::run::{Around, Run};
use crate::error::{Error, Kind, Result};
use crate::guard::Policy;
use crate::llm::{ChatModel, LlmClient};
use crate::providers::LlmConfig;
use crate::resilience::RetryPolicy;
use crate::runtime::{self, Task};

/// Events that may wait for a slow listener before the run waits for it.
const EVENT_QUEUE: usize = 256;
/// Clients that are kept for nodes with a model of their own.
const KEPT_CLIENTS: usize = 64;

/// What a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the whole run.
    pub timeout: Duration,
    /// Further attempts of each request, where trying again can help.
    pub max_retries: u32,
    /// Requests of one run that are under way at the same time.
    pub max_concurrency: usize,
    /// Whether runs are counted.
    pub metrics: bool,
}

impl Default for Limits {
    fn default() -> Self {
        let timeout = Duration::from_secs(300);
        Self { timeout, max_retries: 3, max_concurrency: 64, metrics: true }
    }
}

impl Limits {
    /// Looks for values that cannot be meant.
    ///
    /// # Errors
    /// [`Kind::Validation`] for a timeout outside 1 to 3600 s, retries outside 1 to 10, no concurrency.
    pub fn check(&self) -> Result<()> {
        let seconds = self.timeout.as_secs();
        if !(1..=3600).contains(&seconds) {
            let text = "Timeout must be between 1 and 3600 seconds";
            return Err(Error::validation("timeout_seconds", Some(&seconds.to_string()), text));
        }
        if !(1..=10).contains(&self.max_retries) {
            let text = "Maximum retries must be between 1 and 10";
            return Err(Error::validation(
                "max_retries",
                Some(&self.max_retries.to_string()),
                text,
            ));
        }
        if self.max_concurrency == 0 {
            let text = "At least one request must be allowed at a time";
            return Err(Error::validation("max_concurrency", Some("0"), text));
        }
        Ok(())
    }
}

/// What one run is to have beside its workflow.
#[derive(Clone, Default)]
pub struct RunOptions {
    /// Passed on to every callback.
    pub ambient: Ambient,
    /// A file of finished nodes: read before the run, written during it.
    pub checkpoint: Option<PathBuf>,
    /// What no model may read.
    pub policy: Option<Arc<Policy>>,
    /// GraphBit names the door in the message of a timeout: `"async_"` or nothing.
    pub asynchronous: bool,
}

/// The numbers so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ExecutorStats {
    /// Runs that have ended.
    pub total: u64,
    /// Runs in which no node failed.
    pub successful: u64,
    /// All others: failed, timed out, interrupted, cancelled.
    pub failed: u64,
    /// The sum of their times.
    pub total_duration: Duration,
    /// Since the executor was made or its numbers were reset.
    pub uptime: Duration,
}

/// Runs workflows. Cloning shares clients and numbers; any number of runs may be under way at once.
#[derive(Clone)]
pub struct Executor {
    inner: Arc<Inner>,
}

struct Inner {
    config: LlmConfig,
    limits: Mutex<Limits>,
    counters: Mutex<Counters>,
    clients: Mutex<Vec<Kept>>,
}

struct Counters {
    since: Instant,
    stats: ExecutorStats,
}

/// A client, and what it was made for.
struct Kept {
    model: Arc<dyn ChatModel>,
    max_retries: u32,
    client: LlmClient,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Executor {
    /// An executor whose agents ask `config` unless they have a model of their own.
    ///
    /// # Errors
    /// As [`Limits::check`].
    pub fn new(config: LlmConfig, limits: Limits) -> Result<Self> {
        limits.check()?;
        let counters = Counters { since: Instant::now(), stats: ExecutorStats::default() };
        let inner = Inner {
            config,
            limits: Mutex::new(limits),
            counters: Mutex::new(counters),
            clients: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The limits of runs to come.
    #[must_use]
    pub fn limits(&self) -> Limits {
        *locked(&self.inner.limits)
    }

    /// Changes the limits of runs to come.
    ///
    /// # Errors
    /// As [`Limits::check`]; nothing is changed then.
    pub fn set_limits(&self, limits: Limits) -> Result<()> {
        limits.check()?;
        *locked(&self.inner.limits) = limits;
        Ok(())
    }

    /// The numbers so far.
    #[must_use]
    pub fn stats(&self) -> ExecutorStats {
        let counters = locked(&self.inner.counters);
        ExecutorStats { uptime: counters.since.elapsed(), ..counters.stats }
    }

    /// Sets the numbers and the uptime to zero.
    pub fn reset_stats(&self) {
        let counters = Counters { since: Instant::now(), stats: ExecutorStats::default() };
        *locked(&self.inner.counters) = counters;
    }

    /// Makes a run ready. Nothing is sent; a checkpoint is opened when the run begins.
    ///
    /// # Errors
    /// [`Kind::Validation`] when the workflow is not valid.
    pub fn prepare(&self, workflow: &Workflow, options: RunOptions) -> Result<Prepared> {
        workflow.validate().map_err(|error| {
            let text = format!("Invalid workflow: {}", error.message());
            Error::validation("workflow", None, &text)
        })?;
        let limits = self.limits();
        let plan = Plan::new(workflow);
        let clients = plan.nodes.iter().map(|planned| {
            let agent = planned.node.as_agent()?;
            let config = agent.llm_config.as_ref().unwrap_or(&self.inner.config);
            Some(self.client(config, limits.max_retries))
        });
        let clients = clients.collect();
        Ok(Prepared {
            executor: self.clone(),
            limits,
            options,
            plan,
            clients,
            run: Progress::default(),
        })
    }

    /// One client for each model: its connections, its breaker and its numbers outlive a run.
    fn client(&self, config: &LlmConfig, max_retries: u32) -> LlmClient {
        let model = config.model();
        let mut clients = locked(&self.inner.clients);
        let same =
            |kept: &Kept| Arc::ptr_eq(&kept.model, &model) && kept.max_retries == max_retries;
        if let Some(kept) = clients.iter().find(|kept| same(kept)) {
            return kept.client.clone();
        }
        let policy = RetryPolicy {
            attempts: max_retries.saturating_add(1),
            // What GraphBit waits between the attempts of a node.
            base: Duration::from_secs(1),
            cap: Duration::from_secs(30),
            ..RetryPolicy::for_attempts(model.attempt_limit())
        };
        let client = LlmClient::new(Arc::clone(&model), policy);
        if clients.len() >= KEPT_CLIENTS {
            clients.remove(0);
        }
        clients.push(Kept { model, max_retries, client: client.clone() });
        client
    }
}

/// A run that has not begun.
pub struct Prepared {
    executor: Executor,
    limits: Limits,
    options: RunOptions,
    plan: Plan,
    clients: Vec<Option<LlmClient>>,
    run: Progress,
}

/// A look at a run from outside, before, during and after it.
#[derive(Clone, Default)]
pub struct Progress(Arc<Mutex<Stage>>);

#[derive(Default)]
enum Stage {
    #[default]
    Waiting,
    Running(Arc<Run>),
    /// Lets go of the run, and with it of its checkpoint and its listener.
    Ended(Arc<WorkflowResult>),
}

impl Progress {
    /// What has become of the nodes so far; `None` before the run has begun.
    #[must_use]
    pub fn result(&self) -> Option<Arc<WorkflowResult>> {
        let run = match &*locked(&self.0) {
            Stage::Waiting => return None,
            Stage::Running(run) => Arc::clone(run),
            Stage::Ended(result) => return Some(Arc::clone(result)),
        };
        Some(Arc::new(run.result()))
    }

    fn begin(&self, run: &Arc<Run>) {
        *locked(&self.0) = Stage::Running(Arc::clone(run));
    }

    /// Keeps what has become of the nodes; `None` if the run had not begun.
    fn end(&self) -> Option<Arc<WorkflowResult>> {
        let result = self.result()?;
        *locked(&self.0) = Stage::Ended(Arc::clone(&result));
        Some(result)
    }
}

impl Prepared {
    /// A handle that shows finished work even if the run is interrupted.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.run.clone()
    }

    /// Runs the workflow to its end.
    ///
    /// # Errors
    /// [`Kind::Workflow`] when there is no agent, or the checkpoint cannot be used; [`Kind::Timeout`];
    /// what a callback ends the run with. A failed node is no error: the result tells it.
    pub fn finish(self) -> impl Future<Output = Result<Arc<WorkflowResult>>> + Send + 'static {
        self.run(Sink::default())
    }

    /// Runs the workflow and tells what happens. The run has begun when this returns.
    #[must_use]
    pub fn stream(self, mode: StreamMode) -> Events {
        let (sender, receiver) = mpsc::channel(EVENT_QUEUE);
        let sink = Sink::new(sender, mode);
        let progress = self.progress();
        let work = self.run(sink.clone());
        let told = async move {
            match work.await {
                Ok(result) if result.is_success() => {
                    let outputs = result.outputs_json();
                    sink.tell(|| EventKind::WorkflowCompleted { result, outputs }).await;
                }
                Ok(result) => {
                    let error = result.error().unwrap_or_default().to_owned();
                    let error_type = "runtime_error";
                    sink.tell(|| EventKind::WorkflowFailed { error, error_type }).await;
                }
                Err(error) if error.kind() == Kind::Timeout => {
                    let text = error.message();
                    let text = text.rsplit_once(": ").map_or(text, |(_, text)| text).to_owned();
                    let error_type = error_type(error.kind());
                    sink.tell(|| EventKind::WorkflowFailed { error: text, error_type }).await;
                }
                // What a callback ended the run with goes to whoever iterates, as it is.
                Err(error) => return Err(error),
            }
            Ok(())
        };
        let inner = Listening {
            receiver: tokio::sync::Mutex::new(receiver),
            task: Mutex::new(Some(runtime::spawn(told))),
            generation: runtime::generation(),
            closed: AtomicBool::new(false),
            progress,
        };
        Events { inner: Arc::new(inner) }
    }

    fn run(self, sink: Sink) -> impl Future<Output = Result<Arc<WorkflowResult>>> + Send + 'static {
        let Self { executor, limits, options, plan, clients, run: progress } = self;
        async move {
            // Inside: what is dropped before it has begun is no run.
            let mut counted = Counted {
                executor,
                metrics: limits.metrics,
                started: Instant::now(),
                success: false,
                progress,
            };
            if clients.iter().all(Option::is_none) {
                let text = "Validation error: workflow - No agents found in workflow";
                return Err(Error::new(Kind::Workflow, text));
            }
            let checkpoint = match options.checkpoint {
                Some(path) => {
                    let model = checkpoint::model_name(&counted.executor.inner.config);
                    let keys = checkpoint::keys(&plan, &model, options.policy.as_deref());
                    let opened = runtime::spawn_blocking(move || Checkpoint::open(&path)).await?;
                    Some((Arc::new(opened), keys))
                }
                None => None,
            };
            let concurrency = limits.max_concurrency;
            let surroundings = Around { sink, ambient: options.ambient, policy: options.policy };
            let run = Arc::new(Run::new(plan, clients, concurrency, surroundings, checkpoint));
            counted.progress.begin(&run);
            match tokio::time::timeout(limits.timeout, run.drive()).await {
                Ok(driven) => driven?,
                Err(_) => return Err(timed_out(limits.timeout, options.asynchronous)),
            }
            let unknown = || Error::new(Kind::Internal, "Internal error: a run has no outcome");
            let result = counted.progress.end().ok_or_else(unknown)?;
            counted.success = result.is_success();
            Ok(result)
        }
    }
}

fn timed_out(limit: Duration, asynchronous: bool) -> Error {
    let (operation, what) = match asynchronous {
        true => ("async_workflow_execution", "Async workflow execution"),
        false => ("workflow_execution", "Workflow execution"),
    };
    let (milliseconds, seconds) = (limit.as_millis(), limit.as_secs());
    let text = format!(
        "Timeout in '{operation}' after {milliseconds}ms: {what} timed out after {seconds}s"
    );
    Error::new(Kind::Timeout, text).with_operation(operation)
}

/// Counts a run when it ends, in whatever way.
struct Counted {
    executor: Executor,
    metrics: bool,
    started: Instant,
    success: bool,
    progress: Progress,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.progress.end();
        if self.metrics {
            let stats = &mut locked(&self.executor.inner.counters).stats;
            stats.total = stats.total.saturating_add(1);
            let place = if self.success { &mut stats.successful } else { &mut stats.failed };
            *place = place.saturating_add(1);
            stats.total_duration = stats.total_duration.saturating_add(self.started.elapsed());
        }
    }
}

/// The events of a run. Dropping the last clone ends the run.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Listening>,
}

struct Listening {
    receiver: tokio::sync::Mutex<mpsc::Receiver<Event>>,
    task: Mutex<Option<Task<()>>>,
    /// The process that began the run.
    generation: u64,
    closed: AtomicBool,
    progress: Progress,
}

impl Events {
    /// The next event, in order; `None` after the terminal one.
    ///
    /// # Errors
    /// What a callback ended the run with; [`Kind::Stream`] in a forked child.
    pub fn next(&self) -> impl Future<Output = Result<Option<Event>>> + Send + 'static {
        let inner = Arc::clone(&self.inner);
        async move {
            if inner.generation != runtime::generation() {
                let text = "Stream error: this run was begun before fork(); start a new one";
                return Err(Error::new(Kind::Stream, text));
            }
            let event = inner.receiver.lock().await.recv().await;
            if inner.closed.load(Ordering::Acquire) {
                return Ok(None);
            }
            if event.is_some() {
                return Ok(event);
            }
            let task = locked(&inner.task).take();
            match task {
                Some(task) => task.await.map(|()| None),
                None => Ok(None),
            }
        }
    }

    /// What has become of the nodes so far; `None` before the run has begun.
    #[must_use]
    pub fn result(&self) -> Option<Arc<WorkflowResult>> {
        self.inner.progress.result()
    }

    /// The next event, if it is there already.
    #[must_use]
    pub fn ready(&self) -> Option<Event> {
        let closed = self.inner.closed.load(Ordering::Acquire);
        if closed || self.inner.generation != runtime::generation() {
            return None;
        }
        self.inner.receiver.try_lock().ok()?.try_recv().ok()
    }

    /// Ends the run; its requests are cancelled and no further event comes.
    pub fn close(&self) {
        // A forked child has no part in the parent's run.
        if self.inner.generation == runtime::generation() {
            self.inner.closed.store(true, Ordering::Release);
            drop(locked(&self.inner.task).take());
        }
    }
}
