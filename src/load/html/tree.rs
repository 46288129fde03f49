//! From HTML to a [`Page`]: the tree that the parser of the HTML standard asks to be built.
//!
//! The parser may move nodes about, so they are linked in both directions until it is done. It refuses a
//! page that is too deep while it is being built: the parser's own time grows with the depth.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::tree_builder::TreeBuilderOpts;
use html5ever::{Attribute, ExpandedName, ParseOpts, QualName, local_name, ns, parse_document};

use super::page::Page;
use crate::error::Result;
use crate::load::limits::Meter;

/// Bytes that the parser gets between two looks at what it has built.
const PORTION: usize = 4096;

/// The page of a text. `scripting` says whether what is for browsers without scripts is left out.
pub(super) fn parse(text: &str, scripting: bool, meter: &mut Meter) -> Result<Page> {
    let tree_builder = TreeBuilderOpts { scripting_enabled: scripting, ..Default::default() };
    let options = ParseOpts { tree_builder, ..Default::default() };
    let mut parser = parse_document(Tree::new(), options);
    let mut rest = text;
    while !rest.is_empty() {
        let end = (PORTION..rest.len()).find(|&end| rest.is_char_boundary(end));
        let (portion, later) =
            rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, ""));
        parser.process(StrTendril::from(portion));
        rest = later;
        meter.look()?;
        meter.depth(parser.tokenizer.sink.sink.deepest.get())?;
    }
    parser.finish().into_page(meter)
}

/// A node as the parser knows it.
#[derive(Clone)]
struct Handle {
    number: usize,
    name: Rc<QualName>,
}

enum Content {
    Element(Rc<QualName>, Vec<Attribute>),
    Text(String),
    /// The document itself, comments, instructions.
    Other,
}

struct Linked {
    content: Content,
    depth: usize,
    parent: Option<usize>,
    previous: Option<usize>,
    next: Option<usize>,
    first: Option<usize>,
    last: Option<usize>,
}

impl Linked {
    const fn new(content: Content) -> Self {
        Self {
            content,
            depth: 0,
            parent: None,
            previous: None,
            next: None,
            first: None,
            last: None,
        }
    }
}

struct Tree {
    nodes: RefCell<Vec<Linked>>,
    deepest: Cell<usize>,
    nameless: Rc<QualName>,
}

impl Tree {
    fn new() -> Self {
        let nameless = QualName::new(None, ns!(), local_name!(""));
        Self {
            nodes: RefCell::new(vec![Linked::new(Content::Other)]),
            deepest: Cell::new(0),
            nameless: Rc::new(nameless),
        }
    }

    fn add(&self, content: Content) -> usize {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Linked::new(content));
        nodes.len().saturating_sub(1)
    }

    fn get<T>(&self, number: usize, read: impl FnOnce(&Linked) -> Option<T>) -> Option<T> {
        self.nodes.borrow().get(number).and_then(read)
    }

    fn set(&self, number: Option<usize>, change: impl FnOnce(&mut Linked)) {
        if let Some(number) = number
            && let Some(node) = self.nodes.borrow_mut().get_mut(number)
        {
            change(node);
        }
    }

    /// Puts a node that is nowhere behind `previous` in `parent`; first of all without one.
    fn link(&self, number: usize, parent: usize, previous: Option<usize>) {
        let next = match previous {
            Some(previous) => self.get(previous, |node| node.next),
            None => self.get(parent, |node| node.first),
        };
        let depth = self.get(parent, |node| Some(node.depth)).unwrap_or_default().saturating_add(1);
        self.deepest.set(self.deepest.get().max(depth));
        self.set(Some(number), |node| {
            (node.parent, node.previous, node.next, node.depth) =
                (Some(parent), previous, next, depth);
        });
        match previous {
            Some(_) => self.set(previous, |node| node.next = Some(number)),
            None => self.set(Some(parent), |node| node.first = Some(number)),
        }
        match next {
            Some(_) => self.set(next, |node| node.previous = Some(number)),
            None => self.set(Some(parent), |node| node.last = Some(number)),
        }
    }

    fn unlink(&self, number: usize) {
        let place = self.get(number, |node| Some((node.parent?, node.previous, node.next)));
        let Some((parent, previous, next)) = place else { return };
        match previous {
            Some(_) => self.set(previous, |node| node.next = next),
            None => self.set(Some(parent), |node| node.first = next),
        }
        match next {
            Some(_) => self.set(next, |node| node.previous = previous),
            None => self.set(Some(parent), |node| node.last = previous),
        }
        self.set(Some(number), |node| (node.parent, node.previous, node.next) = (None, None, None));
    }

    /// Puts a node or a text behind `previous` in `parent`. Texts that meet become one.
    fn insert(&self, parent: usize, previous: Option<usize>, child: NodeOrText<Handle>) {
        let text = match child {
            NodeOrText::AppendNode(child) => {
                self.unlink(child.number);
                return self.link(child.number, parent, previous);
            }
            NodeOrText::AppendText(text) => text,
        };
        let mut joined = false;
        self.set(previous, |node| {
            if let Content::Text(before) = &mut node.content {
                before.push_str(&text);
                joined = true;
            }
        });
        if !joined {
            let number = self.add(Content::Text(text.to_string()));
            self.link(number, parent, previous);
        }
    }

    fn into_page(self, meter: &mut Meter) -> Result<Page> {
        let mut nodes = self.nodes.into_inner();
        let mut page = Page::default();
        let mut numbers = vec![None; nodes.len()];
        let document = nodes.first().and_then(|document| document.first);
        list(&mut nodes, document, &mut page, &mut numbers, meter)?;
        page.end();
        // A node that was moved out and dropped is still there for whoever asks for all of its kind.
        for number in 1..nodes.len() {
            let orphan = nodes.get_mut(number).filter(|node| node.parent.is_none());
            if let Some(node) = orphan {
                node.next = None;
                list(&mut nodes, Some(number), &mut page, &mut numbers, meter)?;
            }
        }
        page.set_created(numbers.into_iter().flatten().collect());
        Ok(page)
    }
}

