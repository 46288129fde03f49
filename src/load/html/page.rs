//! A page as a list: its nodes in the order of the document, its text in one piece.
//!
//! What is inside an element is then a range of the list and its text a range of the text, so that
//! nothing that walks the page needs the stack, however deep it is.

use std::ops::Range;

use html5ever::{Attribute, LocalName};

/// A node of a page.
pub(super) enum Kind {
    Element { name: LocalName, attributes: Vec<Attribute> },
    Text,
}

/// A node and what is inside it.
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The bytes of the page's text that are inside.
    text: Range<usize>,
    /// The number of the first node behind this one and everything inside it.
    pub(super) end: usize,
}

impl Node {
    pub(super) fn name(&self) -> &str {
        match &self.kind {
            Kind::Element { name, .. } => name,
            Kind::Text => "",
        }
    }

    pub(super) fn attribute(&self, wanted: &str) -> Option<&str> {
        let Kind::Element { attributes, .. } = &self.kind else { return None };
        let found = attributes.iter().find(|attribute| &*attribute.name.local == wanted);
        found.map(|attribute| &*attribute.value)
    }
}

/// A page.
#[derive(Default)]
pub(super) struct Page {
    nodes: Vec<Node>,
    text: String,
    /// How many of the nodes are in the document; the others were dropped from it on the way.
    attached: usize,
    /// Elements in the order in which the parser made them, the dropped ones among them.
    created: Vec<usize>,
}

impl Page {
    /// Adds an element and returns its number, to be closed when what is inside has been added.
    pub(super) fn open(&mut self, name: LocalName, attributes: Vec<Attribute>) -> usize {
        let number = self.nodes.len();
        let text = self.text.len()..self.text.len();
        let kind = Kind::Element { name, attributes };
        self.nodes.push(Node { kind, text, end: number.saturating_add(1) });
        number
    }

    pub(super) fn close(&mut self, number: usize) {
        let (nodes, bytes) = (self.nodes.len(), self.text.len());
        if let Some(node) = self.nodes.get_mut(number) {
            node.end = nodes;
            node.text.end = bytes;
        }
    }

    pub(super) fn add_text(&mut self, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        let end = self.nodes.len().saturating_add(1);
        self.nodes.push(Node { kind: Kind::Text, text: start..self.text.len(), end });
    }

    /// Ends the document. What is added from now on is none of its nodes.
    pub(super) fn end(&mut self) {
        self.attached = self.nodes.len();
    }

    /// Sets the order in which the elements were made.
    pub(super) fn set_created(&mut self, numbers: Vec<usize>) {
        self.created = numbers;
    }

    /// The nodes of the document with their numbers.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().take(self.attached).enumerate()
    }

    /// The elements in the order in which they were made, with their numbers.
    pub(super) fn created(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.created.iter().filter_map(|&number| Some((number, self.nodes.get(number)?)))
    }

    pub(super) fn node(&self, number: usize) -> Option<&Node> {
        self.nodes.get(number)
    }

    /// What is inside the node of that number.
    pub(super) fn inside(&self, number: usize) -> impl Iterator<Item = (usize, &Node)> {
        let first = number.saturating_add(1);
        let end = self.nodes.get(number).map_or(first, |node| node.end);
        let inside = self.nodes.get(first..end).unwrap_or_default();
        inside.iter().enumerate().map(move |(index, node)| (index.saturating_add(first), node))
    }

    /// All text inside a node, as it stands.
    pub(super) fn text(&self, node: &Node) -> &str {
        self.text.get(node.text.clone()).unwrap_or_default()
    }
}
