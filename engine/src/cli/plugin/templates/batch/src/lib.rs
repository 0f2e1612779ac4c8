//! Readings of sensors, in batch style: whole columns in, whole columns out.

use plugin_sdk::{Batch, Bits, Ctx, Emit, Origin, Parameters, Pass, Reject, Row, Table};

/// What is looked at: columns of the changed row, by name.
#[derive(Clone, Copy, Debug, Row)]
pub struct Reading {
    /// Degrees Celsius.
    pub celsius: f64,
}

/// A row of the table.
#[derive(Table)]
#[table(name = "{{table}}", kind = "append", sort_key = ["sensor"])]
pub struct Measured {
    sensor: Pass<i64>, // goes from the message to the table as it is, without entering the plugin
    fahrenheit: f64,
}

/// What `[parameters]` in plugin.toml may set.
#[derive(Parameters)]
pub struct Limits {
    /// Degrees Celsius above which a reading is not believed.
    #[parameter(default = "100")]
    hottest: f64,
}

fn convert(
    batch: &Batch<'_, Reading>,
    emit: &mut Emit<Measured>,
    ctx: &Ctx<Limits>,
) -> Result<(), String> {
    let celsius = batch.columns.celsius.as_slice();
    let believed = |degrees: f64| degrees <= ctx.parameters.hottest;
    let mut kept = Bits::zeros(batch.len());
    for (row, degrees) in celsius.iter().enumerate() {
        if believed(*degrees) {
            kept.set(row);
        } else {
            emit.reject(row, Reject::new("too_hot", "hotter than is believed"));
        }
    }
    let table = &mut emit.tables;
    table.columns.fahrenheit.extend(
        celsius
            .iter()
            .filter(|it| believed(**it))
            .map(|degrees| degrees * 1.8 + 32.0),
    );
    table.set_origin(Origin::selected(kept));
    Ok(())
}

plugin_sdk::export! {
    plugin: Plugin,
    input: Reading,
    output: Measured,
    parameters: Limits,
    batch: convert,
}
