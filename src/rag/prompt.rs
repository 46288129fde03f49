//! The words around question and passages in a prompt, and how many passages fit into it.

use crate::error::{Error, Result};
use crate::tokens::{Encoding, Tokenizer};
use crate::types::Passage;

const QUESTION: &str = "{question}";
const PASSAGES: &str = "{passages}";
const USUAL: &str = "Answer the question from the numbered passages below and nothing else. After each \
    statement put the number of the passage it comes from, like [1]. If the passages do not hold the answer, \
    say so.\n\n{passages}\n\nQuestion: {question}";

/// A prompt with the places of the question and the passages. All other braces are text.
///
/// ```
/// use graphbit::rag::Prompt;
///
/// assert!(Prompt::new("{passages}\n\nAnswer in German: {question}").is_ok());
/// let error = Prompt::new("Answer: {question}").unwrap_err();
/// assert!(error.message().contains("{passages}"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    template: String,
}

impl Default for Prompt {
    fn default() -> Self {
        Self { template: USUAL.to_owned() }
    }
}

impl Prompt {
    /// A template that holds `{question}` and `{passages}`, each at least once.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] naming the placeholder that is missing.
    pub fn new(template: impl Into<String>) -> Result<Self> {
        let template = template.into();
        match [QUESTION, PASSAGES].into_iter().find(|place| !template.contains(place)) {
            None => Ok(Self { template }),
            Some(missing) => {
                // The value would be a page of text; what it lacks says more.
                let text = format!("must hold the placeholder {missing}");
                Err(Error::validation("prompt", None, &text))
            }
        }
    }

    /// The prompt for a question. What is put in is not looked at again: a passage may speak of placeholders.
    pub(super) fn fill(&self, question: &str, passages: &[Passage]) -> String {
        let numbered: Vec<String> = passages.iter().zip(1..).map(numbered).collect();
        let numbered = numbered.join("\n\n");
        let mut prompt = String::new();
        let mut rest = self.template.as_str();
        loop {
            let next = [(QUESTION, question.trim()), (PASSAGES, numbered.as_str())]
                .into_iter()
                .filter_map(|(place, value)| Some((rest.split_once(place)?, value)))
                .min_by_key(|((before, _), _)| before.len());
            let Some(((before, behind), value)) = next else { break };
            prompt.push_str(before);
            prompt.push_str(value);
            rest = behind;
        }
        prompt.push_str(rest);
        prompt
    }
}

/// A passage as it stands in a prompt.
fn numbered((passage, number): (&Passage, usize)) -> String {
    format!("[{number}] ({})\n{}", passage.source, passage.text.trim())
}

/// Keeps the first passages, which together have at most `limit` tokens of the model's encoding, or of
/// `o200k_base` for a model that has none of ours.
///
/// # Errors
/// [`crate::Kind::Validation`] when not even the first one fits.
pub(super) fn fit(passages: &mut Vec<Passage>, limit: usize, model: &str) -> Result<()> {
    let encoding = Encoding::from_name(model).unwrap_or(Encoding::O200kBase);
    let tokenizer: &Tokenizer = encoding.tokenizer();
    let mut sum = 0_usize;
    let fits = |passage: (&Passage, usize)| {
        sum = sum.saturating_add(tokenizer.count(&(numbered(passage) + "\n\n")));
        (sum <= limit).then_some(())
    };
    let fitting = passages.iter().zip(1..).map_while(fits).count();
    if fitting == 0 && !passages.is_empty() {
        let text = format!("the best passage alone has {sum} tokens");
        return Err(Error::validation("max_context_tokens", Some(&limit.to_string()), &text));
    }
    passages.truncate(fitting);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passages(texts: &[&str]) -> Vec<Passage> {
        let passage = |text: &&str| Passage {
            source: "notes".to_owned(),
            text: (*text).to_owned(),
            ..Passage::default()
        };
        texts.iter().map(passage).collect()
    }

    #[test]
    fn what_is_put_in_is_not_looked_at_again() {
        let prompt = Prompt::new(r#"{"q": "{question}"} {passages} {question}"#).unwrap();
        let filled = prompt.fill(" {passages}? ", &passages(&["{question}"]));
        assert_eq!(filled, "{\"q\": \"{passages}?\"} [1] (notes)\n{question} {passages}?");
    }

    #[test]
    fn the_usual_prompt_numbers_the_passages_and_ends_with_the_question() {
        let filled = Prompt::default().fill("Why?", &passages(&["One.", "Two. "]));
        assert!(filled.ends_with("\n\n[1] (notes)\nOne.\n\n[2] (notes)\nTwo.\n\nQuestion: Why?"));
    }

    #[test]
    fn the_first_passages_that_fit_stay() {
        let all = passages(&["one two three", "four five six", "seven"]);
        let mut some = all.clone();
        fit(&mut some, 25, "any-model").unwrap();
        assert_eq!(some, all[..2]);
        let error = fit(&mut some, 3, "any-model").unwrap_err();
        assert!(error.message().contains("max_context_tokens"), "{error}");
    }
}
