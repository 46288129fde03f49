//! Asking from outside: how passages are found and chosen, what a model is told, many questions at once.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use graphbit::embeddings::{EmbeddingClient, EmbeddingModel};
use graphbit::llm::many::OnError;
use graphbit::llm::{ChatModel, LlmClient};
use graphbit::rag::{
    Answer, Asking, Config, Mode, NOTHING_FOUND, ParallelRag, Prompt, Rerank, Source,
};
use graphbit::resilience::RetryPolicy;
use graphbit::types::{ChatRequest, ChatResponse, Document, Embeddings, Matrix};
use graphbit::{Error, Kind, Result, runtime};

/// Embeds a text by counting letters; refuses requests with a text that holds "poison".
#[derive(Default)]
struct Letters {
    texts: Mutex<Vec<usize>>,
}

impl EmbeddingModel for Letters {
    fn provider(&self) -> &str {
        "letters"
    }
    fn model(&self) -> &str {
        "letters-1"
    }
    fn dimensions(&self) -> Option<usize> {
        Some(26)
    }
    fn max_batch(&self) -> usize {
        2048
    }
    fn embed<'a>(&'a self, texts: &'a [String], _: bool) -> BoxFuture<'a, Result<Embeddings>> {
        async move {
            self.texts.lock().unwrap().push(texts.len());
            if texts.iter().any(|text| text.contains("poison")) {
                return Err(Error::new(Kind::BadRequest, "the server refused poison"));
            }
            let rows: Vec<Vec<f32>> = texts.iter().map(|text| letters(text)).collect();
            Ok(Embeddings { vectors: Matrix::from_rows(&rows)?, ..Embeddings::default() })
        }
        .boxed()
    }
}

fn letters(text: &str) -> Vec<f32> {
    let mut counts = vec![0.01; 26];
    for letter in text.bytes().filter(u8::is_ascii_alphabetic) {
        counts[usize::from(letter.to_ascii_lowercase() - b'a')] += 1.0;
    }
    counts
}

/// Answers with the prompt it was given, after a moment.
#[derive(Default)]
struct Echo {
    under_way: AtomicUsize,
    most: AtomicUsize,
    calls: AtomicUsize,
}

impl ChatModel for Echo {
    fn provider(&self) -> &str {
        "echo"
    }
    fn model(&self) -> &str {
        "echo-1"
    }
    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        async {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            let content = request.messages[0].content.clone();
            if content.ends_with("fail") {
                return Err(Error::new(Kind::BadRequest, "no"));
            }
            Ok(ChatResponse { content, model: "echo-1".to_owned(), ..ChatResponse::default() })
        }
        .boxed()
    }
}

struct Pipeline {
    rag: ParallelRag,
    embedding: Arc<Letters>,
    llm: Arc<Echo>,
}

fn pipeline(documents: &[(&str, &str)], change: impl FnOnce(&mut Config)) -> Pipeline {
    let (embedding, llm) = (Arc::new(Letters::default()), Arc::new(Echo::default()));
    let mut config = Config::new(
        EmbeddingClient::new(embedding.clone(), RetryPolicy::default()),
        LlmClient::new(llm.clone(), RetryPolicy::default()),
    )
    .unwrap();
    change(&mut config);
    let rag = ParallelRag::new(config).unwrap();
    let sources = documents.iter().map(|(source, text)| {
        let (source, text) = ((*source).to_owned(), (*text).to_owned());
        Source::Document(Document { source, text, ..Document::default() })
    });
    let (ingesting, sources) = (rag.clone(), sources.collect::<Vec<_>>());
    runtime::block_on(async move { ingesting.ingest(sources, None).await }).unwrap();
    embedding.texts.lock().unwrap().clear();
    Pipeline { rag, embedding, llm }
}

impl Pipeline {
    fn ask(&self, question: &'static str, asking: Asking) -> Result<Answer> {
        let rag = self.rag.clone();
        runtime::block_on(async move { rag.ask_with(question, &asking).await })
    }

    fn found(&self, question: &'static str, asking: Asking) -> Vec<String> {
        let rag = self.rag.clone();
        let passages = runtime::block_on(async move { rag.search_with(question, &asking).await });
        passages.unwrap().into_iter().map(|passage| passage.source).collect()
    }

    fn ask_many(&self, questions: &[&str], on_error: OnError) -> (Vec<String>, Option<usize>) {
        let questions = questions.iter().map(|question| (*question).to_owned()).collect();
        let many = self.rag.ask_many(questions, Asking::for_top(Some(1)), Some(3), on_error);
        let many = many.unwrap();
        let answers = many.answers();
        let ended = runtime::block_on(async move { Ok(many.work().await) }).unwrap();
        let text = |outcome: Option<Result<Answer>>| match outcome {
            None => "-".to_owned(),
            Some(Ok(answer)) => answer.text.rsplit("Question: ").next().unwrap().to_owned(),
            Some(Err(error)) => error.kind().as_str().to_owned(),
        };
        (answers.take().into_iter().map(text).collect(), ended.and_then(|ended| ended.index))
    }
}

const BIRDS: [(&str, &str); 4] = [
    ("heron", "The heron waits in shallow water."),
    ("swift", "The swift sleeps on the wing."),
    ("code", "Error E4711 means that the nest is full."),
    ("note", "Nests are listed somewhere else."),
];

