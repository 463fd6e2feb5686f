//! Turns a batch into the steps of one commit, and the state after it. Pure but for looking up
//! stored rows.

use std::sync::Arc;

use cdc_model::{Op, Topic};
use cdc_pipeline::port::{SettleBatch, SinkBatch, SinkChange};
use indexmap::IndexMap;

use crate::document::{Step, parked_id};
use crate::error::{Error, Result};
use crate::fold::{Fold, Item};
use crate::layout::Layout;
use crate::state::State;
use crate::view::{Layouts, View};

/// What a batch comes to.
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) state: State,
    pub(crate) layouts: Arc<Layouts>,
}

/// Plans `batch`, which [`State::check`] has let through.
pub(crate) fn plan(view: &View, state: &State, batch: &SinkBatch) -> Result<Plan> {
    let mut plan = Plan::new(view, state);
    let is_new = |change: &&SinkChange| !state.is_applied(&change.source, change.offset);
    plan.change(view, batch.changes.iter().enumerate().filter(|(_, change)| is_new(change)))?;
    for parked in &batch.park {
        let record = &parked.record;
        if !state.is_applied(&record.source, record.offset) {
            plan.steps.extend(view.fields.parked(parked));
            let at = (record.source.clone(), record.offset);
            plan.state.parked.insert(at, record.key.clone());
        }
    }
    for (source, below) in &batch.unpark_below {
        let ends = |at: &(cdc_model::TopicPartition, _)| at.0 == *source && at.1 < *below;
        for (source, offset) in plan.state.parked.keys().filter(|at| ends(at)) {
            plan.steps.push(Step::Remove(view.fields.id(&parked_id(source, *offset))));
        }
        plan.state.parked.retain(|at, _| !ends(at));
    }
    plan.state.advance(batch);
    Ok(plan)
}

/// Plans to settle parked records.
pub(crate) fn plan_settling(view: &View, state: &State, batch: &SettleBatch) -> Result<Plan> {
    let mut plan = Plan::new(view, state);
    let mut changes = Vec::new();
    for (index, settlement) in batch.settlements.iter().enumerate() {
        let (source, offset) = (settlement.source.clone(), settlement.offset);
        let id = parked_id(&source, offset);
        if plan.state.parked.remove(&(source.clone(), offset)).is_none() {
            continue;
        }
        plan.steps.push(Step::Remove(view.fields.id(&id)));
        if let Some(event) = settlement.change.clone() {
            changes.push((index, SinkChange { source, offset, event }));
        }
    }
    plan.change(view, changes.iter().map(|(index, change)| (*index, change)))?;
    Ok(plan)
}

impl Plan {
    fn new(view: &View, state: &State) -> Self {
        Self { steps: Vec::new(), state: state.clone(), layouts: Arc::clone(&view.layouts) }
    }

    /// Takes in changes, each with its index in the batch.
    fn change<'a>(
        &mut self,
        view: &View,
        changes: impl Iterator<Item = (usize, &'a SinkChange)>,
    ) -> Result<()> {
        let mut topics = IndexMap::<&Topic, Vec<(usize, &SinkChange)>>::new();
        for (index, change) in changes {
            topics.entry(&change.source.topic).or_default().push((index, change));
        }
        topics.values().try_for_each(|changes| self.fold(view, changes))
    }

    /// Folds the changes of one topic.
    fn fold(&mut self, view: &View, changes: &[(usize, &SinkChange)]) -> Result<()> {
        let Some((_, first)) = changes.first() else { return Ok(()) };
        let topic = first.source.topic.as_str();
        let mut held = self.layouts.get(topic).cloned();
        let mut fold = Fold::new(view);
        let mut schema = None;
        let mut sources = Vec::new();
        let mut has_changed = false;
        for (index, change) in changes {
            let table = &change.event.table;
            let partition = change.source.partition.0;
            let layout = match &mut held {
                Some(layout) => layout,
                None => {
                    let layout = Layout::new(table, topic, partition);
                    self.check_name(&layout)?;
                    has_changed = true;
                    held.insert(layout)
                }
            };
            // A truncate brings no row, and may not know its table's key.
            let brings_row = change.event.op != Op::Truncate;
            if brings_row && schema.is_none_or(|seen| !Arc::ptr_eq(seen, table)) {
                let has_rows = fold.has_rows() || view.count_rows(&layout.table)? > 0;
                if layout.evolve(table, has_rows)? {
                    has_changed = true;
                    fold.widen(layout);
                }
                sources = layout.sources(table);
                schema = Some(table);
            }
            if brings_row {
                has_changed |= layout.note(partition);
            }
            fold.push(layout, &Item { index: *index, change, sources: &sources })?;
        }
        let Some(layout) = held else { return Ok(()) };
        self.steps.extend(fold.into_steps(&layout, &view.fields));
        if has_changed {
            self.steps.extend(view.fields.layout(&layout));
            Arc::make_mut(&mut self.layouts).insert(topic.to_owned(), layout);
        }
        Ok(())
    }

    fn check_name(&self, layout: &Layout) -> Result<()> {
        match self.layouts.values().find(|other| other.table == layout.table) {
            None => Ok(()),
            Some(other) => Err(Error::NameCollision {
                name: layout.table.clone(),
                first: format!("topic {}", other.topic),
                second: format!("topic {}", layout.topic),
            }),
        }
    }
}
