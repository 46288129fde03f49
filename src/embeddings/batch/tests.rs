use super::*;
use crate::embeddings::{EmbeddingModel, Excess};
use crate::resilience::RetryPolicy;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Embeds a number as itself. Later texts answer sooner; text "fail" fails its batch, and a
/// batch that begins with "hang" is never answered.
#[derive(Default)]
struct Numbers {
    now: AtomicUsize,
    most: AtomicUsize,
    batches: Mutex<Vec<usize>>,
}

impl EmbeddingModel for Numbers {
    fn provider(&self) -> &str {
        "test"
    }
    fn model(&self) -> &str {
        "numbers"
    }
    fn dimensions(&self) -> Option<usize> {
        Some(1)
    }
    fn max_batch(&self) -> usize {
        10
    }
    fn embed<'a>(&'a self, texts: &'a [String], _: bool) -> BoxFuture<'a, Result<Embeddings>> {
        Box::pin(async move {
            self.batches.lock().unwrap().push(texts.len());
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            if texts[0] == "hang" {
                std::future::pending::<()>().await;
            }
            let first: u64 = texts[0].parse().unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(40_u64.saturating_sub(first))).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            if texts.iter().any(|text| text == "fail") {
                return Err(Error::new(Kind::BadRequest, "refused"));
            }
            let rows: Vec<_> = texts.iter().map(|text| vec![text.parse().unwrap()]).collect();
            let usage = EmbeddingUsage { prompt_tokens: 1, total_tokens: 2 };
            Ok(Embeddings { vectors: Matrix::from_rows(&rows)?, usage, pace: None })
        })
    }
}

fn client() -> (EmbeddingClient, Arc<Numbers>) {
    let model = Arc::new(Numbers::default());
    (EmbeddingClient::new(model.clone(), RetryPolicy::default()), model)
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

fn run<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    runtime::block_on(work)
}

#[test]
fn rows_keep_the_order_of_the_texts_and_concurrency_its_bound() {
    let (client, model) = client();
    let options =
        EmbedOptions { batch_size: Some(3), max_concurrency: Some(4), ..EmbedOptions::default() };
    let answer = run(async move { client.embed_all(texts(32), options).await }).unwrap();
    let expected: Vec<f32> = (0..32_u8).map(f32::from).collect();
    assert_eq!(answer.vectors.as_slice(), expected);
    assert_eq!(answer.usage, EmbeddingUsage { prompt_tokens: 11, total_tokens: 22 });
    assert_eq!(model.most.load(Ordering::SeqCst), 4);
}

#[test]
fn embed_many_splits_at_the_models_limit_only() {
    let (client, model) = client();
    let answer = run(async move {
        client.embed_many(texts(10)).await?;
        client.embed_many(texts(21)).await
    });
    assert_eq!(answer.unwrap().vectors.rows(), 21);
    let mut batches = model.batches.lock().unwrap().clone();
    batches.sort_unstable();
    assert_eq!(batches, [1, 10, 10, 10]);
}

#[test]
fn a_failed_batch_raises_or_leaves_nan_as_asked() {
    let with = |on_error| {
        let (client, _) = client();
        let mut texts = texts(6);
        texts[3] = "fail".to_owned();
        let options = EmbedOptions { batch_size: Some(2), on_error, ..EmbedOptions::default() };
        run(async move { client.embed_all(texts, options).await })
    };
    assert_eq!(with(OnError::Raise).unwrap_err().kind(), Kind::BadRequest);
    let answer = with(OnError::Nan).unwrap();
    let nan: Vec<bool> = answer.vectors.as_slice().iter().map(|value| value.is_nan()).collect();
    assert_eq!(nan, [false, false, true, true, false, false]);
    let (client, _) = client();
    let options = EmbedOptions { on_error: OnError::Nan, ..EmbedOptions::default() };
    let all = run(async move { client.embed_all(vec!["fail".to_owned()], options).await });
    assert_eq!(all.unwrap_err().kind(), Kind::BadRequest);
}

#[test]
fn progress_is_told_and_can_end_the_call() {
    let (client, _) = client();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let on_progress: OnProgress = Arc::new(move |done, total| {
        sink.lock().unwrap().push((done, total));
        let stop = done >= 4;
        Box::pin(async move { if stop { Err(Error::new(Kind::Callback, "stop")) } else { Ok(()) } })
    });
    let options = EmbedOptions {
        batch_size: Some(2),
        max_concurrency: Some(1),
        on_progress: Some(on_progress),
        ..EmbedOptions::default()
    };
    let result = run(async move { client.embed_all(texts(8), options).await });
    assert_eq!(result.unwrap_err().message(), "stop");
    assert_eq!(*seen.lock().unwrap(), [(2, 8), (4, 8)]);
}