#[test]
fn words_find_what_letters_do_not_and_nothing_is_embedded_for_them() {
    let birds = pipeline(&BIRDS, |_| ());
    let lexical = Asking { mode: Mode::Lexical, ..Asking::for_top(Some(1)) };
    assert_eq!(birds.found("What is E4711?", lexical.clone()), ["code"]);
    assert!(birds.embedding.texts.lock().unwrap().is_empty());
    let hybrid = Asking { mode: Mode::Hybrid, ..lexical };
    assert_eq!(birds.found("E4711 means that the nest is full", hybrid), ["code"]);
    assert_eq!(*birds.embedding.texts.lock().unwrap(), [1]);
}

#[test]
fn when_nothing_is_good_enough_no_model_is_asked() {
    let birds = pipeline(&BIRDS, |_| ());
    let answer = birds.ask("The swift?", Asking { min_score: Some(1.5), ..Asking::default() });
    let answer = answer.unwrap();
    assert_eq!((answer.text.as_str(), answer.found), (NOTHING_FOUND, false));
    assert!(answer.citations.is_empty() && answer.model.is_empty());
    let unknown = Asking { mode: Mode::Lexical, ..Asking::default() };
    assert!(!birds.ask("Penguins?", unknown).unwrap().found);
    assert_eq!(birds.llm.calls.load(Ordering::SeqCst), 0);
    let answer = birds.ask("The swift?", Asking { min_score: Some(-1.0), ..Asking::default() });
    assert!(answer.unwrap().found);
}

#[test]
fn a_reranker_decides_and_is_held_to_one_score_a_text() {
    let birds = pipeline(&BIRDS, |_| ());
    let by = |score: fn(&str) -> f32| -> Rerank {
        Arc::new(move |question, texts: Vec<String>| {
            assert_eq!(question, "Who?");
            let scores = texts.iter().map(|text| score(text)).collect();
            async { Ok(scores) }.boxed()
        })
    };
    let shortest = Asking { rerank: Some(by(|text| -(text.len() as f32))), ..Asking::default() };
    assert_eq!(birds.found("Who?", shortest.clone()), ["swift", "note", "heron", "code"]);
    let some = Asking { min_score: Some(-32.0), ..shortest };
    assert_eq!(birds.found("Who?", some), ["swift", "note"]);
    let refused = |rerank: Rerank| {
        birds.ask("Who?", Asking { rerank: Some(rerank), ..Asking::default() }).unwrap_err()
    };
    assert!(refused(by(|_| f32::NAN)).message().contains("text 0"));
    let short: Rerank = Arc::new(|_, _| async { Ok(vec![1.0]) }.boxed());
    assert!(refused(short).message().contains("1 scores for 4 texts"));
}

#[test]
fn what_is_out_of_range_is_named() {
    let birds = pipeline(&BIRDS, |_| ());
    for (asking, field) in [
        (Asking { top_k: Some(0), ..Asking::default() }, "top_k"),
        (Asking { diversity: Some(1.5), ..Asking::default() }, "diversity"),
        (Asking { diversity: Some(f32::NAN), ..Asking::default() }, "diversity"),
        (Asking { min_score: Some(f32::NAN), ..Asking::default() }, "min_score"),
        (Asking { max_context_tokens: Some(0), ..Asking::default() }, "max_context_tokens"),
        (Asking { max_context_tokens: Some(3), ..Asking::default() }, "max_context_tokens"),
    ] {
        let error = birds.ask("Who waits?", asking).unwrap_err();
        assert_eq!(error.kind(), Kind::Validation);
        assert!(error.message().contains(field), "{error}");
    }
    assert!("bm25".parse::<Mode>().unwrap_err().message().contains("bm25"));
}

#[test]
fn the_model_reads_the_prompt_it_was_given_and_no_more_passages_than_fit() {
    let birds = pipeline(&BIRDS, |config| {
        config.prompt = Prompt::new("{passages}\nSay it in verse: {question}").unwrap();
    });
    let asking = Asking { max_context_tokens: Some(32), ..Asking::default() };
    let answer = birds.ask("What waits in shallow water?", asking).unwrap();
    assert!(answer.text.starts_with("[1] (heron)\nThe heron waits in shallow water."));
    assert!(answer.text.ends_with("\nSay it in verse: What waits in shallow water?"));
    assert_eq!(answer.citations.len(), 2);
}

#[test]
fn many_questions_have_one_outcome_each_in_their_order() {
    let birds = pipeline(&BIRDS, |config| config.batch_size = 4);
    let questions = ["a", " ", "b", "fail", "c", "poison", "d"];
    let (texts, ended) = birds.ask_many(&questions, OnError::Keep);
    assert_eq!(texts, ["a", "validation", "b", "bad_request", "c", "bad_request", "d"]);
    assert_eq!(ended, None);
    assert_eq!(birds.llm.most.load(Ordering::SeqCst), 3);
    // Two batches without the blank question; of the one that was refused, each by itself.
    let mut batches = birds.embedding.texts.lock().unwrap().clone();
    batches.sort_unstable();
    assert_eq!(batches, [1, 1, 1, 3, 3]);
}

#[test]
fn the_first_failure_ends_many_questions_and_keeps_what_is_done() {
    let birds = pipeline(&BIRDS, |_| ());
    let mut questions = vec!["a"; 40];
    questions[20] = "fail";
    let (texts, ended) = birds.ask_many(&questions, OnError::Stop);
    assert_eq!(ended, Some(20));
    assert_eq!(texts[..15], vec!["a"; 15]);
    assert_eq!(texts[20], "-");
    assert!(birds.llm.calls.load(Ordering::SeqCst) < 30);
    assert_eq!(birds.ask_many(&[], OnError::Stop), (Vec::new(), None));
}