/// Adds a node, what is inside it and what follows it to the page.
fn list(
    nodes: &mut [Linked],
    first: Option<usize>,
    page: &mut Page,
    numbers: &mut [Option<usize>],
    meter: &mut Meter,
) -> Result<()> {
    let mut open: Vec<(usize, Option<usize>)> = Vec::new();
    let mut at = first;
    loop {
        meter.step()?;
        let Some(number) = at else {
            let Some((number, next)) = open.pop() else { return Ok(()) };
            page.close(number);
            at = next;
            continue;
        };
        let Some(node) = nodes.get_mut(number) else { return Ok(()) };
        at = node.next;
        match std::mem::replace(&mut node.content, Content::Other) {
            Content::Text(text) => page.add_text(&text),
            Content::Element(name, attributes) => {
                let listed = page.open(name.local.clone(), attributes);
                if let Some(place) = numbers.get_mut(number) {
                    *place = Some(listed);
                }
                open.push((listed, node.next));
                at = node.first;
                meter.depth(open.len())?;
            }
            Content::Other => {}
        }
    }
}

impl TreeSink for Tree {
    type Handle = Handle;
    type Output = Self;
    type ElemName<'a> = ExpandedName<'a>;

    fn finish(self) -> Self {
        self
    }

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> Handle {
        Handle { number: 0, name: Rc::clone(&self.nameless) }
    }

    fn elem_name<'a>(&'a self, target: &'a Handle) -> ExpandedName<'a> {
        target.name.expanded()
    }

    fn create_element(&self, name: QualName, attrs: Vec<Attribute>, _: ElementFlags) -> Handle {
        let name = Rc::new(name);
        Handle { number: self.add(Content::Element(Rc::clone(&name), attrs)), name }
    }

    fn create_comment(&self, _: StrTendril) -> Handle {
        Handle { number: self.add(Content::Other), name: Rc::clone(&self.nameless) }
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> Handle {
        Handle { number: self.add(Content::Other), name: Rc::clone(&self.nameless) }
    }

    fn append(&self, parent: &Handle, child: NodeOrText<Handle>) {
        self.insert(parent.number, self.get(parent.number, |node| node.last), child);
    }

    fn append_based_on_parent_node(
        &self,
        element: &Handle,
        prev_element: &Handle,
        child: NodeOrText<Handle>,
    ) {
        if self.get(element.number, |node| node.parent).is_some() {
            self.append_before_sibling(element, child);
        } else {
            self.append(prev_element, child);
        }
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    fn get_template_contents(&self, target: &Handle) -> Handle {
        target.clone()
    }

    fn same_node(&self, x: &Handle, y: &Handle) -> bool {
        x.number == y.number
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &Handle, new_node: NodeOrText<Handle>) {
        if let NodeOrText::AppendNode(node) = &new_node {
            self.unlink(node.number);
        }
        let place = self.get(sibling.number, |node| Some((node.parent?, node.previous)));
        if let Some((parent, previous)) = place {
            self.insert(parent, previous, new_node);
        }
    }

    fn add_attrs_if_missing(&self, target: &Handle, attrs: Vec<Attribute>) {
        self.set(Some(target.number), |node| {
            let Content::Element(_, known) = &mut node.content else { return };
            for attribute in attrs {
                if known.iter().all(|other| other.name != attribute.name) {
                    known.push(attribute);
                }
            }
        });
    }

    fn remove_from_parent(&self, target: &Handle) {
        self.unlink(target.number);
    }

    fn reparent_children(&self, node: &Handle, new_parent: &Handle) {
        while let Some(child) = self.get(node.number, |node| node.first) {
            self.unlink(child);
            self.link(child, new_parent.number, self.get(new_parent.number, |node| node.last));
        }
    }
}
