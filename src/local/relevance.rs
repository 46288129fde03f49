//! Which sentences of some passages answer a question, by words alone.
//!
//! Sentences (Unicode rules, wrapped lines joined, code and headings left out) are scored by the weight
//! of the question's words they hold: rare words count more, inflections count as one word, sentences
//! that open a passage or define a word of the question count a little extra. It refuses to stretch: a
//! sentence that holds less than [`MIN_COVERAGE`] of the question's weight is not an answer.

use std::collections::{HashMap, HashSet};

use unicode_segmentation::UnicodeSegmentation;

/// Least share of the question's word weight that the best sentence must hold.
const MIN_COVERAGE: f64 = 0.3;
/// A further sentence must be worth this share of the best one.
const MIN_SHARE_OF_BEST: f64 = 0.4;
/// What a word still counts once an earlier quote has it.
const REPEATED_WORD: f64 = 0.5;
const DEFINITION_BONUS: f64 = 1.25;
const OPENING_BONUS: f64 = 1.1;
/// Each later passage counts this much less: the passages come best first.
const RANK_DISCOUNT: f64 = 0.1;
/// Fewer words than this are a caption rather than a statement.
const SHORT_SENTENCE: usize = 4;
const SHORT_PENALTY: f64 = 0.6;
/// A question answers nothing, however alike the two are.
const QUESTION_PENALTY: f64 = 0.3;
/// A sentence that the edge of a passage cut off reads badly; a whole one is preferred.
const CUT_PENALTY: f64 = 0.7;

/// Words that say nothing about the subject. Words that are also keywords of programming languages
/// ("with", "for", "from") are left to their rarity.
const STOP_WORDS: &[&str] = &[
    "a", "an", "the", "of", "to", "in", "on", "at", "by", "and", "or", "is", "are", "was", "were",
    "be", "been", "being", "do", "does", "did", "what", "which", "who", "whom", "whose", "how",
    "why", "when", "where", "that", "this", "these", "those", "it", "its", "i", "you", "we",
    "they", "he", "she", "my", "your", "our", "their", "me", "us", "them", "can", "could",
    "should", "would", "will", "shall", "may", "might", "must", "have", "has", "had", "there",
    "here", "than", "then", "so", "such", "also", "about", "long", "many", "much", "tell",
    "please", "explain", "work", "use", "mean",
];
/// What a defining sentence says after the word it defines.
const DEFINING: &[&str] = &[
    " is ",
    " are ",
    " means ",
    " used to ",
    " used for ",
    " refers to ",
    " defines ",
    " returns ",
];

/// A passage to quote from, under the number that marks it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) number: usize,
    pub(super) text: &'a str,
}

/// A sentence worth quoting.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quote {
    pub(super) number: usize,
    pub(super) text: String,
}

struct Candidate {
    source: usize,
    text: String,
    terms: HashSet<String>,
    words: usize,
    opens: bool,
}

/// At most `limit` sentences that answer `question`, in the order of the sources. Empty when none does.
pub(super) fn best_sentences(question: &str, sources: &[Source<'_>], limit: usize) -> Vec<Quote> {
    let wanted: HashSet<String> = terms(question).collect();
    let candidates = candidates(sources);
    if wanted.is_empty() || candidates.is_empty() {
        return Vec::new();
    }
    let mut weights = word_weights(&wanted, &candidates);
    let total: f64 = weights.values().sum();
    let average_words = candidates.iter().map(|candidate| as_f64(candidate.words)).sum::<f64>()
        / as_f64(candidates.len());
    let mut chosen: Vec<usize> = Vec::new();
    let mut best_score = 0.0;
    while chosen.len() < limit {
        let best = candidates
            .iter()
            .enumerate()
            .filter(|(index, _)| !chosen.contains(index))
            .map(|(index, candidate)| (index, score(candidate, &weights, average_words)))
            // The first of equals wins, so that the order of the text decides.
            .fold(None, |best: Option<(usize, f64)>, next| match best {
                Some(best) if best.1 >= next.1 => Some(best),
                _ => Some(next),
            });
        let Some((index, worth)) = best else { break };
        let Some(candidate) = candidates.get(index) else { break };
        if chosen.is_empty() {
            if held(candidate, &weights) < MIN_COVERAGE * total {
                return Vec::new();
            }
            best_score = worth;
        } else if worth < MIN_SHARE_OF_BEST * best_score {
            break;
        }
        chosen.push(index);
        for (word, weight) in &mut weights {
            if candidate.terms.contains(*word) {
                *weight *= REPEATED_WORD;
            }
        }
    }
    chosen.sort_unstable();
    chosen
        .into_iter()
        .filter_map(|index| candidates.get(index))
        .filter_map(|candidate| {
            let number = sources.get(candidate.source)?.number;
            Some(Quote { number, text: candidate.text.clone() })
        })
        .collect()
}

/// Number of words by the Unicode rules.
pub(super) fn count_words(text: &str) -> u64 {
    text.unicode_words().count() as u64
}

fn candidates(sources: &[Source<'_>]) -> Vec<Candidate> {
    let mut seen = HashSet::new();
    let mut candidates = Vec::new();
    for (source, passage) in sources.iter().enumerate() {
        let mut opens = true;
        for text in sentences(passage.text) {
            // Overlapping chunks repeat sentences; one quote of each is enough.
            if !seen.insert(text.clone()) {
                continue;
            }
            let words = text.unicode_words().count();
            let terms = terms(&text).collect();
            candidates.push(Candidate { source, text, terms, words, opens });
            opens = false;
        }
    }
    candidates
}

/// Rarity of each wanted word among the candidates; a word that none holds counts as the rarest.
fn word_weights<'a>(
    wanted: &'a HashSet<String>,
    candidates: &[Candidate],
) -> HashMap<&'a str, f64> {
    let all = as_f64(candidates.len());
    wanted
        .iter()
        .map(|word| {
            let holding =
                candidates.iter().filter(|candidate| candidate.terms.contains(word)).count();
            let holding = as_f64(holding);
            // The leading 1 keeps a word of every sentence from counting nothing in a short text.
            (word.as_str(), 1.0 + (1.0 + (all - holding + 0.5) / (holding + 0.5)).ln())
        })
        .collect()
}