#[test]
fn zero_options_are_named_and_nothing_is_nothing() {
    let (client, _) = client();
    for field in ["batch_size", "max_concurrency"] {
        let size = |name: &str| (field == name).then_some(0);
        let options = EmbedOptions {
            batch_size: size("batch_size"),
            max_concurrency: size("max_concurrency"),
            ..EmbedOptions::default()
        };
        let client = client.clone();
        let error = run(async move { client.embed_all(texts(1), options).await }).unwrap_err();
        assert!(error.message().contains(field), "{error}");
    }
    let none = run(async move { client.embed_all(vec![], EmbedOptions::default()).await });
    assert_eq!(none.unwrap().vectors.rows(), 0);
}

#[test]
fn a_failed_group_leaves_the_others_alone() {
    let (client, _) = client();
    let groups = vec![texts(2), vec!["fail".into()], vec![], texts(25)];
    let outcome = run(async move { client.embed_groups(groups, 2, None).await }).unwrap();
    let rows: Vec<_> = outcome
        .groups
        .iter()
        .map(|group| group.as_ref().map(|answer| answer.vectors.rows()).map_err(Error::kind))
        .collect();
    assert_eq!(rows, [Ok(2), Err(Kind::BadRequest), Ok(0), Ok(25)]);
}

#[test]
fn a_timeout_keeps_what_was_finished() {
    let (client, _) = client();
    let groups = vec![vec!["0".to_owned()], vec!["39".to_owned()]];
    let limit = Some(Duration::from_millis(20));
    let both = groups.clone();
    let other = client.clone();
    let outcome = run(async move { other.embed_groups(both, 2, limit).await }).unwrap();
    assert_eq!(outcome.groups[0].as_ref().unwrap_err().kind(), Kind::Timeout);
    assert!(outcome.groups[1].is_ok());
    let none = run(async move { client.embed_groups(groups, 1, limit).await });
    assert_eq!(none.unwrap_err().message(), "LLM error: Batch request timed out");
}

#[test]
fn finished_rows_outlive_a_failure() {
    let (client, _) = client();
    let mut texts = texts(6);
    texts[5] = "fail".to_owned();
    let options =
        EmbedOptions { batch_size: Some(2), max_concurrency: Some(1), ..EmbedOptions::default() };
    let rows = client.embed_rows(texts, options);
    let gathered = rows.gathered();
    assert_eq!(run(rows.work()).unwrap_err().kind(), Kind::BadRequest);
    let some = gathered.take();
    assert_eq!(some.finished, [0..2, 2..4]);
    assert_eq!(some.vectors.as_slice()[..4], [0.0, 1.0, 2.0, 3.0]);
    assert!(some.vectors.as_slice()[4..].iter().all(|value| value.is_nan()));
    assert!(gathered.take().finished.is_empty());
}

