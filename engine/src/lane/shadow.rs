//! A newcomer in the shadow of the lane: it is given each epoch that the lane keeps, and before the first of them a copy of what
//! the plugin remembers. What becomes of them is none of the lane's business.

use std::sync::Arc;

use super::{Ahead, Lane};
use crate::batch::RawBatch;
use crate::cpu::Of;
use crate::deploy::difference::Made;
use crate::deploy::shadow::{MOST_STATE_BYTES, Shadow, ShadowLane};
use crate::registry::Schemas;
use crate::transform::{Epoch, Transformed};

/// Who follows the lane, if anybody does.
#[derive(Default)]
pub(super) struct Beside(Option<(Arc<Shadow>, Option<Arc<ShadowLane>>)>);

/// A batch with its schemas, shared with who follows.
pub(super) type Batch = Arc<(RawBatch, Schemas)>;

impl Beside {
    /// The batch for who follows. Where nobody does, its memory is given back as soon as the lane has transformed it.
    pub(super) fn share(&self, batch: &Batch) -> Option<Batch> {
        self.0.as_ref().map(|_| batch.clone())
    }

    /// Hands on an epoch that the lane keeps; one that is parked, neither has made.
    pub(super) fn follow(&self, batch: Option<Batch>, epoch: Epoch, made: &Transformed) {
        let batch = batch.filter(|_| made.intent.parked.is_none());
        if let (Some((shadow, Some(lane))), Some(batch)) = (&self.0, batch) {
            shadow.follow(lane, batch, epoch, Made::of(made));
        }
    }
}

impl Lane {
    /// Looks who follows the lane from the next epoch on.
    pub(super) async fn look_beside(&self, beside: &mut Beside, ahead: &mut Ahead) {
        let shadow = self.versions.shadow().filter(|shadow| shadow.follows() && shadow.version.is_for(&self.id));
        let Some(shadow) = shadow else { return beside.0 = None };
        self.around.cpu.charge(&self.id.tenant, Of::Shadow, shadow.spent());
        if beside.0.as_ref().is_none_or(|(known, _)| !Arc::ptr_eq(known, &shadow)) {
            let lane = self.copied_for(&shadow, ahead).await;
            beside.0 = Some((shadow, lane));
        }
    }

    /// Copies what the plugin remembers, once.
    async fn copied_for(&self, shadow: &Arc<Shadow>, ahead: &mut Ahead) -> Option<Arc<ShadowLane>> {
        let position = &ahead.position;
        if shadow.version.transform.part() != self.version.transform.part() {
            shadow.end("it reads other messages of the topic than the version that runs".to_owned());
            return None;
        }
        let bytes = ahead.state.bytes();
        if !shadow.version.reads(&position.state_versions) {
            shadow.end(format!("it does not read what the version that runs keeps of lane {}", self.id));
            return None;
        }
        if ahead.state.disk_bytes() > 0 {
            shadow.end(format!(
                "a part of what lane {} remembers lies on the disk, which is not copied for a shadow",
                self.id
            ));
            return None;
        }
        if bytes > MOST_STATE_BYTES {
            let (is, most) = (bytes >> 20, MOST_STATE_BYTES >> 20);
            shadow.end(format!("lane {} remembers {is} MiB, and at most {most} MiB are copied for a shadow", self.id));
            return None;
        }
        let (shadow, lane, watermark_ms) = (shadow.clone(), self.id.clone(), position.watermark_ms);
        let state = std::mem::take(&mut ahead.state);
        let copy = move || {
            let kept = (!state.tables().is_empty()).then(|| state.snapshot());
            (shadow.begin(&lane, kept.as_deref(), watermark_ms), state)
        };
        let (lane, state) = self.around.cpu.run(&self.id.tenant, copy).await;
        ahead.state = state;
        lane
    }
}