fn held(candidate: &Candidate, weights: &HashMap<&str, f64>) -> f64 {
    weights
        .iter()
        .filter(|(word, _)| candidate.terms.contains(**word))
        .map(|(_, weight)| weight)
        .sum()
}

fn score(candidate: &Candidate, weights: &HashMap<&str, f64>, average_words: f64) -> f64 {
    let mut score = held(candidate, weights);
    if score == 0.0 {
        return 0.0;
    }
    // Long sentences hold many words by chance.
    score /= 0.6 + 0.4 * (as_f64(candidate.words) / average_words).max(0.5);
    if candidate.words < SHORT_SENTENCE {
        score *= SHORT_PENALTY;
    }
    if !candidate.text.ends_with(['.', '!', '?', ':', '"', ')', '\u{201d}', '\u{3002}']) {
        score *= CUT_PENALTY;
    }
    if candidate
        .text
        .trim_end_matches(|mark: char| !mark.is_alphanumeric() && mark != '?')
        .ends_with('?')
    {
        score *= QUESTION_PENALTY;
    }
    if candidate.text.starts_with(char::is_lowercase) {
        score *= CUT_PENALTY;
    }
    if candidate.opens {
        score *= OPENING_BONUS;
    }
    if defines(candidate, weights) {
        score *= DEFINITION_BONUS;
    }
    score / (1.0 + RANK_DISCOUNT * as_f64(candidate.source))
}

/// Whether a wanted word stands before a defining verb.
fn defines(candidate: &Candidate, weights: &HashMap<&str, f64>) -> bool {
    DEFINING
        .iter()
        .filter_map(|verb| candidate.text.split_once(verb))
        .any(|(subject, _)| terms(subject).take(8).any(|term| weights.contains_key(term.as_str())))
}

/// The content words of a text: lower case, stemmed, without stop words.
fn terms(text: &str) -> impl Iterator<Item = String> {
    text.unicode_words()
        .map(str::to_lowercase)
        .filter(|word| !STOP_WORDS.contains(&word.as_str()))
        .map(|word| stem(&word))
}

/// Takes common English endings off, so that "managers" meets "manager" and "yielding" meets "yields".
fn stem(word: &str) -> String {
    let word = word.strip_suffix("'s").or_else(|| word.strip_suffix("\u{2019}s")).unwrap_or(word);
    if !word.is_ascii() || word.len() <= 3 {
        return word.to_owned();
    }
    if let Some(root) = word.strip_suffix("ies") {
        return format!("{root}y");
    }
    for (ending, shortest) in [("ing", 4), ("ed", 3), ("es", 4), ("s", 3), ("e", 4)] {
        let Some(root) = word.strip_suffix(ending) else { continue };
        if root.len() < shortest || (ending == "s" && (root.ends_with('s') || root.ends_with('u')))
        {
            continue;
        }
        // "formatt(ing)" and "format" are one word, "call(ed)" keeps its letters.
        let mut last = root.bytes().rev();
        let doubled = matches!((last.next(), last.next()), (Some(a), Some(b)) if a == b && !b"lsz".contains(&a));
        let root = if doubled { root.get(..root.len() - 1).unwrap_or(root) } else { root };
        return root.strip_suffix('e').filter(|root| root.len() > 3).unwrap_or(root).to_owned();
    }
    word.to_owned()
}

