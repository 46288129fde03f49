//! [`MemoryClient`]: what is asked of the two models, and in which order.
//!
//! Everything is paid for before anything is written, and everything is written at once. Whatever fails on the way
//! leaves the file as it was, but for one thing: vectors that cannot be had for the moment. What was decided is paid
//! for by then, so it is written without them, and the next search makes them, as for what other programs wrote.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;

use super::database::Database;
use super::prompt;
use super::record::{Change, Memory, Scope, ScoredMemory, parsed_id};
use super::reply::{self, Decision};
use super::rows::{self, Step, Text};
use super::search::{Found, Search};
use crate::embeddings::EmbeddingClient;
use crate::error::{Advice, Error, Kind, Result};
use crate::llm::LlmClient;
use crate::types::{ChatRequest, Message};

/// Memories a search returns unless it is told.
pub const TOP_K: usize = 10;

/// What a [`MemoryClient`] works with.
#[derive(Clone)]
pub struct MemorySettings {
    /// Finds the facts and decides on them.
    pub llm: LlmClient,
    /// Makes the vectors.
    pub embeddings: EmbeddingClient,
    /// The file; `:memory:` for none.
    pub path: PathBuf,
    /// Memories less like the query than this are no answer. Taken as 0 to 1.
    pub similarity_threshold: f64,
}

impl MemorySettings {
    /// The file `graphbit_memory.db` in the working folder, and a threshold of 0.7.
    #[must_use]
    pub fn new(llm: LlmClient, embeddings: EmbeddingClient) -> Self {
        let path = PathBuf::from("graphbit_memory.db");
        Self { llm, embeddings, path, similarity_threshold: 0.7 }
    }
}

/// Long-term memory in a file that any number of clients and processes may share. Cloning shares the connection.
#[derive(Clone)]
pub struct MemoryClient {
    inner: Arc<Inner>,
}

struct Inner {
    llm: LlmClient,
    embeddings: EmbeddingClient,
    /// What tells its vectors from those of other models.
    model: String,
    threshold: f64,
    database: Database,
}

