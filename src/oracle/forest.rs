//! Checked trees, and the two walks that need nothing but them: the plain one, which says what an
//! answer is, and the interleaved one, for forests whose look-up tables would be too large.
//!
//! Nodes stand in preorder, so a tree's leaves from left to right come in the order of their
//! numbers. Nodes that training deleted are unreachable and are dropped.

#![expect(clippy::inline_always, reason = "one step of a walk: a call would cost more than it")]

use ndarray::ArrayView1;

use super::file::{ModelError, TreeFile, unsupported};
use super::model::Row;

/// A split, or a leaf: its value is `threshold`, and both children are itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) threshold: f32,
    pub(super) feature: u16,
    pub(super) default_left: bool,
    pub(super) left: u32,
    pub(super) right: u32,
}

/// What training said about the splits of one feature.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct SplitSums {
    pub(super) splits: u32,
    pub(super) gain: f64,
    pub(super) cover: f64,
}

/// All trees of a model.
#[derive(Clone, Debug, Default)]
pub(super) struct Forest {
    pub(super) nodes: Vec<Node>,
    /// First node of each tree.
    pub(super) roots: Vec<u32>,
    /// Splits on the longest path of each tree.
    pub(super) depths: Vec<u32>,
    /// Leaves of each tree.
    pub(super) leaves: Vec<u32>,
    /// By feature.
    pub(super) sums: Vec<SplitSums>,
}

/// Most nodes of one tree.
const MAX_NODES: usize = 1 << 20;
/// Trees that the interleaved walk takes side by side: enough to hide the latency of a load.
const SIDE_BY_SIDE: usize = 8;

impl Forest {
    /// Checks every tree of a file.
    ///
    /// # Errors
    /// The first tree that contradicts itself.
    pub(super) fn new(trees: &[TreeFile], features: usize) -> Result<Self, ModelError> {
        let mut forest = Self { sums: vec![SplitSums::default(); features], ..Self::default() };
        for (index, tree) in trees.iter().enumerate() {
            check_shape(index, tree)?;
            forest.add(index, tree)?;
        }
        Ok(forest)
    }

    /// Appends one tree in preorder; `waiting` holds what is still to be placed.
    fn add(&mut self, index: usize, tree: &TreeFile) -> Result<(), ModelError> {
        let broken = |expected, found: String| ModelError::Tree { tree: index, expected, found };
        let count = tree.left_children.len();
        let mut reached = vec![false; count];
        // Place in the file, depth, and the parent whose right child it is.
        let mut waiting = vec![(0usize, 0u32, None::<usize>)];
        let (mut deepest, mut leaves) = (0, 0);
        self.roots.push(self.nodes.len() as u32);
        while let Some((at, depth, right_of)) = waiting.pop() {
            if std::mem::replace(&mut reached[at], true) {
                return Err(broken("a tree", format!("node {at} reached twice")));
            }
            let place = self.nodes.len();
            if let Some(parent) = right_of {
                self.nodes[parent].right = place as u32;
            }
            let threshold = tree.split_conditions[at].0;
            let itself = place as u32;
            if tree.left_children[at] == -1 {
                if !threshold.is_finite() {
                    return Err(broken("finite leaves", threshold.to_string()));
                }
                leaves += 1;
                deepest = deepest.max(depth);
                self.nodes.push(Node { threshold, feature: 0, default_left: false, left: itself, right: itself });
                continue;
            }
            let child = |child: i32| match usize::try_from(child) {
                Ok(child) if child < count => Ok(child),
                _ => Err(broken("children within the tree", child.to_string())),
            };
            let (left, right) = (child(tree.left_children[at])?, child(tree.right_children[at])?);
            let feature = tree.split_indices[at] as usize;
            let Some(sums) = self.sums.get_mut(feature) else {
                return Err(broken("a feature of the model", feature.to_string()));
            };
            if threshold.is_nan() {
                return Err(broken("a threshold that is a number", threshold.to_string()));
            }
            let statistic = |values: &[super::json::Number]| values.get(at).map_or(0.0, |value| f64::from(value.0));
            sums.splits += 1;
            sums.gain += statistic(&tree.loss_changes);
            sums.cover += statistic(&tree.sum_hessian);
            // The left child comes next; the right one says so when it is placed.
            let default_left = tree.default_left[at].0;
            self.nodes.push(Node {
                threshold,
                feature: feature as u16,
                default_left,
                left: itself + 1,
                right: itself + 1,
            });
            waiting.push((right, depth + 1, Some(place)));
            waiting.push((left, depth + 1, None));
        }
        self.depths.push(deepest);
        self.leaves.push(leaves);
        Ok(())
    }