#[test]
fn finished_rows_outlive_work_that_is_given_up() {
    let (client, _) = client();
    let mut texts = texts(6);
    texts[2] = "hang".to_owned();
    let done = Arc::new(AtomicUsize::new(0));
    let sink = Arc::clone(&done);
    let on_progress: OnProgress = Arc::new(move |done, _| {
        sink.store(done, Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    });
    let options = EmbedOptions {
        batch_size: Some(2),
        on_progress: Some(on_progress),
        ..EmbedOptions::default()
    };
    let rows = client.embed_rows(texts, options);
    let gathered = rows.gathered();
    let work = runtime::spawn(rows.work());
    while done.load(Ordering::SeqCst) < 4 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(work);
    let some = gathered.take();
    assert_eq!(some.finished, [0..2, 4..6]);
    let shown: Vec<_> = some.vectors.as_slice().iter().map(f32::to_string).collect();
    assert_eq!(shown, ["0", "1", "NaN", "NaN", "4", "5"]);
    let nothing = client.embed_rows(vec!["1".into()], EmbedOptions::default()).gathered().take();
    assert_eq!((nothing.vectors.dimensions(), nothing.finished), (0, vec![]));
}

#[test]
fn finished_groups_outlive_work_that_is_given_up() {
    let (client, _) = client();
    let groups = client.each_group(vec![vec!["hang".into()], vec!["39".into()]], 2, None);
    let gathered = groups.gathered();
    let work = runtime::spawn(groups.work());
    let mut found = [None, None];
    while found[1].is_none() {
        for (place, outcome) in found.iter_mut().zip(gathered.take()) {
            *place = outcome.map(Result::unwrap).or(place.take());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(work);
    assert!(found[0].is_none());
    assert_eq!(found[1].as_ref().unwrap().vectors.as_slice(), [39.0]);
}

/// Embeds a text as its length. Refuses more than `most` texts a request, and "too long" ever.
#[derive(Default)]
struct Picky {
    most: usize,
    tokens: Option<usize>,
    /// Says by itself which text is too long.
    precise: bool,
    batches: Mutex<Vec<Vec<String>>>,
}

impl EmbeddingModel for Picky {
    fn provider(&self) -> &str {
        "test"
    }
    fn model(&self) -> &str {
        "picky"
    }
    fn dimensions(&self) -> Option<usize> {
        Some(1)
    }
    fn max_batch(&self) -> usize {
        8
    }
    fn max_request_tokens(&self) -> Option<usize> {
        self.tokens
    }
    fn tokens(&self, text: &str) -> usize {
        text.len().div_ceil(2)
    }
    fn excess(&self, error: &Error) -> Option<Excess> {
        let number = error.message().strip_prefix("LLM error: number ");
        number
            .and_then(|number| number.parse().ok())
            .map(Excess::Text)
            .or_else(|| error.message().contains("too much").then_some(Excess::Request))
    }
    fn embed<'a>(&'a self, texts: &'a [String], _: bool) -> BoxFuture<'a, Result<Embeddings>> {
        self.batches.lock().unwrap().push(texts.to_vec());
        let long = texts.iter().position(|text| text == "too long");
        let refuse = |text: String| Err(Error::new(Kind::BadRequest, text));
        let answer = match long {
            Some(number) if self.precise => refuse(format!("LLM error: number {number}")),
            _ if long.is_some() || texts.len() > self.most => refuse("LLM error: too much".into()),
            _ => {
                let rows: Vec<_> = texts
                    .iter()
                    .map(|text| vec![text.len().to_string().parse().unwrap()])
                    .collect();
                let usage = EmbeddingUsage { prompt_tokens: 1, total_tokens: 1 };
                Matrix::from_rows(&rows).map(|vectors| Embeddings { vectors, usage, pace: None })
            }
        };
        Box::pin(async move { answer })
    }
}

fn ask(model: Picky, texts: &[&str], on_error: OnError) -> (Result<Embeddings>, Vec<usize>) {
    let model = Arc::new(model);
    let client = EmbeddingClient::new(model.clone(), RetryPolicy::default());
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    let options = EmbedOptions { max_concurrency: Some(1), on_error, ..EmbedOptions::default() };
    let answer = run(async move { client.embed_all(texts, options).await });
    let batches = model.batches.lock().unwrap().iter().map(Vec::len).collect();
    (answer, batches)
}

#[test]
fn a_plan_keeps_to_texts_and_tokens() {
    let plan = |tokens, texts: &[&str], size| {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let model = Picky { tokens, ..Picky::default() };
        Plan::new(&texts, &model, size).map(|range| range.len()).collect::<Vec<_>>()
    };
    let texts = ["aaaa"; 20];
    assert_eq!(plan(None, &texts, usize::MAX), [8, 8, 4]);
    assert_eq!(plan(None, &texts, 7), [7, 7, 6]);
    // Ten tokens are five texts; their bytes alone would say two.
    assert_eq!(plan(Some(10), &texts, usize::MAX), [5, 5, 5, 5]);
    assert_eq!(plan(Some(40), &texts, usize::MAX), [8, 8, 4]);
    assert_eq!(plan(Some(3), &["aaaaaaaaaa", "", "a", "aaaaaa", "a"], 8), [1, 2, 1, 1]);
    assert_eq!(plan(Some(3), &[], 8), [0_usize; 0]);
}

#[test]
fn a_refused_amount_is_divided_until_it_fits() {
    let texts = ["", "1", "22", "333", "4444", "55555", "666666"];
    let (answer, batches) = ask(Picky { most: 2, ..Picky::default() }, &texts, OnError::Raise);
    let answer = answer.unwrap();
    assert_eq!(answer.vectors.as_slice(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(answer.usage.total_tokens, 4);
    assert_eq!(batches, [7, 3, 1, 2, 4, 2, 2]);
    // A single text that is too much for the server stays an error, and is asked for once.
    let (answer, batches) = ask(Picky::default(), &["a"], OnError::Raise);
    assert_eq!(answer.unwrap_err().message(), "LLM error: text 0 is too long: too much");
    assert_eq!(batches, [1]);
}

#[test]
fn a_text_that_is_too_long_is_named_by_its_position() {
    let mut texts = ["a"; 12];
    texts[10] = "too long";
    for (precise, named) in [(false, "too much"), (true, "number 2")] {
        let model = || Picky { most: 8, precise, ..Picky::default() };
        let (answer, batches) = ask(model(), &texts, OnError::Raise);
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), Kind::BadRequest);
        assert_eq!(error.message(), format!("LLM error: text 10 is too long: {named}"));
        assert_eq!(batches, if precise { vec![8, 4] } else { vec![8, 4, 2, 2, 1] });
        // The others keep their rows where a failure is not the call's.
        let (answer, _) = ask(model(), &texts, OnError::Nan);
        let rows = answer.unwrap().vectors.into_vec();
        let nan: Vec<usize> = (0..12).filter(|row| rows[*row].is_nan()).collect();
        assert_eq!(nan, [10]);
        let (answer, _) = ask(model(), &["too long"; 3], OnError::Nan);
        assert!(answer.unwrap_err().message().starts_with("LLM error: text 0 is too long"));
    }
}