/// The sentences of a passage as one-line texts, code and headings left out.
fn sentences(text: &str) -> Vec<String> {
    paragraphs(text)
        .into_iter()
        .filter(|paragraph| !looks_like_code(paragraph))
        .flat_map(|paragraph| {
            let folded =
                paragraph.iter().flat_map(|line| line.split_whitespace()).collect::<Vec<_>>();
            folded
                .join(" ")
                .unicode_sentences()
                .map(|sentence| sentence.trim().to_owned())
                .filter(|sentence| sentence.unicode_words().nth(1).is_some())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Runs of lines; a blank line, a bullet or an underline ends one. Underlined titles are dropped.
fn paragraphs(text: &str) -> Vec<Vec<&str>> {
    let mut paragraphs = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if is_underline(trimmed) {
            lines.clear();
        } else if trimmed.is_empty() {
            paragraphs.push(std::mem::take(&mut lines));
        } else {
            if ["* ", "- ", "\u{2022} ", "#"].iter().any(|bullet| trimmed.starts_with(bullet)) {
                paragraphs.push(std::mem::take(&mut lines));
            }
            lines.push(line);
        }
    }
    paragraphs.push(lines);
    paragraphs.retain(|lines| !lines.is_empty());
    paragraphs
}

fn is_underline(line: &str) -> bool {
    line.len() >= 3
        && line.chars().all(|mark| matches!(mark, '*' | '=' | '-' | '~' | '^' | '#' | '+'))
}

/// Prompts, grammar rules and listings: few of their signs are letters, or a line says so.
fn looks_like_code(lines: &[&str]) -> bool {
    let marked = |line: &&&str| {
        let line = line.trim_start();
        line.starts_with(">>>") || line.starts_with("```") || line.contains("::=")
    };
    if lines.iter().any(|line| marked(&line)) {
        return true;
    }
    let indented = lines.iter().all(|line| line.starts_with("   ") || line.starts_with('\t'));
    let signs = lines.iter().flat_map(|line| line.chars()).filter(|sign| !sign.is_whitespace());
    let (letters, all) = signs.fold((0_usize, 0_usize), |(letters, all), sign| {
        (letters + usize::from(sign.is_alphanumeric()), all + 1)
    });
    // Indented prose ends like prose; an indented listing does not.
    let ends_like_prose =
        lines.last().is_some_and(|line| line.trim_end().ends_with(['.', '!', '?', ';']));
    letters * 10 < all * 6 || (indented && !ends_like_prose)
}

#[expect(clippy::cast_precision_loss, reason = "counts of words and sentences stay far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotes(question: &str, texts: &[&str]) -> Vec<Quote> {
        let sources: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| Source { number: index + 1, text })
            .collect();
        best_sentences(question, &sources, 3)
    }

    #[test]
    fn the_defining_sentence_wins_and_keeps_its_number() {
        let found = quotes(
            "What is a context manager?",
            &[
                "Loops repeat. The for loop walks over an iterable.",
                "Managers come and go. A context manager is an object that sets up\n   a runtime context.",
            ],
        );
        assert_eq!(found.first().map(|quote| quote.number), Some(2));
        assert!(found.iter().any(|quote| {
            quote.text == "A context manager is an object that sets up a runtime context."
        }));
    }

    #[test]
    fn inflections_are_one_word() {
        for words in [
            ["yield", "yields", "yielding", "yielded"],
            ["manager", "managers", "manager's", "manager"],
            ["format", "formats", "formatting", "formatted"],
            ["expression", "expressions", "expression's", "expression"],
            ["close", "closes", "closing", "closed"],
        ] {
            let stems: HashSet<_> = words.iter().map(|word| stem(word)).collect();
            assert_eq!(stems.len(), 1, "{stems:?}");
        }
        assert_ne!(stem("class"), stem("clash"));
    }

    #[test]
    fn nothing_is_quoted_for_a_question_about_something_else() {
        assert!(
            quotes("What is the capital of France?", &["A list is a mutable sequence."]).is_empty()
        );
        assert!(quotes("???", &["A list is a mutable sequence."]).is_empty());
        assert!(quotes("What is a list?", &[""]).is_empty());
    }

    #[test]
    fn code_and_headings_are_not_quoted() {
        let text = "The with statement\n******************\n\n   with open(path) as stream:\n       pass\n\n\
                    >>> with lock: pass\n\nThe with statement wraps a block.\n";
        assert_eq!(sentences(text), ["The with statement wraps a block."]);
    }

    #[test]
    fn a_sentence_repeated_by_overlapping_chunks_is_quoted_once() {
        let text = "A generator is a function that yields values.";
        assert_eq!(quotes("What is a generator?", &[text, text]).len(), 1);
    }
}
