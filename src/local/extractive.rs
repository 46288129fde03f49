//! A chat "model" without a language model: it answers by quoting.
//!
//! It picks the sentences that best match the question from the request's passages, or, when there are
//! none, from the prompt's own paragraphs, quotes them word for word with the passage's number, and says
//! so. It refuses to invent: when nothing matches it says that instead. Usage counts words.
//!
//! ```
//! use graphbit::llm::ChatModel;
//! use graphbit::local::Extractive;
//! use graphbit::types::ChatRequest;
//!
//! let prompt = "A tuple is immutable.\n\nA list is a mutable sequence.\n\nWhat is a list?";
//! let answer = graphbit::runtime::block_on(async move {
//!     Extractive.complete(&ChatRequest::from_prompt(prompt)).await
//! })?;
//! assert!(answer.content.contains("\u{201c}A list is a mutable sequence.\u{201d} [2]"));
//! # Ok::<(), graphbit::Error>(())
//! ```

use std::collections::BTreeMap;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream;

use super::relevance::{Source, best_sentences, count_words};
use crate::error::Result;
use crate::llm::{ChatModel, ChatStream};
use crate::runtime;
use crate::types::{ChatEvent, ChatRequest, ChatResponse, FinishReason, Role, Usage};

const NAME: &str = "extractive";
const QUOTES: usize = 3;
const FROM_PASSAGES: &str = "Quoted from the passages; no language model was used.";
const FROM_PROMPT: &str =
    "Quoted from the prompt ([n] is its paragraph n); no language model was used.";
const NOTHING_FOUND: &str =
    "Nothing relevant to the question was found in the given text; no language model was used.";

/// The quoting answerer. It has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extractive;

/// An answer in the pieces a stream delivers.
struct Quoted {
    pieces: Vec<String>,
    usage: Usage,
    finish_reason: FinishReason,
}

impl Extractive {
    /// Answers off the runtime's workers: a prompt may be a hundred megabytes.
    async fn answer(request: &ChatRequest) -> Result<Quoted> {
        let request = request.clone();
        runtime::spawn_blocking(move || Ok(quote(&request))).await
    }
}

impl ChatModel for Extractive {
    fn provider(&self) -> &str {
        NAME
    }

    fn model(&self) -> &str {
        NAME
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        async move {
            let answer = Self::answer(request).await?;
            Ok(ChatResponse {
                content: answer.pieces.concat(),
                model: NAME.to_owned(),
                usage: answer.usage,
                finish_reason: answer.finish_reason,
                ..ChatResponse::default()
            })
        }
        .boxed()
    }

    fn stream<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatStream>> {
        async move {
            let answer = Self::answer(request).await?;
            let end = ChatEvent::Done {
                usage: Some(answer.usage),
                finish_reason: answer.finish_reason,
                metadata: BTreeMap::default(),
            };
            let events = answer.pieces.into_iter().map(ChatEvent::Text).chain(std::iter::once(end));
            Ok(Box::pin(stream::iter(events.map(Ok))) as ChatStream)
        }
        .boxed()
    }
}

fn quote(request: &ChatRequest) -> Quoted {
    let asked = request.messages.iter().rposition(|message| message.role == Role::User);
    let prompt =
        asked.and_then(|index| request.messages.get(index)).map_or("", |message| &message.content);
    let (question, rest) = split_question(prompt);
    let (heading, quotes) = if request.passages.is_empty() {
        let others = request.messages.iter().enumerate().filter(|(index, _)| Some(*index) != asked);
        let texts: Vec<&str> =
            others.map(|(_, message)| message.content.as_str()).chain(rest).collect();
        let paragraphs =
            texts.iter().flat_map(|text| text.split("\n\n")).filter(|text| !text.trim().is_empty());
        let sources: Vec<Source<'_>> = paragraphs
            .enumerate()
            .map(|(index, text)| Source { number: index + 1, text })
            .collect();
        (FROM_PROMPT, best_sentences(question, &sources, QUOTES))
    } else {
        let sources: Vec<Source<'_>> = request
            .passages
            .iter()
            .enumerate()
            .map(|(index, passage)| Source { number: index + 1, text: &passage.text })
            .collect();
        (FROM_PASSAGES, best_sentences(question, &sources, QUOTES))
    };
    let mut pieces = vec![if quotes.is_empty() { NOTHING_FOUND } else { heading }.to_owned()];
    let mut words = pieces.iter().map(|piece| count_words(piece)).sum::<u64>();
    let mut finish_reason = FinishReason::Stop;
    for quote in quotes {
        let piece = format!("\n\u{201c}{}\u{201d} [{}]", quote.text, quote.number);
        let more = count_words(&piece);
        // A sentence is quoted whole or not at all.
        if request.max_tokens.is_some_and(|most| words + more > u64::from(most)) {
            finish_reason = FinishReason::Length;
            break;
        }
        words += more;
        pieces.push(piece);
    }
    let asked: u64 = request.messages.iter().map(|message| count_words(&message.content)).sum();
    Quoted { pieces, usage: Usage::new(asked, words), finish_reason }
}

