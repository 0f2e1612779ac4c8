//! What a batch waits for before it is transformed, beside the lane's epochs in flight: its schemas, then memory. And how
//! much a lane collects, so that neither takes long.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Lane;
use crate::batch::{Block, RawBatch};
use crate::lane_status::Wait;
use crate::memory::{Account, Booking};
use crate::offsets::OffsetRange;
use crate::registry::{RegistryError, Schemas};
use crate::source::BatchLimits;

/// What an epoch takes for each byte of its messages: they are there as columns, and again in blocks.
const FOR_EACH_BYTE: usize = 2;
/// And for each message: the engine's own columns in both.
const FOR_EACH_MESSAGE: usize = 256;

/// A batch that can be transformed.
pub(super) struct Ready {
    pub(super) raw: RawBatch,
    pub(super) schemas: Schemas,
    /// For its columns and blocks.
    pub(super) room: Booking,
}

/// A batch that waits for that.
pub(super) type Resolving = BoxFuture<'static, Result<Ready, RegistryError>>;

/// Waits for a batch to be ready; for ever if there is none.
pub(super) async fn ready(resolving: &mut Option<Resolving>) -> Result<Ready, RegistryError> {
    match resolving {
        Some(resolving) => resolving.await,
        None => std::future::pending().await,
    }
}

impl Lane {
    /// Gets what a batch needs, beside the lane's other work: a registry that is away, and a tenant whose memory is all in use,
    /// must not hold up the epochs in flight, which give memory back.
    pub(super) fn made_ready(&self, raw: RawBatch) -> Resolving {
        let (registry, status, account) = (self.around.registry.clone(), self.status.clone(), self.account());
        let registry = registry.filter(|_| self.version.transform.decodes());
        async move {
            let schemas = match registry {
                Some(registry) => registry.schemas_of(&raw, |why| status.waits_for_registry(why)).await?,
                None => Schemas::default(),
            };
            let bytes = raw.bytes * FOR_EACH_BYTE + raw.messages.len() * FOR_EACH_MESSAGE;
            status.waits_for(Some(Wait::Memory));
            let room = account.room(bytes).await;
            status.waits_for(None);
            Ok(Ready { raw, schemas, room })
        }
        .boxed()
    }

    /// The batch of an epoch of timers.
    pub(super) fn no_messages(&self, range: OffsetRange) -> RawBatch {
        RawBatch { partition: self.found.partition.clone(), range, messages: Vec::new(), bytes: 0 }
    }

    /// What is collected next: for as long as the tables' server or the plugin wants rows gathered, and as much as there is
    /// memory for.
    pub(super) fn limits_now(&self) -> BatchLimits {
        let wanted = self.sink.linger(&self.id).max(self.versions.of(&self.id).file.linger);
        BatchLimits {
            max_bytes: self.account().epoch_bytes(self.limits.max_bytes),
            linger: self.limits.linger.max(wanted),
            ..self.limits
        }
    }

    /// The tenant's memory.
    pub(super) fn account(&self) -> Account {
        self.around.memory.account(&self.id.tenant)
    }
}

/// What blocks take until they are in their tables.
pub(super) fn bytes_of(blocks: &[Block]) -> usize {
    blocks.iter().flat_map(|block| &block.batches).map(arrow_array::RecordBatch::get_array_memory_size).sum()
}
