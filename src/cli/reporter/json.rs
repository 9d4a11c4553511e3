//! Events as JSON lines.

use stargate::event::Event;

use super::EventView;
use crate::cli::ui;

/// View that prints each event as one line of JSON.
pub(super) struct JsonView;

impl EventView for JsonView {
    fn event(&mut self, event: &Event) {
        ui::out_json(event);
    }
}
