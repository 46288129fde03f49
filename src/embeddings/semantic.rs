//! [`SemanticSplitter`]: cuts where the embeddings of neighbouring sentences grow apart.
//!
//! The plan says what to embed and where to cut, the client embeds; here they meet. It refuses to
//! guess when an embedding fails: the client's error is the splitter's.

use super::client::EmbeddingClient;
use super::{EmbedOptions, similarity};
use crate::error::Result;
use crate::split::{Chunk, Content, SemanticPlan, Source};

/// Sentences whose vectors are held at once: 50 MB for a model of 1536 dimensions, and enough for
/// two rounds of as many requests as run at once.
const PORTION: usize = 8192;

/// Splits by meaning. Cloning shares the client.
#[derive(Clone, Debug)]
pub struct SemanticSplitter {
    client: EmbeddingClient,
    plan: SemanticPlan,
}

impl SemanticSplitter {
    /// A splitter that asks `client`. Nothing is sent.
    #[must_use]
    pub const fn new(client: EmbeddingClient, plan: SemanticPlan) -> Self {
        Self { client, plan }
    }

    /// What it embeds and how it cuts.
    #[must_use]
    pub const fn plan(&self) -> &SemanticPlan {
        &self.plan
    }

    /// The same splitter with white space at the ends of chunks removed or kept.
    #[must_use]
    pub fn with_trim(mut self, trim: bool) -> Self {
        self.plan = self.plan.with_trim(trim);
        self
    }

    /// The chunks of `text`. A text of one sentence is not embedded.
    ///
    /// # Errors
    /// The client's, for the first request that failed.
    pub async fn split(&self, text: &str) -> Result<Vec<Chunk<Content>>> {
        let sentences = self.plan.sentences(text);
        let windows = vec![self.plan.windows(text, &sentences)];
        let similarities = self.similarities(windows).await?.pop().unwrap_or_default();
        let breaks = self.plan.breaks(&sentences, &similarities);
        Ok(self.plan.places(Source::new(text), &sentences, &breaks))
    }

    /// For each list of texts, the cosine of each text and the next: one number fewer than texts.
    /// The lists share requests.
    ///
    /// # Errors
    /// The client's, for the first request that failed.
    pub async fn similarities(&self, lists: Vec<Vec<String>>) -> Result<Vec<Vec<f32>>> {
        let lengths: Vec<usize> = lists.iter().map(Vec::len).collect();
        let mut texts = lists.into_iter().flatten();
        // One number between any two neighbours, those of two lists among them.
        let mut all = Vec::with_capacity(lengths.iter().sum());
        let mut previous: Option<Vec<f32>> = None;
        loop {
            let portion: Vec<String> = texts.by_ref().take(PORTION).collect();
            if portion.is_empty() {
                break;
            }
            let vectors = self.client.embed_all(portion, EmbedOptions::default()).await?.vectors;
            let rows: Vec<&[f32]> = previous.as_deref().into_iter().chain(vectors.iter()).collect();
            for (one, next) in rows.iter().zip(rows.iter().skip(1)) {
                all.push(similarity(one, next)?);
            }
            previous = rows.last().map(|row| row.to_vec());
        }
        let mut all = all.into_iter();
        let of_list = |length: usize| {
            let own = all.by_ref().take(length.saturating_sub(1)).collect();
            if length > 0 {
                all.next();
            }
            own
        };
        Ok(lengths.into_iter().map(of_list).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::embeddings::{BoxFuture, EmbeddingModel};
    use crate::error::{Error, Kind};
    use crate::resilience::RetryPolicy;
    use crate::runtime;
    use crate::split::{Boundary, Unit};
    use crate::types::{Embeddings, Matrix};

    /// One dimension a topic.
    struct Topics;

    impl EmbeddingModel for Topics {
        fn provider(&self) -> &str {
            "test"
        }

        fn model(&self) -> &str {
            "topics"
        }

        fn dimensions(&self) -> Option<usize> {
            Some(2)
        }

        fn max_batch(&self) -> usize {
            3
        }

        fn embed<'a>(&'a self, texts: &'a [String], _: bool) -> BoxFuture<'a, Result<Embeddings>> {
            Box::pin(async move {
                if texts.iter().any(|text| text.contains("broken")) {
                    return Err(Error::new(Kind::Validation, "broken text"));
                }
                let count =
                    |text: &String, word: &str| -> f32 { text.matches(word).map(|_| 1.0).sum() };
                let rows: Vec<Vec<f32>> = texts
                    .iter()
                    .map(|text| vec![count(text, "cat"), count(text, "rain")])
                    .collect();
                Ok(Embeddings { vectors: Matrix::from_rows(&rows)?, ..Embeddings::default() })
            })
        }
    }

    fn splitter() -> SemanticSplitter {
        let plan = SemanticPlan::new(100, 0, Unit::Chars).unwrap().with_window(0).unwrap();
        let plan = plan.with_boundary(Boundary::Threshold(0.5)).unwrap();
        SemanticSplitter::new(EmbeddingClient::new(Arc::new(Topics), RetryPolicy::default()), plan)
    }

    #[test]
    fn it_cuts_where_the_topic_changes() {
        let text = "A cat ran. The cat sat. A cat ate. It was rain. More rain fell.";
        let chunks = runtime::block_on(async move { splitter().split(text).await }).unwrap();
        let contents: Vec<_> = chunks.iter().map(|chunk| chunk.read(text)).collect();
        assert_eq!(
            contents,
            ["A cat ran. The cat sat. A cat ate.", "It was rain. More rain fell."]
        );
    }

    #[test]
    fn each_list_gets_its_own_numbers() {
        let lists =
            [&["cat", "cat", "rain"][..], &[], &["rain"], &["rain", "cat rain", "cat", "cat"]];
        let lists = lists.map(|list| list.iter().map(|text| (*text).to_owned()).collect()).to_vec();
        let found = runtime::block_on(async move { splitter().similarities(lists).await }).unwrap();
        let expected = [vec![1.0, 0.0], vec![], vec![], vec![0.5_f32.sqrt(), 0.5_f32.sqrt(), 1.0]];
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-6));
        }
    }

    #[test]
    fn the_clients_error_is_the_splitters() {
        let split = async { splitter().split("A cat. All broken. A cat.").await };
        let error = runtime::block_on(split).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Validation, "broken text"));
    }
}