impl MemoryClient {
    /// Opens the file, or creates it. Nothing is sent.
    ///
    /// # Errors
    /// [`Kind::Validation`] for a threshold that is no number; [`Kind::Store`] when the file cannot be opened, or is
    /// none of SQLite's.
    pub async fn open(settings: MemorySettings) -> Result<Self> {
        let MemorySettings { llm, embeddings, path, similarity_threshold } = settings;
        if similarity_threshold.is_nan() {
            let text = "must be a number from 0 to 1";
            return Err(Error::validation("similarity_threshold", Some("nan"), text));
        }
        let (model, database) = (name_of(&embeddings), Database::new(&path));
        database.run(|_| Ok(())).await?;
        let threshold = similarity_threshold.clamp(0.0, 1.0);
        let inner = Inner { llm, embeddings, model, threshold, database };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Remembers what is worth it of a conversation: asks for the facts in it, asks what to do about each, embeds
    /// what is new in one request, and applies all of it in one transaction. A reply that cannot be understood
    /// changes nothing. Returns what was added or updated, in the order of the decisions; only memories of the
    /// scope are ever shown to the model, changed or deleted. Where only the vectors fail, and another try may
    /// have them, all else is stored, and the next search makes them.
    ///
    /// # Errors
    /// Those of the two clients that another try does not help, and those of the language model; nothing is
    /// stored then. [`Kind::Store`] when the file cannot be read or written.
    pub async fn add(&self, conversation: Vec<Message>, scope: Scope) -> Result<Vec<Memory>> {
        if conversation.is_empty() {
            return Ok(Vec::new());
        }
        let asked = prompt::extraction(&conversation);
        let Some(facts) = self.ask("Fact extraction", asked, reply::facts).await? else {
            return Ok(Vec::new());
        };
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        let within = scope.clone();
        let known = self.read(move |connection| rows::contents(connection, &within)).await?;
        let asked = prompt::decision(&facts, &known);
        let decisions = self.ask("Decision", asked, reply::decisions).await?.unwrap_or_default();
        let decisions = permitted(decisions, &known);
        if decisions.is_empty() {
            return Ok(Vec::new());
        }
        let steps = self.steps(decisions).await?;
        let model = self.inner.model.clone();
        let apply =
            move |connection: &mut Connection| rows::apply(connection, &steps, &scope, &model);
        self.inner.database.run(apply).await
    }

    /// At most `top_k` memories of the scope, those most like the query first. Memories without a vector, or with
    /// one of another model, are embedded first, many in a request.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an empty query; the embedding client's; [`Kind::Store`] when the file cannot be
    /// read or written.
    pub async fn search(
        &self,
        query: String,
        scope: Scope,
        top_k: usize,
    ) -> Result<Vec<ScoredMemory>> {
        let within = scope.clone();
        let empty = || Ok(Vec::new());
        if top_k == 0 || !self.read(move |connection| rows::any(connection, &within)).await? {
            return empty();
        }
        let Some(query) = self.embed(vec![query]).await?.pop() else { return empty() };
        let inner = &self.inner;
        let (model, threshold, length) = (inner.model.clone(), inner.threshold, query.len());
        let search = Arc::new(Search { query, scope, model, threshold, top_k });
        loop {
            match search.run(&inner.database).await? {
                Found::Hits(hits) => return Ok(hits),
                Found::Bare(bare) => self.clothe(bare, length).await?,
            }
        }
    }

    /// The memory of this id.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an id that is no UUID; [`Kind::Store`] when the file cannot be read.
    pub async fn get(&self, id: &str) -> Result<Option<Memory>> {
        let id = parsed_id(id)?;
        self.read(move |connection| rows::get(connection, &id)).await
    }

    /// All memories of the scope, in the order in which they were added.
    ///
    /// # Errors
    /// [`Kind::Store`] when the file cannot be read.
    pub async fn get_all(&self, scope: Scope) -> Result<Vec<Memory>> {
        self.read(move |connection| rows::all(connection, &scope)).await
    }

    /// Gives a memory another content. An empty one is not embedded, and never found by a search.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an id that is no UUID, [`Kind::MemoryNotFound`]; the embedding client's;
    /// [`Kind::Store`] when the file cannot be read or written.
    pub async fn update(&self, id: &str, content: String) -> Result<Memory> {
        let id = parsed_id(id)?;
        // Looked for first, because the vector of a memory that is not there would be paid in vain.
        if self.get(&id).await?.is_none() {
            return Err(missing(&id));
        }
        let vector = if content.trim().is_empty() {
            None
        } else {
            self.embed(vec![content.clone()]).await?.pop()
        };
        let (model, step) = (self.inner.model.clone(), Text { content, vector });
        let (steps, scope) = ([Step::Update(id.clone(), step)], Scope::default());
        let apply =
            move |connection: &mut Connection| rows::apply(connection, &steps, &scope, &model);
        self.inner.database.run(apply).await?.pop().ok_or_else(|| missing(&id))
    }

    /// Deletes a memory, if there is one. Its history stays, unless `keep_history` is false.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an id that is no UUID; [`Kind::Store`] when the file cannot be written.
    pub async fn delete(&self, id: &str, keep_history: bool) -> Result<()> {
        let id = parsed_id(id)?;
        let delete = move |connection: &mut Connection| {
            rows::delete(connection, Some(&id), &Scope::default(), keep_history)
        };
        self.inner.database.run(delete).await
    }

    /// Deletes all memories of the scope; those of everybody, if nothing of it is set. Their histories stay,
    /// unless `keep_history` is false; without a scope those of memories deleted earlier go as well then.
    ///
    /// # Errors
    /// [`Kind::Store`] when the file cannot be written.
    pub async fn delete_all(&self, scope: Scope, keep_history: bool) -> Result<()> {
        let delete =
            move |connection: &mut Connection| rows::delete(connection, None, &scope, keep_history);
        self.inner.database.run(delete).await
    }

    /// The changes of a memory, oldest first; of one that was deleted, too.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an id that is no UUID; [`Kind::Store`] when the file cannot be read.
    pub async fn history(&self, id: &str) -> Result<Vec<Change>> {
        let id = parsed_id(id)?;
        self.read(move |connection| rows::history(connection, &id)).await
    }

    /// Lets the file go when what is under way is done. Every later call fails; closing again does nothing.
    ///
    /// # Errors
    /// [`Kind::Store`] in a process that may not touch the file.
    pub async fn close(&self) -> Result<()> {
        self.inner.database.close().await
    }

    async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> rusqlite::Result<T> + Send + Sync + 'static,
    {
        self.inner.database.run(move |connection| work(connection)).await
    }

    /// What the model replies, read by `read`; `None` when it cannot be.
    async fn ask<T>(
        &self,
        what: &'static str,
        request: ChatRequest,
        read: fn(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let answer = self.inner.llm.complete(request).await.map_err(|error| {
            let text = error.message();
            let text = text.strip_prefix("Core error: ").unwrap_or(text);
            let text = format!("Memory error: {what} LLM call failed: {text}");
            error.with_message(text)
        })?;
        let understood = read(&answer.content);
        if understood.is_none() {
            tracing::warn!(
                target: "graphbit::memory",
                what,
                finish_reason = answer.finish_reason.as_str(),
                "the reply holds no list that can be read; nothing is remembered"
            );
        }
        Ok(understood)
    }

    /// The decisions with the vectors that they need, all of them from one request; without any when there are
    /// none for the moment.
    async fn steps(&self, decisions: Vec<Decision>) -> Result<Vec<Step>> {
        let texts: Vec<_> = decisions
            .iter()
            .filter_map(|decision| match decision {
                Decision::Add(text) | Decision::Update(_, text) => Some(text.clone()),
                Decision::Delete(_) => None,
            })
            .collect();
        let number = texts.len();
        let vectors = match self.embed(texts).await {
            Ok(vectors) => vectors,
            Err(error) if passes(&error) => {
                tracing::warn!(
                    target: "graphbit::memory",
                    texts = number,
                    kind = error.kind().as_str(),
                    "stored without vectors, which cannot be had for the moment; the next search makes them"
                );
                Vec::new()
            }
            Err(error) => {
                let text = format!(
                    "Memory error: nothing was stored, because what was decided on ({number} texts) could not \
                     be embedded: {}",
                    error.message()
                );
                return Err(error.with_message(text));
            }
        };
        let mut vectors = vectors.into_iter();
        let mut text = |content| Text { content, vector: vectors.next() };
        let step = |decision| match decision {
            Decision::Add(content) => Step::Add(text(content)),
            Decision::Update(id, content) => Step::Update(id, text(content)),
            Decision::Delete(id) => Step::Delete(id),
        };
        Ok(decisions.into_iter().map(step).collect())
    }

    /// Embeds what has no vector that fits.
    async fn clothe(&self, bare: Vec<(String, String)>, length: usize) -> Result<()> {
        let texts: Vec<_> = bare.iter().map(|(_, content)| content.clone()).collect();
        let vectors = self.embed(texts).await?;
        if let Some(odd) = vectors.iter().find(|vector| vector.len() != length) {
            let text = format!(
                "Memory error: the model gave vectors of {length} and of {} values",
                odd.len()
            );
            return Err(Error::new(Kind::Decode, text));
        }
        let entries = bare.into_iter().zip(vectors);
        let entries: Vec<_> = entries
            .map(|((id, content), vector)| (id, Text { content, vector: Some(vector) }))
            .collect();
        let model = self.inner.model.clone();
        let store =
            move |connection: &mut Connection| rows::add_vectors(connection, &entries, &model);
        self.inner.database.run(store).await
    }

    /// One vector for each text, from one request, or as few as the model's limits allow.
    async fn embed(&self, mut texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        let client = &self.inner.embeddings;
        let answer = match (texts.pop(), texts.is_empty()) {
            (None, _) => return Ok(Vec::new()),
            (Some(only), true) => client.embed(only).await?,
            (Some(last), false) => {
                texts.push(last);
                client.embed_many(texts).await?
            }
        };
        Ok(answer.vectors.iter().map(<[f32]>::to_vec).collect())
    }
}

impl fmt::Debug for MemoryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryClient").field("model", &self.inner.model).finish_non_exhaustive()
    }
}

/// Those about memories that the model was shown and that are there when their turn comes.
fn permitted(decisions: Vec<Decision>, known: &[(String, String)]) -> Vec<Decision> {
    let mut there: HashSet<_> = known.iter().map(|(id, _)| id.as_str()).collect();
    let may = |decision: &Decision| match decision {
        Decision::Add(_) => true,
        Decision::Update(id, _) => there.contains(id.as_str()),
        Decision::Delete(id) => there.remove(id.as_str()),
    };
    decisions.into_iter().filter(may).collect()
}

/// Whether another try may go well. What an open breaker refuses may do so later, though not at once.
fn passes(error: &Error) -> bool {
    matches!(error.advice(), Advice::Retry { .. }) || error.kind() == Kind::CircuitOpen
}

fn name_of(embeddings: &EmbeddingClient) -> String {
    let model = embeddings.model();
    let dimensions = model.dimensions().map(|number| format!(" ({number})"));
    format!("{}/{}{}", model.provider(), model.model(), dimensions.unwrap_or_default())
}

fn missing(id: &str) -> Error {
    Error::new(Kind::MemoryNotFound, format!("Memory error: Memory not found: {id}"))
}
