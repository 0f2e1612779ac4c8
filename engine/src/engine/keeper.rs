//! Runs one lane again and again: after errors that pass, and when another version of its plugin has to begin anew.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::cell;
use crate::config::FailurePolicy;
use crate::deploy::{Version, Versions};
use crate::disposition::{Disposition, disposition, in_words, is_the_plugins};
use crate::lane::{Lane, LaneError, Left, Surroundings};
use crate::lane_status::{LaneState, LaneStatus};
use crate::offsets::LaneId;
use crate::source::{BatchLimits, Found};
use crate::stop::{Stop, stop};
use crate::transform::TransformError;

/// First and longest pause before a lane is run again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A lane that ran this long before it stopped is given the first pause again.
const STEADY: Duration = Duration::from_secs(60);

/// What a lane does whose plugin is broken.
enum Breaks {
    /// It is run again at once, and parks its messages.
    Parks,
    /// It is run again then.
    Waits(Instant),
}

/// Keeps one lane running.
pub(super) struct Keeper {
    pub id: LaneId,
    pub found: Found,
    pub limits: BatchLimits,
    pub versions: Arc<Versions>,
    pub around: Surroundings,
    pub status: Arc<LaneStatus>,
    pub stop: Stop,
}

impl Keeper {
    /// Ends when the lane comes to its end, is told to stop, or by an error that ends the engine. One that has halted waits
    /// for another version of its plugin.
    pub(super) async fn keep_running(mut self) -> Result<(), LaneError> {
        let mut pause = PAUSES.0;
        loop {
            if !self.may_run().await {
                return Ok(());
            }
            let (began, version) = (Instant::now(), self.versions.of(&self.id));
            if !version.is_for(&self.id) {
                return Ok(()); // the engine is about to say so
            }
            self.status.runs(&version);
            let (error, undecided) = match self.run_once(&version).await {
                Ok(Left::Ended) if self.is_paused() && !self.stop.is_told() => continue,
                Ok(Left::Ended) => {
                    self.status.set_state(LaneState::Ended);
                    return Ok(());
                }
                Ok(Left::Changed | Left::Withdrawn) => continue,
                Ok(Left::Failing(error)) => (*error, true),
                Err(error) => (error, false),
            };
            if is_the_plugins(&error) && self.versions.withdraw(version.id(), in_words(&error), None) {
                continue;
            }
            let (decision, kind) = disposition(&error);
            self.status.restarted(kind);
            if began.elapsed() > STEADY {
                pause = PAUSES.0;
            }
            let again = match decision {
                Disposition::EndEngine => return Err(error),
                Disposition::Retry => Some(Instant::now() + pause),
                Disposition::Break => match self.breaks(&error, undecided) {
                    Breaks::Parks => continue,
                    Breaks::Waits(probe) => Some(probe),
                },
                Disposition::Halt => None,
            };
            self.say(&error, decision, again);
            tokio::select! {
                biased;
                () = self.stop.told() => return Ok(()),
                () = self.versions.other_than(&self.id, &version) => pause = PAUSES.0,
                () = self.around.tenants.paused(&self.id.tenant) => pause = PAUSES.0,
                () = sleep_until(again.unwrap_or(began)), if again.is_some() => pause = (pause * 2).min(PAUSES.1),
            }
        }
    }

    /// Opens the breaker. What was decided before a crash can't be parked: some of it may be in the tables.
    fn breaks(&self, error: &LaneError, undecided: bool) -> Breaks {
        let rules = self.versions.of(&self.id).file.failure;
        let probe = self.status.breaker.open(rules, in_words(error));
        let parkable = undecided && !matches!(error, LaneError::Transform(TransformError::Unparkable { .. }));
        if parkable && rules.policy == FailurePolicy::Park {
            tracing::warn!(lane = %self.id, error = in_words(error), "the plugin fails: the lane parks its messages");
            return Breaks::Parks;
        }
        Breaks::Waits(probe)
    }

    /// Says why the lane has stopped; it is run again at some time, or not.
    fn say(&self, error: &LaneError, decision: Disposition, again: Option<Instant>) {
        let (words, committed) = (in_words(error), self.status.view().committed);
        let pause_ms = again.map(|again| again.saturating_duration_since(Instant::now()).as_millis());
        match (decision, pause_ms) {
            (Disposition::Break, Some(pause_ms)) => {
                tracing::warn!(lane = %self.id, committed, error = %words, pause_ms, "the plugin fails: the lane waits, then tries it again");
                self.status.set_state(LaneState::Failing { error: words });
            }
            (_, Some(pause_ms)) => {
                tracing::warn!(lane = %self.id, committed, error = %words, pause_ms, "lane stopped, will run again");
                self.status.set_state(LaneState::Waiting { error: words });
            }
            (_, None) => {
                tracing::error!(lane = %self.id, committed, error = %words, "lane halted; the others go on");
                self.status.set_state(LaneState::Halted { error: words });
            }
        }
    }

    fn is_paused(&self) -> bool {
        self.around.tenants.paused_since(&self.id.tenant).is_some()
    }

    /// Waits as long as the tenant is paused. Says whether the lane shall run at all.
    async fn may_run(&mut self) -> bool {
        let Some(since) = self.around.tenants.paused_since(&self.id.tenant) else { return true };
        tracing::info!(lane = %self.id, "lane paused");
        let why = format!("an operator has paused tenant {} at {}", self.id.tenant, cell::utc(since));
        self.status.set_state(LaneState::Paused { why });
        tokio::select! {
            biased;
            () = self.stop.told() => false,
            () = self.around.tenants.resumed(&self.id.tenant) => true,
        }
    }

    async fn run_once(&self, version: &Arc<Version>) -> Result<Left, LaneError> {
        let (mut told, tenants) = (self.stop.clone(), self.around.tenants.clone());
        let sink = self.around.sinks.of(&version.file.tenant)?;
        // A server that is down is waited for inside; a stop must not wait with it.
        tokio::select! {
            biased;
            () = told.told() => return Ok(Left::Ended),
            () = tenants.paused(&self.id.tenant) => return Ok(Left::Ended),
            prepared = version.prepare(&*sink) => prepared?,
        };
        let (stopper, stop) = stop();
        let lane = Lane {
            id: self.id.clone(),
            found: self.found.clone(),
            limits: self.limits,
            version: version.clone(),
            versions: self.versions.clone(),
            around: self.around.clone(),
            sink,
            status: self.status.clone(),
            stop,
        };
        let mut lane = pin!(lane.run());
        tokio::select! {
            biased;
            () = told.told() => {}
            () = tenants.paused(&self.id.tenant) => {}
            left = &mut lane => return left,
        }
        stopper.tell(); // it ends what is open
        lane.await
    }
}
