//! A predicate as flat code: tests with a jump for each outcome, each beside the hint that tells most of them false.

use super::marks::Hint;

/// A predicate over numbered tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Constant(bool),
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    /// The test with this number.
    Test(u32),
}

/// Where code goes on when the answer is known.
const TRUE: u32 = u32::MAX;
const FALSE: u32 = u32::MAX - 1;

/// The mark of a test that is true only if it was found so before.
const SOUGHT: u32 = 1 << 31;

/// What is known of a test when code is made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Before {
    Known(bool),
    /// Wherever it is true, that is found before the code runs.
    Sought,
    /// Nothing but what a field has where it is true, if that.
    Unknown(Option<Hint>),
}

/// How to ask a test.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask {
    /// It is true only if it was [found so before](Before::Sought).
    Sought,
    /// Of an event that has what the hint says.
    Where(Hint),
    Always,
}

/// The code of predicates, in one piece; each asks test by test, in the order of the predicate, until the answer is
/// known.
#[derive(Debug, Default)]
pub(super) struct Programs {
    starts: Vec<u32>,
    steps: Vec<Step>,
}

/// A test to ask, and where to go on.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Its number, with [`SOUGHT`] where it is that.
    test: u32,
    yes: u32,
    no: u32,
    hint: Option<Hint>,
}

impl Programs {
    /// Adds a predicate, whose number is how many there were before; tests whose answers are known are not asked.
    pub(super) fn push(&mut self, node: &Node, before: &impl Fn(u32) -> Before) {
        let start = emit(node, TRUE, FALSE, before, &mut self.steps);
        self.starts.push(start);
    }

    /// How much memory they take, in steps.
    pub(super) fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Calls `ask` with each test, and how to.
    ///
    /// # Errors
    /// That of the first test that fails.
    pub(super) fn run<E>(&self, number: u32, mut ask: impl FnMut(u32, Ask) -> Result<bool, E>) -> Result<bool, E> {
        let mut at = self.starts[number as usize];
        while let Some(step) = self.steps.get(at as usize) {
            let how = match step.hint {
                _ if step.test & SOUGHT != 0 => Ask::Sought,
                Some(hint) => Ask::Where(hint),
                None => Ask::Always,
            };
            let is_yes = ask(step.test & !SOUGHT, how)?;
            at = if is_yes { step.yes } else { step.no };
        }
        Ok(at == TRUE)
    }
}

/// Appends the code of a node, last test first, and gives where it starts.
fn emit(node: &Node, yes: u32, no: u32, before: &impl Fn(u32) -> Before, steps: &mut Vec<Step>) -> u32 {
    match node {
        Node::Constant(true) => yes,
        Node::Constant(false) => no,
        Node::All(parts) => parts.iter().rev().fold(yes, |next, part| emit(part, next, no, before, steps)),
        Node::Any(parts) => parts.iter().rev().fold(no, |next, part| emit(part, yes, next, before, steps)),
        Node::Not(part) => emit(part, no, yes, before, steps),
        Node::Test(test) => {
            let (mark, hint) = match before(*test) {
                Before::Known(true) => return yes,
                Before::Known(false) => return no,
                Before::Sought => (SOUGHT, None),
                Before::Unknown(hint) => (0, hint),
            };
            steps.push(Step { test: test | mark, yes, no, hint });
            steps.len() as u32 - 1
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nodes() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![any::<bool>().prop_map(Node::Constant), (0..6u32).prop_map(Node::Test)];
        leaf.prop_recursive(4, 24, 3, |node| {
            prop_oneof![
                prop::collection::vec(node.clone(), 0..4).prop_map(Node::All),
                prop::collection::vec(node.clone(), 0..4).prop_map(Node::Any),
                node.prop_map(|node| Node::Not(Box::new(node))),
            ]
        })
    }

    /// Asks in order, and writes down what it asked.
    fn plainly(node: &Node, answers: u32, asked: &mut Vec<u32>) -> bool {
        match node {
            Node::Constant(answer) => *answer,
            Node::All(parts) => parts.iter().all(|part| plainly(part, answers, asked)),
            Node::Any(parts) => parts.iter().any(|part| plainly(part, answers, asked)),
            Node::Not(part) => !plainly(part, answers, asked),
            Node::Test(test) => {
                asked.push(*test);
                answers >> test & 1 == 1
            }
        }
    }

    proptest! {
        #[test]
        fn code_asks_what_the_predicate_asks_in_its_order(
            nodes in prop::collection::vec(nodes(), 1..4),
            answers in any::<u32>(),
            known in any::<u32>(),
        ) {
            let is_true = |test: u32| answers >> test & 1 == 1;
            let before = |test: u32| match (known >> test & 1 == 1, known >> (test + 8) & 1 == 1) {
                (true, _) => Before::Known(is_true(test)),
                (false, true) => Before::Sought,
                (false, false) => Before::Unknown(None),
            };
            let mut programs = Programs::default();
            nodes.iter().for_each(|node| programs.push(node, &before));
            for (number, node) in (0..).zip(&nodes) {
                let (mut asked, mut really) = (Vec::new(), Vec::new());
                let answer = programs.run(number, |test, how| {
                    asked.push(test);
                    assert_eq!(matches!(how, Ask::Sought), matches!(before(test), Before::Sought));
                    Ok::<_, ()>(is_true(test))
                });
                prop_assert_eq!(answer, Ok(plainly(node, answers, &mut really)));
                really.retain(|test| !matches!(before(*test), Before::Known(_)));
                prop_assert_eq!(asked, really);
            }
        }
    }
}
