//! A predicate as flat code: tests with a jump for each outcome.

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

/// Asks test by test, in the order of the predicate, until the answer is known.
#[derive(Debug, Clone)]
pub(super) struct Program {
    start: u32,
    steps: Box<[Step]>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    test: u32,
    yes: u32,
    no: u32,
}

impl Program {
    pub(super) fn new(node: &Node) -> Self {
        let mut steps = Vec::new();
        let start = emit(node, TRUE, FALSE, &mut steps);
        Program { start, steps: steps.into() }
    }

    /// # Errors
    /// That of the first test that fails.
    pub(super) fn run<E>(&self, mut ask: impl FnMut(u32) -> Result<bool, E>) -> Result<bool, E> {
        let mut at = self.start;
        while let Some(step) = self.steps.get(at as usize) {
            at = if ask(step.test)? { step.yes } else { step.no };
        }
        Ok(at == TRUE)
    }
}

/// Appends the code of a node, last test first, and gives where it starts.
fn emit(node: &Node, yes: u32, no: u32, steps: &mut Vec<Step>) -> u32 {
    match node {
        Node::Constant(true) => yes,
        Node::Constant(false) => no,
        Node::All(parts) => parts.iter().rev().fold(yes, |next, part| emit(part, next, no, steps)),
        Node::Any(parts) => parts.iter().rev().fold(no, |next, part| emit(part, yes, next, steps)),
        Node::Not(part) => emit(part, no, yes, steps),
        Node::Test(test) => {
            steps.push(Step { test: *test, yes, no });
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
        fn code_asks_what_the_predicate_asks_in_its_order(node in nodes(), answers in any::<u32>()) {
            let (mut asked, mut really) = (Vec::new(), Vec::new());
            let answer = Program::new(&node).run(|test| {
                asked.push(test);
                Ok::<_, ()>(answers >> test & 1 == 1)
            });
            prop_assert_eq!(answer, Ok(plainly(&node, answers, &mut really)));
            prop_assert_eq!(asked, really);
        }
    }
}
