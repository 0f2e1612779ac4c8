//! Claims about lane and engine, each in a simulated world. [`seeds`](../seeds/index.html) runs them all together.

mod crashes;
mod halts;
mod outages;