    /// The nodes of one tree; children are counted from the forest's first node.
    pub(super) fn tree(&self, index: usize) -> &[Node] {
        let end = self.roots.get(index + 1).map_or(self.nodes.len(), |root| *root as usize);
        &self.nodes[self.roots[index] as usize..end]
    }

    /// The next node on a row's way: NaN goes where the tree was trained to send what is missing.
    #[inline(always)]
    fn step(&self, at: u32, row: &Row) -> u32 {
        let node = &self.nodes[at as usize];
        let value = row[usize::from(node.feature)];
        let left = if value.is_nan() { node.default_left } else { value < node.threshold };
        if left { node.left } else { node.right }
    }

    /// Tree after tree, node after node: what every other method must equal, bit for bit.
    pub(super) fn walk(&self, base: f32, row: &Row) -> f32 {
        let mut sum = base;
        for &root in &self.roots {
            let mut at = root;
            loop {
                let next = self.step(at, row);
                if next == at {
                    break;
                }
                at = next;
            }
            sum += self.nodes[at as usize].threshold;
        }
        sum
    }

    /// Eight trees side by side, each as many steps as the deepest of them needs: a leaf leads to
    /// itself. No branch depends on the row, so the time does not either.
    pub(super) fn walk_interleaved(&self, base: f32, row: &Row) -> f32 {
        let mut sum = base;
        let mut groups = self.roots.chunks_exact(SIDE_BY_SIDE);
        let mut depths = self.depths.chunks_exact(SIDE_BY_SIDE);
        for (group, depths) in groups.by_ref().zip(depths.by_ref()) {
            let mut at = [0; SIDE_BY_SIDE];
            at.copy_from_slice(group);
            for _ in 0..depths.iter().copied().max().unwrap_or(0) {
                for place in &mut at {
                    *place = self.step(*place, row);
                }
            }
            for place in at {
                sum += self.nodes[place as usize].threshold;
            }
        }
        for (&root, &depth) in groups.remainder().iter().zip(depths.remainder()) {
            let leaf = (0..depth).fold(root, |at, _| self.step(at, row));
            sum += self.nodes[leaf as usize].threshold;
        }
        sum
    }

    /// Every threshold of a feature, rising, each once. `-0.0` and `0.0` are one threshold.
    pub(super) fn thresholds(&self, feature: usize) -> Vec<f32> {
        let splits = self.nodes.iter().enumerate().filter(|(at, node)| node.left != *at as u32);
        let own = splits.filter(|(_, node)| usize::from(node.feature) == feature);
        let mut thresholds: Vec<f32> = own.map(|(_, node)| node.threshold).collect();
        thresholds.sort_by(f32::total_cmp);
        thresholds.dedup_by(|next, kept| next == kept);
        thresholds
    }
}

/// A row of a table as the fixed array that the trees read.
pub(super) fn row_of(view: &ArrayView1<'_, f32>) -> Row {
    std::array::from_fn(|feature| view[feature])
}

fn check_shape(index: usize, tree: &TreeFile) -> Result<(), ModelError> {
    let broken = |expected, found: String| ModelError::Tree { tree: index, expected, found };
    let count = tree.left_children.len();
    if tree.tree_param.num_nodes != count.to_string() || count == 0 || count > MAX_NODES {
        return Err(broken("as many nodes as num_nodes says", count.to_string()));
    }
    let lengths =
        [tree.right_children.len(), tree.split_indices.len(), tree.split_conditions.len(), tree.default_left.len()];
    if let Some(length) = lengths.into_iter().find(|length| *length != count) {
        return Err(broken("arrays of one length", format!("{length} and {count}")));
    }
    let optional = [tree.split_type.len(), tree.loss_changes.len(), tree.sum_hessian.len()];
    if let Some(length) = optional.into_iter().find(|length| *length != 0 && *length != count) {
        return Err(broken("arrays of one length", format!("{length} and {count}")));
    }
    if tree.split_type.iter().any(|kind| *kind != 0) || tree.categories.0 > 0 {
        return Err(unsupported("numerical splits only", format!("a categorical split in tree {index}")));
    }
    if tree.leaf_weights.0 > 0 {
        return Err(unsupported("one value a leaf", format!("leaf_weights in tree {index}")));
    }
    match tree.tree_param.size_leaf_vector.as_deref() {
        None | Some("0" | "1") => Ok(()),
        Some(_) => Err(unsupported("one value a leaf", format!("a leaf vector in tree {index}"))),
    }
}
