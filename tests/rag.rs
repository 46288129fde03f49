//! The retrieval pipeline from outside: outcomes, replacement, bounded work, answers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use graphbit::embeddings::{EmbeddingClient, EmbeddingModel};
use graphbit::llm::LlmClient;
use graphbit::local::Extractive;
use graphbit::rag::{
    Config, IngestReport, OnProgress, ParallelRag, Progress, Source, Sources, Stats,
};
use graphbit::resilience::RetryPolicy;
use graphbit::types::{Document, EmbeddingUsage, Embeddings, Matrix};
use graphbit::{Error, Kind, Result, runtime};

/// Embeds a text by counting letters; refuses texts that hold "poison"; may be slow.
#[derive(Default)]
struct Letters {
    pause: Duration,
    under_way: AtomicUsize,
    most: AtomicUsize,
    calls: AtomicUsize,
}

impl EmbeddingModel for Letters {
    fn provider(&self) -> &str {
        "letters"
    }
    fn model(&self) -> &str {
        "letters-1"
    }
    fn dimensions(&self) -> Option<usize> {
        // Known once it has answered, as of models that are loaded on first use.
        (self.calls.load(Ordering::SeqCst) > 0).then_some(26)
    }
    fn max_batch(&self) -> usize {
        2048
    }
    fn embed<'a>(&'a self, texts: &'a [String], _: bool) -> BoxFuture<'a, Result<Embeddings>> {
        async move {
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.calls.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(self.pause).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            if texts.iter().any(|text| text.contains("poison")) {
                return Err(Error::new(Kind::BadRequest, "the server refused poison"));
            }
            let rows: Vec<Vec<f32>> = texts.iter().map(|text| letters(text)).collect();
            let tokens = texts.len() as u64;
            Ok(Embeddings {
                vectors: Matrix::from_rows(&rows)?,
                usage: EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens },
                pace: None,
            })
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

fn pipeline(model: &Arc<Letters>, change: impl FnOnce(&mut Config)) -> ParallelRag {
    let embedding = EmbeddingClient::new(model.clone(), RetryPolicy::default());
    let llm = LlmClient::new(Arc::new(Extractive), RetryPolicy::default());
    let mut config = Config::new(embedding, llm).unwrap();
    change(&mut config);
    ParallelRag::new(config).unwrap()
}

fn document(source: &str, text: &str) -> Source {
    let (source, text) = (source.to_owned(), text.to_owned());
    Source::Document(Document { source, text, ..Document::default() })
}

fn ingest(rag: &ParallelRag, sources: Vec<Source>) -> IngestReport {
    let rag = rag.clone();
    runtime::block_on(async move { rag.ingest(sources, None).await }).unwrap()
}

fn ask(rag: &ParallelRag, question: &'static str) -> Result<graphbit::rag::Answer> {
    let rag = rag.clone();
    runtime::block_on(async move { rag.ask(question, None).await })
}

fn stats(rag: &ParallelRag) -> Stats {
    let rag = rag.clone();
    runtime::block_on(async move { rag.stats().await }).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("graphbit-rag-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn one_outcome_a_document_in_order_and_nothing_lost_of_what_succeeded() {
    let root = folder("mixed");
    std::fs::write(root.join("good.txt"), "Bees make honey.").unwrap();
    std::fs::write(root.join("photo.png"), b"\x89PNG\0\0").unwrap();
    let rag = pipeline(&Arc::default(), |config| config.batch_size = 1);
    let report = ingest(
        &rag,
        vec![
            document("first", "Ants carry leaves."),
            Source::Path(root.clone()),
            document("bad", "poison"),
            document("blank", "  \n "),
            Source::Path(root.join("missing.txt")),
            document("first", "Given again."),
            document("last", "Owls hunt at night."),
        ],
    );
    let seen: Vec<_> = report
        .outcomes
        .iter()
        .map(|outcome| {
            let name = outcome.source.rsplit('/').next().unwrap();
            (name, outcome.chunks, outcome.error.as_deref().unwrap_or("").to_owned())
        })
        .collect();
    assert_eq!(
        seen.iter().map(|it| it.0).collect::<Vec<_>>(),
        ["first", "good.txt", "photo.png", "bad", "blank", "missing.txt", "first", "last"]
    );
    assert_eq!(seen.iter().map(|it| it.1).collect::<Vec<_>>(), [1, 1, 0, 0, 0, 0, 0, 1]);
    assert!(seen[2].2.contains("photo.png") && seen[2].2.contains("binary"), "{}", seen[2].2);
    assert!(seen[3].2.contains("the server refused poison"));
    assert_eq!(seen[4].2, "");
    assert!(seen[5].2.contains("missing.txt"));
    assert!(seen[6].2.contains("given twice"));
    assert_eq!((report.documents, report.chunks, report.tokens), (4, 3, 3));
    assert_eq!(stats(&rag).failed_documents, 4);
    assert!(ask(&rag, "What do bees make?").unwrap().text.contains("Bees make honey."));
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_failed_batch_leaves_no_half_document_behind() {
    let long = format!("{}\n\npoison\n\n{}", "alpha ".repeat(150), "omega ".repeat(150));
    let rag = pipeline(&Arc::default(), |config| config.batch_size = 1);
    let report = ingest(&rag, vec![document("long", &long), document("fine", "Plain words.")]);
    assert!(report.outcomes[0].error.is_some());
    assert_eq!(stats(&rag).chunks, 1);
    assert_eq!(stats(&rag).documents, 1);
}

#[test]
fn ingesting_a_source_again_replaces_its_chunks() {
    let rag = pipeline(&Arc::default(), |_| ());
    let long = "Zebras zigzag. ".repeat(200);
    let first = ingest(&rag, vec![document("notes", &long), document("other", "Bees make honey.")]);
    assert!(first.outcomes[0].chunks > 2);
    ingest(&rag, vec![document("notes", "Yaks yawn.")]);
    assert_eq!(stats(&rag).chunks, 2);
    assert_eq!(stats(&rag).documents, 2);
    let answer = ask(&rag, "Do zebras zigzag?").unwrap();
    assert!(answer.citations.iter().all(|citation| !citation.passage.text.contains("Zebras")));
}

#[test]
fn an_answer_cites_the_passages_it_quotes() {
    let rag = pipeline(&Arc::default(), |_| ());
    ingest(
        &rag,
        vec![document("bees", "Bees make honey."), document("owls", "Owls hunt by night.")],
    );
    let answer = ask(&rag, "What do owls hunt by?").unwrap();
    let cited: Vec<_> = answer.citations.iter().filter(|citation| citation.cited).collect();
    assert_eq!(cited.len(), 1);
    assert_eq!(cited[0].passage.source, "owls");
    assert!(answer.text.contains(&format!("[{}]", cited[0].number)));
    assert_eq!((cited[0].passage.start_char, cited[0].passage.end_char), (0, 19));
    assert_eq!(answer.model, "extractive");
}

#[test]
fn impossible_questions_are_refused_with_the_reason() {
    let rag = pipeline(&Arc::default(), |_| ());
    let empty = ask(&rag, "Anything?").unwrap_err();
    assert_eq!(empty.kind(), Kind::Store);
    assert!(empty.message().contains("empty"));
    let blank = ask(&rag, "  ").unwrap_err();
    assert_eq!(blank.kind(), Kind::Validation);
    let asked = rag;
    let none = runtime::block_on(async move { asked.search("x", Some(0)).await }).unwrap_err();
    assert!(none.message().contains("top_k"), "{none}");
    let embedding = EmbeddingClient::new(Arc::new(Letters::default()), RetryPolicy::default());
    let llm = LlmClient::new(Arc::new(Extractive), RetryPolicy::default());
    let config = Config { batch_size: 0, ..Config::new(embedding, llm).unwrap() };
    assert!(ParallelRag::new(config).err().unwrap().message().contains("batch_size"));
}

#[test]
fn batches_run_at_once_up_to_the_limit() {
    let model = Arc::new(Letters { pause: Duration::from_millis(30), ..Letters::default() });
    let rag = pipeline(&model, |config| {
        config.batch_size = 1;
        config.max_concurrency = Some(5);
    });
    let sources = (0..40)
        .map(|index| document(&format!("d{index}"), &format!("Some words {index}.")))
        .collect();
    let started = Instant::now();
    let report = ingest(&rag, sources);
    let elapsed = started.elapsed();
    assert_eq!(report.documents, 40);
    assert_eq!(model.most.load(Ordering::SeqCst), 5);
    assert!(elapsed < Duration::from_millis(40 * 30 / 2), "{elapsed:?}");
    assert!(report.seconds.embed > 0.2 && report.seconds.embed <= report.seconds.wall);
}

#[test]
fn small_documents_share_a_request() {
    let model = Arc::new(Letters::default());
    let rag = pipeline(&model, |_| ());
    let sources = (0..128)
        .map(|index| document(&format!("d{index}"), &format!("Some words {index}.")))
        .collect();
    ingest(&rag, sources);
    assert_eq!(model.calls.load(Ordering::SeqCst), 2);
}

#[test]
fn progress_ends_with_the_final_state_and_a_slow_callback_holds_nothing_up() {
    let model = Arc::new(Letters { pause: Duration::from_millis(5), ..Letters::default() });
    let rag = pipeline(&model, |config| config.batch_size = 1);
    let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let log = Arc::clone(&seen);
    let callback: OnProgress = Arc::new(move |progress| {
        log.lock().unwrap().push(progress);
        std::thread::sleep(Duration::from_millis(100));
    });
    let sources: Vec<_> = (0..300)
        .map(|index| document(&format!("d{index}"), &format!("Some words {index}.")))
        .collect();
    let started = Instant::now();
    runtime::block_on(async move { rag.ingest(sources, Some(callback)).await }).unwrap();
    assert!(started.elapsed() < Duration::from_secs(3));
    let seen = seen.lock().unwrap();
    assert!(seen.len() < 30, "{} reports", seen.len());
    let last = seen.last().unwrap();
    assert!(last.finished);
    assert_eq!((last.documents_total, last.documents_done, last.chunks_done), (300, 300, 300));
}

#[test]
fn stopping_an_ingest_keeps_the_documents_that_were_done() {
    let model = Arc::new(Letters { pause: Duration::from_millis(20), ..Letters::default() });
    let rag = pipeline(&model, |config| {
        config.batch_size = 1;
        config.max_concurrency = Some(2);
    });
    let sources: Vec<_> = (0..500)
        .map(|index| document(&format!("d{index}"), &format!("Some words {index}.")))
        .collect();
    let running = rag.clone();
    let task = runtime::spawn(async move { running.ingest(sources, None).await });
    std::thread::sleep(Duration::from_millis(300));
    drop(task);
    std::thread::sleep(Duration::from_millis(100));
    let calls = model.calls.load(Ordering::SeqCst);
    let documents = stats(&rag).documents;
    assert!((4..200).contains(&documents), "{documents} documents");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(model.calls.load(Ordering::SeqCst), calls, "work went on after the stop");
    assert!(ask(&rag, "Which words?").is_ok());
}

#[test]
fn what_the_store_holds_is_not_embedded_again() {
    let model = Arc::new(Letters::default());
    let rag = pipeline(&model, |_| ());
    let long = "Zebras zigzag. ".repeat(200);
    let sources = || vec![document("long", &long), document("bees", "Bees make honey.")];
    let first = ingest(&rag, sources());
    assert_eq!((first.documents, first.unchanged), (2, 0));
    let calls = model.calls.load(Ordering::SeqCst);
    // Another pipeline over the same store, with a splitter that cuts the short document the same.
    let again = pipeline(&model, |config| {
        config.store = Arc::clone(&rag.config().store);
        config.splitter = Arc::new(graphbit::split::RecursiveSplitter::new(400, 0, None).unwrap());
    });
    assert_eq!(stats(&again).documents, 2);
    let second = ingest(&rag, sources());
    assert_eq!((second.documents, second.unchanged, second.chunks, second.tokens), (2, 2, 0, 0));
    assert_eq!(second.outcomes[0].chunks, first.outcomes[0].chunks);
    assert_eq!(model.calls.load(Ordering::SeqCst), calls);
    let third = ingest(&again, sources());
    let unchanged: Vec<bool> = third.outcomes.iter().map(|outcome| outcome.unchanged).collect();
    assert_eq!(unchanged, [false, true]);
    let Source::Document(mut named) = document("bees", "Bees make honey.") else { unreachable!() };
    named.metadata.insert("page".to_owned(), "7".to_owned());
    assert_eq!(
        ingest(&again, vec![Source::Document(named)]).unchanged,
        0,
        "new metadata is a change"
    );
}

#[test]
fn a_refused_text_costs_its_own_document_only() {
    let rag = pipeline(&Arc::default(), |_| ());
    let texts = ["Ants carry leaves.", "poison", "Bees make honey.", "poison too"];
    let sources: Vec<_> =
        texts.iter().enumerate().map(|(at, text)| document(&format!("d{at}"), text)).collect();
    let report = ingest(&rag, sources);
    let stored: Vec<_> = report.outcomes.iter().map(|outcome| outcome.error.is_none()).collect();
    assert_eq!(stored, [true, false, true, false]);
    assert!(report.outcomes[3].error.as_deref().unwrap().contains("refused poison"));
}

#[test]
fn equal_texts_are_embedded_once_and_stored_each() {
    let model = Arc::new(Letters { pause: Duration::from_millis(5), ..Letters::default() });
    let rag = pipeline(&model, |config| config.batch_size = 8);
    let text = |index: usize| format!("Number {}.", ["one", "two", "three"][index % 3]);
    let sources: Vec<_> =
        (0..300).map(|index| document(&format!("d{index}"), &text(index))).collect();
    let report = ingest(&rag, sources);
    assert_eq!((report.documents, report.chunks, report.tokens), (300, 300, 3));
    assert_eq!(stats(&rag).chunks, 300);
}

#[test]
fn a_mirror_deletes_what_is_gone_from_its_folders_and_nothing_else() {
    let root = folder("mirror");
    for name in ["a.txt", "b.txt", "c.md"] {
        std::fs::write(root.join(name), format!("Words of {name}.")).unwrap();
    }
    let rag = pipeline(&Arc::default(), |_| ());
    ingest(&rag, vec![Source::Path(root.clone()), document("elsewhere", "Owls hunt by night.")]);
    for name in ["b.txt", "c.md"] {
        std::fs::remove_file(root.join(name)).unwrap();
    }
    let mirror = |path: PathBuf| {
        let rag = rag.clone();
        let work = async move { rag.mirror(vec![Source::Path(path)], None).await };
        runtime::block_on(work).unwrap()
    };
    assert_eq!(ingest(&rag, vec![Source::Path(root.clone())]).deleted, 0);
    let report = mirror(root.join("*.txt"));
    assert_eq!((report.deleted, report.unchanged, stats(&rag).documents), (1, 1, 3));
    assert_eq!(mirror(root.clone()).deleted, 1);
    assert_eq!(mirror(root.join("no-such-folder")).deleted, 0);
    assert_eq!((stats(&rag).documents, stats(&rag).chunks), (2, 2));
    std::fs::remove_dir_all(root).unwrap();
}

/// Sources without end that count how many were drawn.
fn endless(drawn: &Arc<AtomicUsize>) -> Sources {
    let drawn = Arc::clone(drawn);
    Sources::drawn(futures_util::stream::repeat_with(move || {
        let number = drawn.fetch_add(1, Ordering::SeqCst);
        Ok(document(&format!("d{number}"), &format!("Words of number {number}.")))
    }))
}

#[test]
fn a_stream_without_end_is_drawn_as_its_outcomes_are_read() {
    let drawn = Arc::new(AtomicUsize::new(0));
    let rag = pipeline(&Arc::default(), |config| {
        config.batch_size = 4;
        config.max_concurrency = Some(2);
    });
    let mut stream = rag.ingest_stream(endless(&drawn), None);
    let (names, mut stream) = runtime::block_on(async move {
        let mut names = Vec::new();
        for _ in 0..500 {
            names.push(stream.next().await?.unwrap().source);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok((names, stream))
    })
    .unwrap();
    let expected: Vec<_> = (0..500).map(|number| format!("d{number}")).collect();
    assert_eq!(names, expected);
    let ahead = drawn.load(Ordering::SeqCst) - 500;
    assert!(ahead < 150, "{ahead} documents drawn ahead of a reader that rests");
    runtime::block_on(async move {
        stream.next().await?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_slow_source_does_not_keep_its_first_document_waiting_and_its_error_comes_last() {
    let rag = pipeline(&Arc::default(), |_| ());
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let sources = futures_util::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    let mut stream = rag.ingest_stream(Sources::drawn(sources), None);
    runtime::block_on(async move {
        for text in ["Ants carry leaves.", "Bees make honey."] {
            // The next one is sent only when this one is stored, under a name that comes again.
            sender.send(Ok(document("news", text))).await.unwrap();
            let outcome = stream.next().await?.unwrap();
            assert_eq!((outcome.source.as_str(), outcome.chunks), ("news", 1));
        }
        sender.send(Ok(document("last", "Owls hunt."))).await.unwrap();
        sender.send(Err(Error::new(Kind::Document, "the tape broke"))).await.unwrap();
        assert_eq!(stream.next().await?.unwrap().source, "last");
        assert_eq!(stream.next().await.unwrap_err().message(), "the tape broke");
        assert_eq!(stream.next().await?, None);
        Ok(())
    })
    .unwrap();
    assert_eq!((stats(&rag).documents, stats(&rag).chunks), (2, 2));
}

#[test]
fn documents_of_many_formats_are_read_and_strange_ones_are_outcomes() {
    let root = folder("formats");
    std::fs::write(root.join("page.htm"), "<h1>Kiwi</h1><p>A bird that cannot fly.</p>").unwrap();
    std::fs::write(root.join("data.bin"), b"a\0b").unwrap();
    std::fs::write(root.join("paper.odt"), b"PK").unwrap();
    std::fs::write(root.join("table.csv"), "bird,flies\nkiwi,no\n").unwrap();
    let rag = pipeline(&Arc::default(), |_| ());
    let report = ingest(&rag, vec![Source::Path(root.clone())]);
    let errors: Vec<_> =
        report.outcomes.iter().map(|it| it.error.as_deref().unwrap_or("")).collect();
    assert!(errors[0].contains("data.bin") && errors[0].contains("binary"), "{}", errors[0]);
    assert!(errors[2].contains("Unsupported document type: odt"), "{}", errors[2]);
    assert_eq!((errors[1], errors[3]), ("", ""));
    let store = Arc::clone(&rag.config().store);
    let entries = runtime::block_on(store.entries(None, None, 100).run()).unwrap();
    let texts: Vec<_> = entries.iter().map(|stored| stored.entry.text.clone()).collect();
    assert!(texts[0].contains("Kiwi") && !texts[0].contains('<'), "{texts:?}");
    assert!(texts[1].contains("flies"), "{texts:?}");
    std::fs::remove_dir_all(root).unwrap();
}