/// Finds the question in a prompt: what follows the last `Question:`, else the last sentence with a
/// question mark, else the last line. The second part is what is left around it.
fn split_question(prompt: &str) -> (&str, [&str; 2]) {
    let parts = |start: usize, end: usize| {
        let piece = |range: std::ops::Range<usize>| prompt.get(range).unwrap_or_default();
        (piece(start..end).trim(), [piece(0..start), piece(end..prompt.len())])
    };
    let mut position = 0;
    let mut marked = None;
    let mut asking = None;
    let mut last = (0, prompt.len());
    for line in prompt.split_inclusive('\n') {
        let end = position + line.len();
        let indent = line.len() - line.trim_start().len();
        let text = line.trim();
        if text.get(..9).is_some_and(|word| word.eq_ignore_ascii_case("question:")) {
            marked = Some((position + indent + 9, end));
        }
        if let Some(mark) = text.rfind('?') {
            // The sentence around the mark, so that "Here is the text. What is it?" keeps its text.
            let before = text.get(..mark).unwrap_or_default();
            let start = [". ", "! ", "? ", ": "]
                .iter()
                .filter_map(|stop| before.rfind(stop).map(|at| at + stop.len()))
                .max()
                .unwrap_or(0);
            asking = Some((position + indent + start, position + indent + mark + 1));
        }
        if !text.is_empty() {
            last = (position, end);
        }
        position = end;
    }
    let (start, end) = marked.or(asking).unwrap_or(last);
    parts(start, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Message, Passage};
    use futures_util::StreamExt;

    fn passage(text: &str) -> Passage {
        Passage { text: text.to_owned(), ..Passage::default() }
    }

    fn complete(request: ChatRequest) -> ChatResponse {
        runtime::block_on(async move { Extractive.complete(&request).await }).unwrap()
    }

    #[test]
    fn quotes_the_passage_that_answers_and_says_that_it_quotes() {
        let mut request =
            ChatRequest::from_prompt("Passages below.\n\nQuestion: What is a generator?");
        request.passages = vec![
            passage("Lists are mutable. They hold items."),
            passage("A generator is a function that yields values one at a time. Birds sing."),
        ];
        let answer = complete(request);
        assert!(answer.content.starts_with(FROM_PASSAGES), "{}", answer.content);
        assert!(answer.content.contains(
            "\u{201c}A generator is a function that yields values one at a time.\u{201d} [2]"
        ));
        assert!(!answer.content.contains("Birds"));
        assert!(answer.usage.completion_tokens > 10);
        assert_eq!(answer.usage.prompt_tokens, 7);
    }

    #[test]
    fn without_passages_the_conversation_itself_is_quoted() {
        let mut request = ChatRequest::from_prompt("How long is the warranty?");
        request.messages.insert(0, Message::new(Role::System, "The warranty lasts 24 months."));
        let answer = complete(request);
        assert!(answer.content.contains("The warranty lasts 24 months."), "{}", answer.content);
    }

    #[test]
    fn says_plainly_when_nothing_fits() {
        let mut request = ChatRequest::from_prompt("Who won the 1954 final?");
        request.passages = vec![passage("A list is a mutable sequence.")];
        assert_eq!(complete(request).content, NOTHING_FOUND);
        assert_eq!(complete(ChatRequest::from_prompt("")).content, NOTHING_FOUND);
    }

    #[test]
    fn a_stream_carries_the_same_text_and_ends_once() {
        let mut request = ChatRequest::from_prompt("What is a list?");
        request.passages =
            vec![passage("A list is a mutable sequence. A list grows. A list shrinks.")];
        let whole = complete(request.clone());
        let events = runtime::block_on(async move {
            Ok(Extractive.stream(&request).await?.collect::<Vec<_>>().await)
        })
        .unwrap();
        let events: Vec<_> = events.into_iter().map(Result::unwrap).collect();
        let text: String = events
            .iter()
            .filter_map(|event| match event {
                ChatEvent::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(text, whole.content);
        assert!(events.len() > 2);
        assert!(matches!(events.last(), Some(ChatEvent::Done { usage: Some(_), .. })));
    }

    #[test]
    fn a_word_limit_drops_whole_sentences() {
        let mut request = ChatRequest::from_prompt("What is a list?");
        request.passages =
            vec![passage("A list is a mutable sequence that holds items of any kind.")];
        request.max_tokens = Some(10);
        let answer = complete(request);
        assert_eq!(answer.finish_reason, FinishReason::Length);
        assert!(!answer.content.contains("mutable"));
    }

    #[test]
    fn the_question_is_found_where_people_put_it() {
        assert_eq!(split_question("Text.\nQuestion: What is it?\nAnswer:").0, "What is it?");
        assert_eq!(split_question("Some text here. What is it?").0, "What is it?");
        assert_eq!(split_question("One line\n\nName the colour\n").0, "Name the colour");
        assert_eq!(split_question("").0, "");
        let (question, rest) = split_question("Alpha. What now? Beta.");
        assert_eq!((question, rest.concat().as_str()), ("What now?", "Alpha.  Beta."));
    }
}
